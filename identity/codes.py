"""Redeems the codes that phones show: once, anywhere."""

import uuid
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Protocol

from django.conf import settings

from identity import code_format, delegation, disclosure, keys, queries, server_codes
from identity.access_log import Deed, Use, write_use
from identity.code_format import SCENES, CodeError
from identity.models import Delegation, Resident
from identity.queries import GrantFound, Look, Phone
from identity.refusals import REFUSALS as REFUSALS
from identity.refusals import BusSuspended as BusSuspended
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
from identity.refusals import DoorSuspended as DoorSuspended
from identity.refusals import HolderSuspended as HolderSuspended
from identity.refusals import NotEntitled as NotEntitled
from identity.refusals import OverAsking as OverAsking
from identity.refusals import PaySuspended as PaySuspended
from identity.refusals import ScanRefused as ScanRefused
from identity.refusals import SceneNotAllowed as SceneNotAllowed
from vpass.common.callers import Caller, required
from vpass.common.idempotency import IdempotencyKey, once

CODE_REDEEMED = "identity.code_redeemed"

_DELEGATION_REFUSALS: dict[delegation.Refusal, type[ScanRefused]] = {
    "over": DelegationOver,
    "beyond": DelegationBeyond,
    "suspended": HolderSuspended,
}


@dataclass(frozen=True)
class ShownCode:
    """A genuine code of either form: its grant's handle, its single-use name, its scenes' bits."""

    handle: bytes
    jti: bytes
    scenes: int


@dataclass(frozen=True)
class CodeUse:
    """What came of using a code up: its holder, or the problem code of the refusal.

    `delegation` is set when somebody acts for the holder, or the holder for an enterprise;
    `phone` is what has shown the code.
    """

    resident: Resident | None = None
    attributes: tuple[str, ...] = ()
    reason: str | None = None
    line_id: uuid.UUID | None = None
    knows_holder: bool = True
    delegation: Delegation | None = None
    phone: Phone | None = None


class Occasion(Protocol):
    """What another floor looks up, judges and does in the statements that use a code (a ride)."""

    def looks_at(self) -> Look:
        """Return what has to be known of the holder."""

    def refusal(self, found: GrantFound) -> str | None:
        """Return the problem code of a refusal; `found.looked` is what was looked at."""

    def deed(self) -> Deed:
        """Return what is written when the use is accepted."""


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


def read_genuine(text: str, *, at: datetime) -> ShownCode:
    """Read a code and check all that needs no row: form, city, key, time, signatures.

    The form goes by its beginning: a phone's own code, or one that the server issued. Raises a
    ScanRefused.
    """
    try:
        if not text.startswith(code_format.PREFIX):
            issued = server_codes.read_code(text, at=at)
            return ShownCode(issued.handle, issued.jti, issued.scenes)
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
    return ShownCode(shown.grant.handle, shown.jti, shown.presentation.scenes)


def use_code(
    *,
    caller: Caller,
    shown: ShownCode,
    purpose: str,
    case_number: str | None,
    at: datetime,
    asked: Sequence[str] | None = None,
    occasion: Occasion | None = None,
) -> CodeUse:
    """Use a genuine code up inside the caller's transaction: two statements.

    Another floor which does something with the code in the same transaction (a payment) calls this;
    `shown` comes of `read_genuine`. The line in the holder's access log is written either way. With
    an `occasion` these two statements also do what it needs; raises access_log.DeedUndone.
    """
    found = queries.find_grant(
        shown.handle,
        caller=caller,
        purpose=purpose,
        look=None if occasion is None else occasion.looks_at(),
    )
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
    if reason is None and occasion is not None:
        reason = occasion.refusal(found)
    written = write_use(
        Use(
            jti=shown.jti,
            grant=found,
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
        deed=None if occasion is None or reason is not None else occasion.deed(),
    )
    if written.reason is not None:
        return CodeUse(reason=written.reason)
    return CodeUse(
        resident=found.resident,
        attributes=tuple(attributes),
        line_id=written.line_id,
        knows_holder=rule is not None and rule.knows_holder,
        delegation=found.delegation,
        phone=found.phone,
    )


def _redeem(
    shown: ShownCode,
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
    found: GrantFound, shown: ShownCode, *, caller: Caller, purpose: str, at: datetime
) -> str | None:
    if found.ended_at is not None or found.phone.state != "active":
        return CodeRevoked.code
    if found.resident.state != "active":
        return HolderSuspended.code
    scene = SCENES.get(caller.scene or "", 0)
    if not shown.scenes & scene:
        return SceneNotAllowed.code
    if found.resident.suspended_scenes & scene:
        return f"code.{caller.scene}_suspended"
    if found.delegation is not None and (
        reason := delegation.refusal(
            found.delegation, scene=caller.scene or "", purpose=purpose, at=at
        )
    ):
        return _DELEGATION_REFUSALS[reason].code
    if found.rule is None:
        return NotEntitled.code
    return None
