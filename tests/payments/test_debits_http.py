"""The adapter, our routes and a real bank of the sandbox: a card is debited once at most."""

import uuid
from collections.abc import Iterator
from datetime import date, datetime
from typing import Any

import pytest
import requests

from payments import accounts, debits, pursuit
from payments.banks import BankAnswerLost, BankStanding, DebitOrder
from payments.banks import http as bank_http
from payments.banks.http import partner_bank
from payments.models import Debit, Order, Transaction
from payments.settlement import windows
from tests import city
from tests.banking import ACCEPTED, BankSystem, StubBank, make_bank, make_card, standing
from tests.outside import OutsideWorld
from tests.parameters import stable_id
from tests.payments.test_banks_http import LOST
from tests.shop import Shop, balance_fen, resident_of
from vpass.common import clock
from vpass.common.outgoing import PeerAnswerInvalid

NOTICES = "/api/bank/v1/debit-notices"
FEN = 25_000


@pytest.fixture
def code(sandbox: OutsideWorld, settings: Any) -> Iterator[str]:
    partner_bank.cache_clear()
    yield settings.BANK_CODE
    partner_bank.cache_clear()


def debit_of(token: str = "tok_of_a_card_1234", **changes: Any) -> DebitOrder:
    members: dict[str, Any] = {
        "debit_id": uuid.uuid4(),
        "account_token": token,
        "amount_fen": FEN,
        "purpose": "payment",
        "reference": "V PASS P-20260302-0017",
        "business_date": date(2026, 3, 2),
    }
    return DebitOrder(**members | changes)


def debit(code: str, asked: DebitOrder) -> BankStanding:
    return partner_bank(code).debit(asked, at=clock.now())


def inquire(code: str, debit_id: uuid.UUID) -> BankStanding:
    partner_bank.cache_clear()  # a circuit without the failures before
    return partner_bank(code).inquire_debit(debit_id, at=clock.now())


def entries_of(code: str, debit_id: uuid.UUID) -> list[tuple[str, int]]:
    """What the bank's statement of today has for a debit."""
    today, page, found = clock.city_date(clock.now()), 1, []
    while True:
        read = partner_bank(code).statement(today, page=page, at=clock.now())
        found += [
            (each.kind, each.amount_fen) for each in read.entries if each.debit_id == debit_id
        ]
        if page >= read.pages:
            return found
        page += 1


@pytest.mark.parametrize(
    ("last4", "expected"),
    [
        ("1234", ("booked", None)),
        ("0000", ("rejected", "account_closed")),
        ("0001", ("accepted", None)),
        ("0003", ("rejected", "insufficient_funds")),
        ("0004", ("accepted", None)),
    ],
)
def test_debit__fates(code: str, last4: str, expected: tuple[str, str | None]):
    asked = debit_of(f"tok_of_a_card_{last4}")

    told = debit(code, asked)

    assert (told.status, told.reason) == expected
    assert debit(code, asked) == told == inquire(code, asked.debit_id)
    taken = [("credit", FEN)] if told.status == "booked" else []
    assert entries_of(code, asked.debit_id) == taken


@pytest.mark.parametrize(("mode", "options", "truth"), LOST, ids=lambda value: str(value))
def test_debit__answer_lost__inquiry_tells_and_one_is_taken(
    sandbox: OutsideWorld, code: str, mode: str, options: dict[str, Any], truth: str
):
    asked = debit_of()
    sandbox.breaks("bank", mode, **options)

    with pytest.raises(BankAnswerLost):
        debit(code, asked)

    assert inquire(code, asked.debit_id).status == truth
    assert len(entries_of(code, asked.debit_id)) == (truth == "booked")


def test_inquiry__never_ordered__dead_for_ever(code: str):
    asked = debit_of()

    assert inquire(code, asked.debit_id) == BankStanding(status="never_arrived")
    assert debit(code, asked) == BankStanding(status="never_arrived")
    assert entries_of(code, asked.debit_id) == []


def test_read_standing__of_a_payout_of_the_same_number__refused():
    number = str(uuid.uuid4())
    answer = {"payout_id": number, "status": "never_arrived"}

    with pytest.raises(PeerAnswerInvalid):
        bank_http._read_standing(answer, named={"debit_id": number})


