"""Reads cards where money and wallets depend on them, with the locks they need."""

import uuid
from typing import Any

from django.db import connection
from django.db.models import Exists, OuterRef, Prefetch, QuerySet

from cards.models import Card, CardAccount, Debt, Freeze
from vpass.common.errors import NotFound
from vpass.common.transactions import is_in_transaction

# Who freezes or unbinds the card waits for the payment, or the payment sees it. The lock is a
# statement of its own, so that the next one sees what was committed while it was waited for.
_LOCK_PAYABLE = "SELECT FROM cards_card WHERE id = %s FOR SHARE"
_PAYABLE = """
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
    if is_in_transaction():
        with connection.cursor() as cursor:
            cursor.execute(_LOCK_PAYABLE, [card_id])
    values = {"card": card_id, "resident": resident_id}
    found = list(Card.objects.raw(_PAYABLE, values))
    return found[0] if found else None


def successor_of(card: Card) -> Card:
    """Return the card that stands in the place of a replaced one by now; another is its own."""
    while card.state == "replaced":
        card = Card.objects.get(predecessor_id=card.id)
    return card


def card_with_stops(card_id: uuid.UUID) -> Any:
    """Return a card with `is_frozen`, as it stands, in one statement."""
    stops = Freeze.objects.filter(card=OuterRef("id"), lifted_at=None)
    return Card.objects.annotate(is_frozen=Exists(stops)).get(id=card_id)


def cards_shown(*, resident_id: uuid.UUID) -> QuerySet[Card]:
    """Return a resident's cards as the wallet shows them, to be ordered by `-id`.

    Each has its issuer's names, its open stops as `stops`, and `is_in_debt`. Replaced and unbound
    ones have left the wallet.
    """
    stops = Freeze.objects.filter(lifted_at=None).order_by("source")
    return (
        Card.objects.filter(account__resident_id=resident_id)
        .exclude(state__in=("replaced", "unbound"))
        .select_related("issuer__organisation")
        .prefetch_related(Prefetch("freezes", queryset=stops, to_attr="stops"))
        .annotate(is_in_debt=Exists(open_debts(OuterRef("account_id"))))
    )


def open_debts(account: Any) -> QuerySet[Debt]:
    """The debts of an account (its id, or an expression for it) that wait to be paid."""
    return Debt.objects.filter(account=account, due_at__isnull=False, paid_at=None)


def lock_card(*, resident_id: uuid.UUID, card_id: uuid.UUID) -> Card:
    """Return a resident's card, locked for a change; another's and a missing one raise NotFound."""
    return _lock(Card.objects.filter(id=card_id, account__resident_id=resident_id))


def lock_issued(*, organisation_id: uuid.UUID, card_type: str, number_hash: bytes) -> Card:
    """Return the card of an issuer under this number which stands in a wallet, locked.

    Raises NotFound.
    """
    return _lock(
        Card.objects.filter(
            issuer__organisation_id=organisation_id, card_type=card_type, number_hash=number_hash
        )
        .exclude(state__in=("replaced", "unbound"))
        .order_by("-id")
    )


def lock_accounts(*, resident_id: uuid.UUID, card_type: str, places: int) -> list[CardAccount]:
    """Return a resident's accounts for this type of card, one for each place, made and locked."""
    CardAccount.objects.bulk_create(
        [
            CardAccount(resident_id=resident_id, card_type=card_type, place=place, places=places)
            for place in range(1, places + 1)
        ],
        ignore_conflicts=True,
    )
    return list(
        CardAccount.objects.select_for_update(no_key=True)
        .filter(resident_id=resident_id, card_type=card_type)
        .order_by("place")
    )


def lock_expired(accounts: list[CardAccount]) -> list[Card]:
    """Return the expired cards of these accounts, locked, so that their stops stay as they are."""
    return list(
        Card.objects.select_for_update(no_key=True)
        .filter(account__in=accounts, state="expired")
        .order_by("id")
    )


def _lock(cards: QuerySet[Card]) -> Card:
    card = cards.select_for_update(no_key=True, of=("self",)).first()
    if card is None:
        raise NotFound
    return card
