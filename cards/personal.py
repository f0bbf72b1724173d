"""What the wallet keeps of a person: told in an export, open before a deletion, forgotten in it."""

import secrets
import uuid
from datetime import datetime

from cards import obligations, states
from cards.history import change_card
from cards.models import Card, Debt, Tap
from identity.own_data import Section, fields_of


def open_obligations(*, resident_id: uuid.UUID) -> list[str]:
    """Return the codes of what is open on any card of a resident that is not yet unbound."""
    cards = Card.objects.filter(account__resident_id=resident_id).exclude(
        state__in=states.CARD.final
    )
    return sorted({code for card in cards for code in obligations.open_obligations(card)})


def export(*, resident_id: uuid.UUID) -> dict[str, Section]:
    """Return a resident's cards, taps and debts."""
    return {
        "cards": Section(
            Card.objects.filter(account__resident_id=resident_id),
            fields_of(
                "id", "card_type", "issuer_id", "number", "last4", "facts", "state",
                "valid_until", "bound_at",
            ),
        ),
        "taps": Section(
            Tap.objects.filter(card__account__resident_id=resident_id),
            fields_of("id", "card_id", "line_id", "concession", "fare_fen", "at"),
        ),
        "debts": Section(
            Debt.objects.filter(account__resident_id=resident_id),
            fields_of("charge_id", "tap_id", "amount_fen", "due_at", "paid_at"),
        ),
    }  # fmt: skip


def forget(*, resident_id: uuid.UUID, at: datetime) -> None:
    """Unbind a resident's cards, and forget what names them; taps and fares keep theirs by id."""
    cards = Card.objects.select_for_update(of=("self",)).filter(account__resident_id=resident_id)
    for card in cards.order_by("id"):
        if card.state not in states.CARD.final:
            change_card(card, "unbound", actor="deletion", at=at)
        if card.number is not None:
            card.number = ""
        if card.token is not None:
            card.token = ""
        card.number_hash, card.last4, card.facts = secrets.token_bytes(32), "", {}
        card.save(update_fields=["number", "token", "number_hash", "last4", "facts"])
