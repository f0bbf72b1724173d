"""A resident's cards: bound with the issuer's word, shown, frozen, lost, unbound, paid from."""

import uuid
from dataclasses import dataclass, field

from cards import queries
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


def payable_card(*, resident_id: uuid.UUID, card_id: uuid.UUID) -> PayableCard:
    """Return the resident's bank card as one pays from it, in one statement.

    In a transaction the card's row is locked for sharing: it cannot be frozen or unbound before the
    commit. Raises NotFound for another's card or one of another type, and CardNotUsable with the
    member `reason` ("card.frozen", or "card." and the state).
    """
    card = queries.bank_card_of(resident_id=resident_id, card_id=card_id)
    if card is None:
        raise NotFound
    if card.state != "active":
        raise CardNotUsable(reason=f"card.{card.state}")
    if card.is_frozen:
        raise CardNotUsable(reason="card.frozen")
    return PayableCard(
        card_id=card.id,
        bank_organisation_id=card.bank_organisation_id,
        account_token=card.token,
        last4=card.last4,
    )
