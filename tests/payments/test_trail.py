"""Every payment is followed to the bank's word, and every settlement explained to the payment."""

import uuid

import pytest

from payments import trail
from payments.models import Order, Payout, SettlementLine
from tests.banking import REJECTED, pay, refund
from tests.payments.test_netting import Town
from tests.payments.test_netting import town as town
from tests.statements import statements
from vpass.common.errors import NotFound

pytestmark = pytest.mark.django_db(transaction=True)


def stages(order: Order) -> dict[str, str]:
    order.refresh_from_db()
    return {each.stage: each.state for each in trail.way_of(order).stages}


def settled(town: Town) -> int:
    """Close, net, approve and send the window, as far as the bank lets it."""
    window_id = town.close()
    town.approve(window_id)
    town.send()
    return window_id


def test_way__step_by_step__done_up_to_where_the_money_is(town: Town):
    order = pay(town.books, town.payer, 100, at=town.at)
    assert list(stages(order).values()) == ["done", "done", "waiting", "waiting", "waiting"]

    window_id = town.close()
    assert list(stages(order).values()) == ["done", "done", "done", "waiting", "waiting"]
    town.approve(window_id)
    assert list(stages(order).values()) == ["done", "done", "done", "done", "waiting"]
    town.send()

    with statements() as ran:
        way = trail.way_of(order)
    assert [(each.stage, each.state) for each in way.stages] == [
        ("ordered", "done"), ("paid", "done"), ("settled", "done"), ("paid_out", "done"),
        ("acknowledged", "done"),
    ]  # fmt: skip
    payout = Payout.objects.get()
    assert way.stages[3].reference == str(payout.id)
    assert way.stages[4].reference == payout.bank_reference == "SB1"
    assert all(each.at is not None for each in way.stages)
    assert len(ran) <= 7


def test_way__the_bank_refuses_the_payout__goes_on_with_the_next_window(town: Town):
    order = pay(town.books, town.payer, 100, at=town.at)
    town.bank.answers.append(REJECTED)
    settled(town)
    assert stages(order)["paid_out"] == "waiting"

    pay(town.books, town.payer, 7, at=town.at)
    second = settled(town)

    assert stages(order)["acknowledged"] == "done"
    line = SettlementLine.objects.get(window_id=second)
    assert (line.carried_fen, line.net_fen) == (100, 107)
    assert trail.way_of(order).stages[3].reference == str(line.payout_id)


def test_way__never_paid__stopped(town: Town):
    order = Order.objects.create(
        id=uuid.uuid4(), merchant=town.books, payer_id=town.payer, amount_fen=5, title="书",
        merchant_reference="x", state="expired", created_at=town.at,
    )  # fmt: skip

    assert list(stages(order).values()) == ["done", "stopped", "stopped", "stopped", "stopped"]


def test_way__a_card_is_being_debited__waits_for_the_bank(town: Town):
    order = Order.objects.create(
        id=uuid.uuid4(), merchant=town.books, payer_id=town.payer, amount_fen=5, title="书",
        merchant_reference="x", state="unknown", created_at=town.at,
    )  # fmt: skip

    assert list(stages(order).values()) == ["done", "waiting", "waiting", "waiting", "waiting"]


def test_settlement__explained__its_payments_add_up_and_another_merchant_sees_none(town: Town):
    first = pay(town.books, town.payer, 100, at=town.at)
    pay(town.tea, town.payer, 50, at=town.at)
    refund(first, 30, at=town.at)
    window_id = settled(town)
    line = SettlementLine.objects.get(window_id=window_id, merchant=town.books)
    mine = town.books.organisation_id

    rows = trail.payments_of(organisation_id=mine, line_id=line.id).order_by("id")

    assert [(row.transaction.kind, row.signed_fen) for row in rows] == [
        ("payment", 100), ("refund", -30),
    ]  # fmt: skip
    assert sum(row.signed_fen for row in rows) == line.net_fen == 70
    assert list(trail.settlements(organisation_id=mine)) == [line]
    with pytest.raises(NotFound):
        trail.payments_of(organisation_id=town.tea.organisation_id, line_id=line.id)
