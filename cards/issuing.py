"""Does what issuers tell of the cards they gave out: stops, lifts, replacements, ends."""

import uuid
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import date, datetime
from typing import Any

from cards import freezes, queries, wallet
from cards.card_type import AnswerMalformed
from cards.history import change_card
from cards.models import Card, Freeze, Issuer
from cards.types import CARD_TYPES
from vpass.common.callers import Caller, required
from vpass.common.errors import BadRequest, NotAllowed, NotFound
from vpass.common.idempotency import IdempotencyKey, once


@dataclass(frozen=True, kw_only=True)
class Standing:
    """What an issuer hears of its card: never whose it is, nor of others' stops."""

    card_type: str
    state: str
    is_frozen: bool


def freeze_card(
    *,
    caller: Caller,
    card_type: str,
    card: str,
    reason: str,
    idempotency_key: IdempotencyKey,
    at: datetime,
) -> Standing:
    """Stop a card as its issuer; `card` is its number, or the bank's token.

    Raises NotAllowed, NotFound, freezes.CardFrozenAlready, states.IllegalTransition, and what
    `once` raises.
    """

    def stop(found: Card) -> Card:
        freezes.freeze(found, source=Freeze.Source.ISSUER, reason=reason, at=at)
        return found

    return _changed(stop, caller, card_type, card, key=idempotency_key, at=at)


def lift_card(
    *, caller: Caller, card_type: str, card: str, idempotency_key: IdempotencyKey, at: datetime
) -> Standing:
    """End the issuer's own stop. Raises NotAllowed, NotFound, freezes.CardNotFrozen, and what
    `once` raises."""

    def lift(found: Card) -> Card:
        freezes.lift(found, source=Freeze.Source.ISSUER, at=at)
        return found

    return _changed(lift, caller, card_type, card, key=idempotency_key, at=at)


def expire_card(
    *, caller: Caller, card_type: str, card: str, idempotency_key: IdempotencyKey, at: datetime
) -> Standing:
    """End a card. Raises NotAllowed, NotFound, states.IllegalTransition, and what `once` raises."""

    def expire(found: Card) -> Card:
        change_card(found, "expired", actor=caller.scope, at=at)
        return found

    return _changed(expire, caller, card_type, card, key=idempotency_key, at=at)


def replace_card(
    *,
    caller: Caller,
    card_type: str,
    card: str,
    new_card: str,
    facts: Mapping[str, Any],
    valid_until: date | None,
    idempotency_key: IdempotencyKey,
    at: datetime,
) -> Standing:
    """Put a new card in the place of an old one: the same account, and every stop with it.

    Raises NotAllowed, NotFound, BadRequest, states.IllegalTransition, wallet.CardAlreadyBound, and
    what `once` raises.
    """

    def replace(former: Card) -> Card:
        try:
            issued = CARD_TYPES[card_type].read_replacement(
                new_card, facts, valid_until=valid_until
            )
        except AnswerMalformed as error:
            raise BadRequest(errors=[{"field": str(error), "code": "invalid"}]) from error
        change_card(former, "replaced", actor=caller.scope, at=at)
        successor = wallet.write_card(
            issued,
            issuer_id=former.issuer_id,
            account_id=former.account_id,
            card_type=card_type,
            actor=caller.scope,
            predecessor=former,
            at=at,
        )
        freezes.hand_on(former, successor, at=at)
        return successor

    return _changed(replace, caller, card_type, card, key=idempotency_key, at=at)


def _changed(
    change: Callable[[Card], Card],
    caller: Caller,
    card_type: str,
    name: str,
    *,
    key: IdempotencyKey,
    at: datetime,
) -> Standing:
    with once(key, at=at) as claim:
        if claim.answer is None:
            found = change(_lock(required(caller.organisation_id), card_type, name))
            claim.answer = asdict(
                Standing(
                    card_type=card_type,
                    state=found.state,
                    is_frozen=found.freezes.filter(
                        source=Freeze.Source.ISSUER, lifted_at=None
                    ).exists(),
                )
            )
        return Standing(**claim.answer)


def _lock(organisation_id: uuid.UUID, card_type: str, name: str) -> Card:
    if not Issuer.objects.filter(organisation_id=organisation_id).exists():
        raise NotAllowed
    if card_type not in CARD_TYPES:
        raise NotFound
    return queries.lock_issued(
        organisation_id=organisation_id,
        card_type=card_type,
        number_hash=wallet.number_hash(card_type, name),
    )
