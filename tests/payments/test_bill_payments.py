"""A bill is paid by heads, never more than is owed, and owed again after a refund."""

import uuid
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import transaction

from identity import keys
from identity.models import Resident
from identity.residents import AccountSuspended
from payments import app_orders, bill_payments, bills, notice_code, orders
from payments.models import Bill, BillChange, BillPayment, BillReceipt, BillShare, Order
from tests import city
from tests.billing import (
    Waterworks,
    is_sound,
    open_order,
    open_payment,
    open_waterworks,
    paid_lines,
    pay,
    sums,
)
from tests.shop import RESIDENT, Shop, balance_fen, confirm, decline
from tests.statements import statements
from vpass.common import outbox
from vpass.common.clock import city_date

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def waterworks(shop: Shop) -> Waterworks:
    return open_waterworks(shop)


@pytest.fixture
def bill(waterworks: Waterworks, payer: city.Phone) -> Bill:
    return waterworks.issue_to(payer)


def test_pay__a_part__the_highest_head_first_and_the_rest_stays(
    bill: Bill, payer: city.Phone, shop: Shop, at: datetime
):
    pay(payer, bill, 7_000, at=at)

    assert sums(bill) == ("part_paid", 8_500, 7_000, 0)
    assert paid_lines(bill) == {"water": 6_000, "sewage": 1_000}
    assert (balance_fen(payer), shop.balance_fen) == (1_000_000 - 7_000, 7_000)

    pay(payer, bill, 1_500, at=at)

    assert sums(bill) == ("paid", 8_500, 8_500, 0)
    history = BillChange.objects.filter(bill=bill).order_by("id")
    assert list(history.values_list("to_state", "event")) == [
        ("unpaid", "issue"), ("part_paid", "pay_part"), ("paid", "pay"),
    ]  # fmt: skip
    assert BillReceipt.objects.count() == 2


def test_pay__lines_of_two_periods__the_oldest_first(
    waterworks: Waterworks, payer: city.Phone, at: datetime
):
    lines = [
        {"head": "water", "amount_fen": 100},
        {"head": "sewage", "amount_fen": 50, "period_from": "2026-09-01"},
        {"head": "water", "amount_fen": 80, "period_from": "2026-09-01"},
    ]
    bill = waterworks.issue(lines=lines)

    pay(payer, bill, 150, at=at)

    found = bill.lines.order_by("id").values_list("head__code", "period_from__month", "paid_fen")
    assert list(found) == [("water", 10, 20), ("sewage", 9, 50), ("water", 9, 80)]


def test_open__over_http__statements_and_the_answer(bill: Bill, payer: city.Phone):
    with statements() as sent:
        answer = open_payment(payer, bill, 8_500)

    # caller, nonce, answer known, codes tried, payments opened; claim, payer, bill, lines, reserve,
    # order with its history, payment, answer
    assert len(sent) == 13, "\n".join(sent)
    assert answer.status_code == 201
    order = Order.objects.get(id=answer.json()["payment_id"])
    assert (order.state, order.amount_fen, order.title) == ("confirming", 8_500, bill.title)
    assert order.merchant_reference == f"bill:{bill.id}:1"
    assert answer.json()["payee_id"] == str(order.merchant_id)
    assert sums(bill) == ("unpaid", 8_500, 0, 8_500)


def test_take__statements(bill: Bill, payer: city.Phone, at: datetime):
    order = open_order(payer, bill, 8_500, at=at)
    confirm(payer, order, at=at)
    event = captured(order, at=at)
    keys.current_signer(at=at)  # known, as to a program that runs

    with statements() as sent:
        outbox.deliver_due(at=at)
    taking = [each for each in sent if "payments_bill" in each]

    # payment, bill, payment anew, released, lines; payment, two lines, shares, bill, history;
    # receipt
    assert len(taking) == 11, "\n".join(taking)
    before = sums(bill)
    with transaction.atomic():
        bill_payments.take_payment(event)
    assert sums(bill) == before == ("paid", 8_500, 8_500, 0)
    assert BillShare.objects.count() == 2


def captured(order: Order, *, at: datetime) -> outbox.Event:
    return outbox.Event(
        id=uuid.uuid4(),
        name="payments.bill_captured",
        payload={"order_id": str(order.id)},
        published_at=at,
        attempt=1,
    )


@pytest.mark.parametrize("fen", [8_501, 5_000_000])
def test_open__more_than_is_owed__refused(bill: Bill, payer: city.Phone, fen: int):
    answer = open_payment(payer, bill, fen)

    assert city.problem(answer) == (409, "bill.too_much")
    assert answer.json()["open_fen"] == 8_500
    assert sums(bill) == ("unpaid", 8_500, 0, 0)
    assert not Order.objects.exists()


