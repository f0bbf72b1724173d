"""Dead letters: events that a consumer has refused ten times, and their way back."""

from datetime import datetime
from typing import Any

from django.db.models import QuerySet

from vpass.common import audit, outbox
from vpass.common.callers import Caller
from vpass.common.idempotency import IdempotencyKey, once
from vpass.common.models import OutboxDelivery


def dead_letters() -> QuerySet[OutboxDelivery]:
    """What nobody tries to deliver any more; order it by `id`, which an index bears."""
    return OutboxDelivery.objects.filter(state="dead")


def redeliver(
    *, caller: Caller, delivery_id: int, idempotency_key: IdempotencyKey, at: datetime
) -> dict[str, Any]:
    """Give a dead letter ten new attempts; its id and state. Who did so is audited.

    Raises NotFound, and IllegalTransition for what is no dead letter.
    """
    with once(idempotency_key, at=at) as claim:
        if claim.answer is None:
            outbox.redeliver(delivery_id, at=at)
            audit.record(
                actor=caller.scope,
                action="outbox.redelivered",
                subject=f"delivery:{delivery_id}",
                detail={"desk": str(caller.desk_id)},
                at=at,
            )
            claim.answer = {"id": delivery_id, "state": "pending"}
        return claim.answer
