"""Checks people in at the counter by the code on their phone, and gives them their ticket."""

from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from identity import codes, disclosure
from services import history, queries, queueing
from services.booking import LATE
from services.models import Booking, Service
from vpass.common.callers import Caller, required
from vpass.common.errors import Conflict, DomainError, NotAllowed
from vpass.common.idempotency import IdempotencyKey, once

SCENE = "check_in"
PURPOSE = "check-in"
EARLY = timedelta(hours=2)  # before the slot begins


class DeskNotForCheckIn(NotAllowed):
    """People are checked in at another desk."""

    code = "desk.not_check_in"
    title_zh = "本窗口不办理签到"


class WalkInServiceUnknown(DomainError):
    """This organisation has no such service."""

    code = "check_in.service_unknown"
    status = 422
    title_zh = "本单位没有该事项"


class NoBooking(Conflict):
    """This person has no appointment here now."""

    code = "check_in.no_booking"
    title_zh = "该市民此时在本单位没有预约"


class TooEarly(Conflict):
    """It is too early for this person's appointment."""

    code = "check_in.too_early"
    title_zh = "未到可签到时间"


# Refusals of a check-in whose code is used up.
REFUSALS: dict[str, type[DomainError]] = {
    **codes.REFUSALS,
    NoBooking.code: NoBooking,
    TooEarly.code: TooEarly,
}


@dataclass(frozen=True, kw_only=True)
class CheckedIn:
    """Who is there, as this organisation knows them, and their place in the queue.

    `holder` is None where it has no right to know people again. `fields` are the entitled ones.
    `booking` is {"id", "service", "starts_at"} or None for who walked in.
    """

    holder: str | None
    level: int
    fields: dict[str, disclosure.Value]
    booking: dict[str, Any] | None
    ticket: dict[str, Any]
    checked_in_at: str


def check_in(
    *,
    caller: Caller,
    code: str,
    walk_in_service: str | None,
    idempotency_key: IdempotencyKey,
    at: datetime,
) -> CheckedIn:
    """Check the holder of a shown code in for their appointment here, and give them a ticket.

    The appointment is the first whose slot begins within EARLY and ended no longer than LATE ago;
    checked in again it keeps its ticket. Without one the holder gets a ticket for the service
    `walk_in_service` (its code), when the clerk names one. A genuine code is used up whatever comes
    of it. Raises a codes.ScanRefused, DeskNotForCheckIn, WalkInServiceUnknown, NoBooking, TooEarly
    (with the member `starts_at`), and what `once` raises.
    """
    if caller.scene != SCENE:
        raise DeskNotForCheckIn
    with once(idempotency_key, at=at) as claim:
        if claim.answer is None:
            claim.answer = _check_in(
                caller=caller, code=code, walk_in_service=walk_in_service, at=at
            )
        answer = dict(claim.answer)
    if refusal := answer.pop("refusal", None):
        raise REFUSALS[refusal](**answer)
    return CheckedIn(**answer)


def _check_in(
    *, caller: Caller, code: str, walk_in_service: str | None, at: datetime
) -> dict[str, Any]:
    organisation_id = required(caller.organisation_id)
    walked_in_for = _service(walk_in_service, organisation_id=organisation_id)
    shown = codes.read_genuine(code, at=at)
    use = codes.use_code(caller=caller, shown=shown, purpose=PURPOSE, case_number=None, at=at)
    if use.resident is None:
        return {"refusal": use.reason}
    resident = use.resident
    found = queries.lock_arrival(
        resident_id=resident.id, organisation_id=organisation_id, ended_after=at - LATE
    )
    booking = None if found is None or found.slot.starts_at - EARLY > at else found
    service = walked_in_for if booking is None else booking.service
    if service is None:
        return _refusal(found)
    ticket = queueing.give_ticket(service=service, resident_id=resident.id, booking=booking, at=at)
    if booking is not None and booking.state == "booked":
        history.change_booking(booking, "checked_in", actor=caller.scope, at=at)
    checked_in = CheckedIn(
        holder=disclosure.pseudonym(resident_id=resident.id, organisation_id=organisation_id)
        if use.knows_holder
        else None,
        level=resident.level,
        fields=disclosure.disclose(resident=resident, attributes=use.attributes, at=at),
        booking=None if booking is None else _booking(booking),
        ticket=asdict(queueing.show(ticket)),
        checked_in_at=at.isoformat(),
    )
    return asdict(checked_in)


def _service(code: str | None, *, organisation_id: UUID) -> Service | None:
    if code is None:
        return None
    service = queries.service_called(code, organisation_id=organisation_id)
    if service is None:
        raise WalkInServiceUnknown
    return service


def _refusal(later: Booking | None) -> dict[str, Any]:
    if later is None:
        return {"refusal": NoBooking.code}
    return {"refusal": TooEarly.code, "starts_at": later.slot.starts_at.isoformat()}


def _booking(booking: Booking) -> dict[str, Any]:
    service = booking.service
    return {
        "id": str(booking.id),
        "service": {"code": service.code, "zh": service.name_zh, "en": service.name_en},
        "starts_at": booking.slot.starts_at.isoformat(),
    }
