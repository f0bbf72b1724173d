"""Reminds of bills that are due in three days or overdue, once each for a due date."""

import uuid
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Exists, OuterRef, QuerySet

from identity.models import Resident
from payments.bills import OWED
from payments.models import Bill, BillReminder
from vpass.common import clock, outbox, sms
from vpass.common.clock import city_date
from vpass.common.outbox import Event

BILL_REMINDED = "payments.bill_reminded"
DAYS_BEFORE = 3


def remind_due(*, at: datetime, limit: int = 500) -> int:
    """Write what is to be reminded of on a moment's day in the city, and tell of each: an event
    with bill, biller's organisation, kind and days to the due date (below 0 when it is over).

    Returns how many. Safe to run twice and at once: a reminder is one row for its bill, kind and
    due date.
    """
    today = city_date(at)
    overdue = Bill.objects.filter(due_date__lt=today)
    due_soon = Bill.objects.filter(
        due_date__gte=today, due_date__lte=today + timedelta(days=DAYS_BEFORE)
    )
    return sum(
        _remind(bills, kind, at=at, limit=limit)
        for bills, kind in (
            (due_soon, BillReminder.Kind.DUE_SOON),
            (overdue, BillReminder.Kind.OVERDUE),
        )
    )


def send_reminder(event: Event) -> None:
    """Send a reminder as a text message to those who follow the bill: an outbox consumer that calls
    out. A repeat carries the same message ids; a bill paid meanwhile is not reminded of any more.
    """
    bill = Bill.objects.select_related("biller__merchant__organisation").get(
        id=event.payload["bill"]
    )
    if bill.state not in OWED:
        return
    at, text = clock.now(), _text(bill, event.payload["kind"])
    followers = Resident.objects.filter(
        billfollow__payer_hash=bytes(bill.payer_hash), state="active", phone__isnull=False
    )
    for resident in followers:
        message_id = uuid.uuid5(event.id, str(resident.id))
        try:
            sms.send_text(message_id=message_id, to=str(resident.phone), text=text, at=at)
        except sms.NumberRefused:
            continue  # nobody can be reached there; the list of what is owed says it too


def _text(bill: Bill, kind: str) -> str:
    biller = bill.biller.merchant.organisation.name_zh
    day = f"{bill.due_date.month}月{bill.due_date.day}日"
    when = f"将于{day}到期" if kind == BillReminder.Kind.DUE_SOON else f"已于{day}到期"
    return f"【V Pass】{biller}的账单“{bill.title}”{when}，请在 V Pass 的账单中缴费。"


def _remind(bills: QuerySet[Bill], kind: str, *, at: datetime, limit: int) -> int:
    told = BillReminder.objects.filter(
        bill=OuterRef("id"), kind=kind, due_date=OuterRef("due_date")
    )
    with transaction.atomic():
        waiting = list(
            bills.select_related("biller__merchant")
            .select_for_update(of=("self",), skip_locked=True, no_key=True)
            .filter(~Exists(told), state__in=OWED)
            .order_by("due_date", "id")[:limit]
        )
        waiting = _without_told_meanwhile(waiting, kind)
        for bill in waiting:
            event = {
                "bill": bill.id,
                "organisation": bill.biller.merchant.organisation_id,
                "kind": kind,
                "days": (bill.due_date - city_date(at)).days,
            }
            outbox.publish(BILL_REMINDED, event, at=at)
        BillReminder.objects.bulk_create(
            BillReminder(bill=bill, kind=kind, due_date=bill.due_date, at=at) for bill in waiting
        )
    return len(waiting)


def _without_told_meanwhile(locked: list[Bill], kind: str) -> list[Bill]:
    """Without those that another run has reminded of between our look and our lock."""
    told = BillReminder.objects.filter(bill__in=[bill.id for bill in locked], kind=kind)
    known = set(told.values_list("bill_id", "due_date"))
    return [bill for bill in locked if (bill.id, bill.due_date) not in known]
