"""Reads and claims what the paths of booking and queue need, each in one statement."""

import uuid
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from django.db import connection
from django.db.models import Count, Q, QuerySet

from identity.models import Organisation
from services.models import Booking, Seat, Service, Slot, Ticket
from vpass.common import prepared
from vpass.common.transactions import require_autocommit

# By hand: of all who want the last seats this is what most of them ask.
_FIND_SLOT = """
SELECT s.day, s.starts_at, s.ends_at,
    v.id, v.code, v.name_zh, v.name_en, v.level, v.reappears_within_s,
    o.id, o.name_zh, o.name_en, b.id,
    NOT EXISTS (SELECT FROM services_seat WHERE slot_id = s.id AND free_from IS NOT NULL
        AND (free_from <= %(at)s OR booking_id = b.id))
FROM services_slot s
    JOIN services_service v ON v.id = s.service_id
    JOIN identity_organisation o ON o.id = v.organisation_id AND o.state = 'active'
    LEFT JOIN services_booking b ON b.resident_id = %(resident)s AND b.service_id = s.service_id
        AND b.day = s.day AND b.state IN ('held', 'booked', 'checked_in')
WHERE s.id = %(slot)s
"""

# The seat and its booking, or nothing. The second form waits for seats that others have locked, in
# the order of `n`, so that those who wait cannot wait for each other; that holds in a transaction
# which has touched no seat before, for also seats that turn out to be taken stay locked to its end.
_CLAIM = """
WITH free AS (
    SELECT id FROM services_seat
    WHERE slot_id = %(slot_id)s AND free_from IS NOT NULL
        AND (free_from <= %(created_at)s OR booking_id = %(replaced)s::uuid)
    ORDER BY n LIMIT 1 FOR UPDATE SKIP LOCKED
), seat AS (
    UPDATE services_seat s SET booking_id = %(id)s, free_from = %(free_from)s
    FROM free WHERE s.id = free.id RETURNING s.id
), made AS (
    INSERT INTO services_booking (id, resident_id, service_id, slot_id, day, state, held_until,
        created_at)
    SELECT %(id)s, %(resident_id)s::uuid, %(service_id)s::uuid, %(slot_id)s, %(day)s::date,
        %(state)s::text, %(held_until)s::timestamptz, %(created_at)s
    FROM seat ON CONFLICT DO NOTHING RETURNING id
)
SELECT CASE
    WHEN EXISTS (SELECT FROM made) THEN 'claimed'
    WHEN EXISTS (SELECT FROM seat) THEN 'doubled'
    WHEN EXISTS (SELECT FROM services_seat
        WHERE slot_id = %(slot_id)s AND free_from <= %(created_at)s) THEN 'locked'
    ELSE 'full' END
"""
_CLAIM_WAITING = _CLAIM.replace(" SKIP LOCKED", "")
# Waits with all others who want to know, and keeps none of them waiting.
_AWAIT = """
SELECT id FROM services_seat
WHERE slot_id = %(slot)s AND free_from <= %(at)s ORDER BY n LIMIT 1 FOR SHARE
"""

# A number without a gap or a double: the counter's row is locked until the ticket commits.
_ISSUE = """
WITH counted AS (
    INSERT INTO services_ticketcounter AS c (organisation_id, day, prefix, last)
    VALUES (%(organisation_id)s, %(day)s, %(prefix)s, 1)
    ON CONFLICT (organisation_id, day, prefix) DO UPDATE SET last = c.last + 1
    RETURNING last
)
INSERT INTO services_ticket (id, organisation_id, service_id, resident_id, booking_id, day, prefix,
    number, state, priority, due_at, issued_at, calls)
SELECT %(id)s, %(organisation_id)s, %(service_id)s, %(resident_id)s, %(booking_id)s, %(day)s,
    %(prefix)s, last, %(state)s, %(priority)s, %(due_at)s, %(issued_at)s, 0
FROM counted ON CONFLICT DO NOTHING RETURNING number
"""

