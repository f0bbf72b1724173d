"""Keeps machines' keys: a new one takes over while the old is still good, or all end at once."""

import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import Prefetch, QuerySet

from identity import states, subtree
from identity.history import change_state
from identity.models import MachineKey, Terminal
from identity.organisations import TerminalKeyTaken, end_terminal_codes
from vpass.common import audit, signing
from vpass.common.callers import Caller
from vpass.common.errors import Conflict, DomainError
from vpass.common.idempotency import IdempotencyKey, once

# For how long both keys are good: long enough to find out that the new one works everywhere.
OVERLAP = timedelta(hours=24)
PROOF_TYPE = "vpass-next-key+jwt"
PROOF_LIFE_S = 60
RETIRED_AT_ONCE = 1_000


class NextKeyInvalid(DomainError):
    """The next key does not prove itself for this machine."""

    code = "machine_key.proof_invalid"
    status = 422
    title_zh = "新密钥未能证明其属于本设备"


class KeyNotCurrent(Conflict):
    """Another key has taken over from this one already."""

    code = "machine_key.not_current"
    title_zh = "该密钥已被新密钥接替"


@dataclass(frozen=True, kw_only=True)
class Rotated:
    """The id of the new key, good at once, and until when the old one is good too (RFC 3339)."""

    key_id: str
    old_key_id: str
    old_key_good_until: str


def rotate(
    *, caller: Caller, proof: str, path: str, idempotency_key: IdempotencyKey, at: datetime
) -> Rotated:
    """Give the machine which calls a new key; its present one is good for OVERLAP more.

    The request itself is signed by the present key. `proof` is a JWS by the new P-256 key, typ
    `vpass-next-key+jwt`, whose public `jwk` stands in the header; `aud` is the URL of `path`, `sub`
    the id of the present key, `iat` at most 60 s old, and a `jti`. The new key's id is its RFC 7638
    thumbprint. Raises NextKeyInvalid, KeyNotCurrent, TerminalKeyTaken, and what `once` raises.
    """
    with once(idempotency_key, at=at) as claim:
        if claim.answer is None:
            point, thumbprint = _read(proof, caller=caller, path=path, at=at)
            claim.answer = _rotate(caller, point=point, thumbprint=thumbprint, at=at)
        return Rotated(**claim.answer)


def revoke_keys(*, caller: Caller, terminal_id: uuid.UUID, reason: str, at: datetime) -> int:
    """End every key of a machine at once, as an administrator above it; return how many.

    So do the codes by which it could enrol another. `reason` is a short word. Raises NotFound.
    """
    with transaction.atomic():
        subtree.lock_tree()
        terminal = subtree.find(subtree.terminals_of(caller), terminal_id)
        end_terminal_codes(Terminal.objects.filter(id=terminal.id), at=at)
        _lock(terminal.id)
        ending = list(MachineKey.objects.filter(terminal=terminal, state="active").order_by("id"))
        for key in ending:
            change_state(key, "revoked", table=states.MACHINE_KEY, actor=caller.scope, at=at)
        audit.record(
            actor=caller.scope,
            action="terminal.keys_revoked",
            subject=f"terminal:{terminal.id}",
            detail={"keys": len(ending), "reason": reason},
            at=at,
        )
    return len(ending)


def terminals_with_keys(caller: Caller) -> QuerySet[Terminal]:
    """Return the terminals of the caller's subtree, each with its `keys_in_force`."""
    keys = MachineKey.objects.filter(state="active").order_by("id")
    return subtree.terminals_of(caller).prefetch_related(
        Prefetch("machinekey_set", queryset=keys, to_attr="keys_in_force")
    )


def retire_due(*, at: datetime) -> None:
    """Write down that keys have retired whose time is over; they are refused without that too."""
    with transaction.atomic():
        due = MachineKey.objects.select_for_update(skip_locked=True).filter(
            state="active", retires_at__lte=at
        )
        for key in due.order_by("id")[:RETIRED_AT_ONCE]:
            change_state(key, "retired", table=states.MACHINE_KEY, actor="expiry", at=at)


def _read(proof: str, *, caller: Caller, path: str, at: datetime) -> tuple[bytes, str]:
    try:
        jwk = signing.jws_header(proof).get("jwk")
        public = signing.public_from_jwk(jwk if isinstance(jwk, dict) else {})
        claims = signing.decode_jws(
            proof,
            public,
            typ=PROOF_TYPE,
            audience=settings.PUBLIC_URL + path,
            at=at,
            required=("iat", "jti", "sub"),
        )
    except signing.SignatureError as error:
        raise NextKeyInvalid(error.reason) from error
    if at.timestamp() - claims["iat"] > PROOF_LIFE_S:
        raise NextKeyInvalid("stale")
    if claims["sub"] != caller.key_id:
        raise NextKeyInvalid("made for another key")
    return signing.public_point(public), signing.thumbprint(signing.jwk_of(public))


def _rotate(caller: Caller, *, point: bytes, thumbprint: str, at: datetime) -> dict[str, Any]:
    terminal = _lock(uuid.UUID(str(caller.id)))
    present = MachineKey.objects.get(id=caller.key_id, terminal=terminal)
    if present.state != "active" or present.retires_at is not None:
        raise KeyNotCurrent
    actor = f"key:{caller.key_id}"
    for former in MachineKey.objects.filter(terminal=terminal, state="active").exclude(
        retires_at=None
    ):
        change_state(former, "retired", table=states.MACHINE_KEY, actor=actor, at=at)
    present.retires_at = at + OVERLAP
    present.save(update_fields=["retires_at"])
    try:
        with transaction.atomic():
            MachineKey.objects.create(
                id=thumbprint, terminal=terminal, algorithm="ES256", public_key=point
            )
    except IntegrityError as error:
        raise TerminalKeyTaken from error
    audit.record(
        actor=actor,
        action="terminal.key_rotated",
        subject=f"terminal:{terminal.id}",
        detail={"key_id": thumbprint},
        at=at,
    )
    return {
        "key_id": thumbprint,
        "old_key_id": present.id,
        "old_key_good_until": present.retires_at.isoformat(),
    }


def _lock(terminal_id: uuid.UUID) -> Terminal:
    """The machine's row, under which its keys change."""
    return Terminal.objects.select_for_update().get(id=terminal_id)
