"""The sandbox's bank keeps to docs/bank-protocol.md."""

import http.client
import json
import signal
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.parameters import stable_id
from tests.sandbox.bank_peers import BankProcess, Heard, Reply, VPass, order, takes_all
from vpass.common import clock, signing

TODAY = clock.city_date(clock.now()).isoformat()
CREDIT = {"top_up_number": "880012345678", "amount_fen": 50_000, "payer_name": "王小明"}


@pytest.fixture(scope="module")
def keys() -> tuple[signing.Ed25519Private, signing.Ed25519Private]:
    """V Pass's and the bank's."""
    return signing.generate_ed25519(), signing.generate_ed25519()


@pytest.fixture(scope="module")
def bank(keys: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[BankProcess]:
    """A bank that books when told and has nobody to tell."""
    bank = BankProcess(tmp_path_factory.mktemp("bank"), *keys)
    bank.start()
    yield bank
    bank.end()


@pytest.fixture
def fresh(keys: Any, tmp_path: Path) -> Iterator[BankProcess]:
    """A bank with empty books, not yet started."""
    bank = BankProcess(tmp_path, *keys)
    yield bank
    bank.end(signal.SIGKILL)


@pytest.fixture
def vpass(keys: Any) -> Iterator[VPass]:
    vpass = VPass(*keys)
    vpass.start()
    yield vpass
    vpass.end()


def stands(bank: BankProcess, payout_id: str) -> dict[str, Any]:
    status, answer = bank.send("/v1/inquiries", {"payout_id": payout_id})
    assert status == 200
    return answer


def await_outcome(bank: BankProcess, notice_id: str) -> dict[str, Any]:
    end = time.monotonic() + 15
    while time.monotonic() < end:
        shown = bank.control(f"notices/{notice_id}")[1]
        if shown.get("outcome") is not None:  # or not found: nothing decided yet
            return shown
        time.sleep(0.03)
    raise AssertionError(shown)


# Payouts


def test_payout__accepted_then_booked__inquiry_and_repeat_follow(bank: BankProcess):
    asked = order()

    status, accepted = bank.send("/v1/payouts", asked)
    again = stands(bank, asked["payout_id"])
    decided = bank.control("bookings", {"payout_id": asked["payout_id"]})
    booked = stands(bank, asked["payout_id"])

    assert status == 200
    assert accepted.keys() == {"payout_id", "status", "bank_reference"}
    assert accepted["status"] == "accepted"
    assert again == accepted
    assert decided == (200, {"decided": 1})
    assert booked.keys() == {"payout_id", "status", "bank_reference", "booked_at"}
    assert booked | {"booked_at": ""} == accepted | {"status": "booked", "booked_at": ""}
    assert bank.send("/v1/payouts", asked) == (200, booked)


@pytest.mark.parametrize(
    ("ending", "first", "last"),
    [
        ("0000", ("rejected", "account_closed"), ("rejected", "account_closed")),
        ("0001", ("accepted", None), ("rejected", "account_frozen")),
        ("0002", ("booked", None), ("booked", None)),
    ],
)
def test_payout__account_says_what_becomes_of_it(
    bank: BankProcess, ending: str, first: Any, last: Any
):
    asked = order(account_token=f"tok_0123456789_{ending}")

    _, answer = bank.send("/v1/payouts", asked)
    bank.control("bookings", {"payout_id": asked["payout_id"]})
    final = stands(bank, asked["payout_id"])

    assert (answer["status"], answer.get("reason")) == first
    assert (final["status"], final.get("reason")) == last


def test_payout__ordered_by_many_at_once__paid_once(bank: BankProcess):
    asked = order(account_token="tok_0123456789_0002")
    before = bank.control("totals")[1]

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: bank.send("/v1/payouts", asked), range(16)))

    after = bank.control("totals")[1]
    assert {json.dumps(answer) for answer in answers} == {json.dumps(answers[0])}
    assert bank.control(f"payouts/{asked['payout_id']}")[1]["orders"] == 16
    assert after["paid_out_fen"] == before["paid_out_fen"] + 25_000


