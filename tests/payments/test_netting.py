"""What a merchant gets of a window is what the ledger says; every fen of it can be explained."""

import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta

import pytest
from django.db import transaction

from identity.models import Organisation
from payments import payouts, pursuit
from payments.banks import BankNotAsked
from payments.ledger import Leg, open_account, post
from payments.merchants import merchant_account, suspend_merchant
from payments.models import Merchant, Order, Payout, SettlementLine, Window, WindowChange
from payments.settlement import netting, windows
from payments.settlement import payouts as settlement
from payments.settlement.netting import NettingMismatch
from tests.banking import (
    ACCEPTED,
    REJECTED,
    BankSystem,
    StubBank,
    fund,
    make_bank,
    make_merchant,
    make_resident,
    pay,
    refund,
    standing,
)
from vpass.common import clock, outbox
from vpass.common.errors import NotFound

pytestmark = pytest.mark.django_db(transaction=True)

Sums = tuple[int, int, int, int, int]


@dataclass
class Town:
    """A bank, two shops and a payer with money."""

    at: datetime
    system: BankSystem
    bank: StubBank
    books: Merchant
    tea: Merchant
    payer: uuid.UUID

    def close(self) -> int:
        """Close the window and net it."""
        window_id = windows.ensure_open(at=self.at)
        windows.close(window_id=window_id, actor="staff:1", at=self.at)
        assert netting.net_next(at=self.at) == window_id
        return window_id

    def approve(self, window_id: int) -> None:
        """What the second person's yes does, and the steps after it without the outbox."""
        with transaction.atomic():
            windows.move(windows.lock(window_id), "approved", actor="staff:2", at=self.at)
        settlement.settle_due(at=self.at)

    def send(self, *, after: timedelta = timedelta(0)) -> None:
        """Let the bank have what is prepared, and the windows hear of it."""
        while outbox.deliver_due(at=clock.now() + after):
            pass

    def line(self, window_id: int, merchant: Merchant) -> Sums | None:
        found = SettlementLine.objects.filter(window_id=window_id, merchant=merchant).first()
        return found and (
            found.gross_fen,
            found.refunded_fen,
            found.fee_fen,
            found.carried_fen,
            found.net_fen,
        )


@pytest.fixture
def town(transactional_db: None, monkeypatch: pytest.MonkeyPatch) -> Town:
    at = clock.now()
    windows.ensure_open(at=at)
    bank = StubBank()
    monkeypatch.setattr(pursuit, "partner_bank", lambda code: bank)
    system, payer = make_bank(), make_resident(at=at)
    books = make_merchant(system.bank)
    tea = make_merchant(system.bank, name="茶馆", token="tok_tea_house_98765")
    fund(system, payer, 1_000_000, at=at)
    return Town(at, system, bank, books, tea, payer)


def state(window_id: int) -> str:
    return Window.objects.get(id=window_id).state


# Sums


def test_net__payments_and_refunds__gross_less_refunds_by_merchant(town: Town):
    order = pay(town.books, town.payer, 12_000, at=town.at)
    pay(town.books, town.payer, 500, at=town.at)
    refund(order, 2_000, at=town.at)
    pay(town.tea, town.payer, 800, at=town.at)

    window_id = town.close()

    assert town.line(window_id, town.books) == (12_500, 2_000, 0, 0, 10_500)
    assert town.line(window_id, town.tea) == (800, 0, 0, 0, 800)
    assert state(window_id) == "netted"


def test_net__window_without_payments__no_line(town: Town):
    window_id = town.close()

    assert SettlementLine.objects.count() == 0
    assert state(window_id) == "netted"


def test_net__again__nothing_happens(town: Town):
    pay(town.books, town.payer, 100, at=town.at)
    window_id = town.close()

    assert netting.net_next(at=town.at) is None
    assert SettlementLine.objects.count() == 1
    assert WindowChange.objects.filter(window_id=window_id, to_state="netted").count() == 1


def test_net__payment_after_the_close__in_the_next_window(town: Town):
    pay(town.books, town.payer, 100, at=town.at)
    first = town.close()
    pay(town.books, town.payer, 30, at=town.at)

    second = town.close()

    assert town.line(first, town.books) == (100, 0, 0, 0, 100)
    assert town.line(second, town.books) == (30, 0, 0, 0, 30)


