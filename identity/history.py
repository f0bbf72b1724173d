"""Changes states by their edge table and writes each change down."""

from collections.abc import Sequence
from datetime import datetime

from django.db import models

from identity.models import StateChange
from vpass.common.states import EdgeTable


def change_state(
    row: models.Model,
    to_state: str,
    *,
    table: EdgeTable,
    actor: str,
    at: datetime,
    also: Sequence[str] = (),
) -> None:
    """Move `row.state` and record who did it; call it with the row locked, in a transaction.

    `also` are fields saved in the same statement, where a constraint ties them to the state.
    Raises states.IllegalTransition when the table has no such edge.
    """
    from_state = row.state  # type: ignore[attr-defined]
    event = table.event(from_state, to_state)
    row.state = to_state  # type: ignore[attr-defined]
    row.save(update_fields=["state", *also])
    StateChange.objects.create(
        object_kind=table.name,
        object_id=_name(row.pk),
        from_state=from_state,
        to_state=to_state,
        event=event,
        actor=actor,
        at=at,
    )


def _name(key: object) -> str:
    return bytes(key).hex() if isinstance(key, bytes | memoryview) else str(key)
