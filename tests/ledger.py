"""A small ledger for tests: an open window, accounts, and money on them."""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from typing import Any

import psycopg2
from django.conf import settings

from payments import ledger
from payments.ledger import Leg
from payments.models import Hold, Posting, Transaction

AT = datetime(2026, 6, 1, 4, tzinfo=UTC)
TODAY = date(2026, 6, 1)
CALLER = "terminal:1"


def open_window() -> int:
    return ledger.open_window(business_date=TODAY, at=AT)


def account(kind: str, *, floor_fen: int | None = 0) -> int:
    """A new account of an owner of its own."""
    return ledger.open_account(kind=kind, owner=str(uuid.uuid4()), floor_fen=floor_fen)


def bank() -> int:
    return account("bank", floor_fen=None)


def post(*legs: tuple[int, int, int], key: str | None = None, **changes: Any) -> ledger.Posted:
    """Posts legs of (debit, credit, fen)."""
    arguments: dict[str, Any] = {
        "kind": "payment",
        "caller": CALLER,
        "key": key or uuid.uuid4().hex,
        "legs": [Leg(*leg) for leg in legs],
        "event_at": AT,
        "at": AT,
    }
    return ledger.post(**arguments | changes)


def funded(fen: int, *, kind: str = "resident") -> int:
    """A new account with money from a bank of its own."""
    made = account(kind)
    post((bank(), made, fen), kind="top_up")
    return made


def hold(account_id: int, fen: int, **changes: Any) -> uuid.UUID:
    arguments: dict[str, Any] = {
        "hold_id": uuid.uuid4(),
        "account": account_id,
        "amount_fen": fen,
        "purpose": "payment",
        "reference": uuid.uuid4(),
        "expires_at": None,
        "at": AT,
    }
    return ledger.hold(**arguments | changes).hold_id


def capture(hold_id: uuid.UUID, *legs: tuple[int, int, int], **changes: Any) -> ledger.Posted:
    arguments: dict[str, Any] = {
        "hold_id": hold_id,
        "kind": "capture",
        "caller": CALLER,
        "key": uuid.uuid4().hex,
        "legs": [Leg(*leg) for leg in legs],
        "event_at": AT,
        "at": AT,
    }
    return ledger.capture(**arguments | changes)


def standing(account_id: int) -> tuple[int, int]:
    """(posted, held) of an account."""
    found = ledger.balance_of(account_id)
    return found.posted_fen, found.held_fen


def rows() -> tuple[int, int, int]:
    """How many transactions, postings and holds there are."""
    return Transaction.objects.count(), Posting.objects.count(), Hold.objects.count()


@contextmanager
def owner() -> Iterator[Any]:
    """A cursor of the schema's owner, in a transaction that is committed at the end."""
    connection = psycopg2.connect(settings.DATABASE_OWNER_URL)
    try:
        with connection, connection.cursor() as cursor:
            yield cursor
    finally:
        connection.close()
