"""Follows the charges for taps: an unpaid fare stops the card's account until it is paid."""

import uuid
from datetime import datetime

from django.db import connection
from django.db.models import F

from cards import states
from cards.models import Card, Tap
from vpass.common.outbox import Event

CHARGE_DUE = "payments.charge_due"
CHARGE_PAID = "payments.charge_paid"
CHARGE_CANCELLED = "payments.charge_cancelled"
CONSUMER = "cards.debts"
KIND = "tap"

# A charge is due, then paid or cancelled; the news may come in any order, and more than once.
_NOTE = """
INSERT INTO cards_debt AS d (charge_id, account_id, tap_id, amount_fen, due_at, paid_at)
VALUES (%(charge)s, %(account)s, %(tap)s, %(amount_fen)s, %(due_at)s, %(paid_at)s)
ON CONFLICT (charge_id) DO UPDATE SET due_at = COALESCE(d.due_at, EXCLUDED.due_at),
    paid_at = COALESCE(d.paid_at, EXCLUDED.paid_at)
"""


def follow_charge(event: Event) -> None:
    """Note that a charge is due, or is not any more: an outbox consumer for "tap:" references.

    A debt is open from the first to the second, whatever order they come in.
    """
    kind, _, tap_id = str(event.payload["reference"]).partition(":")
    if kind != KIND:
        return
    tap = Tap.objects.select_related("card").get(id=uuid.UUID(tap_id))
    _note(
        charge=event.payload["charge"],
        tap=tap,
        amount_fen=event.payload["amount_fen"],
        due_at=event.published_at if event.name == CHARGE_DUE else None,
        paid_at=None if event.name == CHARGE_DUE else event.published_at,
    )
    cards = Card.objects.filter(account_id=tap.card.account_id)
    # Waits for a replacement under way, in a statement of its own: the next one sees the successor.
    list(cards.select_for_update(no_key=True).order_by("id").values_list("id"))
    cards.filter(state__in=states.LIVING).update(epoch=F("epoch") + 1)


def _note(
    *,
    charge: str,
    tap: Tap,
    amount_fen: int,
    due_at: datetime | None,
    paid_at: datetime | None,
) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            _NOTE,
            {
                "charge": charge,
                "account": tap.card.account_id,
                "tap": tap.id,
                "amount_fen": amount_fen,
                "due_at": due_at,
                "paid_at": paid_at,
            },
        )
