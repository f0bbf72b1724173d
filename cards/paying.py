"""Says whether, and how, a resident may pay from a bank card in the wallet."""

import uuid
from dataclasses import dataclass, field
from datetime import datetime

from cards import queries, standing
from cards.models import Card
from vpass.common.clock import city_date
from vpass.common.errors import Conflict, NotFound


class CardNotUsable(Conflict):
    """This card cannot be used at present."""

    code = "card.not_usable"
    title_zh = "该卡当前不可用"


@dataclass(frozen=True, kw_only=True)
class PayableCard:
    """A bank card from which its holder may pay: the bank, and the bank's own token for it."""

    card_id: uuid.UUID
    bank_organisation_id: uuid.UUID
    account_token: str = field(repr=False)
    last4: str


def payable_card(*, resident_id: uuid.UUID, card_id: uuid.UUID, at: datetime) -> PayableCard:
    """Return the resident's bank card as one pays from it, in one statement.

    In a transaction the card's row is locked for sharing: it cannot be frozen or unbound before the
    commit. Raises NotFound for another's card or one of another type, and CardNotUsable with the
    member `reason` ("card.frozen", "card.expired", or "card." and the state).
    """
    card = queries.bank_card_of(resident_id=resident_id, card_id=card_id)
    if card is None:
        raise NotFound
    if reason := _fault_in_paying(card, is_frozen=card.is_frozen, at=at):
        raise CardNotUsable(reason=reason)
    return PayableCard(
        card_id=card.id,
        bank_organisation_id=card.bank_organisation_id,
        account_token=card.token,
        last4=card.last4,
    )


def card_in_place_of(*, card_id: uuid.UUID) -> Card:
    """Return the card itself, or what its issuer has put in its place since."""
    return queries.successor_of(Card.objects.get(id=card_id))


def is_good_to_debit(*, card_id: uuid.UUID, at: datetime) -> bool:
    """Whether money may still be taken from a bank card: it is active, in date and not stopped."""
    card = queries.card_with_stops(card_id)
    return _fault_in_paying(card, is_frozen=card.is_frozen, at=at) is None


def _fault_in_paying(card: Card, *, is_frozen: bool, at: datetime) -> str | None:
    return standing.fault(
        state=card.state,
        is_frozen=is_frozen,
        valid_until=card.valid_until,
        is_in_debt=False,  # no debt stops a card that pays
        today=city_date(at),
    )
