"""Remembers what clients asked and were told, so that nobody can say it was not so."""

import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

from vpass.common import clock
from vpass.day.transport import Reply, Unexpected

DECIDED_WITHIN_S = 60.0
PAUSE_S = 0.1
# Answers that say nothing about the work: it is in hand, or somebody is busy.
_LATER = frozenset({"idempotency.running", "service.busy", "service.unavailable"})


@dataclass(frozen=True)
class Work:
    """One thing a client wants, under a key of its own."""

    name: str
    key: str
    send: Callable[[], Reply]
    asked: dict[str, Any]


@dataclass
class Oracle:
    """A line of JSON for every try, in a file: operation, key, sent, answered, status, body hash.

    2xx is acknowledged and anything of 400 to 499 refused. No answer, a broken one, 5xx and "later"
    leave it unknown: the same request again under the same key, until it is decided.
    """

    path: Path
    acknowledged: list[dict[str, Any]] = field(default_factory=list)
    refused: dict[str, int] = field(default_factory=dict)
    faults: dict[str, int] = field(default_factory=dict)
    undecided: list[str] = field(default_factory=list)
    contradicted: list[str] = field(default_factory=list)
    longest_s: float = 0.0
    _to_repeat: list[tuple[Work, str]] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def decided(self) -> int:
        """How many operations are acknowledged or refused so far."""
        return len(self.acknowledged) + sum(self.refused.values())

    def do(self, name: str, *, key: str, send: Callable[[], Reply], **asked: Any) -> Any:
        """The acknowledged body, or None when it was refused or stays undecided."""
        work = Work(name, key, send, asked)
        begun = time.monotonic()
        while time.monotonic() - begun < DECIDED_WITHIN_S:
            reply = self._try(work)
            if reply is not None and 200 <= reply.status < 300:
                self._note_acknowledged(work, reply, took_s=time.monotonic() - begun)
                return reply.body
            if reply is not None and _is_refusal(reply):
                with self._lock:
                    self.refused[reply.code] = self.refused.get(reply.code, 0) + 1
                return None
            time.sleep(PAUSE_S)
        with self._lock:
            self.undecided.append(f"{name} {key}")
        return None

    def read(self, send: Callable[[], Reply]) -> Any:
        """The body of a question that changes nothing, asked until it is answered; None: never."""
        begun = time.monotonic()
        while time.monotonic() - begun < DECIDED_WITHIN_S:
            try:
                reply = send()
            except Unexpected:
                reply = None
            if reply is not None and reply.status == 200:
                return reply.body
            time.sleep(PAUSE_S)
        return None

    def repeat(self, limit: int) -> int:
        """Asks again for up to `limit` things that were acknowledged; another body contradicts."""
        with self._lock:
            chosen = self._to_repeat[-limit:]
        for work, body_hash in chosen:
            begun = time.monotonic()
            while (reply := self._try(work)) is None or not (
                200 <= reply.status < 300 or _is_refusal(reply)
            ):
                if time.monotonic() - begun > DECIDED_WITHIN_S:
                    break
                time.sleep(PAUSE_S)
            if reply is None or _hash(reply.body) != body_hash:
                self.contradicted.append(f"{work.name} {work.key}: now {reply}")
        return len(chosen)

    def told(self) -> list[dict[str, Any]]:
        """What we can be held to, as invariants.examine takes it."""
        with self._lock:
            return list(self.acknowledged)

    def _try(self, work: Work) -> Reply | None:
        sent = clock.now()
        try:
            reply: Reply | None = work.send()
            fault = "" if reply is not None and reply.status < 500 else f"{reply}"
        except Unexpected as error:
            reply, fault = None, str(error).rpartition(": ")[2]
        line = {
            "operation": work.name,
            "key": work.key,
            **work.asked,
            "sent": sent.isoformat(),
            "answered": clock.now().isoformat(),
            "status": 0 if reply is None else reply.status,
            "code": "" if reply is None else reply.code,
            "body": "" if reply is None else _hash(reply.body),
        }
        with self._lock:
            if fault:
                self.faults[fault] = self.faults.get(fault, 0) + 1
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(line, ensure_ascii=False) + "\n")
        return reply

    def _note_acknowledged(self, work: Work, reply: Reply, *, took_s: float) -> None:
        told = {"work": work.name, "key": work.key, **work.asked}
        for name in ("id", "state"):
            if name in reply.body:
                told.setdefault(name, reply.body[name])
        with self._lock:
            self.acknowledged.append(told)
            self.longest_s = max(self.longest_s, took_s)
            self._to_repeat.append((work, _hash(reply.body)))


def _is_refusal(reply: Reply) -> bool:
    return 400 <= reply.status < 500 and reply.code not in _LATER


def _hash(body: Any) -> str:
    text = json.dumps(body, sort_keys=True, ensure_ascii=False)
    return sha256(text.encode()).hexdigest()[:32]
