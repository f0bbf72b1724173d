"""Blocks a person's code, whole or for paying, riding or doors alone; each source lifts its own."""

import uuid
from collections.abc import Collection
from datetime import datetime
from typing import Any

from django.db import transaction

from identity import states, status_list
from identity.code_claims import SCENES
from identity.history import change_state
from identity.models import Resident, Suspension
from vpass.common import outbox
from vpass.common.errors import NotAllowed, NotFound

SOURCES = ("holder", "police", "risk", "operator", "register")
SCOPES = ("all", "pay", "bus", "door")

SUSPENSIONS_CHANGED = "identity.suspensions_changed"


class SuspensionOfAnother(NotAllowed):
    """Another source set this suspension; it alone can lift it."""

    code = "suspension.of_another_source"
    title_zh = "该暂停由其他机构设置，仅其本身可以解除"


@transaction.atomic
def suspend(
    *, resident_id: uuid.UUID, source: str, scope: str, reason: str, actor: str, at: datetime
) -> Suspension:
    """Block a person's code for a scope, at once online and with the next status list offline.

    `source` is one of SOURCES, `scope` one of SCOPES, `reason` a short word without personal data.
    The same source and scope again changes nothing. Publishes SUSPENSIONS_CHANGED {"resident": id,
    "scenes": bit set of what is closed, "state": the resident's}.
    """
    resident = _locked(resident_id)
    found = Suspension.objects.filter(
        resident=resident, source=source, scope=scope, state="in_force"
    ).first()
    if found is not None:
        return found
    made = Suspension.objects.create(
        resident=resident, source=source, scope=scope, reason=reason, set_at=at
    )
    _apply(resident, actor=actor, at=at)
    return made


@transaction.atomic
def lift(
    *,
    suspension_id: uuid.UUID,
    sources: Collection[str],
    actor: str,
    at: datetime,
    resident_id: uuid.UUID | None = None,
) -> Suspension:
    """Lift a suspension that one of `sources` set; the others' stay in force.

    With `resident_id` another person's is missing. One that is lifted already changes nothing.
    Raises NotFound, SuspensionOfAnother.
    """
    mine = {} if resident_id is None else {"resident_id": resident_id}
    whose = Suspension.objects.filter(id=suspension_id, **mine).values_list("resident_id").first()
    if whose is None:
        raise NotFound
    resident = _locked(whose[0])
    found = Suspension.objects.get(id=suspension_id)
    if found.source not in sources:
        raise SuspensionOfAnother
    if found.state == "in_force":
        change_state(found, "lifted", table=states.SUSPENSION, actor=actor, at=at)
        _apply(resident, actor=actor, at=at)
    return found


def suspensions_of(*, resident_id: uuid.UUID) -> list[Suspension]:
    """Return the suspensions in force, the newest first."""
    return list(
        Suspension.objects.filter(resident_id=resident_id, state="in_force").order_by(
            "-set_at", "id"
        )
    )


def is_suspended(*, resident_id: uuid.UUID, scene: str) -> bool:
    """Whether a person is blocked, whole or in a scene: for what needs no code. One statement."""
    found: Any = (
        Resident.objects.filter(id=resident_id).values_list("state", "suspended_scenes").first()
    )
    return found is None or found[0] != "active" or bool(found[1] & SCENES.get(scene, 0))


def _locked(resident_id: uuid.UUID) -> Resident:
    resident = (
        Resident.objects.select_for_update(no_key=True)
        .filter(id=resident_id)
        .exclude(state="closed")
        .first()
    )
    if resident is None:
        raise NotFound
    return resident


def _apply(resident: Resident, *, actor: str, at: datetime) -> None:
    """Bring the person's own row, the status lists and the floors above up to date."""
    scopes = set(
        Suspension.objects.filter(resident=resident, state="in_force").values_list(
            "scope", flat=True
        )
    )
    resident.suspended_scenes = sum(SCENES[scope] for scope in scopes - {"all"})
    resident.save(update_fields=["suspended_scenes"])
    state = "suspended" if "all" in scopes else "active"
    if state != resident.state:
        change_state(resident, state, table=states.RESIDENT, actor=actor, at=at)
    status_list.refresh(resident_id=resident.id, at=at)
    outbox.publish(
        SUSPENSIONS_CHANGED,
        {"resident": str(resident.id), "scenes": resident.suspended_scenes, "state": state},
        at=at,
    )