# Two desks never get the same ticket, and a desk which has one gets no second.
_CALL_NEXT = """
WITH next AS (
    SELECT id FROM services_ticket
    WHERE organisation_id = %(organisation_id)s AND state = 'waiting' AND NOT EXISTS (
        SELECT FROM services_ticket
        WHERE desk_id = %(desk_id)s AND state IN ('called', 'serving'))
    ORDER BY priority, due_at, id LIMIT 1 FOR UPDATE SKIP LOCKED
), called AS (
    UPDATE services_ticket t SET state = 'called', desk_id = %(desk_id)s, called_at = %(at)s,
        calls = calls + 1
    FROM next WHERE t.id = next.id RETURNING t.id
), line AS (
    INSERT INTO services_ticketchange (ticket_id, from_state, to_state, event, actor, at)
    SELECT id, 'waiting', 'called', %(event)s, %(actor)s, %(at)s FROM called RETURNING 1
)
SELECT id FROM called
"""


@dataclass(frozen=True)
class SlotAsked:
    """A slot with its service and organisation, as a resident who wants it finds it.

    `active_id` is the resident's active booking of that service on that day; `is_full` says that
    no seat was free at that moment, the resident's own left out.
    """

    slot: Slot
    active_id: uuid.UUID | None
    is_full: bool


def find_slot(slot_id: uuid.UUID, *, resident_id: uuid.UUID, at: datetime) -> SlotAsked | None:
    """Return the slot of an active organisation; None when there is none."""
    with connection.cursor() as cursor:
        values = {"slot": slot_id, "resident": resident_id, "at": at}
        prepared.execute(cursor, "find_slot", _FIND_SLOT, values)
        row = cursor.fetchone()
    if row is None:
        return None
    slot, service, organisation = row[:3], row[3:9], row[9:12]
    offered = Service(
        **dict(zip(_SERVICE_COLUMNS, service, strict=True)),
        organisation=Organisation(
            **dict(zip(("id", "name_zh", "name_en"), organisation, strict=True))
        ),
    )
    day, starts_at, ends_at = slot
    return SlotAsked(
        slot=Slot(id=slot_id, service=offered, day=day, starts_at=starts_at, ends_at=ends_at),
        active_id=row[12],
        is_full=row[13],
    )


def slots_of(
    service_id: uuid.UUID, *, resident_id: uuid.UUID, day: date | None, at: datetime
) -> QuerySet[Slot]:
    """Return a service's slots still to come, each with `free`, the seats this resident may have.

    A seat which the resident holds already counts as free.
    """
    held = Q(seat__booking__resident_id=resident_id, seat__booking__state="held")
    is_free = Q(seat__free_from__lte=at) | Q(seat__free_from__isnull=False) & held
    found = Slot.objects.filter(service_id=service_id, starts_at__gt=at).annotate(
        free=Count("seat", filter=is_free)
    )
    return found if day is None else found.filter(day=day)


def claim_seat(
    booking: Booking, *, free_from: datetime, replaced: uuid.UUID | None, is_waiting: bool
) -> str:
    """Write a new booking with a seat of its slot: "claimed", or nothing is left of it.

    The seat is free again from `free_from`. The seat of the booking `replaced` is as good as a free
    one. "full": all seats are taken; "locked": they were free a moment ago, and who has locked them
    since may roll back (it means "full" when `is_waiting`); "doubled": the resident has an active
    booking on that day.
    """
    values = {field.attname: getattr(booking, field.attname) for field in _BOOKING_FIELDS}
    values |= {"free_from": free_from, "replaced": replaced}
    with connection.cursor() as cursor:
        text = _CLAIM_WAITING if is_waiting else _CLAIM
        prepared.execute(cursor, "claim_seat", text, values)
        return str(cursor.fetchone()[0])


def await_seat(slot_id: uuid.UUID, *, at: datetime) -> bool:
    """Whether a slot has a free seat once everybody who is claiming one now is done."""
    require_autocommit("waiting for a seat")
    with connection.cursor() as cursor:
        prepared.execute(cursor, "await_seat", _AWAIT, {"slot": slot_id, "at": at})
        return cursor.fetchone() is not None


