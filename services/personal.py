"""What the counters keep of a person: told in an export, and open before a deletion.

Bookings and tickets hold nothing that names anybody, and stay under the account's id.
"""

import uuid

from identity.own_data import Section, fields_of
from services import states
from services.models import Booking, Ticket

BOOKING, TICKET = "services.booking_open", "services.ticket_open"


def open_obligations(*, resident_id: uuid.UUID) -> list[str]:
    """Return the codes of appointments and tickets that are still to come."""
    mine = {"resident_id": resident_id}
    bookings = Booking.objects.filter(**mine).exclude(state__in=states.BOOKING.final)
    tickets = Ticket.objects.filter(**mine).exclude(state__in=states.TICKET.final)
    found = {BOOKING: bookings, TICKET: tickets}
    return [code for code, rows in found.items() if rows.exists()]


def export(*, resident_id: uuid.UUID) -> dict[str, Section]:
    """Return a resident's appointments and tickets."""
    mine = {"resident_id": resident_id}
    return {
        "bookings": Section(
            Booking.objects.filter(**mine),
            fields_of("id", "service_id", "slot_id", "day", "state", "created_at"),
        ),
        "tickets": Section(
            Ticket.objects.filter(**mine),
            fields_of("id", "organisation_id", "service_id", "label", "state", "issued_at"),
        ),
    }