def test_net__ledger_and_orders_differ__nothing_netted(town: Town):
    pay(town.books, town.payer, 100, at=town.at)
    Order.objects.update(captured_fen=90)
    window_id = windows.ensure_open(at=town.at)
    windows.close(window_id=window_id, actor="staff:1", at=town.at)

    with pytest.raises(NettingMismatch):
        netting.net_next(at=town.at)

    assert state(window_id) == "closing"
    assert SettlementLine.objects.count() == 0


def test_net__posting_without_an_order__nothing_netted(town: Town):
    suspense = open_account(kind="suspense", owner="x", floor_fen=None)
    leg = Leg(suspense, merchant_account(town.books), 7)
    post(kind="payment", caller="x", key="x", legs=[leg], event_at=town.at, at=town.at)
    windows.close(window_id=windows.ensure_open(at=town.at), actor="staff:1", at=town.at)

    with pytest.raises(NettingMismatch):
        netting.net_next(at=town.at)


def test_postings_of__explain_a_line_to_the_fen(town: Town):
    order = pay(town.books, town.payer, 12_000, at=town.at)
    refund(order, 2_000, at=town.at)
    pay(town.tea, town.payer, 800, at=town.at)
    window_id = town.close()
    line = SettlementLine.objects.get(window_id=window_id, merchant=town.books)

    found = netting.postings_of(line).order_by("id")

    assert [(row.transaction.kind, row.signed_fen) for row in found] == [
        ("payment", 12_000),
        ("refund", -2_000),
    ]
    assert {row.merchant_reference for row in found} == {order.merchant_reference}


def test_line__of_another_window__as_if_there_were_none(town: Town):
    pay(town.books, town.payer, 100, at=town.at)
    window_id = town.close()
    line = SettlementLine.objects.get()

    assert netting.line(window_id=window_id, line_id=line.id) == line
    with pytest.raises(NotFound):
        netting.line(window_id=windows.ensure_open(at=town.at), line_id=line.id)
    with pytest.raises(NotFound):
        netting.lines_of(window_id=404)


# Paying out


def test_settle__approved__each_merchant_is_paid_and_the_window_acknowledged(town: Town):
    pay(town.books, town.payer, 12_000, at=town.at)
    pay(town.tea, town.payer, 800, at=town.at)
    window_id = town.close()

    town.approve(window_id)
    assert standing(merchant_account(town.books)) == (12_000, 12_000)
    assert state(window_id) == "filed"
    town.send()

    assert state(window_id) == "acked"
    assert sorted((order.amount_fen, order.purpose) for order in town.bank.orders) == [
        (800, "settlement"),
        (12_000, "settlement"),
    ]
    assert standing(merchant_account(town.books)) == (0, 0)
    changes = WindowChange.objects.filter(window_id=window_id).order_by("id")
    assert [change.to_state for change in changes] == [
        "open", "closing", "netted", "approved", "filed", "sent", "acked",
    ]  # fmt: skip


def test_settle__payout_is_no_part_of_the_next_window(town: Town):
    pay(town.books, town.payer, 100, at=town.at)
    first = town.close()
    town.approve(first)
    town.send()

    second = town.close()

    assert town.line(second, town.books) is None


def test_settle__twice__one_payout_a_line(town: Town):
    pay(town.books, town.payer, 100, at=town.at)
    window_id = town.close()
    town.approve(window_id)
    settlement.settle_due(at=town.at)
    settlement.file(window_id=window_id, at=town.at)
    town.send()
    settlement.settle_due(at=town.at)

    assert Payout.objects.count() == 1
    assert len(town.bank.orders) == 1


def test_settle__not_approved__nobody_is_paid(town: Town):
    pay(town.books, town.payer, 100, at=town.at)
    window_id = town.close()

    settlement.settle_due(at=town.at)
    settlement.file(window_id=window_id, at=town.at)

    assert (Payout.objects.count(), state(window_id)) == (0, "netted")


