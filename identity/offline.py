"""Decides about a code without network, as docs/offline.md lays down.

Pure Python without Django or database, so that a scanner can carry it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from identity import code_format, status_format
from identity.code_format import Code, CodeError
from identity.status_format import StatusList
from vpass.common.signing import (
    BadKey,
    BadToken,
    P256Public,
    decode_jws,
    jws_header,
    public_from_jwk,
)

FORGET_EVERY_S: Final = 10

BUNDLE_TYPE: Final = "vpass-bundle+jwt"

ALREADY_USED: Final = "already_used"
OFFLINE_STALE: Final = "offline_stale"
REVOKED: Final = "revoked"
SUSPENDED: Final = "suspended"
SCENE_NOT_ALLOWED: Final = "scene_not_allowed"
ID_ONLY: Final = "id_only"
RIGHT_MISSING: Final = "right_missing"

_OWN_REASON: Final = frozenset({"pay", "bus", "door"})


class BundleRefused(Exception):
    """The bundle is not the city's, not this terminal's, or out of its time."""


@dataclass(frozen=True, kw_only=True)
class Bundle:
    """What a scanner needs to decide alone: keys by their 4 bytes, rules, and where the lists are.

    `lists` holds the base64url SHA-256 of each published list by its number.
    """

    issuer: str
    scene: str
    version: str
    keys: Mapping[bytes, P256Public]
    lists_at: str
    lists: Mapping[int, str]
    max_list_age_s: int
    stale_uses: int
    door_groups: frozenset[int]


@dataclass(frozen=True, kw_only=True)
class Decision:
    """What came of a code: `reason` is None for an acceptance, which may be `is_capped`.

    `code` is what was read, if it was genuine.
    """

    reason: str | None
    code: Code | None = None
    is_capped: bool = False

    @property
    def is_accepted(self) -> bool:
        """Whether the code was accepted."""
        return self.reason is None


def read_bundle(
    token: str, *, keys: Mapping[bytes, P256Public], terminal_id: str, at: datetime
) -> Bundle:
    """The bundle in a JWS that one of the `keys` signed for this terminal; raises BundleRefused."""
    try:
        kid = jws_header(token).get("kid", "")
        key = keys.get(bytes.fromhex(kid)) if len(kid) == 8 else None
        if key is None:
            raise BundleRefused("the key id is not known")
        claims = decode_jws(
            token,
            key,
            typ=BUNDLE_TYPE,
            audience=terminal_id,
            at=at,
            required=("iss", "iat", "exp", "ver", "scene", "keys", "lists_at", "lists", "rules"),
        )
        rules = claims["rules"]
        return Bundle(
            issuer=claims["iss"],
            scene=claims["scene"],
            version=claims["ver"],
            keys={bytes.fromhex(jwk["kid"]): _public(jwk) for jwk in claims["keys"]},
            lists_at=claims["lists_at"],
            lists={int(number): digest for number, digest in claims["lists"].items()},
            max_list_age_s=rules["max_list_age_s"],
            stale_uses=rules["stale_uses"],
            door_groups=frozenset(rules["door_groups"]),
        )
    except (BadToken, BadKey, AttributeError, KeyError, TypeError, ValueError) as error:
        raise BundleRefused("not a bundle for this terminal") from error


@dataclass
class Scanner:
    """A scanner's memory: its bundle, the lists it holds, and the codes it has seen."""

    bundle: Bundle
    lists: dict[int, StatusList] = field(default_factory=dict)
    seen: dict[bytes, int] = field(default_factory=dict)  # jti: issue time
    stale_uses: dict[bytes, tuple[int, int]] = field(default_factory=dict)  # handle: count, expiry
    forgot_at: int = 0

    def load_list(self, number: int, data: bytes, *, at: int) -> None:
        """Keep a list that was fetched, unless a newer one is held; raises ListRefused."""
        found = status_format.decode_list(data)
        status_format.check_list(
            found,
            key=self.bundle.keys.get(found.kid),
            at=at,
            subject=f"{self.bundle.lists_at}{number}",
        )
        held = self.lists.get(number)
        if held is None or found.issued_at >= held.issued_at:
            self.lists[number] = found

    def decide(self, text: str, *, at: int) -> Decision:
        """Judge a scanned text at `at`, in whole seconds since the epoch, and remember it."""
        self._forget(at)
        try:
            code = code_format.read_code(text)
            code_format.check_code(
                code, key=self.bundle.keys.get(code.kid), at=at, issuer=self.bundle.issuer
            )
        except CodeError as error:
            return Decision(reason=error.reason)
        jti = code.jti
        if jti in self.seen:
            return Decision(reason=ALREADY_USED, code=code)
        self.seen[jti] = code.presentation.issued_at
        held = self.lists.get(code.grant.status_index >> 20)
        if held is None or at >= held.expires_at:
            return Decision(reason=OFFLINE_STALE, code=code)
        age = at - held.issued_at
        if age < -status_format.MAY_RUN_AHEAD_S:
            return Decision(reason=OFFLINE_STALE, code=code)
        reason = self._refusal(code, held.status(code.grant.status_index))
        if reason is not None or age <= self.bundle.max_list_age_s:
            return Decision(reason=reason, code=code)
        used, _ = self.stale_uses.get(code.grant.handle, (0, 0))
        if used >= self.bundle.stale_uses:
            return Decision(reason=OFFLINE_STALE, code=code)
        self.stale_uses[code.grant.handle] = (used + 1, code.grant.expires_at)
        return Decision(reason=None, code=code, is_capped=True)

    def _refusal(self, code: Code, status: int) -> str | None:
        scene = self.bundle.scene
        if status == status_format.SUSPENDED:
            return SUSPENDED
        if status not in status_format.CLOSED_SCENES:
            return REVOKED
        if not code.presentation.allows(scene):
            return SCENE_NOT_ALLOWED
        if scene in status_format.CLOSED_SCENES[status]:
            return f"{scene}_suspended" if scene in _OWN_REASON else ID_ONLY
        rights = code.grant.rights
        if scene == "bus" and (rights is None or rights.bus is None):
            return RIGHT_MISSING
        if scene == "door" and (
            rights is None or not self.bundle.door_groups & set(rights.door_groups)
        ):
            return RIGHT_MISSING
        return None

    def _forget(self, at: int) -> None:
        """Drop what can't come again, since another check refuses it: now and then, for all."""
        if 0 <= at - self.forgot_at < FORGET_EVERY_S:
            return
        self.forgot_at = at
        for jti in [jti for jti, issued in self.seen.items() if issued < at - code_format.LIVES_S]:
            del self.seen[jti]
        for handle in [each for each, (_, end) in self.stale_uses.items() if at >= end]:
            del self.stale_uses[handle]


def _public(jwk: dict[str, Any]) -> P256Public:
    if (jwk.get("use"), jwk.get("alg")) != ("sig", "ES256"):
        raise BadKey("wrong_kind")
    return public_from_jwk({name: jwk[name] for name in ("kty", "crv", "x", "y")})