@pytest.mark.parametrize(
    "changes", [{"amount_fen": 25_001}, {"account_token": "tok_other_0123456"}], ids=str
)
def test_payout__same_id_for_another_order__409_and_nothing_changes(
    bank: BankProcess, changes: dict[str, Any]
):
    asked = order()
    _, accepted = bank.send("/v1/payouts", asked)

    assert bank.send("/v1/payouts", {**asked, **changes}) == (409, {"error": "payout_id_reused"})

    assert stands(bank, asked["payout_id"]) == accepted
    assert bank.control(f"payouts/{asked['payout_id']}")[1]["amount_fen"] == 25_000


def test_inquiry__unknown__dead_for_ever(bank: BankProcess):
    asked = order(account_token="tok_0123456789_0002")
    before = bank.control("totals")[1]
    dead = {"payout_id": asked["payout_id"], "status": "never_arrived"}

    assert stands(bank, asked["payout_id"]) == dead
    assert bank.send("/v1/payouts", asked) == (200, dead)
    assert bank.send("/v1/payouts", {**asked, "amount_fen": 1}) == (200, dead)
    assert bank.control("bookings", {"payout_id": asked["payout_id"]}) == (200, {"decided": 0})
    assert stands(bank, asked["payout_id"]) == dead

    assert bank.control("totals")[1]["paid_out_fen"] == before["paid_out_fen"]


def test_inquiry__races_the_order__both_hear_the_same(bank: BankProcess):
    for _ in range(20):
        asked = order(account_token="tok_0123456789_0002")
        with ThreadPoolExecutor(2) as pool:
            ordered = pool.submit(bank.send, "/v1/payouts", asked)
            inquired = pool.submit(stands, bank, asked["payout_id"])

        assert ordered.result()[1] == inquired.result()
        assert inquired.result()["status"] in ("booked", "never_arrived")


def test_control_payout__no_inquiry__payout_still_alive(bank: BankProcess):
    asked = order()

    assert bank.control(f"payouts/{asked['payout_id']}") == (404, {"error": "not_found"})
    assert bank.send("/v1/payouts", asked)[1]["status"] == "accepted"


@pytest.mark.parametrize(
    "changes",
    [
        {"payout_id": "1"},
        {"payout_id": str(uuid.uuid4()).upper().replace("0", "A")},
        {"account_token": "short"},
        {"account_token": "x" * 65},
        {"amount_fen": 0},
        {"amount_fen": -1},
        {"amount_fen": 1.0},
        {"amount_fen": True},
        {"amount_fen": "1"},
        {"amount_fen": 10**12},
        {"currency": "USD"},
        {"purpose": "gift"},
        {"purpose": []},
        {"reference": ""},
        {"reference": " a"},
        {"reference": "谢谢"},
        {"reference": "a\n"},
        {"reference": "x" * 36},
        {"business_date": "2026-02-30"},
        {"business_date": "20260302"},
        {"more": 1},
    ],
    ids=stable_id,
)
def test_payout__malformed__400_and_unknown(bank: BankProcess, changes: dict[str, Any]):
    asked = order(**changes)

    assert bank.send("/v1/payouts", asked) == (400, {"error": "malformed"})

    assert bank.control(f"payouts/{order()['payout_id']}")[0] == 404


@pytest.mark.parametrize("missing", sorted(order()))
def test_payout__member_missing__400(bank: BankProcess, missing: str):
    asked = {name: value for name, value in order().items() if name != missing}

    assert bank.send("/v1/payouts", asked) == (400, {"error": "malformed"})


def test_payout__signed_by_a_stranger__401_and_nothing_done(bank: BankProcess):
    asked = order()

    answer = bank.send("/v1/payouts", asked, private=signing.generate_ed25519())

    assert answer == (401, {"error": "signature_invalid"})
    assert bank.control(f"payouts/{asked['payout_id']}")[0] == 404


def test_lost_reply__payout_was_accepted(bank: BankProcess):
    asked = order()
    bank.breaks("bank", "lost_reply")

    with pytest.raises(http.client.RemoteDisconnected):
        bank.send("/v1/payouts", asked)

    assert stands(bank, asked["payout_id"])["status"] == "accepted"


def test_reset__payout_never_arrived(bank: BankProcess):
    asked = order()
    bank.breaks("bank", "reset")

    with pytest.raises(ConnectionResetError):
        bank.send("/v1/payouts", asked)

    assert stands(bank, asked["payout_id"])["status"] == "never_arrived"