@pytest.mark.parametrize(
    ("code", "problem"),
    [
        ("", (400, "request.invalid")),
        ("12345", (422, "bill.notice_code_invalid")),
        ("0001261234567890127８", (422, "bill.notice_code_invalid")),
        ("00012612345678901279", (422, "bill.notice_code_invalid")),
        ("{unknown}", (404, "object.not_found")),
    ],
)
def test_open__no_code_of_a_bill__refused(
    bill: Bill, payer: city.Phone, code: str, problem: tuple[int, str]
):
    code = code.replace("{unknown}", notice_code.NoticeCode(1, 26, 1).text)
    body = {"notice_code": code, "amount_fen": 1}

    answer = payer.send("POST", f"{RESIDENT}/bill-payments", body, key=city.new_key())

    assert city.problem(answer) == problem
    assert not Order.objects.exists()


@pytest.mark.parametrize("end", ["declined", "expired", "called off"])
def test_open__its_payment_ends_unpaid__what_it_reserved_is_open_again(
    waterworks: Waterworks, bill: Bill, payer: city.Phone, at: datetime, end: str
):
    order = open_order(payer, bill, 8_000, at=at)
    with pytest.raises(bill_payments.BillTooMuch) as caught:
        open_order(city.make_phone(1, at=at), bill, 501, at=at)
    assert caught.value.members == {"open_fen": 500}

    match end:
        case "declined":
            decline(payer, order, at=at)
        case "expired":
            orders.expire_due_orders(at=at + app_orders.OPEN_FOR)
        case "called off":
            waterworks.shop.cancel(order.id, at=at)
    shown = bills.standing(bills.bill_of(caller=payer.caller, bill_id=bill.id), at=at)

    assert (shown.under_way_fen, shown.open_fen) == (0, 8_500)
    open_order(payer, bill, 8_500, at=at)
    assert sums(bill) == ("unpaid", 8_500, 0, 8_500)
    first = BillPayment.objects.get(order=order)
    assert first.released_at == at and first.paid_at is None


def test_open__again_and_by_a_stranger__the_own_one_replaced_and_the_payer_goes_first(
    bill: Bill, payer: city.Phone, at: datetime
):
    stranger = city.make_phone(1, at=at)
    opened = [open_order(stranger, bill, fen, at=at) for fen in (8_000, 8_500)]

    mine = open_order(payer, bill, 8_500, at=at)

    states = [Order.objects.get(id=order.id).state for order in (*opened, mine)]
    assert states == ["cancelled", "cancelled", "confirming"]
    assert sums(bill) == ("unpaid", 8_500, 0, 8_500)
    with pytest.raises(bill_payments.BillTooMuch):
        open_order(stranger, bill, 1, at=at)
    confirm(payer, mine, at=at)
    with pytest.raises(bill_payments.BillTooMuch):  # what is on its way stays
        open_order(payer, bill, 1, at=at)
    Resident.objects.filter(id=payer.caller.resident_id).update(state="suspended")
    with pytest.raises(AccountSuspended):
        open_order(payer, bill, 1, at=at)


def test_release__nobody_looks_again__the_task_gives_it_back(
    bill: Bill, payer: city.Phone, at: datetime
):
    order = open_order(payer, bill, 8_000, at=at)
    decline(payer, order, at=at)

    assert (bills.release_ended(at=at), bills.release_ended(at=at)) == (1, 0)
    assert sums(bill) == ("unpaid", 8_500, 0, 0)


def test_refund__part__comes_off_the_lowest_head_and_is_owed_again(
    waterworks: Waterworks, bill: Bill, payer: city.Phone, at: datetime
):
    order = pay(payer, bill, 8_500, at=at)

    waterworks.refund(order.id, 3_000, at=at)

    assert sums(bill) == ("part_paid", 8_500, 5_500, 0)
    assert paid_lines(bill) == {"water": 5_500, "sewage": 0}
    assert BillPayment.objects.get().refunded_fen == 3_000

    waterworks.refund(order.id, 5_500, at=at)

    assert sums(bill) == ("unpaid", 8_500, 0, 0)
    assert paid_lines(bill) == {"water": 0, "sewage": 0}
    pay(payer, bill, 8_500, at=at)
    assert sums(bill) == ("paid", 8_500, 8_500, 0)
    assert is_sound(bill)


