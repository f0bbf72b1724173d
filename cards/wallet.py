"""A resident's cards: bound with the issuer's word, shown, frozen, lost, unbound, paid from."""

import uuid
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import QuerySet

from cards import freezes, obligations, queries, standing, states
from cards.card_type import CardType, Holder, Issued
from cards.history import change_card
from cards.issuers import CardIssuer, Question
from cards.models import Card, Freeze, Issuer
from cards.types import CARD_TYPES
from identity.models import Resident, StateChange
from identity.residents import AccountSuspended
from vpass.common import limits
from vpass.common.callers import Caller, required
from vpass.common.clock import city_date
from vpass.common.errors import Conflict, DomainError, NotFound
from vpass.common.idempotency import IdempotencyKey, find_answer, once
from vpass.common.ids import uuid7
from vpass.common.sealed_fields import lookup_hash

# Enough for somebody who mistypes, too few for somebody who tries numbers.
BINDINGS_PER_DAY = limits.Limit("card.binding", maximum=20, per=timedelta(days=1))


class CardTypeUnknown(DomainError):
    """There is no such card type, or this issuer does not issue it."""

    code = "card.type_unknown"
    status = 422
    title_zh = "不支持该卡种或发卡机构"


class CardNotConfirmed(DomainError):
    """The issuer does not confirm this card."""

    code = "card.not_confirmed"
    status = 422
    title_zh = "发卡机构未确认该卡"


class CardAlreadyBound(Conflict):
    """This card stands in a wallet already."""

    code = "card.already_bound"
    title_zh = "该卡已被绑定"


class TooManyCards(Conflict):
    """There is no room in the wallet for another card of this type."""

    code = "card.too_many"
    title_zh = "该卡种的绑定数量已达上限"


@dataclass(frozen=True, kw_only=True)
class Stop:
    """An open freeze of a card: who put it there, why, and since when (RFC 3339)."""

    source: str
    reason: str
    since: str


@dataclass(frozen=True, kw_only=True)
class CardShown:
    """A card as its holder sees it. `fault` is the problem code for which it is not good now."""

    id: str
    card_type: str
    name_zh: str
    name_en: str
    issuer: str
    issuer_zh: str
    issuer_en: str
    last4: str
    facts: dict[str, str]
    state: str
    fault: str | None
    stops: list[dict[str, str]]
    valid_until: str | None
    bound_at: str


def issuers_of(*, card_type: str) -> QuerySet[Issuer]:
    """Who issues cards of a type, with their names."""
    return Issuer.objects.select_related("organisation").filter(card_types__contains=[card_type])


def bind_card(
    *,
    caller: Caller,
    card_type: str,
    issuer: str,
    fields: Mapping[str, str],
    find_issuer: Callable[[str], CardIssuer],
    idempotency_key: IdempotencyKey,
    at: datetime,
) -> CardShown:
    """Put a card into the caller's wallet when its issuer confirms that it is the caller's.

    `issuer` is the issuer's code and `fields` what the type asks of the holder. The issuer is asked
    outside any transaction; a repeat with the same key is answered without asking again, or, when
    no answer had come, asks under the same binding id. Raises CardTypeUnknown, BadRequest,
    limits.LimitReached, AccountSuspended, CardNotConfirmed with the issuer's `reason`,
    CardAlreadyBound, TooManyCards, and the issuer's own errors.
    """
    answer = find_answer(idempotency_key)
    if answer is None:
        kind, known = CARD_TYPES.get(card_type), issuers_of(card_type=card_type)
        by = known.filter(code=issuer).first()
        if kind is None or by is None:
            raise CardTypeUnknown
        told = kind.read_fields(fields)
        limits.spend(BINDINGS_PER_DAY, caller.scope, at=at)
        holder = _holder(required(caller.resident_id))
        word = find_issuer(by.code).bind(
            Question(
                binding_id=_binding_id(idempotency_key), card_type=kind, holder=holder, told=told
            ),
            at=at,
        )
        with once(idempotency_key, at=at) as claim:
            if claim.answer is None and word.issued is not None:
                card = _take(kind, by, word.issued, caller=caller, at=at)
                claim.answer = asdict(_shown_now(caller, card.id, at=at))
            elif claim.answer is None:
                claim.answer = {"reason": word.reason}
            answer = dict(claim.answer)
    if reason := answer.get("reason"):
        raise CardNotConfirmed(reason=reason)
    return CardShown(**answer)


