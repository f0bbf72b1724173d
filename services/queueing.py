"""Keeps an organisation's queue: gives tickets, calls the next, and sees each to its end."""

import math
import uuid
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import Q

from services import history, queries, states
from services.models import AT_A_DESK, Booking, Service, Ticket
from vpass.common.callers import Caller, required
from vpass.common.clock import city_date
from vpass.common.errors import Conflict, NotFound
from vpass.common.idempotency import IdempotencyKey, once
from vpass.common.ids import uuid7
from vpass.common.states import IllegalTransition

# So long after the first call, and after the time of the appointment, nobody can be a no-show.
GRACE = timedelta(minutes=3)
# A ticket of so long ago is of a day that is over.
TICKET_LIFE = timedelta(hours=12)
SHOWN_WAITING = 50
DAY_END = "queue.day_end"


class DeskBusy(Conflict):
    """This desk has somebody already: finish with them first."""

    code = "desk.busy"
    title_zh = "本窗口尚有未办结的号"


class TicketAtOtherDesk(Conflict):
    """This ticket is not at your desk."""

    code = "ticket.other_desk"
    title_zh = "该号不在本窗口办理"


class TicketInGrace(Conflict):
    """It is too early to count this person as missing."""

    code = "ticket.in_grace"
    title_zh = "等候时间未到，暂不能按过号处理"


@dataclass(frozen=True, kw_only=True)
class TicketShown:
    """A ticket as the clerks see it; times are RFC 3339 in UTC, names {"zh", "en"}.

    `booked_at` is the time of the appointment, None for who walked in; `calls` counts the calls.
    """

    id: str
    label: str
    state: str
    service: dict[str, str]
    booked_at: str | None
    due_at: str
    issued_at: str
    desk: dict[str, str] | None
    called_at: str | None
    calls: int


@dataclass(frozen=True)
class Queue:
    """An organisation's queue: how many wait, who is next, who is at which desk, and at mine."""

    waiting_count: int
    waiting: list[TicketShown]
    at_desks: list[TicketShown]
    mine: TicketShown | None
    services: list[dict[str, str]]


def show(ticket: Ticket) -> TicketShown:
    """What the clerks see of a ticket."""
    service, desk = ticket.service, ticket.desk
    booked_at = None if ticket.booking is None else ticket.booking.slot.starts_at
    return TicketShown(
        id=str(ticket.id),
        label=ticket.label,
        state=ticket.state,
        service={"code": service.code, "zh": service.name_zh, "en": service.name_en},
        booked_at=_text(booked_at),
        due_at=ticket.due_at.isoformat(),
        issued_at=ticket.issued_at.isoformat(),
        desk=None if desk is None else {"zh": desk.name_zh, "en": desk.name_en},
        called_at=_text(ticket.called_at),
        calls=ticket.calls,
    )


def queue_of(*, caller: Caller) -> Queue:
    """The queue of the caller's organisation, in the order in which it is called."""
    organisation_id = required(caller.organisation_id)
    tickets = queries.tickets_in(organisation_id)
    waiting = tickets.filter(state="waiting")
    at_desks = list(tickets.filter(state__in=AT_A_DESK).order_by("desk__name_zh", "id"))
    mine = next((each for each in at_desks if each.desk_id == caller.desk_id), None)
    services = Service.objects.filter(organisation_id=organisation_id).order_by("code")
    return Queue(
        waiting_count=waiting.count(),
        waiting=[
            show(each) for each in waiting.order_by("priority", "due_at", "id")[:SHOWN_WAITING]
        ],
        at_desks=[show(each) for each in at_desks],
        mine=None if mine is None else show(mine),
        services=[{"code": each.code, "zh": each.name_zh, "en": each.name_en} for each in services],
    )


def call_next(
    *, caller: Caller, idempotency_key: IdempotencyKey, at: datetime
) -> TicketShown | None:
    """Call the next of the queue to the caller's desk; None when nobody waits.

    Raises DeskBusy, and what `once` raises.
    """
    try:
        with once(idempotency_key, at=at) as claim:
            if claim.answer is None:
                claim.answer = {"ticket": _call_next(caller=caller, at=at)}
            ticket = claim.answer["ticket"]
    except IntegrityError as error:  # the same desk has called at this very moment
        raise DeskBusy from error
    return None if ticket is None else TicketShown(**ticket)


def recall(
    *, caller: Caller, ticket_id: uuid.UUID, idempotency_key: IdempotencyKey, at: datetime
) -> TicketShown:
    """Call the desk's ticket once more."""
    return _move("recall", caller=caller, ticket_id=ticket_id, key=idempotency_key, at=at)


def serve(
    *, caller: Caller, ticket_id: uuid.UUID, idempotency_key: IdempotencyKey, at: datetime
) -> TicketShown:
    """Begin with the person who was called."""
    return _move("serve", caller=caller, ticket_id=ticket_id, key=idempotency_key, at=at)


def finish(
    *, caller: Caller, ticket_id: uuid.UUID, idempotency_key: IdempotencyKey, at: datetime
) -> TicketShown:
    """Be done with the person; the booking is served with that."""
    return _move("finish", caller=caller, ticket_id=ticket_id, key=idempotency_key, at=at)


