"""Books seats for residents: held for five minutes, then confirmed, given back, or lost."""

import secrets
import uuid
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import QuerySet

from services import history, queries, states
from services.models import Booking, Service, Ticket
from services.queries import SlotAsked
from vpass.common.callers import Caller, required
from vpass.common.errors import Conflict, DomainError, NotFound
from vpass.common.idempotency import IdempotencyKey, find_answer, once
from vpass.common.ids import uuid7
from vpass.common.policy import LevelTooLow

HOLD_LIFE = timedelta(minutes=5)
# Until so long after the end of their slot people may still check in; then they have stayed away.
LATE = timedelta(hours=2)
EXPIRY = "bookings.expiry"  # who moves a booking on when its time is over


class SlotFull(Conflict):
    """All seats of this slot are taken."""

    code = "slot.full"
    title_zh = "该时段已约满"


class SlotOver(Conflict):
    """This slot has begun already."""

    code = "slot.over"
    title_zh = "该时段已开始，不能再预约"


class BookingExists(Conflict):
    """You have an appointment for this service on that day already."""

    code = "booking.exists"
    title_zh = "您当天已预约该事项"


class HoldExpired(DomainError):
    """The seat was not confirmed in time."""

    code = "booking.hold_expired"
    status = 410
    title_zh = "未在规定时间内确认，预留名额已释放"


class BookingOver(Conflict):
    """This appointment cannot be changed any more."""

    code = "booking.over"
    title_zh = "该预约已不能更改"


class _SeatsLocked(Exception):
    """Others are claiming the last seats at this very moment."""


@dataclass(frozen=True, kw_only=True)
class Shown:
    """A booking as its resident sees it; times are RFC 3339 in UTC, names {"zh", "en"}.

    `held_until` is there while it is held. `ticket` is there once the resident has checked in:
    {"label", "state", "desk": names or None}.
    """

    id: str
    state: str
    service: dict[str, str]
    organisation: dict[str, str]
    starts_at: str
    ends_at: str
    held_until: str | None
    ticket: dict[str, Any] | None


def show(booking: Booking, *, ticket: Ticket | None = None, at: datetime) -> Shown:
    """What the resident sees of a booking; a hold is over when its time is, written down or not."""
    is_held = booking.state == "held"
    is_running = is_held and booking.held_until > at
    service = booking.service
    return Shown(
        id=str(booking.id),
        state="expired" if is_held and not is_running else booking.state,
        service={
            "id": str(service.id),
            "code": service.code,
            "zh": service.name_zh,
            "en": service.name_en,
        },
        organisation={"zh": service.organisation.name_zh, "en": service.organisation.name_en},
        starts_at=booking.slot.starts_at.isoformat(),
        ends_at=booking.slot.ends_at.isoformat(),
        held_until=booking.held_until.isoformat() if is_running else None,
        ticket=None if ticket is None else _ticket(ticket),
    )


def show_found(booking: Booking, *, at: datetime) -> Shown:
    """What the resident sees of one of `bookings_of`, with its ticket."""
    return show(booking, ticket=getattr(booking, "ticket", None), at=at)


def hold_seat(
    *, caller: Caller, slot_id: uuid.UUID, idempotency_key: IdempotencyKey, at: datetime
) -> Shown:
    """Hold a seat of a slot for the resident, HOLD_LIFE from `at`.

    A seat the resident holds already, of the same service on the same day, is given back for it;
    only one active booking of a service is possible on a day. Raises NotFound, LevelTooLow,
    SlotOver, SlotFull, BookingExists, and what `once` raises.
    """
    resident_id = required(caller.resident_id)
    asked = queries.find_slot(slot_id, resident_id=resident_id, at=at)
    try:
        slot = _judge(asked, caller=caller, at=at)
    except DomainError:
        # A repeat has its answer, also when the slot is full by now. Nobody else waits for a claim.
        if (answer := find_answer(idempotency_key)) is None:
            raise
        return Shown(**answer)
    try:
        return _hold_once(slot, caller=caller, key=idempotency_key, is_waiting=False, at=at)
    except _SeatsLocked:
        # Whoever has locked the last seats may roll back: wait for them, and then once more.
        if not queries.await_seat(slot_id, at=at):
            raise SlotFull from None
        return _hold_once(slot, caller=caller, key=idempotency_key, is_waiting=True, at=at)


def confirm_booking(
    *, caller: Caller, booking_id: uuid.UUID, idempotency_key: IdempotencyKey, at: datetime
) -> Shown:
    """Book the seat that is held. Raises NotFound, HoldExpired, BookingOver, what `once` raises."""
    with once(idempotency_key, at=at) as claim:
        if claim.answer is None:
            booking = _lock(booking_id, caller=caller)
            if booking.state not in ("held", "expired"):
                raise BookingOver(state=booking.state)
            if booking.state == "expired" or booking.held_until <= at:
                raise HoldExpired
            if not queries.keep_seat(booking):
                raise HoldExpired
            history.change_booking(booking, "booked", actor=caller.scope, at=at)
            claim.answer = asdict(show(booking, at=at))
        return Shown(**claim.answer)


