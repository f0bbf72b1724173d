"""Seals the access log afterwards, in chained shards, and finds what was changed behind its back.

A line belongs to the shard named by the last byte of its resident's id. A seal holds a mark of each
line between two ids, and a keyed digest over itself and the seal before it; the key (the look-up
key) is not in the database. Only lines older than `SETTLED_AFTER` are sealed, longer than any
request can take, so a line that turns up behind a seal was inserted.
"""

import hashlib
import json
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, cast

from django.db import connection, transaction
from django.db.models import F, Func, IntegerField, QuerySet

from identity.models import AccessLine, AccessSeal
from vpass.common import ids
from vpass.common.sealed_fields import lookup_hash

SHARDS = 16
SETTLED_AFTER = timedelta(minutes=5)
# A quiet shard is sealed too, so that nothing can be put into its past.
QUIET_FOR = timedelta(hours=1)
LINES_A_SEAL = 5_000
MARK_BYTES = 32

# The columns of a line that a mark covers; a new column means a new version of the mark.
_COLUMNS = (
    "id", "resident_id", "organisation_id", "desk_id", "terminal_id", "staff_id", "scene",
    "purpose", "case_number", "fields", "outcome", "reason", "at", "asked", "visible_from",
    "is_shielded", "delegation_id",
)  # fmt: skip
_SHARD = Func(
    F("resident_id"),
    template=f"get_byte(uuid_send(%(expressions)s), 15) %%%% {SHARDS}",
    output_field=IntegerField(),
)
_NONE = uuid.UUID(int=0)
_FIRST = bytes(32)


@dataclass(frozen=True)
class Finding:
    """One thing that is not as it was sealed.

    `what` is changed, removed or inserted for a line (`subject` is its id), and broken, missing or
    lost for a seal (`subject` is shard/number).
    """

    what: str
    subject: str

    def line(self) -> str:
        """The finding as a line of text."""
        return f"{self.what} {self.subject}"


@dataclass(frozen=True)
class Verified:
    """What was looked at, and found; `heads` are each shard's last seal: number and digest."""

    lines: int
    seals: int
    heads: dict[int, tuple[int, str]]
    findings: tuple[Finding, ...]


def seal_lines(*, at: datetime) -> int:
    """Seal what has settled in every shard; return the number of seals made.

    Safe to run twice and at the same time: a shard that another worker seals is left to it.
    """
    return sum(_seal_shard(shard, at=at) for shard in range(SHARDS))


def verify(*, known_heads: dict[int, tuple[int, str]] | None = None) -> Verified:
    """Compare every sealed line with its mark, and every seal with the one before it.

    `known_heads` are the heads of an earlier run, kept elsewhere: a chain that does not hold them
    any more has lost its end.
    """
    findings: list[Finding] = []
    heads: dict[int, tuple[int, str]] = {}
    lines = seals = 0
    for shard in range(SHARDS):
        digests: dict[int, str] = {}
        for seal, marks in _checked(shard, findings):
            seals += 1
            lines += len(marks)
            digests[seal.number] = bytes(seal.digest).hex()
            _compare(seal, marks, findings)
        if digests:
            last = max(digests)
            heads[shard] = (last, digests[last])
        number, digest = (known_heads or {}).get(shard, (0, ""))
        if number and digests.get(number) != digest:
            findings.append(Finding("lost", f"{shard}/{number}"))
    return Verified(lines=lines, seals=seals, heads=heads, findings=tuple(findings))


def _seal_shard(shard: int, *, at: datetime) -> int:
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT pg_try_advisory_xact_lock(hashtext('identity.access_chain'), %s)", [shard]
            )
            if not cursor.fetchone()[0]:
                return 0
        last = AccessSeal.objects.filter(shard=shard).order_by("-number").first()
        after, upto = (_NONE if last is None else last.upto_id), ids.first_uuid7(at - SETTLED_AFTER)
        if upto <= after:
            return 0
        found = list(_lines(shard, after=after, upto=upto)[: LINES_A_SEAL + 1])
        if len(found) > LINES_A_SEAL:
            found.pop()
            upto = found[-1]["id"]
        if not found and last is not None and at - last.sealed_at < QUIET_FOR:
            return 0
        seal = AccessSeal(
            shard=shard,
            number=1 if last is None else last.number + 1,
            after_id=after,
            upto_id=upto,
            marks=b"".join(_mark(line) for line in found),
            sealed_at=at,
        )
        seal.digest = _digest(seal, before=_FIRST if last is None else bytes(last.digest))
        seal.save(force_insert=True)
    return 1


def _checked(
    shard: int, findings: list[Finding]
) -> Iterator[tuple[AccessSeal, dict[bytes, bytes]]]:
    """Every seal of a shard with its marks by line id, after judging it against the one before."""
    before, number, after = _FIRST, 0, _NONE
    for seal in AccessSeal.objects.filter(shard=shard).order_by("number").iterator():
        name = f"{shard}/{seal.number}"
        if seal.number != number + 1 or seal.after_id != after:
            findings.append(Finding("missing", f"{shard}/{number + 1}"))
        elif _digest(seal, before=before) != bytes(seal.digest):
            findings.append(Finding("broken", name))
        before, number, after = bytes(seal.digest), seal.number, seal.upto_id
        marks = bytes(seal.marks)
        yield (
            seal,
            {
                marks[place : place + 16]: marks[place : place + MARK_BYTES]
                for place in range(0, len(marks), MARK_BYTES)
            },
        )


def _compare(seal: AccessSeal, marks: dict[bytes, bytes], findings: list[Finding]) -> None:
    left = dict(marks)
    for line in _lines(seal.shard, after=seal.after_id, upto=seal.upto_id).iterator():
        mark = left.pop(line["id"].bytes, None)
        if mark is None:
            findings.append(Finding("inserted", str(line["id"])))
        elif mark != _mark(line):
            findings.append(Finding("changed", str(line["id"])))
    findings += [Finding("removed", str(uuid.UUID(bytes=name))) for name in left]


def _lines(
    shard: int, *, after: uuid.UUID, upto: uuid.UUID
) -> QuerySet[AccessLine, dict[str, Any]]:
    lines = AccessLine.objects.alias(shard=_SHARD).filter(shard=shard, id__gt=after, id__lte=upto)
    return cast("QuerySet[AccessLine, dict[str, Any]]", lines.order_by("id").values(*_COLUMNS))


def _mark(line: dict[str, Any]) -> bytes:
    values = [_plain(line[name]) for name in _COLUMNS]
    text = json.dumps(values, ensure_ascii=False, separators=(",", ":"))
    name: uuid.UUID = line["id"]
    return name.bytes + hashlib.sha256(text.encode()).digest()[:16]


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="microseconds")
    return str(value) if isinstance(value, uuid.UUID) else value


def _digest(seal: AccessSeal, *, before: bytes) -> bytes:
    parts = [
        before.hex(),
        seal.shard,
        seal.number,
        str(seal.after_id),
        str(seal.upto_id),
        hashlib.sha256(bytes(seal.marks)).hexdigest(),
        _plain(seal.sealed_at),
    ]
    return lookup_hash("access-seal", json.dumps(parts))
