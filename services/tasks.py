"""The counters' jobs: thin, and safe to run twice."""

from celery import shared_task

from services import booking, queueing, slots
from vpass.common import clock


@shared_task
def end_bookings() -> None:
    """End the holds nobody confirmed and the appointments nobody came to."""
    booking.end_due_bookings(at=clock.now())


@shared_task
def close_tickets() -> None:
    """End the tickets of days that are over."""
    queueing.close_old_tickets(at=clock.now())


@shared_task
def make_slots() -> None:
    """Make the slots of the coming days."""
    slots.make_slots(at=clock.now())