def cards_of(*, caller: Caller) -> QuerySet[Card]:
    """The caller's cards as `show` takes them, to be ordered by `-id`."""
    return queries.cards_shown(resident_id=required(caller.resident_id))


def card_of(*, caller: Caller, card_id: uuid.UUID, at: datetime) -> CardShown:
    """One of the caller's cards; another's and a missing one raise NotFound alike."""
    return _shown_now(caller, card_id, at=at)


def freeze_card(
    *, caller: Caller, card_id: uuid.UUID, idempotency_key: IdempotencyKey, at: datetime
) -> CardShown:
    """Stop one of the caller's cards, as its holder.

    Raises NotFound, freezes.CardFrozenAlready, states.IllegalTransition, and what `once` raises.
    """

    def stop(card: Card) -> None:
        freezes.freeze(card, source=Freeze.Source.HOLDER, reason="holder", at=at)

    return _changed(stop, caller=caller, card_id=card_id, key=idempotency_key, at=at)


def lift_card(
    *, caller: Caller, card_id: uuid.UUID, idempotency_key: IdempotencyKey, at: datetime
) -> CardShown:
    """End the holder's own stop; those of issuer, police and risk stay.

    Raises NotFound, freezes.CardNotFrozen, and what `once` raises.
    """

    def lift(card: Card) -> None:
        freezes.lift(card, source=Freeze.Source.HOLDER, at=at)

    return _changed(lift, caller=caller, card_id=card_id, key=idempotency_key, at=at)


def report_lost(
    *, caller: Caller, card_id: uuid.UUID, idempotency_key: IdempotencyKey, at: datetime
) -> CardShown:
    """Say that a card is lost; it stays in the wallet until its issuer replaces it.

    Raises NotFound, states.IllegalTransition, and what `once` raises.
    """

    def lose(card: Card) -> None:
        change_card(card, "lost", actor=caller.scope, at=at)

    return _changed(lose, caller=caller, card_id=card_id, key=idempotency_key, at=at)


def unbind_card(
    *, caller: Caller, card_id: uuid.UUID, idempotency_key: IdempotencyKey, at: datetime
) -> str:
    """Take a card out of the caller's wallet; returns its state, "unbound".

    Raises NotFound, obligations.CardObliged while something is open on it,
    states.IllegalTransition, and what `once` raises.
    """
    with once(idempotency_key, at=at) as claim:
        if claim.answer is None:
            card = queries.lock_card(resident_id=required(caller.resident_id), card_id=card_id)
            obligations.refuse_while_obliged(card)
            change_card(card, "unbound", actor=caller.scope, at=at)
            claim.answer = {"state": card.state}
        return str(claim.answer["state"])


def show(card: Card, *, at: datetime) -> CardShown:
    """What the holder sees of one of `cards_of`."""
    row: Any = card  # with what queries.cards_shown adds
    kind = CARD_TYPES[card.card_type]
    return CardShown(
        id=str(card.id),
        card_type=card.card_type,
        name_zh=kind.zh,
        name_en=kind.en,
        issuer=card.issuer.code,
        issuer_zh=card.issuer.organisation.name_zh,
        issuer_en=card.issuer.organisation.name_en,
        last4=card.last4,
        facts=card.facts,
        state=card.state,
        fault=standing.fault(
            state=card.state,
            is_frozen=bool(row.stops),
            valid_until=card.valid_until,
            is_in_debt=row.is_in_debt and kind.stops_on_debt,
            today=city_date(at),
        ),
        stops=[
            asdict(Stop(source=one.source, reason=one.reason, since=one.since.isoformat()))
            for one in row.stops
        ],
        valid_until=None if card.valid_until is None else card.valid_until.isoformat(),
        bound_at=card.bound_at.isoformat(),
    )