def test_kill__after_an_answer__nothing_forgotten(fresh: BankProcess):
    fresh.start()
    paid, waits = order(account_token="tok_0123456789_0002"), order()
    dead = str(uuid.uuid4())
    said = [fresh.send("/v1/payouts", paid)[1], fresh.send("/v1/payouts", waits)[1]]
    said.append(stands(fresh, dead))
    credit = fresh.control("credits", CREDIT)[1]

    fresh.end(signal.SIGKILL)
    fresh.start()

    ids = (paid["payout_id"], waits["payout_id"], dead)
    assert [stands(fresh, payout_id) for payout_id in ids] == said
    assert fresh.control(f"notices/{credit['id']}")[1]["outcome"] is None
    assert fresh.control("totals")[1] == {
        "payouts": {"booked": 1, "accepted": 1, "never_arrived": 1},
        "debits": {},
        "notices": {"waiting": 1},
        "paid_out_fen": 25_000,
        "debited_fen": 0,
        "credited_fen": 50_000,
        "returned_fen": 0,
        "balance_fen": 25_000,
    }


# Statements


def test_statement__everything_booked_and_nothing_else(fresh: BankProcess, vpass: VPass):
    vpass.answers = lambda heard: (
        200,
        {"notice_id": heard.members["notice_id"], "status": "returned", "reason": "number_unknown"},
    )
    fresh.start(vpass_url=vpass.url)
    booked = order(account_token="tok_0123456789_0002")
    for asked in (booked, order(), order(account_token="tok_0123456789_0000")):
        fresh.send("/v1/payouts", asked)
    credit = fresh.control("credits", CREDIT)[1]
    await_outcome(fresh, credit["id"])

    status, statement = fresh.send("/v1/statements", {"business_date": TODAY, "page": 1})

    assert status == 200
    entries = statement.pop("entries")
    assert statement == {
        "business_date": TODAY,
        "page": 1,
        "pages": 1,
        "is_closed": False,
        "opening_fen": 0,
        "closing_fen": -25_000,
    }
    assert [(e["entry_id"], e["kind"], e["amount_fen"]) for e in entries] == [
        ("E000000000001", "debit", 25_000),
        ("E000000000002", "credit", 50_000),
        ("E000000000003", "debit", 50_000),
    ]
    assert [e.get("payout_id") for e in entries] == [booked["payout_id"], None, None]
    assert [e.get("notice_id") for e in entries] == [None, credit["id"], credit["id"]]


def test_statement__more_than_a_page__cut_and_complete(fresh: BankProcess):
    fresh.start()
    for amount_fen in range(1, 102):
        fresh.control("credits", {**CREDIT, "amount_fen": amount_fen})

    pages = [
        fresh.send("/v1/statements", {"business_date": TODAY, "page": page})[1] for page in (1, 2)
    ]

    assert [len(page["entries"]) for page in pages] == [100, 1]
    assert {page["pages"] for page in pages} == {2}
    amounts = [entry["amount_fen"] for page in pages for entry in page["entries"]]
    assert amounts == list(range(1, 102))
    assert {page["closing_fen"] for page in pages} == {sum(range(1, 102))}
    beyond = fresh.send("/v1/statements", {"business_date": TODAY, "page": 3})
    assert beyond == (404, {"error": "not_found"})


def test_statement__day_before__closed_and_empty(bank: BankProcess):
    yesterday = (clock.city_date(clock.now()) - timedelta(days=1)).isoformat()

    _, statement = bank.send("/v1/statements", {"business_date": yesterday, "page": 1})

    assert (statement["is_closed"], statement["entries"], statement["pages"]) == (True, [], 1)
    assert statement["opening_fen"] == statement["closing_fen"]


@pytest.mark.parametrize("page", [0, -1, 1.0, "1", True, None], ids=str)
def test_statement__malformed_page__400(bank: BankProcess, page: Any):
    asked = {"business_date": TODAY, "page": page}

    assert bank.send("/v1/statements", asked) == (400, {"error": "malformed"})


# Notices


