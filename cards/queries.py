"""Reads cards where money and rides depend on them, each answer in one statement."""

import uuid
from typing import Any

from cards.models import Card
from vpass.common.transactions import is_in_transaction

# The share lock: who freezes or unbinds the card waits for the payment, or the payment sees it.
_READ = """
SELECT c.*, i.organisation_id AS bank_organisation_id,
    EXISTS (SELECT FROM cards_freeze f WHERE f.card_id = c.id AND f.lifted_at IS NULL) AS is_frozen
FROM cards_card c
    JOIN cards_cardaccount a ON a.id = c.account_id
    JOIN cards_issuer i ON i.id = c.issuer_id
WHERE c.id = %(card)s AND a.resident_id = %(resident)s AND c.card_type = 'bank'
"""


def bank_card_of(*, resident_id: uuid.UUID, card_id: uuid.UUID) -> Any:
    """Return a resident's bank card with `bank_organisation_id` and `is_frozen`, or None.

    In a transaction its row is locked for sharing.
    """
    lock = "FOR SHARE OF c" if is_in_transaction() else ""
    values = {"card": card_id, "resident": resident_id}
    found = list(Card.objects.raw(_READ + lock, values))
    return found[0] if found else None
