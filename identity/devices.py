"""Binds phones to residents by their keys, and gives a phone its access and refresh tokens."""

import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django.conf import settings
from django.db import IntegrityError, transaction

from identity import states
from identity.attestation import AttestationChallengeUsed, Attested
from identity.history import change_state
from identity.models import AccessToken, Device, RefreshToken, Resident, TokenFamily
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
REFRESH_LIFE = timedelta(days=30)
ASSERTION_TYPE = "vpass-token+jwt"
ASSERTION_LIFE_S = 60
PURGE_ROWS = 10_000
TOKENS_PATH = "/api/resident/v1/tokens"


class AssertionRefused(NotAuthenticated):
    """The assertion does not prove a bound device."""

    code = "token.assertion_refused"
    title_zh = "设备断言未通过验证"


class RefreshRefused(NotAuthenticated):
    """The refresh token is not in force for this key; sign in with the key alone."""

    code = "token.refresh_refused"
    title_zh = "刷新令牌无效，请用设备密钥重新登录"


class RefreshReused(NotAuthenticated):
    """The refresh token was used before: all tokens that came of it are withdrawn."""

    code = "token.refresh_reused"
    title_zh = "刷新令牌已被使用过，相关令牌全部作废"


class DeviceTaken(DomainError):
    """This key is already bound to an account."""

    code = "device.already_bound"
    status = 409
    title_zh = "该密钥已绑定账户"


@dataclass(frozen=True)
class TokenIssued:
    """An access token for `expires_in_s` seconds and a refresh token good once, both only with
    proofs by the device's key."""

    access_token: str
    expires_in_s: int
    refresh_token: str
    refresh_expires_in_s: int
    resident: Resident


def bind_device(
    *,
    resident: Resident,
    point: bytes,
    thumbprint: str,
    at: datetime,
    attested: Attested | None = None,
) -> Device:
    """Bind the key of a phone to its resident; call it inside the enrolment's transaction.

    With what `attestation.judge_chain` found of this key, its grade is "hardware". Raises
    DeviceTaken when the key belongs to an account already, AttestationChallengeUsed.
    """
    proven: dict[str, str | bytes] = {"grade": "software"}
    if attested is not None:
        proven = {
            "grade": "hardware",
            "attested_root": attested.root,
            "attestation_challenge": attested.challenge_hash,
        }
    try:
        with transaction.atomic():
            device, is_new = Device.objects.get_or_create(
                thumbprint=thumbprint,
                defaults={"resident": resident, "point": point, "bound_at": at, **proven},
            )
    except IntegrityError as error:
        raise AttestationChallengeUsed from error
    if not is_new:
        raise DeviceTaken
    return device


@transaction.atomic
def issue_token(*, device: Device, at: datetime) -> TokenIssued:
    """Give a bound, active device a fresh access token and a new family of refresh tokens.

    Only hashes are stored. The device's last family ends: a device has one at a time. Raises
    AssertionRefused for a device frozen or ended meanwhile.
    """
    if not Device.objects.select_for_update(no_key=True).filter(id=device.id, state="active"):
        raise AssertionRefused
    _end_families(device, at=at)
    family = TokenFamily.objects.create(device=device, created_at=at)
    return _issue(family, resident=device.resident, at=at)


def refresh_token(*, refresh_token: str, thumbprint: str, at: datetime) -> TokenIssued:
    """Give a device new tokens of the same family for a refresh token, which is then used up.

    `thumbprint` is the key which proved the request; another key's token is refused like a missing
    one. A token that comes a second time was copied: the family ends with all its access tokens,
    whoever holds them (RFC 9700 section 4.14). Raises RefreshRefused, RefreshReused.
    """
    token_hash = key_proofs.token_hash(refresh_token)
    with transaction.atomic():
        family = (
            TokenFamily.objects.select_related("device__resident")
            .select_for_update(of=("self",))
            .filter(refreshtoken__token_hash=token_hash, device__thumbprint=thumbprint)
            .first()
        )
        if family is None or not _is_in_force(family, token_hash, at=at):
            raise RefreshRefused
        if _use_up(token_hash, at=at):
            return _issue(family, resident=family.device.resident, at=at)
        change_state(
            family, "reused", table=states.TOKEN_FAMILY, actor=f"device:{thumbprint}", at=at
        )
        AccessToken.objects.filter(family=family).delete()
    raise RefreshReused


def sign_out(*, device_id: UUID, at: datetime) -> None:
    """End every token of a device at once; its key can sign in again, its grants stay."""
    with transaction.atomic():
        end_tokens(Device.objects.select_for_update(no_key=True).get(id=device_id), at=at)


def end_tokens(device: Device, *, at: datetime) -> None:
    """End a device's tokens inside the caller's transaction, the row locked."""
    _end_families(device, at=at)
    AccessToken.objects.filter(device=device).delete()


def purge(*, at: datetime) -> None:
    """Forget tokens past their time, a bounded number at a time, and families that hold none."""
    for rows in (AccessToken, RefreshToken):
        past = rows.objects.filter(expires_at__lt=at).values("token_hash")[:PURGE_ROWS]
        rows.objects.filter(token_hash__in=past)._raw_delete(rows.objects.db)
    empty = TokenFamily.objects.filter(refreshtoken=None, accesstoken=None).values("id")
    TokenFamily.objects.filter(id__in=empty[:PURGE_ROWS])._raw_delete(TokenFamily.objects.db)


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


def _issue(family: TokenFamily, *, resident: Resident, at: datetime) -> TokenIssued:
    access, refresh = secrets.token_urlsafe(32), secrets.token_urlsafe(32)
    AccessToken.objects.create(
        token_hash=key_proofs.token_hash(access),
        device_id=family.device_id,
        family=family,
        expires_at=at + TOKEN_LIFE,
    )
    RefreshToken.objects.create(
        token_hash=key_proofs.token_hash(refresh), family=family, expires_at=at + REFRESH_LIFE
    )
    return TokenIssued(
        access_token=access,
        expires_in_s=int(TOKEN_LIFE.total_seconds()),
        refresh_token=refresh,
        refresh_expires_in_s=int(REFRESH_LIFE.total_seconds()),
        resident=resident,
    )


def _is_in_force(family: TokenFamily, token_hash: bytes, *, at: datetime) -> bool:
    device = family.device
    return (
        family.state == "alive"
        and device.state == "active"
        and device.resident.state != "closed"
        and RefreshToken.objects.filter(token_hash=token_hash, expires_at__gt=at).exists()
    )


def _use_up(token_hash: bytes, *, at: datetime) -> bool:
    """Whether this is the token's one use."""
    unused = RefreshToken.objects.filter(token_hash=token_hash, used_at=None)
    return unused.update(used_at=at) == 1


def _end_families(device: Device, *, at: datetime) -> None:
    for family in TokenFamily.objects.filter(device=device, state="alive"):
        change_state(
            family, "ended", table=states.TOKEN_FAMILY, actor=f"device:{device.thumbprint}", at=at
        )
