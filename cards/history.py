"""Changes cards under their lock: each change is written down, and raises the card's epoch."""

from datetime import datetime

from django.db.models import F

from cards import states
from cards.models import Card
from identity import history


def change_card(card: Card, to_state: str, *, actor: str, at: datetime) -> None:
    """Move a locked card to another state. Raises states.IllegalTransition."""
    history.change_state(card, to_state, table=states.CARD, actor=actor, at=at)
    raise_epoch(card)


def raise_epoch(card: Card) -> None:
    """Make what was decided of this card before count no more: taps in hand, offline lists."""
    Card.objects.filter(id=card.id).update(epoch=F("epoch") + 1)
