"""Says who calls, and finds the keys of phones, desks and machines through the floors above.

Pure data and three registered questions: how a caller proves to hold its key stands in
`key_proofs`, `http_signatures` and `api.authentication`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID

from vpass.common.signing import VerificationKey

ResolverKind = Literal["resident", "machine", "staff"]


@dataclass(frozen=True, kw_only=True)
class Caller:
    """Who calls, proven by a key.

    `kind` is "resident", "staff", the kind of a machine ("terminal", "merchant", "bank", ...) or
    "key" for a phone or desk that has proven its key and nothing else yet. `id` is that object's
    primary key, or the key's thumbprint for "key". The other members are filled where they apply.
    """

    kind: str
    id: UUID | str
    key_id: str
    organisation_id: UUID | None = None
    store_id: UUID | None = None
    is_closed: bool = False  # the store in which it stands
    desk_id: UUID | None = None
    scene: str | None = None
    resident_id: UUID | None = None
    device_id: UUID | None = None
    level: int = 0
    staff_id: UUID | None = None
    roles: frozenset[str] = frozenset()

    @property
    def scope(self) -> str:
        """A text unique to this caller, e.g. "terminal:<uuid>"; its idempotency keys live in it."""
        return f"{self.kind}:{self.id}"


def required(id_: UUID | None) -> UUID:
    """An id that callers of the route's kind always have; raises TypeError when it is missing."""
    if id_ is None:
        raise TypeError("a caller of another kind")
    return id_


@dataclass(frozen=True, kw_only=True)
class KnownCaller:
    """A caller as a resolver finds it, with the key it has yet to prove."""

    caller: Caller
    key: VerificationKey


ByHash = Callable[[bytes, datetime], KnownCaller | None]
ByKeyId = Callable[[str, datetime], KnownCaller | None]

_by_hash: dict[str, ByHash] = {}
_by_key_id: dict[str, ByKeyId] = {}


def register_resolver(kind: ResolverKind, resolver: ByHash | ByKeyId) -> None:
    """Let a floor above find callers of `kind`; called once, when the program starts.

    resident: fn(token_hash: 32 bytes, at), machine: fn(key_id: str, at), staff:
    fn(session_hash: 32 bytes, at). Each costs one SQL statement and answers None for everything
    that must not call now: unknown, ended, frozen, suspended.
    """
    if kind == "machine":
        _by_key_id[kind] = resolver  # type: ignore[assignment]
    else:
        _by_hash[kind] = resolver  # type: ignore[assignment]


def find_resident(token_hash: bytes, at: datetime) -> KnownCaller | None:
    """The resident whose access token has this SHA-256, with the key of the device."""
    return _by_hash["resident"](token_hash, at)


def find_staff(session_hash: bytes, at: datetime) -> KnownCaller | None:
    """The member of staff whose session token has this SHA-256, with the key of the desk."""
    return _by_hash["staff"](session_hash, at)


def find_machine(key_id: str, at: datetime) -> KnownCaller | None:
    """The machine that signs with the key `key_id`."""
    return _by_key_id["machine"](key_id, at)