def test_refund__heard_of_before_the_payment__both_counted_once(
    waterworks: Waterworks, bill: Bill, payer: city.Phone, at: datetime
):
    order = open_order(payer, bill, 8_500, at=at)
    confirm(payer, order, at=at)
    refund = waterworks.shop.refund(order.id, 2_500, at=at)
    event = outbox.Event(
        id=uuid.uuid4(),
        name="payments.order_refunded",
        payload={"order_id": str(order.id), "refund_id": refund.id, "amount_fen": 2_500},
        published_at=at,
        attempt=1,
    )

    for _ in range(2):
        with transaction.atomic():
            bill_payments.give_back(event)
    outbox.deliver_due(at=at)

    assert sums(bill) == ("part_paid", 8_500, 6_000, 0)
    assert paid_lines(bill) == {"water": 6_000, "sewage": 0}


# Paid late


def late(at: datetime, bill: Bill, *, days: int) -> datetime:
    """The same time of day, so many days after the bill's due date."""
    return at + timedelta(days=(bill.due_date - city_date(at)).days + days)


def test_surcharge__by_the_day__on_what_is_unpaid_and_rounded_once(
    bill: Bill, payer: city.Phone, at: datetime
):
    def shown(when: datetime) -> Any:
        return bills.standing(bills.bill_of(caller=payer.caller, bill_id=bill.id), at=when)

    assert shown(late(at, bill, days=0)).surcharge_fen == 0
    # 8,500 × 0.0005 = 4.25 fen a day
    assert shown(late(at, bill, days=1)).surcharge_fen == 4
    assert shown(late(at, bill, days=2)).surcharge_fen == 9
    third = late(at, bill, days=3)
    assert (shown(third).surcharge_fen, shown(third).open_fen) == (13, 8_513)

    pay(payer, bill, 6_000, at=third)

    assert sums(bill) == ("part_paid", 8_513, 6_000, 0)
    # 12.75 up to here, and from here on 2,500 × 0.0005 = 1.25 a day
    assert shown(late(at, bill, days=4)).surcharge_fen == 14
    last = late(at, bill, days=5)
    assert (shown(last).surcharge_fen, shown(last).open_fen) == (15, 2_515)
    pay(payer, bill, 2_515, at=last)
    assert sums(bill) == ("paid", 8_515, 8_515, 0)
    assert paid_lines(bill) == {"water": 6_000, "sewage": 2_500, "late": 15}
    assert shown(late(at, bill, days=90)).open_fen == 0
    assert is_sound(bill)


def test_surcharge__for_ever__never_more_than_the_bill(bill: Bill, payer: city.Phone, at: datetime):
    found = bills.bill_of(caller=payer.caller, bill_id=bill.id)

    assert bills.standing(found, at=late(at, bill, days=3_000)).surcharge_fen == 8_500


def test_surcharge__a_payment_under_way_for_days__counts_as_paid_unless_it_fails(
    bill: Bill, payer: city.Phone, at: datetime
):
    first, later = late(at, bill, days=1), late(at, bill, days=11)
    order = open_order(payer, bill, 8_500, at=first)

    # Before it is confirmed it is nothing; once a bank is at it, it counts as paid.
    for state, surcharge_fen in (("confirming", 47), ("capturing", 4), ("failed", 47)):
        Order.objects.filter(id=order.id).update(state=state)
        found = bills.bill_of(caller=payer.caller, bill_id=bill.id)
        assert bills.standing(found, at=later).surcharge_fen == surcharge_fen, state  # 46.75


def test_surcharge__payments_opened_every_day_and_never_confirmed__grows_all_the_same(
    bill: Bill, payer: city.Phone, at: datetime
):
    for days in range(1, 12):
        when = late(at, bill, days=days)
        open_order(payer, bill, 8_500, at=when)
        orders.expire_due_orders(at=when + app_orders.OPEN_FOR)

    found = bills.bill_of(caller=payer.caller, bill_id=bill.id)
    assert bills.standing(found, at=when).surcharge_fen == 47


def test_surcharge__paid_and_long_after_refunded__runs_from_the_refund(
    waterworks: Waterworks, bill: Bill, payer: city.Phone, at: datetime
):
    order = pay(payer, bill, 8_500, at=at)
    refunded_at = late(at, bill, days=100)

    waterworks.refund(order.id, 8_500, at=refunded_at)

    found = bills.bill_of(caller=payer.caller, bill_id=bill.id)
    assert bills.standing(found, at=refunded_at).surcharge_fen == 0
    assert bills.standing(found, at=late(at, bill, days=102)).surcharge_fen == 9
