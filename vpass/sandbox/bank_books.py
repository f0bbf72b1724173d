"""Keeps the books of the sandbox's bank: payouts, debits, entries of the account, open notices.

One SQLite file. Every method is one transaction, on the disk before the method returns, so that
what the bank has said survives `kill -9` and a loss of power. Moments are seconds since 1970.
"""

import json
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

from vpass.sandbox.faults import json_bytes

ENTRIES_A_PAGE = 100
CITY_OFFSET = timedelta(hours=8)  # Asia/Shanghai has no summer time

WorkKind = Literal["payout", "debit"]
NoticeKind = Literal["credit", "payout", "debit"]

_TABLES = """
CREATE TABLE IF NOT EXISTS work (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    kind TEXT NOT NULL CHECK (kind IN ('payout', 'debit')),
    id TEXT NOT NULL,             -- its payout_id or debit_id
    content BLOB,                 -- the order; null for one that never arrived
    status TEXT NOT NULL CHECK (status IN ('accepted', 'booked', 'rejected', 'never_arrived')),
    reason TEXT,                  -- of the rejection, also of one that is still to come
    amount_fen INTEGER,
    bank_reference TEXT,
    booked_at TEXT,
    due_at REAL,                  -- when an accepted one is to be decided; null: when told
    orders INTEGER NOT NULL,      -- how often it was ordered
    UNIQUE (kind, id)
);
CREATE TABLE IF NOT EXISTS entry (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    business_date TEXT NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('credit', 'debit')),
    amount_fen INTEGER NOT NULL CHECK (amount_fen > 0),
    payout_id TEXT UNIQUE CHECK (kind = 'debit' OR payout_id IS NULL),
    debit_id TEXT UNIQUE CHECK (kind = 'credit' OR debit_id IS NULL),
    notice_id TEXT,
    booked_at TEXT NOT NULL,
    UNIQUE (notice_id, kind),
    CHECK ((payout_id IS NULL) + (debit_id IS NULL) + (notice_id IS NULL) = 2)
);
CREATE INDEX IF NOT EXISTS entry_date ON entry (business_date, number);
CREATE TABLE IF NOT EXISTS notice (
    id TEXT PRIMARY KEY,          -- its notice_id, or the payout_id or debit_id
    kind TEXT NOT NULL CHECK (kind IN ('credit', 'payout', 'debit')),
    body BLOB NOT NULL,           -- the same bytes in every repeat
    attempts INTEGER NOT NULL DEFAULT 0,
    last_status INTEGER NOT NULL DEFAULT 0,
    outcome TEXT,                 -- the status that V Pass answered
    next_at REAL NOT NULL
);
CREATE INDEX IF NOT EXISTS notice_waiting ON notice (next_at) WHERE outcome IS NULL;
"""


class OrderReused(Exception):
    """Another order has this payout_id or debit_id."""


class NoSuchPage(Exception):
    """The statement has fewer pages."""


@dataclass(frozen=True)
class Fate:
    """What becomes of an order: decided at once or later, and the reason of a rejection."""

    at_once: bool
    reason: str | None = None


@dataclass(frozen=True)
class Notice:
    """A message to V Pass that waits for its answer."""

    id: str
    kind: NoticeKind
    body: bytes
    attempts: int


