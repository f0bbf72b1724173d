"""Gives phones their day grants, and redeems the codes they show: once, anywhere."""

import uuid
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings

from identity import code_format, delegation, disclosure, keys, queries
from identity.access_log import Use, write_use
from identity.code_format import Code, CodeError, GrantClaims
from identity.models import Delegation, Device, Grant, Resident
from identity.refusals import REFUSALS as REFUSALS
from identity.refusals import CaseNeeded as CaseNeeded
from identity.refusals import CodeAlreadyUsed as CodeAlreadyUsed
from identity.refusals import CodeClockWrong as CodeClockWrong
from identity.refusals import CodeExpired as CodeExpired
from identity.refusals import CodeKeyUnknown as CodeKeyUnknown
from identity.refusals import CodeOfOtherCity as CodeOfOtherCity
from identity.refusals import CodeRevoked as CodeRevoked
from identity.refusals import CodeSignatureInvalid as CodeSignatureInvalid
from identity.refusals import CodeUnreadable as CodeUnreadable
from identity.refusals import DelegationBeyond as DelegationBeyond
from identity.refusals import DelegationOver as DelegationOver
from identity.refusals import HolderSuspended as HolderSuspended
from identity.refusals import NotEntitled as NotEntitled
from identity.refusals import OverAsking as OverAsking
from identity.refusals import ScanRefused as ScanRefused
from identity.refusals import SceneNotAllowed as SceneNotAllowed
from identity.residents import AccountSuspended
from vpass.common import limits
from vpass.common.callers import Caller, required
from vpass.common.encodings import b64url_encode
from vpass.common.errors import DomainError
from vpass.common.idempotency import IdempotencyKey, find_answer, once
from vpass.common.signing import (
    BadKey,
    BadToken,
    P256Public,
    decode_jws,
    public_from_jwk,
    public_from_point,
    public_point,
)

GRANT_LIFE = timedelta(hours=24)
ROTATE_EVERY_S = 30
REQUEST_TYPE = "vpass-grant+jwt"
REQUEST_LIFE_S = 60
GRANTS_PATH = "/api/resident/v1/grants"
GRANTS_PER_DAY = limits.Limit("grant.day", maximum=48, per=timedelta(days=1))

CODE_REDEEMED = "identity.code_redeemed"


class GrantRequestInvalid(DomainError):
    """The grant request is not signed by this device as it must be."""

    code = "grant.request_invalid"
    status = 422
    title_zh = "授权请求签名无效"


_DELEGATION_REFUSALS: dict[delegation.Refusal, type[ScanRefused]] = {
    "over": DelegationOver,
    "beyond": DelegationBeyond,
    "suspended": HolderSuspended,
}


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


@dataclass(frozen=True)
class CodeUse:
    """What came of using a code up: its holder, or the problem code of the refusal.

    `delegation` is set when somebody acts for the holder, or the holder for an enterprise.
    """

    resident: Resident | None = None
    attributes: tuple[str, ...] = ()
    reason: str | None = None
    line_id: uuid.UUID | None = None
    knows_holder: bool = True
    delegation: Delegation | None = None


@dataclass(frozen=True)
class Scan:
    """What an accepted scan tells its scanner: the entitled fields, and who acts for whom.

    `scan` names the scan for what may follow it (a consent). `holder` is the pairwise pseudonym,
    None where the organisation has no right to know people again.
    """

    scan: str
    holder: str | None
    level: int
    fields: dict[str, disclosure.Value]
    acting: dict[str, str | None] | None
    redeemed_at: str


def issue_grant(
    *, caller: Caller, request_jws: str, idempotency_key: IdempotencyKey, at: datetime
) -> GrantIssued:
    """Sign a grant of 23 to 24 hours for a fresh key of the caller's phone.

    `request_jws` is signed by the device's key: typ `vpass-grant+jwt`, `aud` the URL of this route,
    `iat` at most 60 s old, `jti`, and `cnf` {"jwk": the fresh public key}, which must not be the
    device's own, so that no two days of one phone can be linked. With `on_behalf_of`, the id of a
    delegation, the codes speak for its principal. Raises GrantRequestInvalid, AccountSuspended,
    delegation.DelegationOver, limits.LimitReached (48 grants a day).
    """
    try:
        limits.spend(GRANTS_PER_DAY, f"device:{caller.device_id}", at=at)
    except limits.LimitReached:
        # A repeat asks for nothing new, so the limit does not stand in its way.
        if (answer := find_answer(idempotency_key)) is None:
            raise
        return GrantIssued(**answer)
    signer = keys.current_signer(at=at)
    with once(idempotency_key, at=at) as claim:
        if claim.answer is not None:
            return GrantIssued(**claim.answer)
        device = Device.objects.select_related("resident").get(id=required(caller.device_id))
        if device.resident.state != "active":
            raise AccountSuspended
        fresh, on_behalf_of = _read_grant_request(request_jws, device=device, at=at)
        # The full hour: a grant's expiry must not tell when it was fetched, which scanners that
        # work together could compare with when they saw its holder last.
        expires_at = at.replace(minute=0, second=0, microsecond=0) + GRANT_LIFE
        holder, acting = device.resident, None
        if on_behalf_of is not None:
            acting = delegation.hold_for_grant(on_behalf_of, delegate=device.resident, at=at)
            holder = acting.principal or device.resident
            expires_at = min(expires_at, acting.expires_at.replace(microsecond=0))
        handle, status_index = queries.next_handle(), queries.next_status_index()
        signed = code_format.encode_grant(
            GrantClaims(
                issuer=settings.CITY,
                expires_at=int(expires_at.timestamp()),
                handle=handle,
                public_point=public_point(fresh),
                status_index=status_index,
            ),
            kid=signer.key_id,
            private=signer.private,
        )
        Grant.objects.create(
            handle=handle,
            resident=holder,
            delegation=acting,
            device=device,
            key_id=signer.key_id,
            status_index=status_index,
            issued_at=at,
            expires_at=expires_at,
        )
        issued = GrantIssued(
            grant=b64url_encode(signed),
            expires_at=expires_at.isoformat(),
            server_time=at.isoformat(),
        )
        claim.answer = asdict(issued)
        return issued


