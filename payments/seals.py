"""Seals the ledger day by day, and finds what was changed behind its back.

What is sealed is a settlement window, in the order of windows: nobody can post into one that is
closed (payments/sql/window_v1.sql), so a transaction that turns up behind its seals was inserted. A
business date is its windows, nearly always one. A seal covers up to `TRANSACTIONS_A_SEAL` of them,
with a keyed digest over itself and the seal before it; the key is not in the database.

Whoever can write to the database could cut the chain's end off, change what it covered, and have
our own job seal it afresh. So the head is kept in a file outside of it, and written to the log: no
seal is made anew at or below a number that was made before.
"""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from django.db import connection, transaction

from payments.models import LedgerSeal, Window
from vpass.common.observability import log
from vpass.common.sealed_fields import lookup_hash

TRANSACTIONS_A_SEAL = 10_000
SEALS_A_RUN = 20
MARK_BYTES = 16

_FIRST = bytes(32)
_END = 2**63 - 1

_LOCK = "SELECT pg_try_advisory_xact_lock(hashtext('payments.seals'))"

# A transaction with its postings, as its mark covers it; a new column means a new version of it.
_READ = """
SELECT t.id, t.kind, t.caller, t.key, t.order_id, t.reverses_id, t.business_date, t.window_id,
    t.event_at, t.at,
    (SELECT json_agg(json_build_array(p.id, p.seq, p.debit_id, p.credit_id, p.amount_fen)
            ORDER BY p.seq, p.id)
     FROM payments_posting p WHERE p.transaction_id = t.id)
FROM payments_transaction t
WHERE t.window_id = %s AND t.id > %s AND t.id <= %s
ORDER BY t.id LIMIT %s
"""


@dataclass(frozen=True)
class Finding:
    """One thing that is not as it was sealed.

    `what` is changed, removed or inserted for a transaction (`subject` is its id); broken, missing
    or lost for a seal (its number); unsealed for a window that was passed over (its id).
    `business_date` is that of the window, None where it is not known.
    """

    what: str
    subject: int
    business_date: date | None

    def line(self) -> str:
        """The finding as a line of text."""
        return f"{self.what} {self.subject} of {self.business_date or 'an unknown day'}"


@dataclass(frozen=True)
class Verified:
    """What was looked at, and found, the oldest first; `head` is the last seal: number, digest."""

    transactions: int
    postings: int
    seals: int
    head: tuple[int, str]
    findings: tuple[Finding, ...]


@dataclass(frozen=True)
class _Content:
    ids: list[int]
    hashes: list[bytes]
    postings: int

    @property
    def marks(self) -> bytes:
        """Where to look: 8 bytes of id and 8 of the hash, for each."""
        return b"".join(
            name.to_bytes(8, "big") + digest[:8]
            for name, digest in zip(self.ids, self.hashes, strict=True)
        )

    @property
    def digest(self) -> bytes:
        return hashlib.sha256(b"".join(self.hashes)).digest()


def seal_closed(*, at: datetime, limit: int = SEALS_A_RUN, head_file: Path | None = None) -> int:
    """Seal closed windows, the oldest first, in up to `limit` slices; return how many were made.

    `head_file` keeps the head: a chain that does not hold it any more is left as it is, which the
    log has as an error. Safe to run twice and at the same time: one of them does it.
    """
    known = known_head(head_file)
    if known is not None and not _holds(known):
        log.error("ledger_seals_lost", number=known[0])
        return 0
    made = 0
    while made < limit and (head := _seal_next(at=at)) is not None:
        made += 1
        log.info("ledger_sealed", number=head[0], digest=head[1])
        if head_file is not None:
            _keep_head(head_file, head)
    return made


def known_head(head_file: Path | None) -> tuple[int, str] | None:
    """The last seal that a file knows of, number and digest; None when there is no file yet."""
    if head_file is None or not head_file.exists():
        return None
    number, digest = json.loads(head_file.read_text("utf-8"))
    return int(number), str(digest)


def verify(*, since: date | None = None, known_head: tuple[int, str] | None = None) -> Verified:
    """Compare the chain of seals, and every transaction with its seal.

    `since` leaves out the transactions of windows before that business date; the chain is compared
    all the same. `known_head` is the head of an earlier run, kept elsewhere: a chain that does not
    hold it any more has lost its end. What is found is counted in the log.
    """
    days = dict(Window.objects.values_list("id", "business_date"))
    findings: list[Finding] = []
    sealed: set[int] = set()
    transactions = postings = seals = 0
    head = (0, "")
    for seal in _checked(days, findings):
        seals += 1
        sealed.add(seal.window_id)
        head = (seal.number, bytes(seal.digest).hex())
        if known_head and seal.number == known_head[0] and head != known_head:
            findings.append(Finding("lost", seal.number, days.get(seal.window_id)))
        if since is None or days.get(seal.window_id, since) >= since:
            found = _read(seal.window_id, seal.after_id, _END if seal.is_last else seal.upto_id)
            transactions += len(found.ids)
            postings += found.postings
            _compare(seal, found, days.get(seal.window_id), findings)
    if known_head and known_head[0] > head[0]:
        findings.append(Finding("lost", known_head[0], None))
    findings += [
        Finding("unsealed", window, days[window])
        for window in sorted(days)
        if window not in sealed and window < max(sealed, default=0)
    ]
    if findings:
        log.error("ledger_not_as_sealed", count=len(findings))
    return Verified(transactions, postings, seals, head, tuple(findings))