def test_credit__notice_signed_and_complete(fresh: BankProcess, vpass: VPass):
    fresh.start(vpass_url=vpass.url)

    status, shown = fresh.control("credits", {**CREDIT, "payer_last4": "1234"})
    outcome = await_outcome(fresh, shown["id"])

    (heard,) = vpass.heard
    assert status == 200
    assert heard.path == "/api/bank/v1/credit-notices"
    assert (heard.problem, heard.key) == ("", shown["id"])
    booked_at = heard.members["booked_at"]
    assert heard.members == {
        "notice_id": shown["id"],
        "top_up_number": "880012345678",
        "amount_fen": 50_000,
        "currency": "CNY",
        "payer_account_token": shown["payer_account_token"],
        "payer_last4": "1234",
        "booked_at": booked_at,
    }
    assert len(booked_at) == 20 and booked_at.endswith("Z")
    assert shown["payer_account_token"].endswith("1234")
    assert outcome == {
        "id": shown["id"],
        "kind": "credit",
        "attempts": 1,
        "last_status": 200,
        "outcome": "credited",
    }


def test_payout_notice__booked_after_a_while__says_what_an_inquiry_says(
    fresh: BankProcess, vpass: VPass
):
    fresh.books_after_s = 0.3
    fresh.start(vpass_url=vpass.url)
    later, at_once = order(), order(account_token="tok_0123456789_0002")
    frozen = order(account_token="tok_0123456789_0001")

    for asked in (later, at_once, frozen):
        fresh.send("/v1/payouts", asked)
    for asked in (later, frozen):
        await_outcome(fresh, asked["payout_id"])

    heard = {each.key: each for each in vpass.heard}
    assert heard.keys() == {later["payout_id"], frozen["payout_id"]}
    for payout_id, each in heard.items():
        assert each.path == "/api/bank/v1/payout-notices"
        assert each.members == stands(fresh, payout_id)
    assert heard[later["payout_id"]].members["status"] == "booked"
    assert heard[frozen["payout_id"]].members["status"] == "rejected"


def _unsigned(headers: dict[str, str], body: bytes) -> tuple[dict[str, str], bytes]:
    return {"content-type": "application/json"}, body


def _changed(headers: dict[str, str], body: bytes) -> tuple[dict[str, str], bytes]:
    return headers, body.replace(b"credited", b"returned")


@pytest.mark.parametrize(
    "first",
    [
        pytest.param(None, id="no answer"),
        pytest.param((500, {}), id="500"),
        pytest.param((404, {"code": "x.y"}), id="404"),
        pytest.param((202, {}), id="202"),
        pytest.param((200, {"notice_id": str(uuid.uuid4()), "status": "credited"}), id="other id"),
        pytest.param((200, {"status": "credited"}), id="no id"),
        pytest.param("status", id="other status"),
        pytest.param(_unsigned, id="unsigned"),
        pytest.param(_changed, id="changed"),
    ],
)
def test_credit__no_answer_to_believe__same_notice_again(
    fresh: BankProcess, vpass: VPass, first: Any
):
    def answers(heard: Heard) -> Reply:
        if len(vpass.heard) > 1:
            vpass.spoil = None
            return takes_all(heard)
        if callable(first):
            vpass.spoil = first
            return takes_all(heard)
        if first == "status":
            return 200, {"notice_id": heard.members["notice_id"], "status": "perhaps"}
        return first

    vpass.answers = answers
    fresh.start(vpass_url=vpass.url)

    shown = fresh.control("credits", CREDIT)[1]
    outcome = await_outcome(fresh, shown["id"])

    one, other = vpass.heard
    assert (one.key, one.body) == (other.key, other.body)
    assert one.nonce != other.nonce
    assert (outcome["attempts"], outcome["outcome"]) == (2, "credited")
    assert fresh.control("totals")[1]["credited_fen"] == 50_000


def test_credit__killed_before_the_answer_was_noted__told_again(fresh: BankProcess, vpass: VPass):
    vpass.answers = lambda _heard: None
    fresh.start(vpass_url=vpass.url)
    shown = fresh.control("credits", CREDIT)[1]
    vpass.await_heard(1)

    fresh.end(signal.SIGKILL)
    vpass.answers = takes_all
    fresh.start(vpass_url=vpass.url)

    assert await_outcome(fresh, shown["id"])["outcome"] == "credited"
    assert {each.body for each in vpass.heard} == {vpass.heard[0].body}


