"""The adapter and a real bank of the sandbox: whatever is lost, one payout is paid once."""

import socket
import uuid
from collections.abc import Iterator
from datetime import date, datetime
from typing import Any

import pytest
import requests

from payments import funding, payouts
from payments.banks import BankAnswerLost, BankNotAsked, BankStanding, PayoutOrder
from payments.banks import http as bank_http
from payments.banks.http import partner_bank
from payments.models import Payout
from payments.settlement import windows
from tests.banking import BankSystem, fund, make_bank, make_resident, standing, withdraw
from tests.outside import OutsideWorld
from vpass.common import clock
from vpass.common.outgoing import PeerAnswerInvalid

AT_ONCE = "tok_settles_here_0002"
LATER = "tok_settles_here_9999"

# What the bank has done when the answer does not come, and what we then know.
LOST: list[tuple[str, dict[str, Any], str]] = [
    ("lost_reply", {}, "booked"),
    ("truncated", {}, "booked"),
    ("unsigned", {}, "booked"),
    ("redirect", {}, "never_arrived"),
    ("huge", {"variant": "length"}, "never_arrived"),
    ("trickle", {"seconds": 0.3}, "booked"),
    ("delay", {"seconds": 4}, "booked"),
    *[
        ("bad_signature", {"variant": variant}, "booked")
        for variant in ("flipped", "digest", "old", "early", "key_id", "not_tied", "two")
    ],
    *[
        ("nonsense", {"variant": variant}, "booked")
        for variant in ("garbage", "not_json", "not_object", "repeated_member", "wrong_id")
    ],
    ("reset", {}, "never_arrived"),
    ("http_500", {}, "never_arrived"),
]


@pytest.fixture
def code(sandbox: OutsideWorld, settings: Any) -> Iterator[str]:
    partner_bank.cache_clear()
    yield settings.BANK_CODE
    partner_bank.cache_clear()


def order_of(token: str = AT_ONCE, **changes: Any) -> PayoutOrder:
    members: dict[str, Any] = {
        "payout_id": uuid.uuid4(),
        "account_token": token,
        "amount_fen": 25_000,
        "purpose": "withdrawal",
        "reference": "V PASS W-20260302-0017",
        "business_date": date(2026, 3, 2),
    }
    return PayoutOrder(**members | changes)


def order(code: str, asked: PayoutOrder) -> BankStanding:
    return partner_bank(code).order(asked, at=clock.now())


def inquire(code: str, payout_id: uuid.UUID) -> BankStanding:
    partner_bank.cache_clear()  # a circuit without the failures before
    return partner_bank(code).inquire(payout_id, at=clock.now())


def entries_of(code: str, payout_id: uuid.UUID) -> list[int]:
    """The amounts which the bank's statement of today has for a payout."""
    today, page, found = clock.city_date(clock.now()), 1, []
    while True:
        read = partner_bank(code).statement(today, page=page, at=clock.now())
        found += [entry.amount_fen for entry in read.entries if entry.payout_id == payout_id]
        if page >= read.pages:
            return found
        page += 1


def test_order__booked_at_once(code: str):
    asked = order_of()

    told = order(code, asked)

    assert told.status == "booked"
    assert told.bank_reference
    assert told.booked_at is not None
    assert abs((clock.now() - told.booked_at).total_seconds()) < 10
    assert entries_of(code, asked.payout_id) == [25_000]


@pytest.mark.parametrize(
    ("token", "expected"),
    [
        ("tok_settles_here_0000", ("rejected", "account_closed")),
        ("tok_settles_here_0001", ("accepted", None)),
        (LATER, ("accepted", None)),
    ],
)
def test_order__other_fates(code: str, token: str, expected: tuple[str, str | None]):
    told = order(code, order_of(token))

    assert (told.status, told.reason) == expected


def test_order__again__same_answer_paid_once(code: str):
    asked = order_of()

    assert order(code, asked) == order(code, asked) == inquire(code, asked.payout_id)
    assert entries_of(code, asked.payout_id) == [25_000]


def test_order__same_id_other_amount__no_answer_and_nothing_paid(code: str):
    asked = order_of()
    order(code, asked)

    with pytest.raises(BankAnswerLost):
        order(code, order_of(payout_id=asked.payout_id, amount_fen=1))
    assert entries_of(code, asked.payout_id) == [25_000]