def _holds(head: tuple[int, str]) -> bool:
    digests = LedgerSeal.objects.filter(number=head[0]).values_list("digest", flat=True)
    return [bytes(digest).hex() for digest in digests] == [head[1]]


def _keep_head(head_file: Path, head: tuple[int, str]) -> None:
    """Whole or not at all, whenever the machine stops."""
    part = head_file.with_suffix(".part")
    part.write_text(json.dumps(head), "utf-8")
    part.replace(head_file)


def _seal_next(*, at: datetime) -> tuple[int, str] | None:
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute(_LOCK)
            if not cursor.fetchone()[0]:
                return None
        last = LedgerSeal.objects.order_by("-number").first()
        window_id, after = _next_window(last)
        if window_id is None:
            return None
        content = _read(window_id, after, _END, limit=TRANSACTIONS_A_SEAL)
        seal = LedgerSeal(
            number=1 if last is None else last.number + 1,
            window_id=window_id,
            after_id=after,
            upto_id=content.ids[-1] if content.ids else after,
            is_last=len(content.ids) < TRANSACTIONS_A_SEAL,
            transactions=len(content.ids),
            postings=content.postings,
            marks=content.marks,
            content=content.digest,
            sealed_at=at,
        )
        seal.digest = _digest(seal, before=_FIRST if last is None else bytes(last.digest))
        seal.save(force_insert=True)
    return seal.number, seal.digest.hex()


def _next_window(last: LedgerSeal | None) -> tuple[int | None, int]:
    """The window to go on with, and after which transaction; no window that is still open."""
    if last is not None and not last.is_last:
        return last.window_id, last.upto_id
    closed = Window.objects.exclude(state="open").order_by("id")
    if last is not None:
        closed = closed.filter(id__gt=last.window_id)
    return closed.values_list("id", flat=True).first(), 0


def _checked(days: dict[int, date], findings: list[Finding]) -> Iterator[LedgerSeal]:
    """Every seal, after judging it against the one before."""
    before, number = _FIRST, 0
    # One by one: a cursor would lay all of them down first, and they are large.
    while seal := LedgerSeal.objects.filter(number__gt=number).order_by("number").first():
        if seal.number != number + 1:
            findings.append(Finding("missing", number + 1, days.get(seal.window_id)))
        elif _digest(seal, before=before) != bytes(seal.digest):
            findings.append(Finding("broken", seal.number, days.get(seal.window_id)))
        before, number = bytes(seal.digest), seal.number
        yield seal


def _compare(
    seal: LedgerSeal, found: _Content, business_date: date | None, findings: list[Finding]
) -> None:
    if found.digest == bytes(seal.content):
        return
    marks = bytes(seal.marks)
    left = {
        int.from_bytes(marks[place : place + 8], "big"): marks[place + 8 : place + MARK_BYTES]
        for place in range(0, len(marks), MARK_BYTES)
    }
    named = []
    for name, digest in zip(found.ids, found.hashes, strict=True):
        mark = left.pop(name, None)
        if mark != digest[:8]:
            named.append((name, "inserted" if mark is None else "changed"))
    named += [(name, "removed") for name in left]
    if not named:  # the marks were changed too, or 8 bytes happen to agree
        named = [(seal.number, "broken")]
    findings += [Finding(what, subject, business_date) for subject, what in sorted(named)]


def _read(window_id: int, after: int, upto: int, *, limit: int | None = None) -> _Content:
    with connection.cursor() as cursor:
        cursor.execute(_READ, [window_id, after, upto, limit])
        rows = cursor.fetchall()
    return _Content(
        ids=[row[0] for row in rows],
        hashes=[hashlib.sha256(_canonical(row).encode()).digest() for row in rows],
        postings=sum(len(row[-1] or ()) for row in rows),
    )


def _canonical(row: tuple[Any, ...]) -> str:
    """The JSON that is hashed: what `_READ` gives as a list, times in UTC to the microsecond."""
    return json.dumps([_plain(value) for value in row], ensure_ascii=False, separators=(",", ":"))


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="microseconds")
    return value if value is None or isinstance(value, int | list | str) else str(value)


def _digest(seal: LedgerSeal, *, before: bytes) -> bytes:
    parts = [
        before.hex(),
        seal.number,
        seal.window_id,
        seal.after_id,
        seal.upto_id,
        seal.is_last,
        seal.transactions,
        seal.postings,
        hashlib.sha256(bytes(seal.marks)).hexdigest(),
        bytes(seal.content).hex(),
        _plain(seal.sealed_at),
    ]
    return lookup_hash("ledger-seal", json.dumps(parts))
