"""The common ground's background tasks: deliver what was published, forget what has expired."""

from celery import shared_task

from vpass.common import clock, contributions, idempotency, limits, outbox

DELIVERIES_PER_RUN = 500


@shared_task
def deliver_outbox() -> None:
    """Delivers what is due, and rings again when there may be more."""
    if outbox.deliver_due(at=clock.now(), limit=DELIVERIES_PER_RUN) >= DELIVERIES_PER_RUN:
        outbox.ring()


@shared_task
def purge_expired() -> None:
    """Forgets what is past its time, here and on the floors registered for `purge_expired`."""
    at = clock.now()
    idempotency.purge(at=at)
    limits.purge(at=at)
    outbox.purge(at=at)
    contributions.ask("purge_expired", at=at)
