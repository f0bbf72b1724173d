"""Many phones at one bill: never more is opened than is owed, and what is paid counts once."""

import os
import threading
import time
import uuid
from collections import Counter
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import IntegrityError, transaction
from django.db.models import QuerySet

from payments import bill_payments, bill_reminders, billers, bills
from payments.bill_payments import BillTooMuch
from payments.models import Bill, BillPayment, BillReminder, BillShare, Order, PaymentLimit
from payments.settlement import windows
from tests import city
from tests.billing import (
    DUE,
    Waterworks,
    asked,
    is_sound,
    open_order,
    open_waterworks,
    paid_lines,
    sums,
)
from tests.races.test_settlement_races import without
from tests.shop import confirm, fill
from tests.together import together
from vpass.common import outbox
from vpass.common.clock import city_date
from vpass.common.errors import DomainError

pytestmark = pytest.mark.django_db(transaction=True)

ROUNDS = int(os.environ.get("VPASS_ROUNDS", "0"))
CHANCES = 5  # of a race with its guard off
PHONES, PART_FEN = 8, 2_500  # three parts of ¥85.00, and ¥10.00 left


def rounds(short: int) -> int:
    """The full number of rounds under `make faults`, a short one in the suite."""
    return ROUNDS or short


def tell(name: str, *, tried: int, broken: int) -> None:
    print(f"faults {name}: {tried} tried, {broken} broken")


@pytest.fixture
def waterworks(transactional_db: None, at: datetime, monkeypatch: pytest.MonkeyPatch) -> Waterworks:
    windows.ensure_open(at=at)
    # A thousand rounds are more than a day's, and two payers stand for many.
    PaymentLimit.objects.update(daily_fen=None)
    monkeypatch.setattr(bill_payments, "OPENS", replace(bill_payments.OPENS, maximum=10**6))
    return open_waterworks()


@pytest.fixture
def phones(waterworks: Waterworks, phone: city.Phone, at: datetime) -> list[city.Phone]:
    """Two residents with money."""
    found = [phone, city.make_phone(1, at=at)]
    for each in found:
        fill(waterworks.shop, each, 10_000_000, at=at)
    return found


