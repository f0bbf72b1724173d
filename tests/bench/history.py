"""Measures `history`: a statement page of an account with a million postings, against the same page
of one with a thousand.

Both are read as the API reads them: the newest page, and pages from a cursor at three quarters, the
half and a quarter of the history. The rows are made by SQL with triggers off, as whoever restores a
dump would. The accounts take turns, page by page.
"""

import statistics
import time
import uuid
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import psycopg2
import psycopg2.extensions

from payments import ledger, proof, queries, statements
from tests.bench import frame
from tests.bench.figures import Figure
from vpass import embedded
from vpass.common import clock
from vpass.common.api import pages
from vpass.supervisor import Run

LONG, SHORT = 1_000_000, 1_000
ROUNDS = 400
LIMIT = pages.DEFAULT_LIMIT
SLOWEST = 1.3

# Money comes in, and four times out of five goes out again.
_FILL = """
WITH made AS (
    INSERT INTO payments_transaction
        (kind, caller, key, business_date, window_id, event_at, at)
    SELECT CASE WHEN n %% 5 = 0 THEN 'top_up' ELSE 'payment' END, %(owner)s, n::text,
        current_date, %(window)s, now(), now()
    FROM generate_series(1, %(count)s) AS n RETURNING id, kind
), legs AS (
    INSERT INTO payments_posting (transaction_id, seq, debit_id, credit_id, amount_fen)
    SELECT id, 1, CASE kind WHEN 'top_up' THEN %(bank)s ELSE %(account)s END,
        CASE kind WHEN 'top_up' THEN %(account)s ELSE %(payee)s END,
        CASE kind WHEN 'top_up' THEN 500 ELSE 100 END
    FROM made ORDER BY id RETURNING debit_id, credit_id, amount_fen
), moved AS (
    SELECT account_id, sum(fen)::bigint AS fen FROM (
        SELECT credit_id AS account_id, amount_fen AS fen FROM legs
        UNION ALL SELECT debit_id, -amount_fen FROM legs
    ) side GROUP BY account_id
)
UPDATE payments_balance b SET posted_fen = b.posted_fen + moved.fen
FROM moved WHERE b.account_id = moved.account_id
"""


@dataclass(frozen=True)
class History:
    """Whose statement is read, and from where: cursors, None for the newest page."""

    resident_id: uuid.UUID
    cursors: list[list[int] | None]


def measure(run: Run, *, state_dir: Path) -> Figure:
    """Pages a second of the long history, and the ratio to the short one (of the medians)."""
    frame.require_durable()
    with closing(psycopg2.connect(embedded.admin_url(state_dir))) as admin:
        long, short = _make(admin, LONG), _make(admin, SHORT)
        admin.autocommit = True
        with admin.cursor() as cursor:
            cursor.execute("VACUUM ANALYZE payments_posting, payments_transaction")
    times: dict[uuid.UUID, list[float]] = {long.resident_id: [], short.resident_id: []}
    for number in range(ROUNDS):
        for each in (long, short) if number % 2 else (short, long):
            times[each.resident_id].append(_seconds_of_page(each, number))
    proved = proof.prove(clock.now())
    if not proved.is_sound:
        raise RuntimeError(f"the ledger is not sound after it: {proved.findings[0].line()}")
    ours, theirs = (statistics.median(times[each.resident_id][8:]) for each in (long, short))
    return Figure(
        name="history",
        value=1 / ours,
        unit="pages/s",
        ratio=theirs / ours,
        against="a page of a thousand postings",
        goal=1 / SLOWEST,
        details={
            "postings": LONG,
            "page_ms": round(ours * 1000, 2),
            "page_of_a_thousand_ms": round(theirs * 1000, 2),
            "times_as_slow": round(ours / theirs, 2),
            "slowest_allowed": SLOWEST,
        },
    )


def _make(admin: psycopg2.extensions.connection, count: int) -> History:
    """A resident's account with so many postings."""
    at = clock.now()
    resident_id = uuid.uuid4()
    account = ledger.open_account(kind="resident", owner=str(resident_id))
    values = {
        "account": account,
        "bank": ledger.open_account(kind="bank", owner=str(resident_id), floor_fen=None),
        "payee": ledger.open_account(kind="merchant", owner=str(resident_id)),
        "window": ledger.open_window(business_date=clock.city_date(at), at=at),
        "owner": str(resident_id),
        "count": count,
    }
    with admin, admin.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")
        cursor.execute("SET LOCAL statement_timeout = 0")
        cursor.execute(_FILL, values)
    lines = queries.postings_of(account).order_by("-id").values_list("id", flat=True)
    cuts = [lines[count * part // 4] for part in (1, 2, 3)]
    return History(resident_id, [None, *([cut] for cut in cuts)])


def _seconds_of_page(history: History, number: int) -> float:
    asked = pages.PageRequest(limit=LIMIT, after=history.cursors[number % len(history.cursors)])
    started = time.perf_counter()
    page = pages.cut_page(
        statements.resident_statement(resident_id=history.resident_id),
        asked=asked,
        order=("-id",),
        render=lambda line: {"id": line.id, "fen": line.signed_fen, "kind": line.transaction.kind},
        salt="bench",
    )
    seconds = time.perf_counter() - started
    if len(page["items"]) != LIMIT:
        raise RuntimeError("a page is not full")
    return seconds
