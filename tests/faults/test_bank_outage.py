"""A bank that says nothing for long: what is unknown by then is known soon after it is back."""

import uuid
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import pytest
from django.db.models import Min

from payments import debits, payouts, pursuit, sources, top_ups
from payments.accounts import resident_account
from payments.banks import BankAnswerLost, BankStanding, DebitOrder, PayoutOrder
from payments.models import Debit, Order, Payout, Transaction
from payments.settlement import windows
from tests import city
from tests.banking import NEVER_ARRIVED, StubBank, booked, make_card, standing, withdraw
from tests.shop import Shop, fill, open_shop, resident_of
from vpass.common import clock

pytestmark = pytest.mark.django_db(transaction=True)

SWEEPS_EVERY = timedelta(seconds=5)
EACH = 4  # withdrawals, top-ups and payments by card; of every other the bank has never heard
FEN, START_FEN = 500, 10_000


@dataclass
class SilentBank(StubBank):
    """Takes every other order, and says nothing of any before it is back."""

    is_back: bool = False
    known: set[uuid.UUID] = field(default_factory=set)
    _count: int = 0

    def order(self, order: PayoutOrder, *, at: datetime) -> BankStanding:
        return self._take(order.payout_id)

    def debit(self, order: DebitOrder, *, at: datetime) -> BankStanding:
        return self._take(order.debit_id)

    def inquire(self, payout_id: uuid.UUID, *, at: datetime) -> BankStanding:
        if not self.is_back:
            raise BankAnswerLost
        return booked(at) if payout_id in self.known else NEVER_ARRIVED

    def inquire_debit(self, debit_id: uuid.UUID, *, at: datetime) -> BankStanding:
        return self.inquire(debit_id, at=at)

    def _take(self, work_id: uuid.UUID) -> BankStanding:
        self._count += 1
        if self._count % 2:
            self.known.add(work_id)
        raise BankAnswerLost


@pytest.fixture
def bank(monkeypatch: pytest.MonkeyPatch) -> SilentBank:
    made = SilentBank()
    monkeypatch.setattr(pursuit, "partner_bank", lambda code: made)
    return made


@pytest.fixture
def begun(bank: SilentBank, transactional_db: None) -> tuple[Shop, uuid.UUID, datetime]:
    """Work of every kind whose order had no answer."""
    at = clock.now()
    windows.ensure_open(at=at)
    shop, phone = open_shop(), city.make_phone(at=at)
    resident_id, grant = resident_of(phone), phone.grant(at=at)
    fill(shop, phone, START_FEN, at=at)
    card = make_card(shop.system.bank, resident_id, at=at)
    sources.choose_source(resident_id=resident_id, card_id=card.id, version=0, at=at)
    for _ in range(EACH):
        payouts.pursue(payout_id=withdraw(resident_id, FEN, at=at).id, at=at)
    for _ in range(EACH):
        key = city.idempotency(phone.caller.scope)
        top_ups.top_up(
            caller=phone.caller, card_id=card.id, amount_fen=FEN, idempotency_key=key, at=at
        )
    for _ in range(EACH):
        shop.pay(grant.code(at), at=at, amount_fen=FEN)
    for debit_id in Debit.objects.order_by("id").values_list("id", flat=True):
        debits.pursue(debit_id=debit_id, at=at)
    return shop, resident_id, at


def sweep_until(at: datetime, end: datetime) -> datetime:
    """The sweeps of every five seconds, those with nothing to do left out; the last one's moment,
    at which nothing was left to be asked about, or else `end`."""
    while True:
        due = [rows.objects.aggregate(at=Min("next_inquiry_at"))["at"] for rows in (Payout, Debit)]
        waiting = [each for each in due if each is not None]
        if not waiting:
            return at
        while at < min(waiting):
            at += SWEEPS_EVERY
        if at >= end:
            return end
        payouts.pursue_due(at=at)
        debits.pursue_due(at=at)


@pytest.mark.parametrize(
    ("minutes", "known_within"),
    [(1, timedelta(seconds=60)), (9, timedelta(seconds=60)), (45, timedelta(minutes=10))],
)
def test_outage__bank_is_back__everything_known_and_the_rest_reversed(
    begun: tuple[Shop, uuid.UUID, datetime], bank: SilentBank, minutes: int, known_within: timedelta
):
    shop, resident_id, at = begun
    back_at = at + timedelta(minutes=minutes)
    assert sweep_until(at, back_at) == back_at
    assert set(Payout.objects.values_list("state")) == {("unknown",)}
    assert set(Debit.objects.values_list("state")) == {("unknown",)}
    assert set(Order.objects.values_list("state")) == {("unknown",)}
    assert standing(resident_account(resident_id)) == (START_FEN, EACH * FEN)

    bank.is_back = True
    known_at = sweep_until(back_at, back_at + timedelta(hours=1))

    assert known_at - back_at <= known_within + SWEEPS_EVERY
    for rows in (Payout, Debit):
        for each in rows.objects.all():
            assert each.state == ("booked" if each.id in bank.known else "never_arrived")
    half = EACH // 2
    states = Order.objects.order_by("state").values_list("state", flat=True)
    assert list(states) == ["resolved"] * half + ["reversed"] * half
    # As much has come in by card as went out, and nothing is held any more.
    assert standing(resident_account(resident_id)) == (START_FEN, 0)
    assert shop.balance_fen == half * FEN
    assert Transaction.objects.count() == 1 + 3 * half
