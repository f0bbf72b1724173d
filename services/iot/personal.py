"""What parking keeps of a person: told in an export, and open before a deletion.

Stays hold nothing that names anybody, and stay under the account's id.
"""

import uuid

from identity.own_data import Section, fields_of
from services.iot.models import ParkingSession

OPEN = "parking.open"
_UNSETTLED = ("open", "ended", "unclaimed", "due")


def open_obligations(*, resident_id: uuid.UUID) -> list[str]:
    """Return the code of parking whose fee is not settled."""
    mine = ParkingSession.objects.filter(claim__resident_id=resident_id, state__in=_UNSETTLED)
    return [OPEN] if mine.exists() else []


def export(*, resident_id: uuid.UUID) -> dict[str, Section]:
    """Return the stays that a resident has claimed."""
    return {
        "parking": Section(
            ParkingSession.objects.filter(claim__resident_id=resident_id),
            fields_of("id", "bay_id", "started_at", "ended_at", "state", "fee_fen"),
        )
    }
