"""Lets people act for others: parents for a child, carers, representatives for an enterprise.

A delegate's phone gets a grant of the principal's, marked with the delegation; its codes have the
usual form (docs/delegation.md). Nobody can pay for another.
"""

import uuid
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Literal

from django.db import IntegrityError, transaction
from django.db.models import Q, QuerySet

from identity import states, status_list
from identity.access_log import readable
from identity.history import change_state
from identity.models import AccessLine, Delegation, Grant, Resident
from identity.residents import AccountSuspended
from vpass.common import outbox
from vpass.common.callers import Caller, required
from vpass.common.errors import DomainError, NotFound
from vpass.common.idempotency import IdempotencyKey, once

OFFER_LIFE = timedelta(hours=24)
CHANGED = "identity.delegation_changed"

Refusal = Literal["over", "beyond", "suspended"]


class DelegationExists(DomainError):
    """There is such a delegation already."""

    code = "delegation.exists"
    status = 409
    title_zh = "该授权已存在"


class DelegationOver(DomainError):
    """This delegation is not in force (any more)."""

    code = "delegation.over"
    status = 409
    title_zh = "该授权未生效或已结束"


def revoke(
    *, caller: Caller, delegation_id: uuid.UUID, idempotency_key: IdempotencyKey, at: datetime
) -> dict[str, Any]:
    """End a delegation at once, from either side; with a representative's end its appointees'.

    The grants made under it end too, so the next scan of their codes is refused. Raises NotFound,
    DelegationOver.
    """
    with once(idempotency_key, at=at) as claim:
        if claim.answer is None:
            found = _mine(caller).filter(id=delegation_id).select_for_update(of=("self",)).first()
            if found is None:
                raise NotFound
            if found.state not in ("offered", "active"):
                raise DelegationOver
            ending = [
                found,
                *Delegation.objects.select_for_update()
                .filter(appointed_by=found, state__in=["offered", "active"])
                .order_by("id"),
            ]
            for each in ending:
                move(each, "revoked", actor=caller.scope, at=at)
            end_grants(ending, at=at)
            claim.answer = {"id": str(found.id), "state": found.state}
        return claim.answer


def end_all_of(*, resident_id: uuid.UUID, actor: str, at: datetime) -> int:
    """End what a person gave, holds or appointed, with the grants under it; return how many.

    Call it inside the transaction that locked the person's row.
    """
    ending = list(
        Delegation.objects.select_for_update(of=("self",))
        .filter(
            Q(principal_id=resident_id)
            | Q(delegate_id=resident_id)
            | Q(appointed_by__delegate_id=resident_id),
            state__in=["offered", "active"],
        )
        .order_by("id")
    )
    for each in ending:
        move(each, "revoked", actor=actor, at=at)
    end_grants(ending, at=at)
    return len(ending)


def expire_old(*, at: datetime) -> int:
    """End what is out of date, offers and delegations; return how many."""
    due = Q(state__in=["offered", "active"], expires_at__lte=at)
    stale = Q(state="offered", created_at__lte=at - OFFER_LIFE)
    with transaction.atomic():
        ending = list(
            Delegation.objects.select_for_update(skip_locked=True)
            .filter(due | stale)
            .order_by("id")[:1000]
        )
        for each in ending:
            move(each, "expired", actor="expiry", at=at)
        end_grants(ending, at=at)
    return len(ending)


def delegations_of(*, caller: Caller) -> QuerySet[Delegation]:
    """Return those the caller gave, holds, appointed or is offered; order by time and id."""
    return _mine(caller).select_related("principal", "delegate", "enterprise", "appointed_by")


def uses_of(*, caller: Caller, delegation_id: uuid.UUID, at: datetime) -> QuerySet[AccessLine]:
    """Return what was done under a delegation, one line each, to be ordered by `-id`.

    Both sides may read it; for an enterprise its representative too. Raises NotFound.
    """
    found = _mine(caller).filter(id=delegation_id).exclude(state="offered").first()
    if found is None:
        raise NotFound
    # Of the two lines of a use, the one that stands in the principal's log.
    whose = found.delegate_id if found.principal_id is None else found.principal_id
    lines = AccessLine.objects.filter(delegation=found, resident_id=required(whose))
    return readable(lines, at=at)


