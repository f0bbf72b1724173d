"""Says what a site of the sandbox is: a name, its protocol routes, answers to checked requests."""

import hashlib
import json
from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

MAX_BODY_BYTES = 4096


@dataclass(frozen=True)
class Answer:
    """A status and the members of the JSON object that goes with it."""

    status: int
    members: Mapping[str, Any]
    headers: Mapping[str, str] = field(default_factory=dict)


def refusal(status: int, code: str) -> Answer:
    """An answer that says only that there is none."""
    return Answer(status, {"error": code})


class Site(ABC):
    """One outside system. Its protocol routes lie under `/<name>`."""

    name: str
    routes: tuple[str, ...]
    signs_answers: bool

    @abstractmethod
    def answer(self, *, route: str, members: Mapping[str, Any]) -> Answer:
        """Does the work of a request whose signature is right, and answers it."""

    def refused(self) -> None:  # noqa: B027 (most sites do not count)
        """A request was turned away before it reached `answer`."""


class Journal:
    """Remembers what was answered under which identifier, so that a repeat does nothing twice."""

    def __init__(self, *, size: int = 10_000) -> None:
        self._answers: OrderedDict[str, tuple[bytes, Answer]] = OrderedDict()
        self._size = size
        self.repeats = 0
        self.written = 0

    def recall(self, identifier: str, members: Mapping[str, Any]) -> tuple[bool, Answer | None]:
        """(is it known, its answer); known without an answer: used for something else before."""
        known = self._answers.get(identifier)
        if known is None:
            return False, None
        if known[0] != _digest(members):
            return True, None
        self.repeats += 1
        return True, known[1]

    def write(self, identifier: str, members: Mapping[str, Any], answer: Answer) -> None:
        """Keeps the answer; the oldest goes when the journal is full."""
        self._answers[identifier] = (_digest(members), answer)
        self.written += 1
        if len(self._answers) > self._size:
            self._answers.popitem(last=False)


def read_object(body: bytes) -> dict[str, Any]:
    """The JSON object in `body`, no member twice; raises ValueError."""
    value = json.loads(body.decode("utf-8"), object_pairs_hook=_unique)
    if not isinstance(value, dict):
        raise ValueError("not an object")
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a member stands twice")
    return members


def _digest(members: Mapping[str, Any]) -> bytes:
    return hashlib.sha256(json.dumps(members, sort_keys=True).encode()).digest()
