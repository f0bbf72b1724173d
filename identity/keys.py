"""Keeps the keys by which the city signs grants: next, current, previous, retired.

A key is published at least `PUBLISH_AHEAD` before it signs, and stays published after its last
signature until every grant it signed has lapsed, so that no scanner ever meets an unknown key.
"""

import base64
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import connection, transaction

from identity import states
from identity.history import change_state
from identity.models import SigningKey
from vpass.common.signing import (
    P256Private,
    P256Public,
    generate_p256,
    jwk_of,
    load_private,
    private_der,
    public_from_point,
    public_point,
)

KEY_SET_CACHE = timedelta(minutes=5)  # how long a scanner may keep the key set
PUBLISH_AHEAD = KEY_SET_CACHE + timedelta(hours=24)
SIGNS_FOR = timedelta(days=30)
KEEP_AFTER = (
    timedelta(hours=24) + KEY_SET_CACHE + timedelta(minutes=1)
)  # the longest grant, and skew
RELOAD_AT_MOST_EVERY = timedelta(minutes=1)

_PUBLISHED = ("next", "current", "previous")


@dataclass(frozen=True)
class CitySigner:
    """The private half of the current key, with its 4-byte id."""

    key_id: bytes
    private: P256Private


class _KnownKeys:
    """The published keys as this process last read them."""

    def __init__(self) -> None:
        self.signer: CitySigner | None = None
        self.public: dict[bytes, P256Public] = {}
        self.read_at: datetime | None = None

    def reload(self, at: datetime) -> None:
        keys = list(SigningKey.objects.filter(state__in=_PUBLISHED))
        self.public = {bytes(key.id): public_from_point(bytes(key.point)) for key in keys}
        self.signer = next((_signer(key) for key in keys if key.state == "current"), None)
        self.read_at = at

    def is_older_than(self, age: timedelta, at: datetime) -> bool:
        return self.read_at is None or at - self.read_at >= age or at < self.read_at

    def forget(self) -> None:
        self.__init__()  # type: ignore[misc]


_known = _KnownKeys()


def current_signer(*, at: datetime) -> CitySigner:
    """Return the key which signs grants now; makes the city's first one when there is none."""
    if _known.signer is None or _known.is_older_than(RELOAD_AT_MOST_EVERY, at):
        _known.reload(at)
    if _known.signer is None:
        rotate(at=at)
        _known.reload(at)
    if _known.signer is None:
        raise RuntimeError("a rotation always leaves a current key")
    return _known.signer


def verification_key(key_id: bytes, *, at: datetime) -> P256Public | None:
    """Return the public key of a 4-byte id, or None when it isn't published (any more).

    The process keeps what it read for `KEY_SET_CACHE`; an id it doesn't know makes it read again,
    at most once a minute.
    """
    if _known.is_older_than(KEY_SET_CACHE, at) or (
        key_id not in _known.public and _known.is_older_than(RELOAD_AT_MOST_EVERY, at)
    ):
        _known.reload(at)
    return _known.public.get(key_id)


def public_key_set() -> dict[str, list[dict[str, Any]]]:
    """Return the published keys, the next one too, as a JWK Set (RFC 7517)."""
    keys = SigningKey.objects.filter(state__in=_PUBLISHED).order_by("published_at")
    return {
        "keys": [
            {
                **jwk_of(public_from_point(bytes(key.point))),
                "kid": bytes(key.id).hex(),
                "use": "sig",
                "alg": "ES256",
            }
            for key in keys
        ]
    }


@transaction.atomic
def rotate(*, at: datetime) -> None:
    """Take every step of the key's life that is due; safe to run at any time and twice.

    previous → retired after `KEEP_AFTER`; next → current (and current → previous) once the next one
    has been published for `PUBLISH_AHEAD` and the current one has signed for `SIGNS_FOR`; then a
    new next.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtext('identity.keys.rotate'))")
    keys = {key.state: key for key in SigningKey.objects.filter(state__in=_PUBLISHED)}
    previous = keys.get("previous")
    if previous and previous.superseded_at and at >= previous.superseded_at + KEEP_AFTER:
        change_state(previous, "retired", table=states.SIGNING_KEY, actor="rotation", at=at)
        del keys["previous"]
    if "current" not in keys:
        _activate(keys.pop("next") if "next" in keys else _make_key(at), at=at)
    elif _is_due(keys["current"], keys.get("next"), at) and "previous" not in keys:
        keys["current"].superseded_at = at
        keys["current"].save(update_fields=["superseded_at"])
        change_state(keys["current"], "previous", table=states.SIGNING_KEY, actor="rotation", at=at)
        _activate(keys.pop("next"), at=at)
    if "next" not in keys:
        _make_key(at)
    transaction.on_commit(_known.forget)


def _is_due(current: SigningKey, following: SigningKey | None, at: datetime) -> bool:
    return (
        following is not None
        and at >= following.published_at + PUBLISH_AHEAD
        and current.active_from is not None
        and at >= current.active_from + SIGNS_FOR
    )


def _activate(key: SigningKey, *, at: datetime) -> None:
    key.active_from = at
    key.save(update_fields=["active_from"])
    change_state(key, "current", table=states.SIGNING_KEY, actor="rotation", at=at)


def _make_key(at: datetime) -> SigningKey:
    private = generate_p256()
    point = public_point(private)
    return SigningKey.objects.create(
        id=point[-4:],
        point=point,
        private=base64.b64encode(private_der(private)).decode(),
        published_at=at,
    )


def _signer(key: SigningKey) -> CitySigner:
    return CitySigner(bytes(key.id), load_private(base64.b64decode(key.private)))