def cancel_booking(
    *, caller: Caller, booking_id: uuid.UUID, idempotency_key: IdempotencyKey, at: datetime
) -> Shown:
    """Give a seat back, held or booked; others find it after a random time (`Service`).

    Raises NotFound, BookingOver, and what `once` raises.
    """
    with once(idempotency_key, at=at) as claim:
        if claim.answer is None:
            booking = _lock(booking_id, caller=caller)
            is_over = booking.state == "held" and booking.held_until <= at
            if is_over or booking.state not in ("held", "booked"):
                raise BookingOver(state="expired" if is_over else booking.state)
            history.change_booking(booking, "cancelled", actor=caller.scope, at=at)
            queries.free_seat(booking, at=at + _wait_for(booking.service))
            claim.answer = asdict(show(booking, at=at))
        return Shown(**claim.answer)


def bookings_of(*, caller: Caller) -> QuerySet[Booking]:
    """The caller's own bookings, to be ordered by `-id`."""
    return queries.bookings_of(resident_id=required(caller.resident_id))


def booking_of(*, caller: Caller, booking_id: uuid.UUID) -> Booking:
    """One of the caller's own bookings; another's and a missing one raise NotFound alike."""
    booking = bookings_of(caller=caller).filter(id=booking_id).first()
    if booking is None:
        raise NotFound
    return booking


def end_due_bookings(*, at: datetime, limit: int = 500) -> int:
    """Write down which holds are over and who has stayed away; returns how many. Safe to run twice.

    Nothing waits for this: a hold is over at its time, and its seat free, without it.
    """
    found = Booking.objects.select_for_update(skip_locked=True, no_key=True, of=("self",))
    with transaction.atomic():
        holds = found.filter(state="held", held_until__lte=at).order_by("held_until", "id")
        absent = found.filter(state="booked", slot__ends_at__lte=at - LATE).order_by("id")
        ended = [(each, "expired") for each in holds[:limit]]
        ended += [(each, "missed") for each in absent[:limit]]
        for booking, to_state in ended:
            history.change_booking(booking, to_state, actor=EXPIRY, at=at)
    return len(ended)


def _judge(asked: SlotAsked | None, *, caller: Caller, at: datetime) -> SlotAsked:
    """The slot, if the caller may try to get a seat of it; whether there is one the claim says."""
    if asked is None:
        raise NotFound
    level = asked.slot.service.level
    if caller.level < level:
        raise LevelTooLow(needed=level)
    if asked.slot.starts_at <= at:
        raise SlotOver
    if asked.is_full:
        raise SlotFull
    return asked


def _hold_once(
    asked: SlotAsked, *, caller: Caller, key: IdempotencyKey, is_waiting: bool, at: datetime
) -> Shown:
    with once(key, at=at) as claim:
        if claim.answer is None:
            shown = _hold(asked, caller=caller, is_waiting=is_waiting, at=at)
            claim.answer = asdict(shown)
        return Shown(**claim.answer)


def _hold(asked: SlotAsked, *, caller: Caller, is_waiting: bool, at: datetime) -> Shown:
    slot, service = asked.slot, asked.slot.service
    former = None if asked.active_id is None else _lock(asked.active_id, caller=caller)
    is_running = False
    if former is not None and former.state == "held":
        is_running = former.held_until > at
        history.change_booking(
            former, "cancelled" if is_running else "expired", actor=caller.scope, at=at
        )
    booking = Booking(
        id=uuid7(at),
        resident_id=required(caller.resident_id),
        service=service,
        slot=slot,
        day=slot.day,
        state=states.BOOKING.initial,
        held_until=at + HOLD_LIFE,
        created_at=at,
    )
    outcome = queries.claim_seat(
        booking,
        free_from=booking.held_until + _wait_for(service),
        replaced=None if former is None else former.id,
        is_waiting=is_waiting,
    )
    if outcome == "doubled":
        raise BookingExists
    if outcome == "locked" and not is_waiting:
        raise _SeatsLocked
    if outcome != "claimed":
        raise SlotFull
    if former is not None and is_running:
        # After the claim: whoever frees a seat first could wait for others' seats with it in hand.
        queries.free_seat(former, at=at + _wait_for(service))
    return show(booking, at=at)


def _lock(booking_id: uuid.UUID, *, caller: Caller) -> Booking:
    booking = queries.lock_booking(booking_id, resident_id=required(caller.resident_id))
    if booking is None:
        raise NotFound
    return booking


def _wait_for(service: Service) -> timedelta:
    """For how long a seat that comes back is kept from everybody: nobody can wait for it."""
    return timedelta(seconds=secrets.randbelow(service.reappears_within_s + 1))


def _ticket(ticket: Ticket) -> dict[str, Any]:
    desk = ticket.desk
    return {
        "label": ticket.label,
        "state": ticket.state,
        "desk": None if desk is None else {"zh": desk.name_zh, "en": desk.name_en},
    }