class Books:
    """The books in one file, for one process."""

    def __init__(self, path: Path) -> None:
        self._connection = sqlite3.connect(path, isolation_level=None)
        self._connection.row_factory = sqlite3.Row
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute("PRAGMA synchronous = FULL")  # a commit waits for the disk
        self._connection.executescript(_TABLES)
        # Answers that were on their way when the last process died are lost.
        self._connection.execute("UPDATE notice SET next_at = 0 WHERE outcome IS NULL")

    def close(self) -> None:
        self._connection.close()

    # Payouts and debits

    def order(
        self,
        kind: WorkKind,
        members: Mapping[str, Any],
        *,
        fate: Fate,
        due_at: float | None,
        at: float,
    ) -> dict[str, Any]:
        """How the work stands, after taking the order if it is new; raises OrderReused."""
        id_, content = members[f"{kind}_id"], json.dumps(members, sort_keys=True).encode()
        with self._transaction() as connection:
            known = self._work(kind, id_)
            if known is not None:
                if known["content"] not in (None, content):
                    raise OrderReused
                connection.execute(
                    "UPDATE work SET orders = orders + 1 WHERE kind = ? AND id = ?", [kind, id_]
                )
                return _standing(known)
            number = connection.execute(
                "INSERT INTO work (kind, id, content, status, reason, amount_fen, due_at, orders)"
                " VALUES (?, ?, ?, 'accepted', ?, ?, ?, 1)",
                [kind, id_, content, fate.reason, members["amount_fen"], due_at],
            ).lastrowid
            connection.execute(
                "UPDATE work SET bank_reference = ? WHERE number = ?",
                [f"SB{_city_date(at).replace('-', '')}{number:08d}", number],
            )
            if fate.at_once:
                self._decide(kind, id_, at=at)
            return self._standing_of(kind, id_)

    def inquire(self, kind: WorkKind, id_: str) -> dict[str, Any]:
        """How the work stands; one that is unknown is dead from now on."""
        with self._transaction() as connection:
            connection.execute(
                "INSERT INTO work (kind, id, status, orders) VALUES (?, ?, 'never_arrived', 0)"
                " ON CONFLICT (kind, id) DO NOTHING",
                [kind, id_],
            )
            return self._standing_of(kind, id_)

    def decide(
        self,
        kind: WorkKind | None = None,
        id_: str | None = None,
        *,
        at: float,
        only_due: bool = False,
    ) -> int:
        """Books or rejects accepted work, all or one, and prepares its notices; how many."""
        with self._transaction() as connection:
            rows = connection.execute(
                "SELECT kind, id FROM work WHERE status = 'accepted'"
                " AND (?1 IS NULL OR (kind = ?1 AND id = ?2))"
                " AND (NOT ?3 OR due_at <= ?4) ORDER BY number",
                [kind, id_, only_due, at],
            ).fetchall()
            for row in rows:
                self._decide(row["kind"], row["id"], at=at)
                standing = self._standing_of(row["kind"], row["id"])
                self._add_notice(row["kind"], row["id"], standing, at=at)
            return len(rows)

    def work(self, kind: WorkKind, id_: str) -> dict[str, Any]:
        """How it stands, without an inquiry's effect; raises LookupError."""
        row = self._work(kind, id_)
        if row is None:
            raise LookupError(id_)
        return _standing(row) | {"amount_fen": row["amount_fen"], "orders": row["orders"]}

    # Credits and notices

    def credit(self, members: Mapping[str, Any], *, at: float) -> dict[str, Any]:
        """Books money that came in, and prepares its notice of these `members` and `booked_at`."""
        notice_id = members["notice_id"]
        with self._transaction():
            self._add_entry("credit", members["amount_fen"], notice_id=notice_id, at=at)
            self._add_notice("credit", notice_id, {**members, "booked_at": _utc(at)}, at=at)
        return self.notice(notice_id)

    def due_notices(self, *, at: float, repeat_at: float) -> list[Notice]:
        """Notices to be sent now, the oldest first; each is due again at `repeat_at`."""
        with self._transaction() as connection:
            rows = connection.execute(
                "SELECT id, kind, body, attempts FROM notice WHERE outcome IS NULL AND next_at <= ?"
                " ORDER BY rowid LIMIT 20",
                [at],
            ).fetchall()
            connection.executemany(
                "UPDATE notice SET attempts = attempts + 1, next_at = ? WHERE id = ?",
                [(repeat_at, row["id"]) for row in rows],
            )
            return [Notice(**row) for row in rows]

    def note_no_answer(self, notice: Notice, *, status: int, next_at: float) -> None:
        """The notice was not answered; `status` is the HTTP status that came, or 0."""
        with self._transaction() as connection:
            connection.execute(
                "UPDATE notice SET last_status = ?, next_at = ? WHERE id = ? AND outcome IS NULL",
                [status, next_at, notice.id],
            )

    def note_answer(self, notice: Notice, *, outcome: str, at: float) -> None:
        """V Pass has answered; returned money goes back to its payer."""
        with self._transaction() as connection:
            changed = connection.execute(
                "UPDATE notice SET last_status = 200, outcome = ? WHERE id = ? AND outcome IS NULL",
                [outcome, notice.id],
            ).rowcount
            if changed and outcome == "returned":
                amount_fen = json.loads(notice.body)["amount_fen"]
                self._add_entry("debit", amount_fen, notice_id=notice.id, at=at)

    def notice(self, notice_id: str) -> dict[str, Any]:
        """How far a notice is; raises LookupError."""
        row = self._connection.execute(
            "SELECT id, kind, attempts, last_status, outcome FROM notice WHERE id = ?", [notice_id]
        ).fetchone()
        if row is None:
            raise LookupError(notice_id)
        return dict(row)

    def next_due(self) -> float | None:
        """When there is something to decide or to send, or None."""
        (moment,) = self._connection.execute(
            "SELECT min(moment) FROM ("
            " SELECT min(due_at) AS moment FROM work WHERE status = 'accepted' UNION ALL"
            " SELECT min(next_at) FROM notice WHERE outcome IS NULL)"
        ).fetchone()
        return moment if moment is None else float(moment)

    # What has been booked

    def statement(self, business_date: str, *, page: int, at: float) -> dict[str, Any]:
        """One page of a day; raises NoSuchPage."""
        connection = self._connection
        opening_fen, day_fen, count = connection.execute(
            "SELECT coalesce(sum(signed) FILTER (WHERE business_date < ?1), 0),"
            " coalesce(sum(signed) FILTER (WHERE business_date = ?1), 0),"
            " count(*) FILTER (WHERE business_date = ?1) FROM (SELECT business_date,"
            " CASE kind WHEN 'credit' THEN amount_fen ELSE -amount_fen END AS signed FROM entry)",
            [business_date],
        ).fetchone()
        pages = max(1, -(-count // ENTRIES_A_PAGE))
        if page > pages:
            raise NoSuchPage
        rows = connection.execute(
            "SELECT * FROM entry WHERE business_date = ? ORDER BY number LIMIT ? OFFSET ?",
            [business_date, ENTRIES_A_PAGE, (page - 1) * ENTRIES_A_PAGE],
        )
        return {
            "business_date": business_date,
            "page": page,
            "pages": pages,
            "is_closed": business_date < _city_date(at),
            "opening_fen": opening_fen,
            "closing_fen": opening_fen + day_fen,
            "entries": [_entry(row) for row in rows],
        }

    def totals(self) -> dict[str, Any]:
        """Counts and sums over everything, for those who look for lost money."""
        by_status: dict[str, dict[str, int]] = {"payout": {}, "debit": {}}
        for kind, status, count in self._connection.execute(
            "SELECT kind, status, count(*) FROM work GROUP BY kind, status"
        ):
            by_status[kind][status] = count
        notices = self._connection.execute(
            "SELECT coalesce(outcome, 'waiting'), count(*) FROM notice GROUP BY 1"
        )
        paid_out_fen, debited_fen, credited_fen, returned_fen = self._connection.execute(
            "SELECT coalesce(sum(amount_fen) FILTER (WHERE payout_id IS NOT NULL), 0),"
            " coalesce(sum(amount_fen) FILTER (WHERE debit_id IS NOT NULL), 0),"
            " coalesce(sum(amount_fen) FILTER (WHERE kind = 'credit' AND notice_id IS NOT NULL),"
            "  0),"
            " coalesce(sum(amount_fen) FILTER (WHERE kind = 'debit' AND notice_id IS NOT NULL), 0)"
            " FROM entry"
        ).fetchone()
        return {
            "payouts": by_status["payout"],
            "debits": by_status["debit"],
            "notices": dict(tuple(row) for row in notices),
            "paid_out_fen": paid_out_fen,
            "debited_fen": debited_fen,
            "credited_fen": credited_fen,
            "returned_fen": returned_fen,
            "balance_fen": credited_fen + debited_fen - returned_fen - paid_out_fen,
        }

    # Parts

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield self._connection
        except BaseException:
            self._connection.execute("ROLLBACK")
            raise
        self._connection.execute("COMMIT")

    def _work(self, kind: WorkKind, id_: str) -> sqlite3.Row | None:
        row: sqlite3.Row | None = self._connection.execute(
            "SELECT * FROM work WHERE kind = ? AND id = ?", [kind, id_]
        ).fetchone()
        return row

    def _standing_of(self, kind: WorkKind, id_: str) -> dict[str, Any]:
        row = self._work(kind, id_)
        if row is None:
            raise LookupError(id_)
        return _standing(row)

    def _decide(self, kind: WorkKind, id_: str, *, at: float) -> None:
        self._connection.execute(
            "UPDATE work SET status = iif(reason IS NULL, 'booked', 'rejected'),"
            " booked_at = iif(reason IS NULL, ?, NULL) WHERE kind = ? AND id = ?",
            [_utc(at), kind, id_],
        )
        row = self._work(kind, id_)
        if row is not None and row["status"] == "booked":
            side = "debit" if kind == "payout" else "credit"
            self._add_entry(side, row["amount_fen"], at=at, **{f"{kind}_id": id_})

    def _add_entry(
        self,
        kind: str,
        amount_fen: int,
        *,
        payout_id: str | None = None,
        debit_id: str | None = None,
        notice_id: str | None = None,
        at: float,
    ) -> None:
        self._connection.execute(
            "INSERT INTO entry"
            " (business_date, kind, amount_fen, payout_id, debit_id, notice_id, booked_at)"
            " VALUES (?, ?, ?, ?, ?, ?, ?)",
            [_city_date(at), kind, amount_fen, payout_id, debit_id, notice_id, _utc(at)],
        )

    def _add_notice(
        self, kind: NoticeKind, notice_id: str, members: Mapping[str, Any], *, at: float
    ) -> None:
        self._connection.execute(
            "INSERT INTO notice (id, kind, body, next_at) VALUES (?, ?, ?, ?)",
            [notice_id, kind, json_bytes(dict(members)), at],
        )


def _standing(row: sqlite3.Row) -> dict[str, Any]:
    names = {
        "accepted": ("bank_reference",),
        "booked": ("bank_reference", "booked_at"),
        "rejected": ("reason",),
        "never_arrived": (),
    }[row["status"]]
    named = {f"{row['kind']}_id": row["id"], "status": row["status"]}
    return named | {name: row[name] for name in names}


def _entry(row: sqlite3.Row) -> dict[str, Any]:
    name = next(n for n in ("payout_id", "debit_id", "notice_id") if row[n] is not None)
    return {
        "entry_id": f"E{row['number']:012d}",
        "kind": row["kind"],
        "amount_fen": row["amount_fen"],
        name: row[name],
        "booked_at": row["booked_at"],
    }


def _utc(at: float) -> str:
    return datetime.fromtimestamp(int(at), tz=UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _city_date(at: float) -> str:
    return (datetime.fromtimestamp(int(at), tz=UTC) + CITY_OFFSET).date().isoformat()
