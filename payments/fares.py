"""Charges the fare of a bus ride that the cards floor has recorded."""

import uuid

from payments import charges
from vpass.common import clock
from vpass.common.outbox import Event

# The bus company is a merchant; the event is published in the tap's own transaction.
TAP_RECORDED = "cards.tap_recorded"
TITLE = "公交 Bus"


def charge_fare(event: Event) -> None:
    """Charge the fare of a tap, once for each tap; a free ride costs nothing."""
    tap = event.payload
    if tap["fare_fen"] > 0:
        charges.charge(
            payer_id=uuid.UUID(tap["resident"]),
            organisation_id=uuid.UUID(tap["organisation"]),
            amount_fen=tap["fare_fen"],
            title=TITLE,
            reference=f"tap:{tap['tap']}",
            at=clock.now(),
        )
