"""Gives phones their day grants: the right to make codes for a day, with a key made for it."""

import math
import uuid
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta

from django.conf import settings

from identity import code_format, delegation, keys, queries, status_list
from identity.code_format import GrantClaims, Rights
from identity.models import Device, Grant
from identity.residents import AccountSuspended, DeviceNotActive
from vpass.common import contributions, limits
from vpass.common.callers import Caller, required
from vpass.common.encodings import b64url_encode
from vpass.common.errors import DomainError
from vpass.common.idempotency import IdempotencyKey, once
from vpass.common.signing import (
    BadKey,
    BadToken,
    P256Public,
    decode_jws,
    jws_claims,
    public_from_jwk,
    public_from_point,
    public_point,
)

GRANT_LIFE = timedelta(hours=24)
ROTATE_EVERY_S = 30
PLACES_TRIED = 20
KEPT_FOR = timedelta(days=30)
PURGE_ROWS = 10_000
MAX_DOOR_GROUPS = 4

# Asked of the floors above with `resident_id` and `at`, inside the transaction: each answers the
# code_format.Rights it knows of, or None. A bus card's reference is made for this one grant: a
# lasting one would let scanners know a person again on another day.
GRANT_RIGHTS = "identity.grant_rights"
REQUEST_TYPE = "vpass-grant+jwt"
REQUEST_LIFE_S = 60
GRANTS_PATH = "/api/resident/v1/grants"
GRANTS_PER_DAY = limits.Limit("grant.day", maximum=48, per=timedelta(days=1))


class GrantRequestInvalid(DomainError):
    """The grant request is not signed by this device as it must be."""

    code = "grant.request_invalid"
    status = 422
    title_zh = "授权请求签名无效"


@dataclass(frozen=True)
class GrantIssued:
    """A grant (base64url of its COSE_Sign1 bytes) and what the phone needs to make codes of it.

    Times are RFC 3339 in UTC; a new code every `rotate_every_s`, each good for `lives_s`.
    """

    grant: str
    expires_at: str
    server_time: str
    rotate_every_s: int = ROTATE_EVERY_S
    lives_s: int = code_format.LIVES_S


def issue_grant(
    *, caller: Caller, request_jws: str, idempotency_key: IdempotencyKey, at: datetime
) -> GrantIssued:
    """Sign a grant of 23 to 24 hours for a fresh key of the caller's phone.

    `request_jws` is signed by the device's key: typ `vpass-grant+jwt`, `aud` the URL of this route,
    `iat` at most 60 s old, `jti`, and `cnf` {"jwk": the fresh public key}, which must not be the
    device's own, so that no two days of one phone can be linked. With `on_behalf_of`, the id of a
    delegation, the codes speak for its principal, and offline for nothing. Raises
    GrantRequestInvalid, AccountSuspended, DeviceNotActive, NotFound, delegation.DelegationOver,
    status_list.ListsFull, limits.LimitReached (48 a day).
    """
    signer = keys.current_signer(at=at)
    with once(idempotency_key, at=at) as claim:
        if claim.answer is not None:
            return GrantIssued(**claim.answer)
        device_id = required(caller.device_id)
        # Under the person's lock: who freezes or suspends waits for this grant, or this for them.
        # Under a delegation two persons are locked, always in the same order.
        if (named := _named_ahead(request_jws)) is not None:
            delegation.lock_sides(named, device_id=device_id)
        holder = queries.lock_holder(device_id)
        if holder.state != "active":
            raise AccountSuspended
        fresh, on_behalf_of = _read_grant_request(request_jws, point=holder.point, at=at)
        grant = _grant_to(
            holder, device_id=device_id, key_id=signer.key_id, on_behalf_of=on_behalf_of, at=at
        )
        signed = code_format.encode_grant(
            GrantClaims(
                issuer=settings.CITY,
                expires_at=int(grant.expires_at.timestamp()),
                handle=bytes(grant.handle),
                public_point=public_point(fresh),
                status_index=int(grant.status_index or 0),
                rights=None if on_behalf_of else _rights(holder.resident_id, at=at),
            ),
            kid=signer.key_id,
            private=signer.private,
        )
        issued = GrantIssued(
            grant=b64url_encode(signed),
            expires_at=grant.expires_at.isoformat(),
            server_time=at.isoformat(),
        )
        claim.answer = asdict(issued)
        return issued