def redeem_code(
    *,
    caller: Caller,
    code: str,
    purpose: str,
    case_number: str | None,
    idempotency_key: IdempotencyKey,
    at: datetime,
    fields: Sequence[str] | None = None,
) -> Scan:
    """Use a shown code up, and answer with what this scanner may see of its holder.

    With `fields` it asks for these only, and is refused when one is beyond its right.
    A genuine code counts as used whatever comes of it: a scanner that was refused has still seen
    it. The use is written to the holder's access log, refused ones too. The same caller with the
    same idempotency key gets the same answer again. Raises a ScanRefused.
    """
    with once(idempotency_key, at=at) as claim:
        if claim.answer is None:
            # Judged behind the claim: a repeat gets its answer also when the code has expired
            # since.
            shown = read_genuine(code, at=at)
            claim.answer = _redeem(
                shown, caller=caller, purpose=purpose, case_number=case_number, asked=fields, at=at
            )
    if reason := claim.answer.get("reason"):
        raise REFUSALS[reason]
    return Scan(**claim.answer)


def read_genuine(text: str, *, at: datetime) -> Code:
    """Read a code and check all that needs no row: form, city, key, time, both signatures.

    Raises a ScanRefused.
    """
    try:
        shown = code_format.read_code(text)
        is_ours = shown.grant.issuer == settings.CITY
        code_format.check_code(
            shown,
            key=keys.verification_key(shown.kid, at=at) if is_ours else None,
            at=int(at.timestamp()),
            issuer=settings.CITY,
        )
    except CodeError as error:
        raise REFUSALS[f"code.{error.reason}"] from error
    return shown


def use_code(
    *,
    caller: Caller,
    shown: Code,
    purpose: str,
    case_number: str | None,
    at: datetime,
    asked: Sequence[str] | None = None,
) -> CodeUse:
    """Use a genuine code up inside the caller's transaction: two statements.

    Another floor which does something with the code in the same transaction (a payment) calls this;
    `shown` comes of `read_genuine`. The line in the holder's access log is written either way.
    """
    found = queries.find_grant(shown.grant.handle, caller=caller, purpose=purpose)
    if found is None:
        return CodeUse(reason=CodeRevoked.code)
    rule = found.rule
    standing = [] if rule is None else rule.attributes
    attributes = standing if asked is None else asked
    beyond = [name for name in attributes if name not in standing]
    reason = _refusal(found, shown, caller=caller, purpose=purpose, at=at)
    if reason is None and rule is not None:
        if rule.needs_case and (caller.staff_id is None or case_number is None):
            reason = CaseNeeded.code
        elif beyond:
            reason = OverAsking.code
    written = write_use(
        Use(
            jti=shown.jti,
            grant=found.grant,
            caller=caller,
            purpose=purpose,
            case_number=case_number,
            fields=attributes,
            reason=reason,
            asked=beyond,
            rule=rule,
        ),
        event=CODE_REDEEMED,
        at=at,
    )
    if written.reason is not None:
        return CodeUse(reason=written.reason)
    return CodeUse(
        resident=found.grant.resident,
        attributes=tuple(attributes),
        line_id=written.line_id,
        knows_holder=rule is not None and rule.knows_holder,
        delegation=found.grant.delegation,
    )


def _redeem(
    shown: Code,
    *,
    caller: Caller,
    purpose: str,
    case_number: str | None,
    asked: Sequence[str] | None,
    at: datetime,
) -> dict[str, Any]:
    use = use_code(
        caller=caller, shown=shown, purpose=purpose, case_number=case_number, asked=asked, at=at
    )
    if use.resident is None:
        return {"reason": use.reason}
    organisation_id = required(caller.organisation_id)
    scan = Scan(
        scan=str(use.line_id),
        holder=disclosure.pseudonym(resident_id=use.resident.id, organisation_id=organisation_id)
        if use.knows_holder
        else None,
        level=use.resident.level,
        fields=disclosure.disclose(resident=use.resident, attributes=use.attributes, at=at),
        acting=delegation.shown_to_scanner(use.delegation, attributes=use.attributes),
        redeemed_at=at.isoformat(),
    )
    return asdict(scan)


def _refusal(
    found: queries.GrantFound, shown: Code, *, caller: Caller, purpose: str, at: datetime
) -> str | None:
    grant = found.grant
    if grant.ended_at is not None or grant.device.state != "active":
        return CodeRevoked.code
    if grant.resident.state != "active":
        return HolderSuspended.code
    if not shown.presentation.allows(caller.scene or ""):
        return SceneNotAllowed.code
    if grant.delegation is not None and (
        reason := delegation.refusal(
            grant.delegation, scene=caller.scene or "", purpose=purpose, at=at
        )
    ):
        return _DELEGATION_REFUSALS[reason].code
    if found.rule is None:
        return NotEntitled.code
    return None


def _read_grant_request(
    request_jws: str, *, device: Device, at: datetime
) -> tuple[P256Public, uuid.UUID | None]:
    device_key = public_from_point(bytes(device.point))
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
    if is_stale or public_point(fresh) == bytes(device.point):
        raise GrantRequestInvalid
    return fresh, on_behalf_of
