"""Binds phones to residents by their keys, and gives a phone its access tokens."""

import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings

from identity.models import AccessToken, Device, Resident
from vpass.common import key_proofs, limits
from vpass.common.callers import Caller, KnownCaller
from vpass.common.errors import DomainError, NotAuthenticated
from vpass.common.signing import (
    BadToken,
    VerificationKey,
    decode_jws,
    public_from_point,
)

TOKEN_LIFE = timedelta(minutes=15)
ASSERTION_TYPE = "vpass-token+jwt"
ASSERTION_LIFE_S = 60
TOKENS_PATH = "/api/resident/v1/tokens"


class AssertionRefused(NotAuthenticated):
    """The assertion does not prove a bound device."""

    code = "token.assertion_refused"
    title_zh = "设备断言未通过验证"


class DeviceTaken(DomainError):
    """This key is already bound to an account."""

    code = "device.already_bound"
    status = 409
    title_zh = "该密钥已绑定账户"


@dataclass(frozen=True)
class TokenIssued:
    """An access token for `expires_in_s` seconds, good only with proofs by the device's key."""

    access_token: str
    expires_in_s: int
    resident: Resident


def bind_device(*, resident: Resident, point: bytes, thumbprint: str, at: datetime) -> Device:
    """Bind the key of a phone to its resident; call it inside the enrolment's transaction.

    Raises DeviceTaken when the key belongs to an account already.
    """
    device, is_new = Device.objects.get_or_create(
        thumbprint=thumbprint,
        defaults={"resident": resident, "point": point, "grade": "software", "bound_at": at},
    )
    if not is_new:
        raise DeviceTaken
    return device


def issue_token(*, device: Device, at: datetime) -> TokenIssued:
    """Give a bound, active device a fresh access token; only the token's hash is stored."""
    token = secrets.token_urlsafe(32)
    AccessToken.objects.create(
        token_hash=key_proofs.token_hash(token), device=device, expires_at=at + TOKEN_LIFE
    )
    return TokenIssued(token, int(TOKEN_LIFE.total_seconds()), device.resident)


def renew_token(*, assertion: str, thumbprint: str, at: datetime) -> TokenIssued:
    """Give a device a new access token for an assertion signed by its key (RFC 7523 section 3).

    The assertion is a JWS, typ `vpass-token+jwt`, with `iss` and `sub` = the key's thumbprint,
    `aud` = the token endpoint's URL, `iat` at most 60 s old, and a `jti` that is good once.
    `thumbprint` is the key which proved the request itself. Raises AssertionRefused.
    """
    device = (
        Device.objects.select_related("resident")
        .exclude(resident__state="closed")
        .filter(thumbprint=thumbprint, state="active")
        .first()
    )
    if device is None:
        raise AssertionRefused
    try:
        claims = decode_jws(
            assertion,
            public_from_point(bytes(device.point)),
            typ=ASSERTION_TYPE,
            audience=settings.PUBLIC_URL + TOKENS_PATH,
            at=at,
            required=("iss", "sub", "iat", "jti"),
        )
    except BadToken as error:
        raise AssertionRefused(error.reason) from error
    is_fresh = at.timestamp() - claims["iat"] <= ASSERTION_LIFE_S
    if not is_fresh or claims["iss"] != thumbprint or claims["sub"] != thumbprint:
        raise AssertionRefused("stale or foreign")
    if not limits.spend_once(
        f"assertion:{thumbprint}", str(claims["jti"]), expires_at=at + timedelta(minutes=5)
    ):
        raise AssertionRefused("replayed")
    return issue_token(device=device, at=at)


def find_resident_caller(token_hash: bytes, at: datetime) -> KnownCaller | None:
    """Return whose token this is, in one statement; None unless token and device are in force."""
    token = (
        AccessToken.objects.select_related("device__resident")
        .exclude(device__resident__state="closed")
        .filter(token_hash=token_hash, expires_at__gt=at, device__state="active")
        .first()
    )
    if token is None:
        return None
    device = token.device
    return KnownCaller(
        caller=Caller(
            kind="resident",
            id=device.resident_id,
            key_id=device.thumbprint,
            resident_id=device.resident_id,
            device_id=device.id,
            level=device.resident.level,
        ),
        key=VerificationKey.from_bytes("ES256", bytes(device.point)),
    )