def test_credit__v_pass_address_told_later__sent_then(fresh: BankProcess, vpass: VPass):
    fresh.start()
    shown = fresh.control("credits", CREDIT)[1]
    time.sleep(0.3)
    assert fresh.control(f"notices/{shown['id']}")[1]["attempts"] == 0

    assert fresh.control("settings", {"vpass_url": vpass.url})[0] == 200

    assert await_outcome(fresh, shown["id"])["outcome"] == "credited"


@pytest.mark.parametrize(
    ("mode", "variant", "problems"),
    [
        ("duplicate", None, ["", ""]),
        ("replayed", None, ["", "signature.replayed"]),
        ("lost_reply", None, ["", ""]),
        ("reset", None, [""]),
        ("delay", None, [""]),
        ("bad_signature", "flipped", ["signature.invalid", ""]),
        ("bad_signature", "digest", ["signature.digest_wrong", ""]),
        ("bad_signature", "old", ["signature.expired", ""]),
        ("bad_signature", "early", ["signature.clock_wrong", ""]),
        ("bad_signature", "key_id", ["signature.key_unknown", ""]),
    ],
)
def test_bank_notices_faults__v_pass_meets_them_and_the_notice_arrives(
    fresh: BankProcess, vpass: VPass, mode: str, variant: str | None, problems: list[str]
):
    fresh.start(vpass_url=vpass.url)
    options = {} if variant is None else {"variant": variant}
    fresh.breaks("bank_notices", mode, **options, **({"seconds": 1} if mode == "delay" else {}))

    shown = fresh.control("credits", CREDIT)[1]
    outcome = await_outcome(fresh, shown["id"])

    heard = vpass.await_heard(len(problems))
    assert [each.problem for each in heard] == problems
    assert {each.key for each in heard} == {shown["id"]}
    assert outcome["outcome"] == "credited"
    assert fresh.control("totals")[1]["notices"] == {"credited": 1}


def test_faults__mode_that_messages_do_not_have__400(bank: BankProcess):
    with pytest.raises(AssertionError, match="no such mode of this site"):
        bank.breaks("bank_notices", "huge")


# Control


@pytest.mark.parametrize(
    ("what", "members", "status"),
    [
        ("credits", {**CREDIT, "amount_fen": 0}, 400),
        ("credits", {**CREDIT, "top_up_number": "1"}, 400),
        ("credits", {**CREDIT, "payer_name": ""}, 400),
        ("credits", {**CREDIT, "payer_last4": "12345"}, 400),
        ("credits", {**CREDIT, "more": 1}, 400),
        ("credits", {}, 400),
        ("credits", [], 400),
        ("bookings", {"payout_id": "x"}, 400),
        ("bookings", {"payout_id": str(uuid.uuid4())}, 404),
        ("settings", {"books_after_s": -1}, 400),
        ("settings", {"vpass_url": "ftp://x"}, 400),
        ("settings", {"more": 1}, 400),
        ("nothing", {}, 404),
        ("credits", None, 404),
    ],
    ids=stable_id,
)
def test_control__malformed__refused(bank: BankProcess, what: str, members: Any, status: int):
    assert bank.control(what, members)[0] == status


def test_control__page_of_a_browser__kept_out(bank: BankProcess):
    connection = http.client.HTTPConnection("127.0.0.1", int(bank.url.split(":")[2].split("/")[0]))
    answers = []
    for headers in ({"Host": "evil.example"}, {"Content-Type": "text/plain"}):
        connection.request("POST", "/bank/control/credits", json.dumps(CREDIT), headers)
        answer = connection.getresponse()
        answers.append((answer.status, answer.read()))
    connection.close()

    assert [status for status, _ in answers] == [403, 415]


def test_control_settings__books_when_told_only(fresh: BankProcess):
    fresh.books_after_s = 0.1
    fresh.start()

    changed = fresh.control("settings", {"books_after_s": None})
    asked = order()
    fresh.send("/v1/payouts", asked)
    time.sleep(0.5)

    assert changed == (200, {"books_after_s": None, "vpass_url": ""})
    assert fresh.control("settings") == changed
    assert stands(fresh, asked["payout_id"])["status"] == "accepted"
    assert fresh.control("bookings", {}) == (200, {"decided": 1})