def test_inquiry__never_ordered__dead_for_ever(code: str):
    asked = order_of()

    assert inquire(code, asked.payout_id) == BankStanding(status="never_arrived")
    assert order(code, asked) == BankStanding(status="never_arrived")
    assert entries_of(code, asked.payout_id) == []


@pytest.mark.parametrize(("mode", "options", "truth"), LOST, ids=lambda value: str(value))
def test_order__answer_lost__inquiry_tells_and_one_is_paid(
    sandbox: OutsideWorld, code: str, mode: str, options: dict[str, Any], truth: str
):
    asked = order_of()
    sandbox.breaks("bank", mode, **options)

    with pytest.raises(BankAnswerLost):
        order(code, asked)

    assert inquire(code, asked.payout_id).status == truth
    assert entries_of(code, asked.payout_id) == ([25_000] if truth == "booked" else [])


def test_order__handled_twice_by_the_net__one_is_paid(sandbox: OutsideWorld, code: str):
    asked = order_of()
    sandbox.breaks("bank", "duplicate")

    try:
        told = order(code, asked)
    except BankAnswerLost:
        told = inquire(code, asked.payout_id)

    assert told.status == "booked"
    assert entries_of(code, asked.payout_id) == [25_000]


def test_order__too_many__not_taken_and_may_be_sent_again(sandbox: OutsideWorld, code: str):
    asked = order_of()
    sandbox.breaks("bank", "too_many", seconds=3)

    with pytest.raises(BankNotAsked) as refused:
        order(code, asked)

    assert refused.value.retry_after == 3
    assert entries_of_later(code, asked) == [25_000]


def entries_of_later(code: str, asked: PayoutOrder) -> list[int]:
    """After the wait that a 429 asked for, which is the circuit's and not the bank's."""
    partner_bank.cache_clear()
    order(code, asked)
    return entries_of(code, asked.payout_id)


def test_order__nobody_listens__not_asked(settings: Any):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        settings.BANK_URL = f"http://127.0.0.1:{closed.getsockname()[1]}"
    partner_bank.cache_clear()

    with pytest.raises(BankNotAsked):
        order(settings.BANK_CODE, order_of())
    partner_bank.cache_clear()


def test_order__five_failures__nobody_is_asked_for_a_while(sandbox: OutsideWorld, code: str):
    sandbox.breaks("bank", "http_500", count=5)
    for _ in range(5):
        with pytest.raises(BankAnswerLost):
            order(code, order_of())

    asked = order_of()
    with pytest.raises(BankNotAsked):
        order(code, asked)
    assert inquire(code, asked.payout_id).status == "never_arrived"


def test_bank__not_in_the_settings__not_asked(code: str):
    with pytest.raises(BankNotAsked):
        partner_bank("ANOTHER")


def test_bank__next_key__believed_while_the_key_changes(
    sandbox: OutsideWorld, code: str, settings: Any
):
    from vpass.common import signing

    settings.BANK_NEXT_KEY_ID = settings.BANK_KEY_ID
    settings.BANK_NEXT_PUBLIC_KEY_PEM = settings.BANK_PUBLIC_KEY_PEM
    settings.BANK_KEY_ID = "bank-0"
    other = signing.generate_ed25519().public_key()
    settings.BANK_PUBLIC_KEY_PEM = signing.public_pem(other)
    partner_bank.cache_clear()

    assert order(code, order_of()).status == "booked"


# Reading


PAYOUT_ID = "019cac46-1500-7c1e-9f6b-2d4e8a1b3c4d"
GOOD = {
    "payout_id": PAYOUT_ID,
    "status": "booked",
    "bank_reference": "SB2026030200000017",
    "booked_at": "2026-03-02T02:00:03Z",
}


