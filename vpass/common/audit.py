"""Writes down what staff and administrators did, in rows nobody can change."""

from datetime import datetime
from typing import Any

from vpass.common import ids, observability
from vpass.common.models import AuditEvent


def record(*, actor: str, action: str, subject: str, detail: dict[str, Any], at: datetime) -> None:
    """Writes one line, in the caller's transaction, with the id of the present request.

    `actor` and `subject` are scopes such as "staff:<uuid>" and "desk:<uuid>", `action` is a verb
    such as "desk.suspend". `detail` is JSON and holds ids, states and numbers, no personal data.
    """
    AuditEvent.objects.create(
        id=ids.uuid7(at),
        at=at,
        actor=actor,
        action=action,
        subject=subject,
        detail=detail,
        request_id=observability.request_id(),
    )
