"""Changes the state of bookings and tickets, each with its line of history, in one statement."""

from datetime import datetime
from typing import Any

from django.db import connection

from services import states
from services.models import Booking, Ticket

_CHANGE_BOOKING = """
WITH changed AS (
    UPDATE services_booking SET state = %(to_state)s
    WHERE id = %(id)s AND state = %(from_state)s RETURNING id
), line AS (
    INSERT INTO services_bookingchange (booking_id, from_state, to_state, event, actor, at)
    SELECT id, %(from_state)s, %(to_state)s, %(event)s, %(actor)s, %(at)s FROM changed RETURNING 1
)
SELECT count(*) FROM changed
"""

_CHANGE_TICKET = """
WITH changed AS (
    UPDATE services_ticket SET state = %(to_state)s, due_at = %(due_at)s,
        calls = calls + CASE WHEN %(event)s = 'recall' THEN 1 ELSE 0 END,
        desk_id = CASE WHEN %(event)s = 'come_back' THEN NULL ELSE desk_id END
    WHERE id = %(id)s AND state = %(from_state)s RETURNING id
), line AS (
    INSERT INTO services_ticketchange (ticket_id, from_state, to_state, event, actor, at)
    SELECT id, %(from_state)s, %(to_state)s, %(event)s, %(actor)s, %(at)s FROM changed RETURNING 1
)
SELECT count(*) FROM changed
"""


def change_booking(booking: Booking, to_state: str, *, actor: str, at: datetime) -> None:
    """Move a locked booking on; the row in hand is changed too.

    Raises states.IllegalTransition when the table has no such edge.
    """
    changes = {
        "id": booking.id,
        "from_state": booking.state,
        "to_state": to_state,
        "event": states.BOOKING.event(booking.state, to_state),
        "actor": actor,
        "at": at,
    }
    if not _write(_CHANGE_BOOKING, changes):
        raise RuntimeError("a booking is changed under its lock only")
    booking.state = to_state


def change_ticket(ticket: Ticket, to_state: str, *, actor: str, at: datetime) -> None:
    """Move a locked ticket on, with the `due_at` it has in hand; the row in hand is changed too.

    Raises states.IllegalTransition when the table has no such edge.
    """
    event = states.TICKET.event(ticket.state, to_state)
    changes = {
        "id": ticket.id,
        "from_state": ticket.state,
        "to_state": to_state,
        "event": event,
        "due_at": ticket.due_at,
        "actor": actor,
        "at": at,
    }
    if not _write(_CHANGE_TICKET, changes):
        raise RuntimeError("a ticket is changed under its lock only")
    ticket.state = to_state
    ticket.calls += event == "recall"
    if event == "come_back":
        ticket.desk = None


def _write(statement: str, values: dict[str, Any]) -> bool:
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
        return bool(cursor.fetchone()[0])
