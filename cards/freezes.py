"""Stops cards and lifts the stops: each source its own, and no other's."""

from datetime import datetime

from django.db.models import F, QuerySet, Value
from django.db.models.functions import Greatest

from cards.history import raise_epoch
from cards.models import Card, Freeze
from vpass.common.errors import Conflict
from vpass.common.ids import uuid7
from vpass.common.states import IllegalTransition

_STOPPABLE = ("active", "lost")


class CardFrozenAlready(Conflict):
    """This source has stopped the card already."""

    code = "card.frozen_already"
    title_zh = "该卡已被冻结"


class CardNotFrozen(Conflict):
    """This source has not stopped the card."""

    code = "card.not_frozen"
    title_zh = "该卡未被冻结"


def freeze(card: Card, *, source: str, reason: str, at: datetime) -> Freeze:
    """Stop a locked card; once this commits, nothing is paid or ridden with it any more.

    `source` is holder, issuer, police or risk, `reason` a code of theirs. Raises CardFrozenAlready,
    and states.IllegalTransition for a card that has come to its end.
    """
    if card.state not in _STOPPABLE:
        raise IllegalTransition(object="card", from_state=card.state, to_state="frozen")
    if card.freezes.filter(source=source, lifted_at=None).exists():
        raise CardFrozenAlready
    made = Freeze.objects.create(id=uuid7(at), card=card, source=source, reason=reason, since=at)
    raise_epoch(card)
    return made


def lift(card: Card, *, source: str, at: datetime) -> None:
    """End the stop that this source has put on a locked card. Raises CardNotFrozen."""
    if not _end(card.freezes.filter(source=source, lifted_at=None), at=at):
        raise CardNotFrozen
    raise_epoch(card)


def hand_on(former: Card, successor: Card, *, at: datetime) -> None:
    """Put every stop of an ended card on the next one, so that no stop is shaken off."""
    for stop in former.freezes.filter(lifted_at=None):
        Freeze.objects.create(
            id=uuid7(at), card=successor, source=stop.source, reason=stop.reason, since=at
        )
    _end(former.freezes.filter(lifted_at=None), at=at)


def _end(stops: QuerySet[Freeze], *, at: datetime) -> int:
    """Lift stops; a request that came before the stop, and waited for it, ends it as it begins."""
    return stops.update(lifted_at=Greatest(F("since"), Value(at)))
