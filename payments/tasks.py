"""Cloud Pay's jobs: thin, and safe to run twice."""

from datetime import timedelta

from celery import shared_task
from django.conf import settings

from payments import (
    bill_reminders,
    bills,
    charges,
    debits,
    ledger,
    orders,
    pay_codes,
    payouts,
    proof,
    proposals,
    refund_requests,
    seals,
    visits,
)
from payments.settlement import payouts as settlement
from payments.settlement import windows
from vpass.common import clock

LEDGER_HEAD = "ledger_head.json"  # in the state directory, which is not in the database
PROVED_NIGHTLY = timedelta(days=35)  # `manage.py verify_ledger` goes back to the first day


@shared_task
def pursue_payouts() -> None:
    """Send unsent payouts and ask banks about open ones, where it is time."""
    payouts.pursue_due(at=clock.now())


@shared_task
def pursue_debits() -> None:
    """Send unsent debits and ask banks about open ones, where it is time."""
    debits.pursue_due(at=clock.now())


@shared_task
def settle_windows() -> None:
    """Close the window at its cut-off, and take every step of settlement that needs no person."""
    at = clock.now()
    windows.close_due(at=at)
    settlement.settle_due(at=at)


@shared_task
def expire_proposals() -> None:
    """End the proposals, and the refunds asked for, that nobody decided in time."""
    at = clock.now()
    proposals.expire_old(at=at)
    refund_requests.expire_old(at=at)


@shared_task
def expire_due_orders() -> None:
    """End the payments that nobody confirmed in time."""
    orders.expire_due_orders(at=clock.now())


@shared_task
def expire_visits() -> None:
    """End the stays in unmanned shops whose time is over, and free what was held."""
    visits.expire_due(at=clock.now())


@shared_task
def purge_pay_codes() -> None:
    """Forget the pay codes of yesterday and before."""
    pay_codes.purge(at=clock.now())


@shared_task
def collect_charges() -> None:
    """Collect what is due and could be paid by now."""
    charges.collect_due(at=clock.now())


@shared_task
def release_ended_bill_payments() -> None:
    """Let what ended payments had reserved of bills be paid again."""
    bills.release_ended(at=clock.now())


@shared_task
def remind_of_bills() -> None:
    """Remind of bills that are due soon or overdue."""
    bill_reminders.remind_due(at=clock.now())


@shared_task
def expire_holds() -> None:
    """Free the holds whose time is over."""
    ledger.expire_holds(at=clock.now())


@shared_task
def seal_ledger() -> None:
    """Seal the settlement windows that were closed."""
    seals.seal_closed(at=clock.now(), head_file=settings.STATE_DIR / LEDGER_HEAD)


@shared_task(time_limit=3600, soft_time_limit=3500)
def prove_ledger() -> None:
    """Count every balance again, and compare the last weeks with their seals, and the chain's end
    with the head that was kept outside; what is not as it must be is logged as an error."""
    at = clock.now()
    proof.prove(at)
    known = seals.known_head(settings.STATE_DIR / LEDGER_HEAD)
    seals.verify(since=clock.city_date(at) - PROVED_NIGHTLY, known_head=known)
