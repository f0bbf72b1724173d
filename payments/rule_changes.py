"""Changes what payments are bounded and judged by: the central bank's limits, the rules of risk,
and how much of a payment one till gives back alone.

Each function does what two people have agreed on (payments.proposals), from the next payment on.
"""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from payments.models import CAPS, Merchant, PaymentLimit, RiskRule
from payments.orders import MAX_PAYMENT_FEN
from vpass.common.callers import Caller
from vpass.common.errors import Conflict, DomainError, NotFound

# A payer's other payments are read no further back than this (payments/sql/facts_v1.sql), so that a
# rule which asks for more would never be met.
_PAYMENTS, _PLACES = 500, 20
_HOURS: Final = 24 * 365
# How far a threshold of a kind goes.
REACH: Final[Mapping[str, int]] = {
    RiskRule.Kind.HOUR_COUNT: _PAYMENTS,
    RiskRule.Kind.HOUR_FEN: _PAYMENTS * MAX_PAYMENT_FEN,
    RiskRule.Kind.DAY_COUNT: _PAYMENTS,
    RiskRule.Kind.DAY_FEN: _PAYMENTS * MAX_PAYMENT_FEN,
    RiskRule.Kind.AMOUNT_FEN: MAX_PAYMENT_FEN,
    RiskRule.Kind.NEW_DEVICE_HOURS: _HOURS,
    RiskRule.Kind.OTHER_COUNTY: _PLACES,
}
_LIMIT = ("single_fen", "daily_fen")
_RULE = ("kind", "threshold", "from_fen", "outcome", "is_active", "words_zh", "words_en")


class LimitBeyondCap(DomainError):
    """The central bank allows less in this way of paying; `cap_fen` is what it allows a day."""

    code = "payment_limit.beyond_cap"
    status = 422
    title_zh = "超出人民银行对该付款方式规定的限额"


class RuleOutOfReach(DomainError):
    """A rule of this kind is never met above `threshold_max`."""

    code = "risk_rule.out_of_reach"
    status = 422
    title_zh = "该类风险规则的阈值超出可判断的范围"


class RuleKindStays(Conflict):
    """A rule keeps its kind, since the cases quote its name; another kind is another rule."""

    code = "risk_rule.kind_stays"
    title_zh = "风险规则的类型不能更改，请新建规则"


class NothingChanges(Conflict):
    """This is how it stands already."""

    code = "change.nothing"
    title_zh = "与现行设置相同，无需更改"


@dataclass(frozen=True, kw_only=True)
class Changed:
    """What a change has made of what stood before, as JSON; `before` is None for something new."""

    before: dict[str, Any] | None
    after: dict[str, Any]


def limit_subject(*, means: str, device: str, level: int) -> str:
    """How a proposal names a limit."""
    return f"{means}:{device}:{level}"


def set_limit(subject: str, detail: Mapping[str, Any], *, caller: Caller, at: datetime) -> Changed:
    """Set `single_fen` and `daily_fen` of a limit, within its grade's cap; grade A's daily one may
    be None: by agreement. Raises NotFound, LimitBeyondCap, NothingChanges."""
    means, device, level = subject.split(":")
    limit = (
        PaymentLimit.objects.select_for_update()
        .filter(means=means, device=device, level=int(level))
        .first()
    )
    if limit is None:
        raise NotFound
    cap_fen, daily_fen = CAPS[limit.grade], detail["daily_fen"]
    highest_fen = detail["single_fen"] if daily_fen is None else daily_fen
    if cap_fen is not None and (daily_fen is None or highest_fen > cap_fen):
        raise LimitBeyondCap(cap_fen=cap_fen)
    before = _read(limit, _LIMIT)
    for name in _LIMIT:
        setattr(limit, name, detail[name])
    limit.save(update_fields=_LIMIT)
    return _changed(before, _read(limit, _LIMIT))


def set_rule(subject: str, detail: Mapping[str, Any], *, caller: Caller, at: datetime) -> Changed:
    """Set a rule of risk of this name, or make one. Raises RuleOutOfReach, RuleKindStays,
    NothingChanges."""
    threshold_max = REACH[detail["kind"]]
    if detail["threshold"] > threshold_max:
        raise RuleOutOfReach(threshold_max=threshold_max)
    known = RiskRule.objects.select_for_update().filter(name=subject).first()
    if known is not None and known.kind != detail["kind"]:
        raise RuleKindStays
    before = None if known is None else _read(known, _RULE)
    rule = known or RiskRule(name=subject)
    for name in _RULE:
        setattr(rule, name, detail[name])
    rule.save(force_insert=known is None)
    return _changed(before, _read(rule, _RULE))


def set_refund_alone(
    subject: str, detail: Mapping[str, Any], *, caller: Caller, at: datetime
) -> Changed:
    """Set how much of a payment one till of a merchant gives back alone; None for all of it.

    Raises NotFound, NothingChanges.
    """
    merchant = Merchant.objects.select_for_update(no_key=True).filter(id=uuid.UUID(subject)).first()
    if merchant is None:
        raise NotFound
    before = _read(merchant, ("refund_alone_fen",))
    merchant.refund_alone_fen = detail["refund_alone_fen"]
    merchant.save(update_fields=["refund_alone_fen"])
    return _changed(before, _read(merchant, ("refund_alone_fen",)))


def _read(row: Any, names: tuple[str, ...]) -> dict[str, Any]:
    return {name: getattr(row, name) for name in names}


def _changed(before: dict[str, Any] | None, after: dict[str, Any]) -> Changed:
    if before == after:
        raise NothingChanges
    return Changed(before=before, after=after)
