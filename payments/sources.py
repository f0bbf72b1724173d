"""Knows what a resident pays with at a till: the balance of the wallet, or a bound bank card."""

import uuid
from dataclasses import dataclass
from datetime import datetime

from django.db import connection, transaction

from cards import paying
from cards.paying import CardNotUsable, PayableCard
from payments import accounts
from payments.models import Bank, PaymentSource
from vpass.common.errors import Conflict, NotFound

# One statement decides who was first: it changes the choice that was seen, and no other.
_CHOOSE = """
INSERT INTO payments_paymentsource AS s (resident_id, card_id, version)
SELECT %(resident)s, %(card)s, 1 WHERE %(seen)s = 0
    OR EXISTS (SELECT FROM payments_paymentsource WHERE resident_id = %(resident)s)
ON CONFLICT (resident_id) DO UPDATE SET card_id = EXCLUDED.card_id, version = s.version + 1
    WHERE s.version = %(seen)s
RETURNING version
"""


class SourceChanged(Conflict):
    """Another choice was made since the one this replaces."""

    code = "payment_source.changed"
    title_zh = "付款方式已被更改，请刷新后再选"


@dataclass(frozen=True, kw_only=True)
class Source:
    """What pays: a card, or without one the balance. `version` counts the choices, from 0."""

    card_id: uuid.UUID | None
    last4: str | None
    version: int


@dataclass(frozen=True, kw_only=True)
class BankCard:
    """A card that can be debited now, and the partner bank that does it."""

    card: PayableCard
    bank: Bank


def source_of(*, resident_id: uuid.UUID) -> Source:
    """Return what the resident pays with; the balance until something else was chosen.

    A replaced card is followed by its successor, as in paying.
    """
    found = PaymentSource.objects.filter(resident_id=resident_id).first()
    if found is None:
        return Source(card_id=None, last4=None, version=0)
    if found.card_id is None:
        return Source(card_id=None, last4=None, version=found.version)
    card = paying.card_in_place_of(card_id=found.card_id)
    return Source(card_id=card.id, last4=card.last4, version=found.version)


def choose_source(
    *, resident_id: uuid.UUID, card_id: uuid.UUID | None, version: int, at: datetime
) -> Source:
    """Pay with this card from now on, or with the balance, in place of the choice `version`.

    The same again, as after a lost answer, changes nothing and is answered alike; a late one never
    undoes a newer choice. Raises AccountSuspended, NotFound for another's card, CardNotUsable,
    SourceChanged.
    """
    with transaction.atomic():
        accounts.refuse_suspended(resident_id)
        last4 = None
        if card_id is not None:
            last4 = bank_card(resident_id=resident_id, card_id=card_id, at=at).card.last4
        with connection.cursor() as cursor:
            cursor.execute(_CHOOSE, {"resident": resident_id, "card": card_id, "seen": version})
            is_chosen = cursor.fetchone() is not None
        now = source_of(resident_id=resident_id)
        if not is_chosen and (now.card_id, now.version) != (card_id, version + 1):
            raise SourceChanged(version=now.version)
    return Source(card_id=card_id, last4=last4, version=version + 1)


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
