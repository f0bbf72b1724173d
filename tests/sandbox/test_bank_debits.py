"""The sandbox's bank debits cards as docs/bank-protocol.md says."""

import http.client
import json
import signal
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.parameters import stable_id
from tests.sandbox.bank_peers import BankProcess, VPass, debit, order
from vpass.common import clock, signing


@pytest.fixture(scope="module")
def keys() -> tuple[signing.Ed25519Private, signing.Ed25519Private]:
    return signing.generate_ed25519(), signing.generate_ed25519()


@pytest.fixture(scope="module")
def bank(keys: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[BankProcess]:
    """A bank that books accepted debits when told and has nobody to tell."""
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


def stands(bank: BankProcess, debit_id: str) -> dict[str, Any]:
    status, answer = bank.send("/v1/inquiries", {"debit_id": debit_id})
    assert status == 200
    return answer


def debited(bank: BankProcess) -> int:
    return int(bank.control("totals")[1]["debited_fen"])


@pytest.mark.parametrize(
    ("ending", "first", "last"),
    [
        ("1234", ("booked", None), ("booked", None)),
        ("0000", ("rejected", "account_closed"), ("rejected", "account_closed")),
        ("0001", ("accepted", None), ("rejected", "account_frozen")),
        ("0003", ("rejected", "insufficient_funds"), ("rejected", "insufficient_funds")),
        ("0004", ("accepted", None), ("booked", None)),
    ],
)
def test_debit__account_says_what_becomes_of_it(
    bank: BankProcess, ending: str, first: Any, last: Any
):
    asked = debit(account_token=f"tok_0123456789_{ending}")
    before = debited(bank)

    _, answer = bank.send("/v1/debits", asked)
    bank.control("bookings", {"debit_id": asked["debit_id"]})
    final = stands(bank, asked["debit_id"])

    assert answer["debit_id"] == asked["debit_id"]
    assert (answer["status"], answer.get("reason")) == first
    assert (final["status"], final.get("reason")) == last
    assert debited(bank) - before == (25_000 if last[0] == "booked" else 0)
    assert bank.send("/v1/debits", asked) == (200, final)


def test_debit__ordered_by_many_at_once__taken_once(bank: BankProcess):
    asked, before = debit(), debited(bank)

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: bank.send("/v1/debits", asked), range(16)))

    assert {json.dumps(answer) for answer in answers} == {json.dumps(answers[0])}
    assert bank.control(f"debits/{asked['debit_id']}")[1]["orders"] == 16
    assert debited(bank) == before + 25_000


def test_debit__same_id_for_another_order__409_and_nothing_changes(bank: BankProcess):
    asked = debit()
    _, booked = bank.send("/v1/debits", asked)

    answer = bank.send("/v1/debits", {**asked, "amount_fen": 1})

    assert answer == (409, {"error": "debit_id_reused"})
    assert stands(bank, asked["debit_id"]) == booked


def test_inquiry__unknown__dead_for_ever(bank: BankProcess):
    asked, before = debit(), debited(bank)
    dead = {"debit_id": asked["debit_id"], "status": "never_arrived"}

    assert stands(bank, asked["debit_id"]) == dead
    assert bank.send("/v1/debits", asked) == (200, dead)
    assert debited(bank) == before


def test_inquiry__a_payout_of_the_same_number__knows_nothing_of_it(bank: BankProcess):
    asked = debit()
    bank.send("/v1/debits", asked)

    _, told = bank.send("/v1/inquiries", {"payout_id": asked["debit_id"]})

    assert told == {"payout_id": asked["debit_id"], "status": "never_arrived"}
    assert stands(bank, asked["debit_id"])["status"] == "booked"


@pytest.mark.parametrize(
    "members",
    [{}, {"debit_id": "1"}, {"debit_id": str(uuid.uuid4()), "payout_id": str(uuid.uuid4())}],
    ids=stable_id,
)
def test_inquiry__malformed__400(bank: BankProcess, members: dict[str, Any]):
    assert bank.send("/v1/inquiries", members) == (400, {"error": "malformed"})


@pytest.mark.parametrize(
    "changes", [{"purpose": "withdrawal"}, {"payout_id": str(uuid.uuid4())}], ids=stable_id
)
def test_debit__malformed__400_and_unknown(bank: BankProcess, changes: dict[str, Any]):
    asked = debit(**changes)

    assert bank.send("/v1/debits", asked) == (400, {"error": "malformed"})

    assert bank.control(f"debits/{asked['debit_id']}")[0] == 404


def test_lost_reply__debit_was_booked(bank: BankProcess):
    asked = debit()
    bank.breaks("bank", "lost_reply")

    with pytest.raises(http.client.RemoteDisconnected):
        bank.send("/v1/debits", asked)

    assert stands(bank, asked["debit_id"])["status"] == "booked"


def test_statement_and_totals__debits_are_credits_of_the_account(fresh: BankProcess):
    fresh.start()
    asked, paid = debit(), order(account_token="tok_0123456789_0002", amount_fen=5_000)
    fresh.send("/v1/debits", asked)
    fresh.send("/v1/payouts", paid)
    fresh.end(signal.SIGKILL)
    fresh.start()
    today = clock.city_date(clock.now()).isoformat()

    _, statement = fresh.send("/v1/statements", {"business_date": today, "page": 1})

    first, second = statement["entries"]
    assert (first["kind"], first["amount_fen"]) == ("credit", 25_000)
    assert first["debit_id"] == asked["debit_id"]
    assert first.keys() == {"entry_id", "kind", "amount_fen", "debit_id", "booked_at"}
    assert (second["kind"], second["payout_id"]) == ("debit", paid["payout_id"])
    assert statement["closing_fen"] == 20_000
    totals = fresh.control("totals")[1]
    assert (totals["debits"], totals["debited_fen"]) == ({"booked": 1}, 25_000)
    assert (totals["credited_fen"], totals["balance_fen"]) == (0, 20_000)


def test_notice__accepted_and_later_decided__says_what_an_inquiry_says(
    fresh: BankProcess, vpass: VPass
):
    fresh.books_after_s = 0.2
    fresh.start(vpass_url=vpass.url)
    later, frozen = (debit(account_token=f"tok_0123456789_{end}") for end in ("0004", "0001"))
    for asked in (later, frozen, debit()):
        fresh.send("/v1/debits", asked)

    heard = {each.key: each for each in vpass.await_heard(2)}

    assert heard.keys() == {later["debit_id"], frozen["debit_id"]}
    for debit_id, each in heard.items():
        assert each.path == "/api/bank/v1/debit-notices"
        assert each.members == stands(fresh, debit_id)
    end = time.monotonic() + 5
    while fresh.control("totals")[1]["notices"].get("waiting") and time.monotonic() < end:
        time.sleep(0.02)
    assert fresh.control("totals")[1]["notices"] == {"booked": 1, "rejected": 1}