def explain_refusal(grant: Grant, *, limit: limits.Limit) -> None:
    """Raise why `queries.insert_grant` refused; return when only the place was taken.

    Raises DeviceNotActive, limits.LimitReached.
    """
    if not Device.objects.filter(id=grant.device_id, state="active").exists():
        raise DeviceNotActive
    issued = Grant.objects.filter(
        device_id=grant.device_id,
        issued_at__gt=grant.issued_at - limit.per,
        status_index__isnull=grant.status_index is None,
    ).order_by("issued_at")
    times = list(issued.values_list("issued_at", flat=True)[: limit.maximum])
    if len(times) == limit.maximum:
        wait = times[0] + limit.per - grant.issued_at
        raise limits.LimitReached(retry_after=max(1, math.ceil(wait.total_seconds())))


def purge(*, at: datetime) -> None:
    """Forget grants long past, a bounded number at a time; their uses and lines stay."""
    past = Grant.objects.filter(expires_at__lt=at - KEPT_FOR).values("handle")[:PURGE_ROWS]
    Grant.objects.filter(handle__in=past)._raw_delete(Grant.objects.db)


def _rights(resident_id: uuid.UUID, *, at: datetime) -> Rights | None:
    """What the floors above say that offline scanners may give this person."""
    found: list[Rights] = [
        rights
        for _, rights in contributions.ask(GRANT_RIGHTS, resident_id=resident_id, at=at)
        if rights is not None
    ]
    bus = next((rights.bus for rights in found if rights.bus is not None), None)
    groups = sorted({group for rights in found for group in rights.door_groups})[:MAX_DOOR_GROUPS]
    return Rights(bus=bus, door_groups=tuple(groups)) if bus or groups else None


def _grant_to(
    holder: queries.Holder,
    *,
    device_id: uuid.UUID,
    key_id: bytes,
    on_behalf_of: uuid.UUID | None,
    at: datetime,
) -> Grant:
    """Insert a grant for the holder, or for whom the holder acts, with its place in the lists."""
    grant = Grant(
        handle=queries.next_handle(),
        resident_id=holder.resident_id,
        device_id=device_id,
        key_id=key_id,
        issued_at=at,
        # The full hour: a grant's expiry must not tell when it was fetched, which scanners that
        # work together could compare with when they saw its holder last.
        expires_at=at.replace(minute=0, second=0, microsecond=0) + GRANT_LIFE,
    )
    if on_behalf_of is not None:
        acting = delegation.hold_for_grant(on_behalf_of, delegate_id=holder.resident_id, at=at)
        grant.delegation, grant.resident_id = acting, acting.principal_id or holder.resident_id
        grant.expires_at = min(grant.expires_at, acting.expires_at.replace(microsecond=0))
    _insert_grant(grant)
    if holder.suspended_scenes or on_behalf_of is not None:
        status_list.refresh(resident_id=grant.resident_id, at=at)
    return grant


def _insert_grant(grant: Grant) -> None:
    for _ in range(PLACES_TRIED):
        grant.status_index = status_list.draw_index(expires_at=grant.expires_at)
        if queries.insert_grant(grant, limit=GRANTS_PER_DAY):
            return
        explain_refusal(grant, limit=GRANTS_PER_DAY)
    raise status_list.ListsFull


def _named_ahead(request_jws: str) -> uuid.UUID | None:
    """The delegation that a request names, before it is judged: only for whom to lock."""
    try:
        named = jws_claims(request_jws).get("on_behalf_of")
        return None if named is None else uuid.UUID(named)
    except (BadToken, ValueError, TypeError, AttributeError):
        return None


def _read_grant_request(
    request_jws: str, *, point: bytes, at: datetime
) -> tuple[P256Public, uuid.UUID | None]:
    device_key = public_from_point(point)
    try:
        claims = decode_jws(
            request_jws,
            device_key,
            typ=REQUEST_TYPE,
            audience=settings.PUBLIC_URL + GRANTS_PATH,
            at=at,
            required=("iat", "jti", "cnf"),
        )
        confirmation = claims["cnf"]
        fresh = public_from_jwk(confirmation["jwk"] if isinstance(confirmation, dict) else {})
        named = claims.get("on_behalf_of")
        on_behalf_of = None if named is None else uuid.UUID(named)
    except (BadToken, BadKey, KeyError, ValueError, TypeError, AttributeError) as error:
        raise GrantRequestInvalid from error
    is_stale = at.timestamp() - claims["iat"] > REQUEST_LIFE_S
    if is_stale or public_point(fresh) == point:
        raise GrantRequestInvalid
    return fresh, on_behalf_of