# A payment over the whole way


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("mode", "state", "paid_fen"),
    [
        ("lost_reply", "resolved", 1_234),
        ("nonsense", "resolved", 1_234),
        ("duplicate", "captured", 1_234),
        ("reset", "reversed", 0),
        ("http_500", "reversed", 0),
    ],
)
def test_payment_by_card__bank_answers_wrongly__charged_once_or_not_at_all(
    sandbox: OutsideWorld,
    shop: Shop,
    phone: city.Phone,
    grant: city.HeldGrant,
    code: str,
    at: datetime,
    mode: str,
    state: str,
    paid_fen: int,
):
    card = make_card(shop.system.bank, resident_of(phone), token="tok_of_a_card_1234", at=at)
    body = {"card_id": str(card.id), "version": 0}
    assert phone.send("PUT", "/api/resident/v1/payment-source", body).status_code == 200
    shop.pay(grant.code(at), at=at)
    debit_id = Debit.objects.get().id
    sandbox.breaks("bank", mode)

    for _ in range(2):
        debits.pursue(debit_id=debit_id, at=clock.now())

    assert Order.objects.get().state == state
    assert shop.balance_fen == paid_fen
    assert entries_of(code, debit_id) == [("credit", paid_fen)] * (paid_fen > 0)
    assert Transaction.objects.filter(kind="payment").count() == (paid_fen > 0)
    if paid_fen:
        assert balance_fen(phone) == 0


# Notices


@pytest.fixture
def accepted(
    transactional_db: None, phone: city.Phone, at: datetime, monkeypatch: pytest.MonkeyPatch
) -> tuple[BankSystem, Debit]:
    """A top-up by card that its bank has accepted."""
    windows.ensure_open(at=at)
    system = make_bank()
    card = make_card(system.bank, resident_of(phone), at=at)
    body = {"card_id": str(card.id), "amount_fen": FEN}
    phone.send("POST", "/api/resident/v1/top-ups", body, key=city.new_key())
    monkeypatch.setattr(pursuit, "partner_bank", lambda code: StubBank([ACCEPTED]))
    made = Debit.objects.get()
    debits.pursue(debit_id=made.id, at=at)
    return system, made


def booked(made: Debit, **changes: Any) -> dict[str, Any]:
    return {
        "debit_id": str(made.id),
        "status": "booked",
        "bank_reference": "SB2026030200000018",
        "booked_at": "2026-03-02T03:03:27Z",
    } | changes


def tell(system: BankSystem, body: dict[str, Any], *, key: str | None = None) -> Any:
    return system.machine.send("POST", NOTICES, body, key=key or body["debit_id"])


def test_notice__booked__exactly_two_members_and_credited_once(accepted: tuple[BankSystem, Debit]):
    system, made = accepted

    answers = [tell(system, booked(made)) for _ in range(2)]

    assert [answer.status_code for answer in answers] == [200, 200]
    assert answers[0].json() == answers[1].json() == {"debit_id": str(made.id), "status": "booked"}
    assert standing(accounts.resident_account(made.resident_id)) == (FEN, 0)


@pytest.mark.parametrize(
    "changes",
    [
        {"status": "accepted"},
        {"status": "rejected"},
        {"reason": "refused"},
        {"bank_reference": "small"},
        {"booked_at": "yesterday"},
        {"payout_id": str(uuid.uuid4())},
    ],
    ids=stable_id,
)
def test_notice__malformed__400_and_nothing_changed(
    accepted: tuple[BankSystem, Debit], changes: dict[str, Any]
):
    system, made = accepted

    assert city.problem(tell(system, booked(made, **changes))) == (400, "request.invalid")

    made.refresh_from_db()
    assert made.state == "accepted"


def test_notice__of_another_bank_or_a_wrong_key__refused(accepted: tuple[BankSystem, Debit]):
    system, made = accepted
    other = make_bank("第二银行", code="SECOND", key_id="second-1")

    assert city.problem(tell(other, booked(made))) == (404, "object.not_found")
    wrong = tell(system, booked(made), key=str(uuid.uuid4()))
    assert city.problem(wrong) == (400, "request.invalid")

    made.refresh_from_db()
    assert made.state == "accepted"


# A bank that later rejects


@pytest.mark.django_db(transaction=True)
def test_accepted__booked_by_the_bank_later__the_inquiry_tells(
    sandbox: OutsideWorld, shop: Shop, phone: city.Phone, code: str, at: datetime
):
    card = make_card(shop.system.bank, resident_of(phone), token="tok_of_a_card_0004", at=at)
    body = {"card_id": str(card.id), "amount_fen": FEN}
    phone.send("POST", "/api/resident/v1/top-ups", body, key=city.new_key())
    made = Debit.objects.get()

    debits.pursue(debit_id=made.id, at=clock.now())
    requests.post(
        f"{sandbox.url}/bank/control/bookings", json={"debit_id": str(made.id)}, timeout=10
    ).raise_for_status()
    debits.pursue(debit_id=made.id, at=clock.now())

    assert [step.to_state for step in made.changes.order_by("id")] == [
        "prepared", "accepted", "booked",
    ]  # fmt: skip
    assert balance_fen(phone) == FEN