def number_hash(card_type: str, name: str) -> bytes:
    """By which a card is found again: of its number, or of the bank's token."""
    return lookup_hash("card", f"{card_type}|{name}")


def write_card(
    issued: Issued,
    *,
    issuer_id: uuid.UUID,
    account_id: uuid.UUID,
    card_type: str,
    actor: str,
    predecessor: Card | None = None,
    at: datetime,
) -> Card:
    """Write a card that its issuer has confirmed, active at once, into an account without a living
    one. Raises CardAlreadyBound."""
    card = Card(
        id=uuid7(at),
        account_id=account_id,
        issuer_id=issuer_id,
        card_type=card_type,
        number=issued.number,
        token=issued.token,
        number_hash=number_hash(card_type, issued.name),
        last4=issued.last4,
        facts=dict(issued.facts),
        state="active",
        predecessor=predecessor,
        valid_until=issued.valid_until,
        bound_at=at,
    )
    try:
        with transaction.atomic():
            card.save(force_insert=True)
    except IntegrityError as error:
        raise CardAlreadyBound from error
    StateChange.objects.create(
        object_kind=states.CARD.name,
        object_id=str(card.id),
        from_state=states.CARD.initial,
        to_state=card.state,
        event=states.CARD.event(states.CARD.initial, card.state),
        actor=actor,
        at=at,
    )
    return card


def _take(kind: CardType, by: Issuer, issued: Issued, *, caller: Caller, at: datetime) -> Card:
    resident_id = required(caller.resident_id)
    accounts = queries.lock_accounts(
        resident_id=resident_id, card_type=kind.code, places=kind.max_per_person
    )
    taken = set(
        Card.objects.filter(account__in=accounts, state__in=states.LIVING).values_list(
            "account_id", flat=True
        )
    )
    free = [account.id for account in accounts if account.id not in taken]
    if not free:
        raise TooManyCards
    expired = queries.lock_expired(accounts)
    named = number_hash(kind.code, issued.name)
    before = {card.account_id for card in expired if bytes(card.number_hash) == named}
    account_id = min(free, key=lambda each: each not in before)  # where this card has been before
    card = write_card(
        issued,
        issuer_id=by.id,
        account_id=account_id,
        card_type=kind.code,
        actor=caller.scope,
        at=at,
    )
    for former in expired:
        if former.account_id == account_id:
            freezes.hand_on(former, card, at=at)
    return card


def _holder(resident_id: uuid.UUID) -> Holder:
    resident = Resident.objects.get(id=resident_id)
    if resident.state != "active":
        raise AccountSuspended
    return Holder(real_name=resident.real_name, id_number=resident.id_number, phone=resident.phone)


def _binding_id(key: IdempotencyKey) -> uuid.UUID:
    """The same for every repeat of one request, so that the issuer knows them as one."""
    named = lookup_hash("card.binding", f"{key.caller}|{key.key}|{key.digest.hex()}")
    return uuid.UUID(bytes=named[:16], version=4)


def _changed(
    change: Callable[[Card], None],
    *,
    caller: Caller,
    card_id: uuid.UUID,
    key: IdempotencyKey,
    at: datetime,
) -> CardShown:
    with once(key, at=at) as claim:
        if claim.answer is None:
            change(queries.lock_card(resident_id=required(caller.resident_id), card_id=card_id))
            claim.answer = asdict(_shown_now(caller, card_id, at=at))
        return CardShown(**claim.answer)


def _shown_now(caller: Caller, card_id: uuid.UUID, *, at: datetime) -> CardShown:
    card = cards_of(caller=caller).filter(id=card_id).first()
    if card is None:
        raise NotFound
    return show(card, at=at)
