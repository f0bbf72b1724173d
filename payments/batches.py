"""Posts thousands of transactions in one round trip, and finds the ones that cannot be posted."""

import uuid
from collections.abc import Iterable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import datetime

from django.db import connection, transaction

from payments import ledger
from payments.ledger import Leg, NoOpenWindow, Posted
from vpass.common import clock
from vpass.common.errors import DomainError

MAX_TRANSACTIONS = 5_000  # in a round trip
MAX_LEGS = 50_000

_POST_BATCH = (
    "SELECT transaction_ids, are_new FROM post_batch_v1(%s::text[], %s::text[], %s::text[],"
    " %s::uuid[], %s::timestamptz[], %s, %s, %s::integer[], %s::bigint[], %s::bigint[],"
    " %s::bigint[])"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One transaction of a batch; its fields are those of ledger.post."""

    kind: str
    caller: str
    key: str
    legs: Sequence[Leg]
    order_id: uuid.UUID | None = None
    event_at: datetime


def post_batch(entries: Sequence[Entry], *, at: datetime) -> list[Posted | DomainError]:
    """Posts each of the entries that can be posted: in their order, what it became or why not.

    Up to MAX_TRANSACTIONS go in one round trip, all or none; when one of them is refused, each half
    is tried by itself, and so on, until those that cannot be posted stand alone. A floor is judged
    by what all that are posted together do to an account, so money which comes in with them can be
    spent by them. A replay is what it is in ledger.post. Outside of a transaction every round trip
    is one of its own; inside of one all is part of it.

    What an entry can be refused for is what ledger.post raises; only NoOpenWindow is raised here
    too, with nothing posted that could not be replayed.
    """
    results: list[Posted | DomainError | None] = []
    ready: list[tuple[int, Entry]] = []
    for place, entry in enumerate(entries):
        results.append(_refusal(entry))
        if results[place] is None:
            ready.append((place, entry))
    for span in _spans(ready):
        posted = _post_or_halve([entry for _, entry in span], at=at)
        for (place, _), result in zip(span, posted, strict=True):
            results[place] = result
    return [result for result in results if result is not None]


def _refusal(entry: Entry) -> DomainError | None:
    """Why an entry need not even be sent."""
    try:
        ledger.arrays(entry.legs)
    except DomainError as error:
        return error
    return None


def _spans(ready: list[tuple[int, Entry]]) -> Iterable[list[tuple[int, Entry]]]:
    span: list[tuple[int, Entry]] = []
    legs = 0
    for place, entry in ready:
        if span and (len(span) == MAX_TRANSACTIONS or legs + len(entry.legs) > MAX_LEGS):
            yield span
            span, legs = [], 0
        span.append((place, entry))
        legs += len(entry.legs)
    if span:
        yield span


def _post_or_halve(entries: list[Entry], *, at: datetime) -> Sequence[Posted | DomainError]:
    try:
        # Within the caller's transaction a refusal must not end it.
        with transaction.atomic() if connection.in_atomic_block else nullcontext():
            return _post(entries, at=at)
    except NoOpenWindow:
        raise
    except DomainError as error:
        if len(entries) == 1:
            return [error]
    middle = len(entries) // 2
    return [
        *_post_or_halve(entries[:middle], at=at),
        *_post_or_halve(entries[middle:], at=at),
    ]


def _post(entries: list[Entry], *, at: datetime) -> list[Posted]:
    legs = [(place, leg) for place, entry in enumerate(entries, start=1) for leg in entry.legs]
    row = ledger.call(
        _POST_BATCH,
        [
            _array(entry.kind for entry in entries),
            _array(entry.caller for entry in entries),
            _array(entry.key for entry in entries),
            _array(entry.order_id for entry in entries),
            _array(entry.event_at.isoformat() for entry in entries),
            clock.city_date(at),
            at,
            _array(place for place, _ in legs),
            _array(leg.debit for _, leg in legs),
            _array(leg.credit for _, leg in legs),
            _array(leg.amount_fen for _, leg in legs),
        ],
    )
    return [Posted(*each) for each in zip(*row, strict=True)]


def _array(values: Iterable[str | int | uuid.UUID | None]) -> str:
    """The values as PostgreSQL reads an array from text: quicker than a list of constants."""
    return "{" + ",".join(map(_element, values)) + "}"


def _element(value: str | int | uuid.UUID | None) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return str(value)
