"""Knows what a resident pays with: the balance of the wallet, a bound bank card, or one after the
other in a stated order."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db import connection, transaction

from cards import paying
from cards.paying import CardNotUsable, PayableCard
from payments import accounts
from payments.models import Bank, PaymentSource
from payments.queries import Parties
from vpass.common.errors import Conflict, DomainError, NotFound

# One statement decides who was first: it changes the choice that was seen, and no other.
_CHOOSE = """
INSERT INTO payments_paymentsource AS s (resident_id, card_id, kinds, version)
SELECT %(resident)s, %(card)s, %(kinds)s::text[], 1 WHERE %(seen)s = 0
    OR EXISTS (SELECT FROM payments_paymentsource WHERE resident_id = %(resident)s)
ON CONFLICT (resident_id) DO UPDATE SET card_id = EXCLUDED.card_id, kinds = EXCLUDED.kinds,
    version = s.version + 1
    WHERE s.version = %(seen)s
RETURNING version
"""


@dataclass(frozen=True, kw_only=True)
class SourceKind:
    """A kind of source. One that takes the rest has no limit known to us, so nothing follows it."""

    name: str
    takes_the_rest: bool


BALANCE = SourceKind(name="balance", takes_the_rest=False)
BANK_CARD = SourceKind(name="bank_card", takes_the_rest=True)
# A new kind of source: a line here, and its part in `funding_of` and in payments.refunds.
SOURCES: dict[str, SourceKind] = {each.name: each for each in (BALANCE, BANK_CARD)}


class SourceOrderInvalid(DomainError):
    """This order of sources does not do: each once, and nothing after one that takes the rest."""

    code = "payment_source.order_invalid"
    status = 422
    title_zh = "付款方式的顺序无效"


class SourceChanged(Conflict):
    """Another choice was made since the one this replaces."""

    code = "payment_source.changed"
    title_zh = "付款方式已被更改，请刷新后再选"


@dataclass(frozen=True, kw_only=True)
class Source:
    """What pays: the kinds of SOURCES in their order, and the card. `version` counts the choices,
    from 0."""

    card_id: uuid.UUID | None
    last4: str | None
    version: int
    order: list[str]


@dataclass(frozen=True, kw_only=True)
class BankCard:
    """A card that can be debited now, and the partner bank that does it."""

    card: PayableCard
    bank: Bank


@dataclass(frozen=True, kw_only=True)
class Funding:
    """How a payment is paid: so much of the balance, and the rest by the card, if there is one."""

    balance_fen: int
    card_fen: int = 0
    card: BankCard | None = None


def source_of(*, resident_id: uuid.UUID) -> Source:
    """Return what the resident pays with; the balance until something else was chosen.

    A replaced card is followed by its successor, as in paying.
    """
    found = PaymentSource.objects.filter(resident_id=resident_id).first()
    if found is None:
        return Source(card_id=None, last4=None, version=0, order=[BALANCE.name])
    if found.card_id is None:
        return Source(card_id=None, last4=None, version=found.version, order=[BALANCE.name])
    card = paying.card_in_place_of(card_id=found.card_id)
    return Source(
        card_id=card.id,
        last4=card.last4,
        version=found.version,
        order=found.kinds or [BANK_CARD.name],
    )


def choose_source(
    *,
    resident_id: uuid.UUID,
    card_id: uuid.UUID | None,
    version: int,
    order: Sequence[str] | None = None,
    at: datetime,
) -> Source:
    """Pay with this card from now on, or with the balance, in place of the choice `version`.

    With an `order` of kinds of SOURCES, one after the other: ["balance", "bank_card"] takes from
    the card what the balance does not have. The same again, as after a lost answer, changes nothing
    and is answered alike; a late one never undoes a newer choice. Raises AccountSuspended,
    accounts.PayingSuspended, SourceOrderInvalid, NotFound for another's card, CardNotUsable,
    SourceChanged.
    """
    kinds = _checked(order, card_id=card_id)
    with transaction.atomic():
        accounts.refuse_suspended(resident_id)
        last4 = None
        if card_id is not None:
            last4 = bank_card(resident_id=resident_id, card_id=card_id, at=at).card.last4
        asked = {"resident": resident_id, "card": card_id, "kinds": kinds, "seen": version}
        with connection.cursor() as cursor:
            cursor.execute(_CHOOSE, asked)
            is_chosen = cursor.fetchone() is not None
        now = source_of(resident_id=resident_id)
        same = (now.card_id, now.order, now.version) == (card_id, kinds, version + 1)
        if not is_chosen and not same:
            raise SourceChanged(version=now.version)
    return Source(card_id=card_id, last4=last4, version=version + 1, order=kinds)


def funding_of(order_fen: int, parties: Parties, *, payer_id: uuid.UUID, at: datetime) -> Funding:
    """How the payer's sources pay this much, in their order, by what the wallet has now.

    Raises CardNotUsable when the card is needed and cannot pay.
    """
    balance_fen = 0
    if BALANCE.name in parties.kinds and parties.card_id is not None:
        balance_fen = min(order_fen, max(0, parties.available_fen or 0))
    if parties.card_id is None or balance_fen == order_fen:
        return Funding(balance_fen=order_fen)
    card = card_to_pay(resident_id=payer_id, card_id=parties.card_id, at=at)
    return Funding(balance_fen=balance_fen, card_fen=order_fen - balance_fen, card=card)


def bank_card(*, resident_id: uuid.UUID, card_id: uuid.UUID, at: datetime) -> BankCard:
    """Return a resident's card for a debit; in a transaction it cannot be frozen before we commit.

    Raises NotFound for another's card, and CardNotUsable, also when its bank is no partner of ours.
    """
    card = paying.payable_card(resident_id=resident_id, card_id=card_id, at=at)
    bank = Bank.objects.filter(organisation_id=card.bank_organisation_id).first()
    if bank is None:
        raise CardNotUsable(reason="card.bank_unknown")
    return BankCard(card=card, bank=bank)


def card_to_pay(
    *, resident_id: uuid.UUID, card_id: uuid.UUID | None, at: datetime
) -> BankCard | None:
    """Return the chosen card, or its successor, as `bank_card` does; None: the balance pays.

    Raises CardNotUsable, also for a card that is gone.
    """
    if card_id is None:
        return None
    try:
        return bank_card(resident_id=resident_id, card_id=card_id, at=at)
    except NotFound as error:
        raise CardNotUsable(reason="card.unknown") from error
    except CardNotUsable as error:
        if error.members["reason"] != "card.replaced":
            raise
    successor = paying.card_in_place_of(card_id=card_id)
    return card_to_pay(resident_id=resident_id, card_id=successor.id, at=at)


def _checked(order: Sequence[str] | None, *, card_id: uuid.UUID | None) -> list[str]:
    """The kinds in their order. Raises SourceOrderInvalid."""
    if order is None:
        return [BALANCE.name if card_id is None else BANK_CARD.name]
    kinds = list(order)
    is_known = bool(kinds) and len(set(kinds)) == len(kinds) and set(kinds) <= SOURCES.keys()
    if (
        not is_known
        or any(SOURCES[kind].takes_the_rest for kind in kinds[:-1])
        or (BANK_CARD.name in kinds) != (card_id is not None)
    ):
        raise SourceOrderInvalid
    return kinds
