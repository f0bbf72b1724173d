"""Tells residents and merchants what stands on their account, and how it came there, by posting."""

import uuid
from dataclasses import dataclass
from datetime import date

from django.db.models import OuterRef, QuerySet, Subquery

from payments import funding, ledger, queries
from payments.models import Order
from payments.queries import AccountLine


@dataclass(frozen=True, kw_only=True)
class Wallet:
    """What a resident has, in fen: posted, and free of holds; and the number to top it up by."""

    balance_fen: int
    available_fen: int
    top_up_number: str


def wallet_of(*, resident_id: uuid.UUID) -> Wallet:
    """Return a resident's wallet; one into which nothing was put yet holds 0."""
    account = queries.account_of(kind="resident", owner=str(resident_id))
    standing = ledger.balance_of(account) if account is not None else ledger.Standing(0, 0, 0)
    return Wallet(
        balance_fen=standing.posted_fen,
        available_fen=standing.available_fen,
        top_up_number=funding.top_up_number(resident_id=resident_id),
    )


def resident_statement(*, resident_id: uuid.UUID) -> QuerySet[AccountLine]:
    """Return the lines of a resident's wallet, to be ordered by `-id`; see queries.postings_of."""
    return queries.postings_of(queries.account_of(kind="resident", owner=str(resident_id)))


def merchant_statement(
    *, organisation_id: uuid.UUID, business_date: date, store: str | None = None
) -> QuerySet[AccountLine]:
    """Return the lines of a merchant's account on a business date, to be ordered by `-id`, each
    with the `store_code` of its payment; of one store, by its code, or of all and payouts too."""
    account = queries.account_of(kind="merchant", owner=str(organisation_id))
    orders = Order.objects.filter(id=OuterRef("transaction__order_id"))
    found = queries.postings_of(account, business_date=business_date).annotate(
        store_code=Subquery(orders.values("store__code")[:1])
    )
    return found if store is None else found.filter(store_code=store)
