"""Names why a scan is refused; each reason is a class of its own, with a stable code."""

from typing import ClassVar

from vpass.common.errors import DomainError


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


class CaseNeeded(ScanRefused):
    """For this purpose a clerk and a case number are needed."""

    code = "scan.case_needed"
    status = 403
    title_zh = "办理此事由须由工作人员操作并填写业务编号"


class OverAsking(ScanRefused):
    """Fields were asked for to which this organisation has no right; the holder can read that."""

    code = "scan.over_asking"
    status = 403
    title_zh = "所请求的信息超出本单位的权限，已记入持码人的查阅记录"


class DelegationOver(ScanRefused):
    """The right to act for another has ended."""

    code = "code.delegation_over"
    status = 403
    title_zh = "代办授权已结束"


class DelegationBeyond(ScanRefused):
    """The right to act for another does not cover this."""

    code = "code.delegation_beyond"
    status = 403
    title_zh = "代办授权不包括此事项"


REFUSALS: dict[str, type[ScanRefused]] = {
    refusal.code: refusal for refusal in ScanRefused.__subclasses__()
}
