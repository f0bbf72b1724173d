"""Does a request once: the same key and body get the same answer, however often they come."""

import hashlib
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.db import connection, transaction

from vpass.common import prepared, sealed_fields
from vpass.common.errors import DomainError

KEPT_FOR = timedelta(days=30)
RETRY_AFTER_S = 1

_TABLE = "common_idempotency"
_KEY = re.compile(r"[\x21-\x7e][\x20-\x7e]{6,126}[\x21-\x7e]", re.ASCII)
_PURGE_ROWS = 10_000
_CLAIM = "SELECT * FROM idempotency_claim_v1(%(identity)s, %(digest)s, %(at)s)"
_FIND = "SELECT digest, answer FROM common_idempotency WHERE id = %(identity)s"
_STORE = "UPDATE common_idempotency SET answer = %(answer)s WHERE id = %(id)s"


class KeyMissing(DomainError):
    """The request needs an Idempotency-Key header."""

    code = "idempotency.key_missing"
    status = 400
    title_zh = "请求缺少 Idempotency-Key 标头"


class KeyInvalid(DomainError):
    """The Idempotency-Key header must be 8 to 128 printable ASCII characters."""

    code = "idempotency.key_invalid"
    status = 400
    title_zh = "Idempotency-Key 标头须为 8 至 128 个可打印 ASCII 字符"


class KeyReused(DomainError):
    """The idempotency key came with another request before."""

    code = "idempotency.key_reused"
    status = 422
    title_zh = "该幂等键已用于另一请求"


class StillRunning(DomainError):
    """The same request is being worked on at this moment."""

    code = "idempotency.running"
    status = 409
    title_zh = "相同的请求正在处理中"


@dataclass(frozen=True)
class IdempotencyKey:
    """Which request this is: the caller's scope, the key it chose, and `request_digest`.

    Raises KeyMissing for a key that is None or empty, and KeyInvalid for a malformed one.
    """

    caller: str
    key: str
    digest: bytes

    def __post_init__(self) -> None:
        if not self.key:
            raise KeyMissing
        if not isinstance(self.key, str) or not _KEY.fullmatch(self.key):
            raise KeyInvalid
        if not self.caller or len(self.digest) != 32:
            raise ValueError("an idempotency key needs its caller and a SHA-256 digest")


@dataclass
class Claim:
    """The right to do the work, or the answer it had: `answer` is None until there is one."""

    answer: dict[str, Any] | None = None
    is_replay: bool = field(default=False, init=False)


def request_digest(*, method: str, path: str, body: bytes) -> bytes:
    """The SHA-256 by which a repeated request is known to be the same; `body` is raw."""
    parts = (method.encode(), path.encode(), body)
    return hashlib.sha256(b"".join(hashlib.sha256(part).digest() for part in parts)).digest()


@contextmanager
def once(key: IdempotencyKey, *, at: datetime) -> Iterator[Claim]:
    """The transaction in which the request is done, if it has not been done before.

    For a repeated request the claim holds the stored `answer` (JSON, a dict): return it. Otherwise
    do the work and set `claim.answer` before leaving; it commits together with the work, sealed,
    and is kept for 30 days. Any exception rolls back the claim too, so that the key can be tried
    again. Two statements: one claims, one stores.

    Raises KeyReused and StillRunning; RuntimeError inside another transaction or without answer.
    """
    with transaction.atomic(durable=True):
        identity = _identity(key)
        claim = _claim(identity, key.digest, at=at)
        yield claim
        if claim.is_replay:
            return
        if claim.answer is None:
            raise RuntimeError("the work left without an answer")
        _store(identity, claim.answer)


def find_answer(key: IdempotencyKey) -> dict[str, Any] | None:
    """The answer this request had, or None: for work that asks the outside world before `once`.

    One statement, no claim. Raises KeyReused.
    """
    identity = _identity(key)
    with connection.cursor() as cursor:
        prepared.execute(cursor, "find_answer", _FIND, {"identity": identity})
        found = cursor.fetchone()
    if found is None:
        return None
    digest, sealed = found
    if bytes(digest) != key.digest:
        raise KeyReused
    return _open(sealed, identity)


def purge(*, at: datetime) -> int:
    """Forgets the answers older than 30 days, a bounded number at a time; returns how many."""
    with connection.cursor() as cursor:
        cursor.execute(
            "DELETE FROM common_idempotency WHERE id = ANY (ARRAY("
            " SELECT id FROM common_idempotency WHERE claimed_at < %s"
            " ORDER BY claimed_at LIMIT %s FOR UPDATE SKIP LOCKED))",
            [at - KEPT_FOR, _PURGE_ROWS],
        )
        return int(cursor.rowcount)


def _claim(identity: bytes, digest: bytes, *, at: datetime) -> Claim:
    with connection.cursor() as cursor:
        values = {"identity": identity, "digest": digest, "at": at}
        prepared.execute(cursor, "claim_key", _CLAIM, values)
        outcome, sealed = cursor.fetchone()
    if outcome == "running":
        raise StillRunning(retry_after=RETRY_AFTER_S)
    if outcome == "reused":
        raise KeyReused
    claim = Claim()
    if outcome == "replay":
        claim.answer = _open(sealed, identity)
        claim.is_replay = True
    return claim


def _store(identity: bytes, answer: dict[str, Any]) -> None:
    text = json.dumps(answer, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    sealed = sealed_fields.seal(text, table=_TABLE, row=identity, column="answer")
    with connection.cursor() as cursor:
        prepared.execute(cursor, "store_answer", _STORE, {"answer": sealed, "id": identity})


def _open(sealed: bytes, identity: bytes) -> dict[str, Any]:
    text = sealed_fields.unseal(sealed, table=_TABLE, row=identity, column="answer")
    answer: dict[str, Any] = json.loads(text)
    return answer


def _identity(key: IdempotencyKey) -> bytes:
    return sealed_fields.lookup_hash("idempotency", f"{key.caller}\0{key.key}")