def miss(
    *, caller: Caller, ticket_id: uuid.UUID, idempotency_key: IdempotencyKey, at: datetime
) -> TicketShown:
    """Go on without the person who was called and did not come.

    Raises TicketInGrace before GRACE is over, from the first call and from the booked time on.
    """
    return _move("miss", caller=caller, ticket_id=ticket_id, key=idempotency_key, at=at)


def give_ticket(
    *,
    service: Service,
    resident_id: uuid.UUID,
    booking: Booking | None = None,
    at: datetime,
) -> Ticket:
    """A place in the queue, within the caller's transaction; who has one already keeps it.

    Who comes in time is due at the booked time, everybody else when they come. A ticket that was
    missed waits again, due now.
    """
    wanted = (
        {"booking_id": booking.id}
        if booking is not None
        else {"booking": None, "resident_id": resident_id, "service_id": service.id}
    )
    is_in_time = booking is not None and at < booking.slot.ends_at
    ticket = Ticket(
        id=uuid7(at),
        organisation_id=service.organisation_id,
        service=service,
        resident_id=resident_id,
        booking=booking,
        day=city_date(at),
        prefix=service.prefix,
        state=states.TICKET.initial,
        due_at=booking.slot.starts_at if booking is not None and is_in_time else at,
        issued_at=at,
    )
    kept = None if booking is not None and booking.state == "booked" else _find_open(wanted)
    if kept is None:
        if queries.issue_ticket(ticket):
            return ticket
        kept = _find_open(wanted)  # given out at another desk at this very moment
        if kept is None:
            raise NotFound
    if kept.state == "missed":
        kept.due_at = at
        history.change_ticket(kept, "waiting", actor=f"resident:{resident_id}", at=at)
    return kept


def close_old_tickets(*, at: datetime, limit: int = 500) -> int:
    """End what is left of days that are over; returns how many. Safe to run twice."""
    old = Ticket.objects.filter(issued_at__lte=at - TICKET_LIFE)
    old = old.exclude(state__in=("served", "closed")).order_by("issued_at", "id")
    with transaction.atomic():
        due = list(old.values_list("id", flat=True)[:limit])
        bookings = (  # before their tickets, see queries.lock_booking_of_ticket
            Booking.objects.select_for_update(of=("self",), skip_locked=True, no_key=True)
            .filter(ticket__id__in=due)
            .order_by("id")
        )
        tickets = list(
            old.select_related("booking")
            .select_for_update(of=("self",), skip_locked=True, no_key=True)
            .filter(Q(booking=None) | Q(booking__in=[each.id for each in bookings]), id__in=due)
        )
        for ticket in tickets:
            ends_as = {"serving": "served", "missed": "missed"}.get(ticket.state, "cancelled")
            history.change_ticket(ticket, "closed", actor=DAY_END, at=at)
            if ticket.booking is not None:
                history.change_booking(ticket.booking, ends_as, actor=DAY_END, at=at)
    return len(tickets)


def _call_next(*, caller: Caller, at: datetime) -> dict[str, Any] | None:
    called = queries.call_next(
        organisation_id=required(caller.organisation_id),
        desk_id=required(caller.desk_id),
        event=states.TICKET.event("waiting", "called"),
        actor=caller.scope,
        at=at,
    )
    tickets = queries.tickets_in(required(caller.organisation_id))
    if called is not None:
        return asdict(show(tickets.get(id=called)))
    mine = tickets.filter(desk_id=required(caller.desk_id), state__in=AT_A_DESK).first()
    if mine is not None:
        raise DeskBusy(ticket_id=str(mine.id))
    return None


# Which state each step of a desk leads to.
_STEPS = {"recall": "called", "serve": "serving", "finish": "served", "miss": "missed"}


def _move(
    step: str, *, caller: Caller, ticket_id: uuid.UUID, key: IdempotencyKey, at: datetime
) -> TicketShown:
    with once(key, at=at) as claim:
        if claim.answer is None:
            organisation_id, to_state = required(caller.organisation_id), _STEPS[step]
            if to_state == "served":
                queries.lock_booking_of_ticket(ticket_id, organisation_id=organisation_id)
            ticket = queries.lock_ticket(id=ticket_id, organisation_id=organisation_id)
            if ticket is None:
                raise NotFound
            if states.TICKET.event(ticket.state, to_state) != step:
                raise IllegalTransition
            if ticket.desk_id != caller.desk_id:
                raise TicketAtOtherDesk
            if to_state == "missed":
                _wait_for_grace(ticket, at=at)
            history.change_ticket(ticket, to_state, actor=caller.scope, at=at)
            if to_state == "served" and ticket.booking is not None:
                history.change_booking(ticket.booking, "served", actor=caller.scope, at=at)
            claim.answer = asdict(show(ticket))
        return TicketShown(**claim.answer)


def _wait_for_grace(ticket: Ticket, *, at: datetime) -> None:
    first_call = ticket.called_at or at
    ends_at = max(first_call, ticket.due_at) + GRACE
    if at < ends_at:
        raise TicketInGrace(retry_after=math.ceil((ends_at - at).total_seconds()))


def _find_open(wanted: dict[str, Any]) -> Ticket | None:
    open_states = [each for each in states.TICKET.states if each not in states.TICKET.final]
    return queries.lock_ticket(**wanted, state__in=open_states)


def _text(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()
