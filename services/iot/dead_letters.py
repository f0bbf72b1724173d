"""Messages that nobody could read: kept as they came, replayed on request, forgotten in the end."""

from datetime import datetime, timedelta

from django.db import models, transaction

from services.iot.intake import DRAIN_TASK, shard_of
from services.iot.models import DeadLetter, InboxMessage, Quarantined
from vpass.common import doorbell
from vpass.common.errors import NotFound

KEPT_FOR = timedelta(days=30)
PURGED_AT_ONCE = 10_000


def replay(dead_letter_id: int) -> None:
    """Put a dead letter back into the inbox as it came, and out of the dead ones.

    Its events are known by their content, so a second replay changes nothing. Raises NotFound.
    """
    with transaction.atomic():
        found = DeadLetter.objects.select_for_update().filter(id=dead_letter_id).first()
        if found is None:
            raise NotFound
        body = bytes(found.body)
        shard = shard_of(body)
        InboxMessage.objects.create(
            shard=shard, source=found.source, received_at=found.received_at, body=body
        )
        found.delete()
        transaction.on_commit(lambda: doorbell.ring(DRAIN_TASK, shard=shard))


def purge(*, at: datetime) -> None:
    """Forget dead letters and quarantined events older than 30 days, a bounded number at a time."""
    kinds: tuple[type[models.Model], ...] = (DeadLetter, Quarantined)
    for kind in kinds:
        old = kind._default_manager.filter(received_at__lt=at - KEPT_FOR).order_by("received_at")
        kind._default_manager.filter(pk__in=old.values("pk")[:PURGED_AT_ONCE]).delete()