def test_settle__died_after_the_first_line__the_next_run_goes_on(
    town: Town, monkeypatch: pytest.MonkeyPatch
):
    pay(town.books, town.payer, 100, at=town.at)
    pay(town.tea, town.payer, 200, at=town.at)
    window_id = town.close()
    whole, calls = payouts.prepare, []

    def dies(**arguments: object) -> Payout:
        calls.append(1)
        if len(calls) == 2:
            raise SystemError
        return whole(**arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(payouts, "prepare", dies)
    with pytest.raises(SystemError):
        town.approve(window_id)
    assert (Payout.objects.count(), state(window_id)) == (1, "approved")
    settlement.settle_due(at=town.at)

    assert (Payout.objects.count(), state(window_id)) == (2, "filed")


def test_settle__bank_cannot_be_reached__window_waits(town: Town):
    pay(town.books, town.payer, 100, at=town.at)
    window_id = town.close()
    town.bank.answers = [BankNotAsked(retry_after=10)]
    town.approve(window_id)
    town.send()

    assert state(window_id) == "filed"
    payouts.pursue_due(at=clock.now() + timedelta(seconds=11))
    town.send(after=timedelta(seconds=12))
    assert state(window_id) == "acked"


def test_settle__one_accepted_only__window_is_sent_and_not_acknowledged(town: Town):
    pay(town.books, town.payer, 100, at=town.at)
    window_id = town.close()
    town.bank.answers = [ACCEPTED]
    town.approve(window_id)
    town.send()

    assert state(window_id) == "sent"


def test_settle__one_rejected__part_rejected_and_carried_to_the_next_window(town: Town):
    pay(town.books, town.payer, 100, at=town.at)
    pay(town.tea, town.payer, 200, at=town.at)
    first = town.close()
    town.bank.answers = [REJECTED]
    town.approve(first)
    town.send()

    assert state(first) == "part_rejected"
    failed = SettlementLine.objects.get(window_id=first, payout__state="rejected").merchant
    owed = 100 if failed == town.books else 200
    assert standing(merchant_account(failed)) == (owed, 0)
    second = town.close()
    assert town.line(second, failed) == (0, 0, 0, owed, owed)
    assert SettlementLine.objects.filter(window_id=second).count() == 1
    town.approve(second)
    town.send()

    assert state(second) == "acked"
    assert standing(merchant_account(failed)) == (0, 0)


def test_settle__refund_after_the_close__net_paid_when_covered_again(town: Town):
    order = pay(town.books, town.payer, 100, at=town.at)
    first = town.close()
    refund(order, 30, at=town.at)

    town.approve(first)
    town.send()

    assert (Payout.objects.count(), state(first)) == (0, "acked")
    second = town.close()
    assert town.line(second, town.books) == (0, 30, 0, 100, 70)
    town.approve(second)
    town.send()
    assert standing(merchant_account(town.books)) == (0, 0)


def test_net__waiting_for_approval__not_carried_a_second_time(town: Town):
    pay(town.books, town.payer, 100, at=town.at)
    first = town.close()
    pay(town.books, town.payer, 40, at=town.at)
    second = town.close()

    assert town.line(second, town.books) == (40, 0, 0, 0, 40)
    town.approve(first)
    town.approve(second)
    town.send()

    assert sorted(order.amount_fen for order in town.bank.orders) == [40, 100]
    assert standing(merchant_account(town.books)) == (0, 0)


def test_net__more_refunds_than_payments__carried_until_it_is_earned(town: Town):
    order = pay(town.books, town.payer, 100, at=town.at)
    first = town.close()
    refund(order, 30, at=town.at)
    second = town.close()

    assert town.line(second, town.books) == (0, 30, 0, 0, -30)
    town.approve(first)  # 70 are left of the 100: not covered
    town.approve(second)
    pay(town.books, town.payer, 50, at=town.at)
    third = town.close()

    assert town.line(third, town.books) == (50, 0, 0, 70, 120)
    town.approve(third)
    town.send()
    assert [order.amount_fen for order in town.bank.orders] == [120]
    assert standing(merchant_account(town.books)) == (0, 0)


@pytest.mark.parametrize("who", ["merchant", "organisation"])
def test_settle__suspended_merchant__kept_for_later(town: Town, who: str):
    pay(town.books, town.payer, 100, at=town.at)
    first = town.close()
    if who == "merchant":
        suspend_merchant(merchant_id=town.books.id, actor="staff:1", at=town.at)
    else:
        Organisation.objects.filter(id=town.books.organisation_id).update(state="suspended")
    town.approve(first)
    town.send()

    assert (Payout.objects.count(), state(first)) == (0, "acked")
    assert town.line(town.close(), town.books) == (0, 0, 0, 100, 100)