def state_of(delegation: Delegation, *, at: datetime) -> str:
    """Return the state as it is at a moment, also when the clearing has not come by yet."""
    is_stale = delegation.state == "offered" and at >= delegation.created_at + OFFER_LIFE
    is_live = delegation.state in ("offered", "active")
    return "expired" if is_live and (is_stale or at >= delegation.expires_at) else delegation.state


def lock_sides(delegation_id: uuid.UUID, *, device_id: uuid.UUID) -> None:
    """Lock both persons of a delegation held by a phone's owner, always in the same order."""
    sides = Delegation.objects.filter(id=delegation_id, delegate__device=device_id)
    ids = [each for pair in sides.values_list("principal_id", "delegate_id") for each in pair]
    rows = Resident.objects.select_for_update(no_key=True).filter(id__in=filter(None, ids))
    list(rows.order_by("id").values_list("id"))


def hold_for_grant(delegation_id: uuid.UUID, *, delegate_id: uuid.UUID, at: datetime) -> Delegation:
    """Return a delegation in force, locked until the grant under it is written.

    Raises NotFound, DelegationOver, AccountSuspended.
    """
    found = (
        Delegation.objects.select_for_update(of=("self",))
        .select_related("principal")
        .filter(id=delegation_id, delegate_id=delegate_id)
        .first()
    )
    if found is None:
        raise NotFound
    if found.state != "active" or at >= found.expires_at:
        raise DelegationOver
    if found.principal is not None and found.principal.state != "active":
        raise AccountSuspended
    return found


def refusal(delegation: Delegation, *, scene: str, purpose: str, at: datetime) -> Refusal | None:
    """Return why a code under this delegation is refused here and now, or None.

    Judged at every use, so a revocation holds from the next scan on.
    """
    if delegation.state != "active" or at >= delegation.expires_at:
        return "over"
    if delegation.delegate is None or delegation.delegate.state != "active":
        return "suspended"
    if scene not in delegation.scenes:
        return "beyond"
    if delegation.purposes and purpose not in delegation.purposes:
        return "beyond"
    return None


def shown_to_scanner(
    delegation: Delegation | None, *, attributes: Sequence[str]
) -> dict[str, str | None] | None:
    """Return who acts for whom, for an accepted scan; None when people act for themselves.

    The delegate's name is shown where names may be seen.
    """
    if delegation is None:
        return None
    enterprise, who = delegation.enterprise, delegation.delegate
    may_see_name = "real_name" in attributes and who is not None
    return {
        "kind": delegation.kind,
        "delegate_name": who.real_name if may_see_name and who is not None else None,
        "enterprise_name": None if enterprise is None else enterprise.name,
        "credit_code": None if enterprise is None else enterprise.credit_code,
    }


def _mine(caller: Caller) -> QuerySet[Delegation]:
    me = required(caller.resident_id)
    phone = Resident.objects.filter(id=me).values("phone_hash")
    return Delegation.objects.filter(
        Q(principal_id=me)
        | Q(delegate_id=me)
        | Q(appointed_by__delegate_id=me)
        | Q(state="offered", delegate_phone_hash__in=phone)
    )


def move(delegation: Delegation, to_state: str, *, actor: str, at: datetime) -> None:
    """Change a locked delegation's state; when an active one ends, `end_grants` has to follow.

    Raises DelegationExists when the same is in force already.
    """
    try:
        with transaction.atomic():
            change_state(delegation, to_state, table=states.DELEGATION, actor=actor, at=at)
    except IntegrityError as error:
        raise DelegationExists from error
    if to_state != "active":
        Delegation.objects.filter(id=delegation.id).update(ended_at=at)
    tell(delegation, at=at)


def end_grants(ended: Sequence[Delegation], *, at: datetime) -> None:
    """End the grants made under delegations that have ended, online and in the status lists.

    All at once, locked in one order for all.
    """
    held = Grant.objects.select_for_update(no_key=True).filter(delegation__in=ended, ended_at=None)
    handles = [bytes(each) for each in held.order_by("handle").values_list("handle", flat=True)]
    if handles:
        Grant.objects.filter(handle__in=handles).update(ended_at=at)
        status_list.refresh_locked(handles, at=at)


def tell(delegation: Delegation, *, at: datetime) -> None:
    """Publish that a delegation has changed."""
    outbox.publish(CHANGED, {"delegation_id": str(delegation.id)}, at=at)
