"""Redeems the codes that phones show: once, anywhere."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, ClassVar, Protocol

from django.conf import settings
from django.db.models.expressions import Combinable

from identity import code_format, disclosure, keys, queries, server_codes
from identity.access_log import Deed, Use, write_use
from identity.code_format import SCENES, CodeError
from identity.models import Grant, Resident
from vpass.common.callers import Caller, required
from vpass.common.errors import DomainError
from vpass.common.idempotency import IdempotencyKey, once

CODE_REDEEMED = "identity.code_redeemed"


class ScanRefused(DomainError):
    """The scan is refused; each reason is a class of its own."""

    code: ClassVar[str] = "scan.refused"
    status = 403
    title_zh = "扫码被拒绝"


class CodeUnreadable(ScanRefused):
    """This is not a V Pass code."""

    code = "code.unreadable"
    status = 422
    title_zh = "无法识别，不是 V Pass 码"


class CodeOfOtherCity(ScanRefused):
    """Another city issued this code."""

    code = "code.other_city"
    status = 422
    title_zh = "此码由其他城市签发"


class CodeKeyUnknown(ScanRefused):
    """The key that signed this code is not known."""

    code = "code.key_unknown"
    status = 422
    title_zh = "签发此码的密钥未知"


class CodeSignatureInvalid(ScanRefused):
    """The signature is invalid: this code is forged or damaged."""

    code = "code.signature_invalid"
    status = 422
    title_zh = "签名无效，此码系伪造或已损坏"


class CodeExpired(ScanRefused):
    """The code has expired; ask for a new one."""

    code = "code.expired"
    status = 410
    title_zh = "此码已过期，请出示新码"


class CodeClockWrong(ScanRefused):
    """The clock of the phone is ahead."""

    code = "code.clock_wrong"
    status = 409
    title_zh = "手机时钟不准，请校准时间"


class CodeAlreadyUsed(ScanRefused):
    """This code has been used already; ask for a new one."""

    code = "code.already_used"
    status = 409
    title_zh = "此码已被使用，请出示新码"


class CodeRevoked(ScanRefused):
    """The right to make codes was withdrawn: the phone is frozen or replaced."""

    code = "code.revoked"
    status = 403
    title_zh = "此码已被撤销（手机已冻结或更换）"


class HolderSuspended(ScanRefused):
    """The holder's identity is suspended."""

    code = "code.suspended"
    status = 403
    title_zh = "持码人身份已暂停使用"


class SceneNotAllowed(ScanRefused):
    """The holder has not allowed this scene in the code."""

    code = "code.scene_not_allowed"
    status = 403
    title_zh = "持码人未允许在此场景使用"


class PaySuspended(ScanRefused):
    """Paying with this person's code is suspended."""

    code = "code.pay_suspended"
    status = 403
    title_zh = "持码人的支付功能已暂停使用"


class BusSuspended(ScanRefused):
    """Riding with this person's code is suspended."""

    code = "code.bus_suspended"
    status = 403
    title_zh = "持码人的乘车功能已暂停使用"


class DoorSuspended(ScanRefused):
    """Opening doors with this person's code is suspended."""

    code = "code.door_suspended"
    status = 403
    title_zh = "持码人的门禁功能已暂停使用"


class NotEntitled(ScanRefused):
    """This desk is not entitled to look at records for this purpose."""

    code = "scan.not_entitled"
    status = 403
    title_zh = "本窗口无权以此事由查看信息"


REFUSALS: dict[str, type[ScanRefused]] = {
    refusal.code: refusal for refusal in ScanRefused.__subclasses__()
}


@dataclass(frozen=True)
class ShownCode:
    """A genuine code of either form: its grant's handle, its single-use name, its scenes' bits."""

    handle: bytes
    jti: bytes
    scenes: int


@dataclass(frozen=True)
class CodeUse:
    """What came of using a code up: its holder, or the problem code of the refusal."""

    resident: Resident | None = None
    attributes: tuple[str, ...] = ()
    reason: str | None = None


class Occasion(Protocol):
    """What another floor looks up, judges and does in the statements that use a code (a ride)."""

    def looks_at(self) -> Mapping[str, Combinable]:
        """Return what has to be known of the holder: expressions over the grant's row, by name."""

    def refusal(self, grant: Grant) -> str | None:
        """Return the problem code of a refusal; the grant has what was looked at."""

    def deed(self) -> Deed:
        """Return what is written when the use is accepted."""


@dataclass(frozen=True)
class Scan:
    """What an accepted scan tells its scanner: a pairwise pseudonym and the entitled fields."""

    holder: str
    level: int
    fields: dict[str, disclosure.Value]
    redeemed_at: str


def redeem_code(
    *,
    caller: Caller,
    code: str,
    purpose: str,
    case_number: str | None,
    idempotency_key: IdempotencyKey,
    at: datetime,
) -> Scan:
    """Use a shown code up, and answer with what this scanner may see of its holder.

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
                shown, caller=caller, purpose=purpose, case_number=case_number, at=at
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
    occasion: Occasion | None = None,
    at: datetime,
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
        also=None if occasion is None else occasion.looks_at(),
    )
    if found is None:
        return CodeUse(reason=CodeRevoked.code)
    attributes = found.attributes or []
    reason = _refusal(found, shown, caller=caller)
    if reason is None and occasion is not None:
        reason = occasion.refusal(found.grant)
    is_accepted, reason = write_use(
        Use(
            jti=shown.jti,
            grant=found.grant,
            caller=caller,
            purpose=purpose,
            case_number=case_number,
            fields=attributes,
            reason=reason,
        ),
        event=CODE_REDEEMED,
        at=at,
        deed=None if occasion is None or reason is not None else occasion.deed(),
    )
    if not is_accepted:
        return CodeUse(reason=reason)
    return CodeUse(resident=found.grant.resident, attributes=tuple(attributes))


def _redeem(
    shown: ShownCode, *, caller: Caller, purpose: str, case_number: str | None, at: datetime
) -> dict[str, Any]:
    use = use_code(caller=caller, shown=shown, purpose=purpose, case_number=case_number, at=at)
    if use.resident is None:
        return {"reason": use.reason}
    scan = Scan(
        holder=disclosure.pseudonym(
            resident_id=use.resident.id, organisation_id=required(caller.organisation_id)
        ),
        level=use.resident.level,
        fields=disclosure.disclose(resident=use.resident, attributes=use.attributes, at=at),
        redeemed_at=at.isoformat(),
    )
    return asdict(scan)


def _refusal(found: queries.GrantFound, shown: ShownCode, *, caller: Caller) -> str | None:
    grant = found.grant
    if grant.ended_at is not None or grant.device.state != "active":
        return CodeRevoked.code
    if grant.resident.state != "active":
        return HolderSuspended.code
    scene = SCENES.get(caller.scene or "", 0)
    if not shown.scenes & scene:
        return SceneNotAllowed.code
    if grant.resident.suspended_scenes & scene:
        return f"code.{caller.scene}_suspended"
    if found.attributes is None:
        return NotEntitled.code
    return None