def free_seat(booking: Booking, *, at: datetime) -> None:
    """Let the seat of a booking be free from a moment on."""
    Seat.objects.filter(booking_id=booking.id).update(free_from=at)


def keep_seat(booking: Booking) -> bool:
    """Take the seat of a hold for good; False when another has it since."""
    return bool(Seat.objects.filter(booking_id=booking.id).update(free_from=None))


def lock_booking(booking_id: uuid.UUID, *, resident_id: uuid.UUID) -> Booking | None:
    """Return a booking of the resident, with slot and service, which nobody else changes now."""
    return (
        Booking.objects.select_related("slot", "service__organisation")
        .select_for_update(of=("self",), no_key=True)
        .filter(id=booking_id, resident_id=resident_id)
        .first()
    )


def lock_arrival(
    *, resident_id: uuid.UUID, organisation_id: uuid.UUID, ended_after: datetime
) -> Booking | None:
    """Return the resident's first booking there that is not over, locked: one they are checked in
    for, or one whose slot ended later than that."""
    return (
        Booking.objects.select_related("slot", "service")
        .select_for_update(of=("self",), no_key=True)
        .filter(
            Q(state="checked_in") | Q(state="booked", slot__ends_at__gt=ended_after),
            resident_id=resident_id,
            service__organisation_id=organisation_id,
        )
        .order_by("slot__starts_at", "id")
        .first()
    )


def lock_booking_of_ticket(ticket_id: uuid.UUID, *, organisation_id: uuid.UUID) -> Booking | None:
    """Return the booking of a ticket there, locked; None when there is none.

    Who changes both locks the booking before the ticket, for so the check-in does.
    """
    return (
        Booking.objects.select_for_update(of=("self",), no_key=True)
        .filter(ticket__id=ticket_id, ticket__organisation_id=organisation_id)
        .first()
    )


def bookings_of(*, resident_id: uuid.UUID) -> QuerySet[Booking]:
    """Return a resident's bookings with all that is shown of them, to be ordered by `-id`."""
    return Booking.objects.select_related(
        "slot", "service__organisation", "ticket__desk", "ticket__service"
    ).filter(resident_id=resident_id)


def service_called(code: str, *, organisation_id: uuid.UUID) -> Service | None:
    """Return the service which an organisation calls by this code."""
    return Service.objects.filter(organisation_id=organisation_id, code=code).first()


def issue_ticket(ticket: Ticket) -> bool:
    """Write a ticket under the next number of its day; False when its owner has one already."""
    values = {field.attname: getattr(ticket, field.attname) for field in _TICKET_FIELDS}
    with connection.cursor() as cursor:
        cursor.execute(_ISSUE, values)
        row = cursor.fetchone()
    if row is None:
        return False
    ticket.number = row[0]
    return True


def call_next(
    *, organisation_id: uuid.UUID, desk_id: uuid.UUID, event: str, actor: str, at: datetime
) -> uuid.UUID | None:
    """Call the next who waits to a desk; None when nobody waits or the desk has a ticket."""
    with connection.cursor() as cursor:
        cursor.execute(
            _CALL_NEXT,
            {
                "organisation_id": organisation_id,
                "desk_id": desk_id,
                "event": event,
                "actor": actor,
                "at": at,
            },
        )
        row: Any = cursor.fetchone()
    return None if row is None else row[0]


def tickets_in(organisation_id: uuid.UUID) -> QuerySet[Ticket]:
    """Return an organisation's tickets with all that is shown of them."""
    return Ticket.objects.select_related("service", "desk", "booking__slot").filter(
        organisation_id=organisation_id
    )


def lock_ticket(**wanted: Any) -> Ticket | None:
    """Return one ticket, with all that is shown of it, which nobody else changes now."""
    return (
        Ticket.objects.select_related("service", "desk", "booking__slot")
        .select_for_update(of=("self",), no_key=True)
        .filter(**wanted)
        .first()
    )


_SERVICE_COLUMNS = ("id", "code", "name_zh", "name_en", "level", "reappears_within_s")
_BOOKING_FIELDS = Booking._meta.concrete_fields
_TICKET_FIELDS = Ticket._meta.concrete_fields
