"""What a grant and a presentation say, as the maps of numbered claims in docs/code-format.md."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from types import MappingProxyType
from typing import Final

SCENES: Final[Mapping[str, int]] = MappingProxyType(
    {"id": 1, "pay": 2, "bus": 4, "door": 8, "library": 16, "check_in": 32}
)
ALL_SCENES: Final = sum(SCENES.values())

_UINT32: Final = 2**32 - 1
_ISSUER: Final = re.compile(r"[a-z][a-z0-9-]{0,23}")


class MalformedClaims(Exception):
    """The item is not a map with exactly this format's claims, types, sizes and ranges."""


@dataclass(frozen=True, kw_only=True)
class BusRight:
    """What an offline bus validator needs: the fare's concession class and the card to charge."""

    concession_class: int
    card_reference: bytes


@dataclass(frozen=True, kw_only=True)
class Rights:
    """What offline scenes may grant: a bus right, and up to four ascending door group ids."""

    bus: BusRight | None = None
    door_groups: tuple[int, ...] = ()


@dataclass(frozen=True, kw_only=True)
class GrantClaims:
    """What the city signs for one phone and at most a day; times in seconds since the epoch."""

    issuer: str
    expires_at: int
    handle: bytes
    public_point: bytes
    status_index: int
    rights: Rights | None = None


@dataclass(frozen=True, kw_only=True)
class Presentation:
    """What the phone signs every 30 seconds; `scenes` is a bit set of SCENES."""

    issued_at: int
    scenes: int
    nonce: bytes

    def allows(self, scene: str) -> bool:
        """Whether the phone signed this scene; an unknown scene is never allowed."""
        return bool(self.scenes & SCENES.get(scene, 0))


def grant_map(claims: GrantClaims) -> dict[int, object]:
    """The claims as the map to encode, keys ascending; `grant_claims` says whether they fit."""
    items: dict[int, object] = {
        1: claims.issuer,
        4: claims.expires_at,
        7: claims.handle,
        8: claims.public_point,
        9: claims.status_index,
    }
    if claims.rights is not None:
        rights: dict[int, object] = {}
        if claims.rights.bus is not None:
            rights[1] = claims.rights.bus.concession_class
            rights[2] = claims.rights.bus.card_reference
        if claims.rights.door_groups:
            rights[3] = list(claims.rights.door_groups)
        items[10] = rights
    return items


def presentation_map(presentation: Presentation) -> dict[int, object]:
    """The presentation as the map to encode; `presentation_claims` says whether it fits."""
    return {6: presentation.issued_at, 11: presentation.scenes, 12: presentation.nonce}


def grant_claims(item: object) -> GrantClaims:
    """The claims in a decoded grant payload; raises MalformedClaims."""
    items = _map(item, {1, 4, 7, 8, 9}, {10})
    issuer = items[1]
    if type(issuer) is not str or not _ISSUER.fullmatch(issuer):
        raise MalformedClaims("malformed issuer")
    point = _bytes(items[8], 33)
    if point[0] not in (2, 3):
        raise MalformedClaims("the point is not compressed")
    return GrantClaims(
        issuer=issuer,
        expires_at=_uint(items[4], _UINT32),
        handle=_bytes(items[7], 16),
        public_point=point,
        status_index=_uint(items[9], _UINT32),
        rights=_rights(items[10]) if 10 in items else None,
    )


def presentation_claims(item: object) -> Presentation:
    """The presentation in a decoded payload; raises MalformedClaims."""
    items = _map(item, {6, 11, 12}, set())
    scenes = _uint(items[11], ALL_SCENES)
    if scenes == 0:
        raise MalformedClaims("no scene")
    return Presentation(
        issued_at=_uint(items[6], _UINT32), scenes=scenes, nonce=_bytes(items[12], 6)
    )


def _rights(item: object) -> Rights:
    items = _map(item, set(), {1, 2, 3})
    if not items or (1 in items) != (2 in items):
        raise MalformedClaims("malformed rights")
    bus = None
    if 1 in items:
        bus = BusRight(concession_class=_uint(items[1], 255), card_reference=_bytes(items[2], 8))
    groups: list[int] = []
    if 3 in items:
        listed = items[3]
        if type(listed) is not list or not 1 <= len(listed) <= 4:
            raise MalformedClaims("malformed door groups")
        groups = [_uint(group, _UINT32) for group in listed]
        if any(low >= high for low, high in pairwise(groups)):
            raise MalformedClaims("door groups do not ascend")
    return Rights(bus=bus, door_groups=tuple(groups))


def _map(item: object, required: set[int], optional: set[int]) -> dict[int, object]:
    if type(item) is not dict or not required <= item.keys() <= required | optional:
        raise MalformedClaims("not the claims of this format")
    return item


def _uint(item: object, maximum: int) -> int:
    if type(item) is not int or not 0 <= item <= maximum:
        raise MalformedClaims("not a number of this range")
    return item


def _bytes(item: object, length: int) -> bytes:
    if type(item) is not bytes or len(item) != length:
        raise MalformedClaims("not a byte string of this length")
    return item