@pytest.fixture
def lingering(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever has read a bill takes a while before writing to it."""
    bring_up_to_date = bills.bring_up_to_date

    def read_then_linger(bill: Bill, *, at: datetime) -> Any:
        lines = bring_up_to_date(bill, at=at)
        time.sleep(0.01)
        return lines

    monkeypatch.setattr(bills, "bring_up_to_date", read_then_linger)
    # Two payers stand for many: here a new payment does not call off the payer's own.
    monkeypatch.setattr(bills, "displace", lambda bill, **_: None)


@pytest.fixture
def unguarded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the bill's lock, nor the bound in the statement that reserves."""
    bound = " AND paid_fen + reserved_fen + %(fen)s <= amount_fen"
    assert bound in bill_payments._RESERVE
    monkeypatch.setattr(bill_payments, "_RESERVE", bill_payments._RESERVE.replace(bound, ""))
    monkeypatch.setattr(QuerySet, "select_for_update", lambda rows, **_: rows)


def open_by_many(phones: list[city.Phone], bill: Bill, *, at: datetime) -> list[Any]:
    return together(PHONES, lambda index: open_order(phones[index % 2], bill, PART_FEN, at=at))


def test_open__many_phones_at_one_bill__as_many_as_the_bill_has_and_all_paid(
    waterworks: Waterworks, phones: list[city.Phone], lingering: None, at: datetime
):
    tried, broken = rounds(short=3), 0

    for _ in range(tried):
        bill = waterworks.issue()
        found = open_by_many(phones, bill, at=at)
        opened = [each for each in found if isinstance(each, Order)]
        refused = sum(isinstance(each, BillTooMuch) for each in found)
        by_payer = {each.caller.resident_id: each for each in phones}
        for order in opened:
            confirm(by_payer[order.payer_id], order, at=at)
        outbox.deliver_due(at=at)
        broken += (len(opened), refused) != (3, PHONES - 3)
        broken += sums(bill) != ("part_paid", 8_500, 7_500, 0)
        broken += paid_lines(bill) != {"water": 6_000, "sewage": 1_500}
        broken += not is_sound(bill)

    tell("bill-phones", tried=tried, broken=broken)
    assert broken == 0
    assert waterworks.shop.balance_fen == tried * 7_500


def test_open__guard_off__the_constraint_still_refuses_and_without_it_too_much_is_opened(
    waterworks: Waterworks,
    phones: list[city.Phone],
    lingering: None,
    unguarded: None,
    at: datetime,
):
    bill = waterworks.issue()

    found = open_by_many(phones, bill, at=at)

    seen = Counter(type(each) for each in found)
    assert (seen[Order], seen[IntegrityError]) == (3, PHONES - 3)
    assert sums(bill) == ("unpaid", 8_500, 0, 7_500)
    with without(
        "ALTER TABLE payments_bill DROP CONSTRAINT bill_not_overpaid",
        "UPDATE payments_bill SET reserved_fen = 0;"
        " ALTER TABLE payments_bill ADD CONSTRAINT bill_not_overpaid CHECK"
        " (paid_fen >= 0 AND reserved_fen >= 0 AND amount_fen >= paid_fen + reserved_fen)",
    ):
        open_by_many(phones, bill, at=at)
        assert sums(bill)[3] > 8_500


def take_by_four(phones: list[city.Phone], bill: Bill, *, at: datetime) -> list[Any]:
    """Four relays bring the same captured payment to its bill at once."""
    order = open_order(phones[0], bill, 8_500, at=at)
    confirm(phones[0], order, at=at)
    event = outbox.Event(
        id=uuid.uuid4(),
        name="payments.bill_captured",
        payload={"order_id": str(order.id)},
        published_at=at,
        attempt=1,
    )

    def take(_: int) -> None:
        with transaction.atomic():
            bill_payments.take_payment(event)

    return together(4, take)


def test_take__the_same_payment_four_times_at_once__counts_once(
    waterworks: Waterworks, phones: list[city.Phone], lingering: None, at: datetime
):
    tried, broken = rounds(short=3), 0

    for _ in range(tried):
        bill = waterworks.issue()
        broken += take_by_four(phones, bill, at=at) != [None] * 4
        broken += sums(bill) != ("paid", 8_500, 8_500, 0)

    tell("bill-events", tried=tried, broken=broken)
    assert broken == 0
    assert BillShare.objects.count() == 2 * tried


def test_take__guard_off__somebody_meets_what_is_there(
    waterworks: Waterworks,
    phones: list[city.Phone],
    lingering: None,
    at: datetime,
    monkeypatch: pytest.MonkeyPatch,
):
    """Without the bill's lock several read the payment as open; its shares still come once."""
    bills_ = [waterworks.issue() for _ in range(CHANCES)]
    monkeypatch.setattr(QuerySet, "select_for_update", lambda rows, **_: rows)

    is_met = False
    for bill in bills_:
        found = take_by_four(phones, bill, at=at)
        is_met = any(isinstance(each, IntegrityError) for each in found)
        assert BillShare.objects.filter(line__bill=bill).count() == 2
        if is_met:
            break

    assert is_met, "without the lock two must meet at the same bill, or the race was none"


def test_cancel__against_a_payment_that_waits__cancelled_and_the_payment_called_off(
    waterworks: Waterworks, phones: list[city.Phone], at: datetime
):
    tried, broken = rounds(short=5), 0

    for _ in range(tried):
        bill = waterworks.issue()
        found = together(
            2,
            lambda index, bill=bill: (
                open_order(phones[0], bill, 100, at=at)
                if index
                else billers.cancel_bill(
                    caller=waterworks.caller,
                    bill_id=bill.id,
                    idempotency_key=city.idempotency(waterworks.caller.scope),
                    at=at,
                )
            ),
        )
        codes = [each.code if isinstance(each, DomainError) else None for each in found]
        is_cancelled = sums(bill)[0] == "cancelled"
        opened = BillPayment.objects.filter(bill=bill)
        broken += codes != [None, None if opened.exists() else "bill.not_owed"]
        broken += not is_cancelled or opened.exclude(order__state="cancelled").exists()

    tell("bill-cancel", tried=tried, broken=broken)
    assert broken == 0


def test_remind__four_at_once__each_bill_once(waterworks: Waterworks, at: datetime):
    late = at + timedelta(days=(DUE - city_date(at)).days + 1)
    tried, broken = rounds(short=1), 0

    for _ in range(tried):
        waterworks.upload(*(asked() for _ in range(20)))
        found = together(4, lambda _: bill_reminders.remind_due(at=late))
        made = [each for each in found if isinstance(each, int)]
        broken += len(made) != 4 or sum(made) + bill_reminders.remind_due(at=late) != 20

    tell("bill-reminders", tried=tried, broken=broken)
    assert broken == 0


def remind_while_another_does(waterworks: Waterworks, *, at: datetime) -> list[Any]:
    """What came of two runs, when one ends between the other's look and its lock."""
    late = at + timedelta(days=(DUE - city_date(at)).days + 1)
    waterworks.upload(asked())
    slowly = Bill.objects.extra(where=["pg_sleep(0.5)::text = ''"])
    begun = threading.Event()

    def first() -> int:
        begun.set()
        return bill_reminders._remind(slowly, BillReminder.Kind.OVERDUE, at=late, limit=10)

    def second() -> int:
        assert begun.wait(10)
        time.sleep(0.1)
        return bill_reminders.remind_due(at=late)

    return together(2, lambda index: [first, second][index]())


def test_remind__another_run_ends_meanwhile__left_out(waterworks: Waterworks, at: datetime):
    assert remind_while_another_does(waterworks, at=at) == [0, 1]


def test_remind__guard_off__the_database_refuses_a_second_one(
    waterworks: Waterworks, at: datetime, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(bill_reminders, "_without_told_meanwhile", lambda locked, _: locked)

    for _ in range(CHANCES):
        first, second = remind_while_another_does(waterworks, at=at)
        if isinstance(first, IntegrityError):
            break

    assert isinstance(first, IntegrityError)
    assert second == 1
