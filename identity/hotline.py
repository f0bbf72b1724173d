"""Helps a person whose phone is gone: staff find the account by what the person says, and act.

Each act is staff's word with a reason: it is audited, and the person reads of it in the access log.
"""

from dataclasses import asdict, dataclass
from datetime import datetime, timedelta

from django.db import transaction

from identity import lost_phones, server_codes, suspensions
from identity.models import AccessLine, Device, Resident, Suspension
from vpass.common import audit, limits
from vpass.common.callers import Caller, required
from vpass.common.errors import NotFound
from vpass.common.idempotency import IdempotencyKey, once
from vpass.common.ids import uuid7
from vpass.common.policy import RoleMissing
from vpass.common.sealed_fields import lookup_hash

LOST_PHONE_ROLES = frozenset({"registrar", "hotline"})
SUSPENSION_ROLES = frozenset({"police", "risk", "operator"})
# Enough for a busy clerk, and too few to try out names.
LOOK_UPS = limits.Limit("hotline.look_up", maximum=60, per=timedelta(hours=1))


@dataclass(frozen=True, kw_only=True)
class Told:
    """What a person tells of themselves, and why staff act: `reason` and `case_number`."""

    phone: str
    real_name: str
    id_number: str
    reason: str
    case_number: str


def freeze_phones(*, caller: Caller, told: Told, at: datetime) -> int:
    """Freeze every active phone of the person; return how many. Raises NotFound."""
    limits.spend(LOOK_UPS, caller.scope, at=at)
    with transaction.atomic():
        person = _find(told)
        count = lost_phones.freeze_all(resident_id=person.id, actor=caller.scope, at=at)
        _write_down(person, caller=caller, told=told, action="lost-phone.freeze", at=at)
    return count


def thaw_phones(*, caller: Caller, told: Told, at: datetime) -> int:
    """Give every frozen phone of the person back; return how many. Raises NotFound."""
    limits.spend(LOOK_UPS, caller.scope, at=at)
    with transaction.atomic():
        person = _find(told)
        frozen = Device.objects.filter(resident=person, state="frozen").order_by("id")
        for device in frozen:
            lost_phones.thaw_device(
                resident_id=person.id, device_id=device.id, actor=caller.scope, at=at
            )
        _write_down(person, caller=caller, told=told, action="lost-phone.thaw", at=at)
    return len(frozen)


def suspend(*, caller: Caller, told: Told, source: str, scope: str, at: datetime) -> Suspension:
    """Suspend the person's code as `source`, which is one of the caller's roles.

    Raises RoleMissing, NotFound.
    """
    if source not in caller.roles:
        raise RoleMissing
    limits.spend(LOOK_UPS, caller.scope, at=at)
    with transaction.atomic():
        person = _find(told)
        made = suspensions.suspend(
            resident_id=person.id,
            source=source,
            scope=scope,
            reason=told.reason,
            actor=caller.scope,
            at=at,
        )
        _write_down(person, caller=caller, told=told, action=f"suspension.{scope}", at=at)
    return made


def lift(*, caller: Caller, told: Told, source: str, scope: str, at: datetime) -> Suspension:
    """Lift what `source` has suspended, which is one of the caller's roles.

    Raises RoleMissing, NotFound (also when nothing is suspended).
    """
    if source not in caller.roles:
        raise RoleMissing
    limits.spend(LOOK_UPS, caller.scope, at=at)
    with transaction.atomic():
        person = _find(told)
        found = Suspension.objects.filter(
            resident=person, source=source, scope=scope, state="in_force"
        ).first()
        if found is None:
            raise NotFound
        lifted = suspensions.lift(
            suspension_id=found.id, sources={source}, actor=caller.scope, at=at
        )
        _write_down(person, caller=caller, told=told, action=f"lifting.{scope}", at=at)
    return lifted


def issue_code(
    *,
    caller: Caller,
    told: Told,
    scenes: list[str],
    idempotency_key: IdempotencyKey,
    at: datetime,
) -> server_codes.CodeIssued:
    """Sign a code of 60 seconds for a person whose phone is not at hand: for a kiosk, on paper.

    The clerk has seen who it is. It belongs to the person's newest active phone and ends with it.
    Raises NotFound (also for a person without one), and what server_codes.sign_code raises.
    """
    limits.spend(LOOK_UPS, caller.scope, at=at)
    with once(idempotency_key, at=at) as claim:
        if claim.answer is not None:
            return server_codes.CodeIssued(**claim.answer)
        person = _find(told)
        active = Device.objects.filter(resident=person, state="active").order_by("-bound_at", "id")
        device = active.first()
        if device is None:
            raise NotFound
        issued = server_codes.sign_code(device_id=device.id, scenes=scenes, at=at)
        _write_down(person, caller=caller, told=told, action="code.issue", at=at)
        claim.answer = asdict(issued)
        return issued


def _find(told: Told) -> Resident:
    person = (
        Resident.objects.filter(phone_hash=lookup_hash("phone", told.phone))
        .exclude(state="closed")
        .first()
    )
    said = (told.real_name, told.id_number.upper())
    if person is None or (person.real_name, person.id_number) != said:
        raise NotFound
    return person


def _write_down(person: Resident, *, caller: Caller, told: Told, action: str, at: datetime) -> None:
    AccessLine.objects.create(
        id=uuid7(at),
        resident=person,
        organisation_id=required(caller.organisation_id),
        desk_id=caller.desk_id,
        staff_id=caller.staff_id,
        scene=caller.scene or "id",
        purpose=action,
        case_number=told.case_number,
        fields=[],
        outcome=AccessLine.Outcome.ACCEPTED,
        at=at,
    )
    audit.record(
        actor=caller.scope,
        action=action,
        subject=f"resident:{person.id}",
        detail={"reason": told.reason, "case_number": told.case_number},
        at=at,
    )
