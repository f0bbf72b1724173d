"""Residents dispute a line of their access log with one tap; the organisation has to answer."""

import uuid
from datetime import datetime
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import QuerySet

from identity import states
from identity.access_log import line_of
from identity.history import change_state
from identity.models import Dispute
from vpass.common import audit, outbox
from vpass.common.callers import Caller, required
from vpass.common.errors import Conflict, NotAllowed, NotFound
from vpass.common.idempotency import IdempotencyKey, once

# The role that may read and answer disputes: the organisation's privacy officer.
ROLE = "privacy"
OPENED = "identity.dispute_opened"
ANSWERED = "identity.dispute_answered"


class DisputeExists(Conflict):
    """This line is disputed already."""

    code = "dispute.exists"
    title_zh = "该记录已提出异议"


class NotDisputable(Conflict):
    """This was done by your own phone; freeze it if it was not you."""

    code = "dispute.own_phone"
    title_zh = "该操作来自您自己的手机；如非本人操作，请冻结手机"


class DisputeOver(Conflict):
    """This dispute is answered or withdrawn."""

    code = "dispute.over"
    title_zh = "该异议已答复或已撤回"


class SelfAnswer(NotAllowed):
    """Whoever looked cannot answer the dispute about it."""

    code = "dispute.self_answer"
    title_zh = "查阅人本人不能答复对其查阅的异议"


def dispute_line(
    *,
    caller: Caller,
    line_id: uuid.UUID,
    note: str | None,
    idempotency_key: IdempotencyKey,
    at: datetime,
) -> dict[str, Any]:
    """Dispute one of the resident's own lines, with or without a word why.

    Raises NotFound, NotDisputable, DisputeExists.
    """
    with once(idempotency_key, at=at) as claim:
        if claim.answer is None:
            resident_id = required(caller.resident_id)
            line = line_of(resident_id=resident_id, line_id=line_id, at=at)
            if line.organisation_id is None:
                raise NotDisputable
            try:
                with transaction.atomic():
                    dispute = Dispute.objects.create(
                        line=line,
                        resident_id=resident_id,
                        organisation_id=line.organisation_id,
                        note=note,
                        opened_at=at,
                    )
            except IntegrityError as error:
                raise DisputeExists from error
            outbox.publish(OPENED, {"access_line_id": str(line.id)}, at=at)
            claim.answer = {"line": str(line.id), "state": dispute.state}
        return claim.answer


def withdraw_dispute(
    *, caller: Caller, line_id: uuid.UUID, idempotency_key: IdempotencyKey, at: datetime
) -> dict[str, Any]:
    """Take a dispute back that nobody has answered. Raises NotFound, DisputeOver."""
    with once(idempotency_key, at=at) as claim:
        if claim.answer is None:
            mine = Dispute.objects.filter(resident_id=required(caller.resident_id))
            dispute = _lock(mine, line_id)
            change_state(dispute, "withdrawn", table=states.DISPUTE, actor=caller.scope, at=at)
            claim.answer = {"line": str(line_id), "state": dispute.state}
        return claim.answer


def answer_dispute(
    *,
    caller: Caller,
    line_id: uuid.UUID,
    verdict: str,
    text: str,
    idempotency_key: IdempotencyKey,
    at: datetime,
) -> dict[str, Any]:
    """Answer for the organisation: the look was `justified`, or `unjustified`; and why.

    Raises NotFound, DisputeOver, and SelfAnswer for whoever made the look.
    """
    with once(idempotency_key, at=at) as claim:
        if claim.answer is None:
            dispute = _lock(disputes_at(caller=caller), line_id)
            if dispute.line.staff_id == caller.staff_id:
                raise SelfAnswer
            dispute.answer, dispute.answered_at = text, at
            dispute.answered_by_id = required(caller.staff_id)
            dispute.save(update_fields=["answer", "answered_at", "answered_by"])
            change_state(dispute, verdict, table=states.DISPUTE, actor=caller.scope, at=at)
            audit.record(
                actor=caller.scope,
                action="dispute.answered",
                subject=f"access_line:{line_id}",
                detail={"verdict": verdict},
                at=at,
            )
            outbox.publish(ANSWERED, {"access_line_id": str(line_id)}, at=at)
            claim.answer = {"line": str(line_id), "state": dispute.state}
        return claim.answer


def disputes_at(*, caller: Caller) -> QuerySet[Dispute]:
    """Return the disputes about the caller's organisation; order by falling line."""
    return Dispute.objects.filter(organisation_id=required(caller.organisation_id)).select_related(
        "line__desk", "line__terminal", "line__staff__user"
    )


def _lock(disputes: QuerySet[Dispute], line_id: uuid.UUID) -> Dispute:
    dispute = disputes.select_for_update(of=("self",)).filter(line_id=line_id).first()
    if dispute is None:
        raise NotFound
    if dispute.state != states.DISPUTE.initial:
        raise DisputeOver
    return dispute
