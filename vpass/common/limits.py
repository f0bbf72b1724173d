"""Counts what must stay rare, and lets single-use values through once; both in PostgreSQL."""

import math
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import connection

from vpass.common import sealed_fields
from vpass.common.errors import DomainError
from vpass.common.transactions import require_autocommit

_PURGE_ROWS = 10_000


class LimitReached(DomainError):
    """Too many attempts; try again later."""

    code = "limit.reached"
    status = 429
    title_zh = "操作过于频繁，请稍后再试"


@dataclass(frozen=True)
class Limit:
    """At most `maximum` within `per`, counted from the first use on; `name` is unique."""

    name: str
    maximum: int
    per: timedelta


def spend(limit: Limit, subject: str, *, at: datetime, amount: int = 1) -> int:
    """Counts `amount` (>= 1) uses by `subject` and returns how many are left in the window.

    One statement, which commits at once: a failed try counts although its request rolls back. So
    it raises RuntimeError inside a transaction. A refused amount is not counted. `subject` is
    stored as a keyed hash. Raises LimitReached with `retry_after`.
    """
    require_autocommit("a limit")
    if amount < 1:
        raise ValueError("a use counts at least one")
    if amount > limit.maximum:
        raise LimitReached(retry_after=_seconds(limit.per))
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO common_limit AS c (id, used, ends_at)"
            " VALUES (%(id)s, %(amount)s, %(ends_at)s)"
            " ON CONFLICT (id) DO UPDATE SET"
            "  used = %(amount)s + CASE WHEN c.ends_at > %(at)s THEN c.used ELSE 0 END,"
            "  ends_at = CASE WHEN c.ends_at > %(at)s THEN c.ends_at ELSE %(ends_at)s END"
            " WHERE c.ends_at <= %(at)s OR c.used + %(amount)s <= %(maximum)s"
            " RETURNING used",
            {
                "id": _identity(limit, subject),
                "amount": amount,
                "maximum": limit.maximum,
                "at": at,
                "ends_at": at + limit.per,
            },
        )
        row = cursor.fetchone()
    if row is None:
        ends_at = _window(limit, subject, at=at)[1]
        raise LimitReached(retry_after=_seconds(ends_at - at))
    return limit.maximum - int(row[0])


def remaining(limit: Limit, subject: str, *, at: datetime) -> int:
    """How many uses `subject` has left in its present window."""
    return max(0, limit.maximum - _window(limit, subject, at=at)[0])


def clear(limit: Limit, subject: str) -> None:
    """Forgets the uses of `subject`, as after a success."""
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM common_limit WHERE id = %s", [_identity(limit, subject)])


def spend_once(scope: str, value: str, *, expires_at: datetime) -> bool:
    """Whether `value` comes for the first time in `scope`: True for exactly one caller.

    One insert, which commits at once, so it raises RuntimeError inside a transaction. Until
    `expires_at` the value is known for certain; whoever checks it must refuse it after that by
    its own age.
    """
    require_autocommit("a single use")
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO common_seen (id, expires_at) VALUES (%s, %s) ON CONFLICT DO NOTHING",
            [sealed_fields.lookup_hash(f"once:{scope}", value), expires_at],
        )
        return bool(cursor.rowcount == 1)


def purge(*, at: datetime) -> int:
    """Forgets ended windows and expired values, a bounded number at a time; returns how many."""
    removed = 0
    with connection.cursor() as cursor:
        for table, moment in (("common_limit", "ends_at"), ("common_seen", "expires_at")):
            cursor.execute(
                f"DELETE FROM {table} WHERE id = ANY (ARRAY("  # noqa: S608  our names, see above
                f" SELECT id FROM {table} WHERE {moment} <= %s"
                f" ORDER BY {moment} LIMIT %s FOR UPDATE SKIP LOCKED))",
                [at, _PURGE_ROWS],
            )
            removed += cursor.rowcount
    return removed


def _window(limit: Limit, subject: str, *, at: datetime) -> tuple[int, datetime]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT used, ends_at FROM common_limit WHERE id = %s AND ends_at > %s",
            [_identity(limit, subject), at],
        )
        row = cursor.fetchone()
    return (int(row[0]), row[1]) if row else (0, at)


def _identity(limit: Limit, subject: str) -> bytes:
    return sealed_fields.lookup_hash(f"limit:{limit.name}", subject)


def _seconds(wait: timedelta) -> int:
    return max(1, math.ceil(wait.total_seconds()))
