"""Says who may call what: the audiences, and the caller each of them admits."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Literal

from rest_framework.permissions import BasePermission

from vpass.common.callers import Caller
from vpass.common.errors import NotAllowed, NotAuthenticated

Credential = Literal["none", "resident", "staff", "machine", "own"]


class Audience(StrEnum):
    """Who a route is made for. A new audience is a new api file, never an `if`."""

    PUBLIC = "public"
    RESIDENT = "resident"
    COUNTER = "counter"
    TERMINAL = "terminal"
    DEPARTMENT = "department"
    MERCHANT = "merchant"
    BANK = "bank"
    ISSUER = "issuer"
    REGISTER = "register"
    FINANCE = "finance"
    PLATFORM = "platform"
    OPERATIONS = "operations"
    ADMINISTRATION = "administration"


@dataclass(frozen=True, kw_only=True)
class Admission:
    """What an audience has to show: the credential, and the kinds of caller it may turn out to be.

    "own" means that each endpoint brings its authentication itself (the IoT platform's secret per
    source). `answers_are_signed`: our answers carry a signature as well.
    """

    credential: Credential
    kinds: frozenset[str]
    answers_are_signed: bool = False
    who: str


ADMISSIONS: dict[Audience, Admission] = {
    Audience.PUBLIC: Admission(credential="none", kinds=frozenset(), who="Anybody."),
    Audience.RESIDENT: Admission(
        credential="resident",
        kinds=frozenset({"resident"}),
        who="A resident's app: an access token bound to the device's key (DPoP).",
    ),
    Audience.COUNTER: Admission(
        credential="staff",
        kinds=frozenset({"staff"}),
        who="A clerk, signed in at an enrolled desk.",
    ),
    Audience.FINANCE: Admission(
        credential="staff", kinds=frozenset({"staff"}), who="An accountant at an enrolled desk."
    ),
    Audience.OPERATIONS: Admission(
        credential="staff", kinds=frozenset({"staff"}), who="An operator at an enrolled desk."
    ),
    Audience.ADMINISTRATION: Admission(
        credential="staff", kinds=frozenset({"staff"}), who="An administrator at an enrolled desk."
    ),
    Audience.TERMINAL: Admission(
        credential="machine", kinds=frozenset({"terminal"}), who="A scanner, gate, till or bus."
    ),
    Audience.DEPARTMENT: Admission(
        credential="machine", kinds=frozenset({"department"}), who="A department's system."
    ),
    Audience.MERCHANT: Admission(
        credential="machine", kinds=frozenset({"merchant"}), who="A merchant's server."
    ),
    Audience.BANK: Admission(
        credential="machine",
        kinds=frozenset({"bank"}),
        answers_are_signed=True,
        who="A bank's system.",
    ),
    Audience.ISSUER: Admission(
        credential="machine", kinds=frozenset({"issuer"}), who="An issuer of cards."
    ),
    Audience.REGISTER: Admission(
        credential="machine", kinds=frozenset({"register"}), who="The population register."
    ),
    Audience.PLATFORM: Admission(
        credential="own", kinds=frozenset({"platform"}), who="An IoT platform, by its own secret."
    ),
}


class RefuseAll(BasePermission):
    """What a view gets that is not an Endpoint: nobody may call it."""

    def has_permission(self, request: Any, view: Any) -> bool:
        """Never."""
        return False


class AudienceWrong(NotAllowed):
    """This route is made for callers of another kind."""

    code = "caller.wrong_audience"
    title_zh = "此接口不对该类调用方开放"


class StoreClosed(NotAllowed):
    """The store in which this till stands is closed."""

    code = "store.closed"
    title_zh = "该终端所在的门店已停业"


class LevelTooLow(NotAllowed):
    """The resident's identity has to be proven at a higher level first."""

    code = "caller.level_too_low"
    title_zh = "请先完成更高级别的实名认证"


class RoleMissing(NotAllowed):
    """None of the caller's roles allows this."""

    code = "caller.role_missing"
    title_zh = "当前岗位无权进行此操作"


def admit(
    caller: Caller | None,
    *,
    audience: Audience,
    level: int = 0,
    roles: frozenset[str] = frozenset(),
) -> None:
    """Return if this caller may use a route of `audience`, or raise.

    `level` is the least a resident must have; of `roles`, staff need one, if any are named.
    Raises NotAuthenticated, AudienceWrong, StoreClosed, LevelTooLow (with the member
    `level_needed`) or RoleMissing.
    """
    kinds = ADMISSIONS[audience].kinds
    if not kinds:
        return
    if caller is None:
        raise NotAuthenticated()
    if caller.kind not in kinds:
        raise AudienceWrong()
    if caller.is_closed:
        raise StoreClosed()
    if caller.level < level:
        raise LevelTooLow(level_needed=level)
    if roles and not roles & caller.roles:
        raise RoleMissing()