@pytest.mark.parametrize(
    "changes",
    [
        {"payout_id": PAYOUT_ID.upper()},
        {"payout_id": None},
        {"status": "done"},
        {"status": ["booked"]},
        {"status": "accepted"},
        {"bank_reference": "sb1"},
        {"bank_reference": "S" * 36},
        {"bank_reference": 17},
        {"booked_at": "2026-02-30T00:00:00Z"},
        {"booked_at": "2026-03-02T02:00:03+00:00"},
        {"booked_at": "２026-03-02T02:00:03Z"},
        {"reason": "refused"},
    ],
    ids=str,
)
def test_read_standing__not_as_the_protocol_says__refused(changes: dict[str, Any]):
    with pytest.raises(PeerAnswerInvalid):
        bank_http._read_standing(GOOD | changes, named={"payout_id": PAYOUT_ID})


def test_read_standing__unknown_reason__is_refused():
    answer = {"payout_id": PAYOUT_ID, "status": "rejected", "reason": "moon_phase"}

    assert bank_http._read_standing(answer, named={"payout_id": PAYOUT_ID}).reason == "refused"


ENTRY = {
    "entry_id": "E000000000041",
    "kind": "debit",
    "amount_fen": 25_000,
    "payout_id": PAYOUT_ID,
    "booked_at": "2026-03-02T02:00:03Z",
}
PAGE: dict[str, Any] = {
    "business_date": "2026-03-02",
    "page": 1,
    "pages": 1,
    "is_closed": True,
    "opening_fen": 0,
    "closing_fen": -25_000,
    "entries": [ENTRY],
}


@pytest.mark.parametrize(
    "changes",
    [
        {"page": 2},
        {"page": True},
        {"pages": 0},
        {"is_closed": 1},
        {"opening_fen": 0.0},
        {"entries": {}},
        {"entries": [ENTRY] * 101},
        {"entries": [ENTRY | {"kind": "credit"}]},
        {"entries": [ENTRY | {"amount_fen": 0}]},
        {"entries": [ENTRY | {"amount_fen": True}]},
        {"entries": [ENTRY | {"notice_id": PAYOUT_ID}]},
        {"entries": ["x"]},
        {"extra": 1},
    ],
    ids=lambda changes: str(changes)[:40],
)
def test_read_statement__not_as_the_protocol_says__refused(changes: dict[str, Any]):
    question = {"business_date": "2026-03-02", "page": 1}
    assert bank_http._read_statement(PAGE, question=question).closing_fen == -25_000

    with pytest.raises(PeerAnswerInvalid):
        bank_http._read_statement(PAGE | changes, question=question)


# The whole way, over the sandbox


@pytest.fixture
def withdrawing(transactional_db: None, code: str) -> tuple[BankSystem, uuid.UUID, datetime]:
    at = clock.now()
    windows.ensure_open(at=at)
    system, resident = make_bank(), make_resident(at=at)
    fund(system, resident, 50_000, at=at)
    return system, resident, at


def books_now(sandbox: OutsideWorld) -> None:
    requests.post(f"{sandbox.url}/bank/control/bookings", json={}, timeout=10).raise_for_status()


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("mode", "expected", "wallet"),
    [
        ("lost_reply", ["prepared", "unknown", "booked"], (30_000, 0)),
        ("bad_signature", ["prepared", "unknown", "booked"], (30_000, 0)),
        ("reset", ["prepared", "unknown", "never_arrived"], (50_000, 0)),
    ],
)
def test_withdrawal__answer_lost__wallet_and_bank_agree(
    sandbox: OutsideWorld,
    withdrawing: tuple[BankSystem, uuid.UUID, datetime],
    code: str,
    mode: str,
    expected: list[str],
    wallet: tuple[int, int],
):
    _system, resident, at = withdrawing
    payout = withdraw(resident, 20_000, at=at)
    sandbox.breaks("bank", mode)

    payouts.pursue(payout_id=payout.id, at=clock.now())
    assert standing(funding.resident_account(resident)) == (50_000, 20_000)
    books_now(sandbox)
    payouts.pursue(payout_id=payout.id, at=clock.now())

    found = funding.withdrawal(resident_id=resident, withdrawal_id=payout.id)
    assert [step.to_state for step in found.changes.all()] == expected
    assert standing(funding.resident_account(resident)) == wallet
    paid = entries_of(code, payout.id)
    assert sum(paid) == 50_000 - wallet[0]
    assert len(paid) <= 1
    assert Payout.objects.count() == 1
