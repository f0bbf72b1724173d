"""Judges whether a payment looks unusual, by rules that are rows, and keeps what staff look at."""

import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import QuerySet

from identity import suspensions
from payments import states
from payments.facts import Facts, Rule
from payments.models import Order, RiskCase, RiskRule
from vpass.common import audit, clock, outbox
from vpass.common.callers import Caller, required
from vpass.common.errors import Conflict, DomainError, NotFound
from vpass.common.idempotency import IdempotencyKey, once
from vpass.common.ids import uuid7
from vpass.common.outbox import Event

RISK_FROZEN = "payments.risk_frozen"
REASON = "risk-case"  # of the suspension; which one stands in the queue

_SOURCE, _SCOPE = "risk", "pay"
# The later stands for more.
_WEIGHT = {"": 0, "review": 1, "confirm": 2, "pin": 3, "freeze": 4}


class RiskRefused(DomainError):
    """This payment looks unusual; paying is stopped until somebody has looked at it."""

    code = "risk.refused"
    status = 403
    title_zh = "该笔付款存在异常，付款功能已暂停，待人工核查"


class RiskCaseDecided(Conflict):
    """This case has been decided already."""

    code = "risk_case.decided"
    title_zh = "该风险事件已处理"


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What the rules say of a payment: the weightiest outcome ("" for nothing), and which rules."""

    outcome: str
    reasons: tuple[str, ...]

    @property
    def needs_word(self) -> bool:
        """Whether the payer has to confirm."""
        return self.outcome in ("confirm", "pin")

    @property
    def needs_pin(self) -> bool:
        """Whether the payer has to confirm with the PIN too."""
        return self.outcome == "pin"

    @property
    def freezes(self) -> bool:
        """Whether the payment is refused and paying stopped."""
        return self.outcome == "freeze"


@dataclass(frozen=True, kw_only=True)
class Decided:
    """What became of a case; the id is text."""

    id: str
    state: str


def judge(facts: Facts, *, amount_fen: int, bound_at: datetime | None, at: datetime) -> Verdict:
    """Weigh a payment of `amount_fen` by a phone that was bound then (None: nobody knows)."""
    met = [
        rule
        for rule in facts.rules
        if amount_fen >= rule.from_fen
        and _is_met(rule, facts, amount_fen=amount_fen, bound_at=bound_at, at=at)
    ]
    weightiest = max((rule.outcome for rule in met), key=_WEIGHT.__getitem__, default="")
    return Verdict(outcome=weightiest, reasons=tuple(rule.name for rule in met))


def open_case(order: Order, verdict: Verdict, *, at: datetime) -> None:
    """Put a payment that a rule has met into the queue, within its transaction; a freeze is told
    to identity afterwards, and counts from this moment on."""
    if not verdict.outcome:
        return
    case = RiskCase.objects.create(
        id=uuid7(at),
        order=order,
        resident_id=order.payer_id,
        outcome=verdict.outcome,
        reasons=list(verdict.reasons),
        opened_at=at,
    )
    if verdict.freezes:
        outbox.publish(RISK_FROZEN, {"case": case.id}, at=at)


def freeze_on(event: Event) -> None:
    """Stop paying, codes and cards alike, for a case that freezes: an outbox consumer."""
    case = _lock(uuid.UUID(event.payload["case"]))
    if case.state == "open":
        _freeze(case, actor="risk", at=clock.now())


def decide(
    *,
    caller: Caller,
    case_id: uuid.UUID,
    is_fraud: bool,
    idempotency_key: IdempotencyKey,
    at: datetime,
) -> Decided:
    """Close a case as a member of staff: upheld, and paying stays or is stopped; or cleared, and a
    stop that risk has set is lifted.

    Raises NotFound, RiskCaseDecided, and what `once` raises.
    """
    with once(idempotency_key, at=at) as claim:
        if claim.answer is None:
            case = _lock(case_id)
            if case.state != "open":
                raise RiskCaseDecided(state=case.state)
            to_state = "upheld" if is_fraud else "cleared"
            states.RISK_CASE.check(case.state, to_state)
            case.state, case.decided_at = to_state, at
            case.decided_by_id = required(caller.staff_id)
            case.save(update_fields=["state", "decided_at", "decided_by"])
            if is_fraud:
                _freeze(case, actor=caller.scope, at=at)
            else:
                _lift(case, actor=caller.scope, at=at)
            audit.record(
                actor=caller.scope,
                action=f"risk_case.{to_state}",
                subject=f"risk_case:{case.id}",
                detail={"outcome": case.outcome, "reasons": case.reasons},
                at=at,
            )
            claim.answer = {"id": str(case.id), "state": case.state}
        return Decided(**claim.answer)


def cases(*, state: str | None = None) -> QuerySet[RiskCase]:
    """The queue, or all cases in a state, with their payments; to be ordered by `-id`."""
    found = RiskCase.objects.select_related("order__merchant__organisation", "decided_by__user")
    return found if state is None else found.filter(state=state)


def rules() -> QuerySet[RiskRule]:
    """The rules, to be ordered by name."""
    return RiskRule.objects.all()


def _is_met(
    rule: Rule, facts: Facts, *, amount_fen: int, bound_at: datetime | None, at: datetime
) -> bool:
    recent, places = facts.recent, facts.places
    match rule.kind:
        case "hour_count":
            return recent.hour_count + 1 > rule.threshold
        case "hour_fen":
            return recent.hour_fen + amount_fen > rule.threshold
        case "day_count":
            return recent.day_count + 1 > rule.threshold
        case "day_fen":
            return recent.day_fen + amount_fen > rule.threshold
        case "amount_fen":
            return amount_fen > rule.threshold
        case "new_device_hours":
            return bound_at is not None and bound_at > at - timedelta(hours=rule.threshold)
        case "other_county":
            return places.here == 0 and places.known >= max(1, rule.threshold)
    raise ValueError(f"a rule of an unknown kind: {rule.kind}")


def _lock(case_id: uuid.UUID) -> RiskCase:
    case = RiskCase.objects.select_for_update(no_key=True).filter(id=case_id).first()
    if case is None:
        raise NotFound
    return case


def _freeze(case: RiskCase, *, actor: str, at: datetime) -> None:
    suspensions.suspend(
        resident_id=case.resident_id,
        source=_SOURCE,
        scope=_SCOPE,
        reason=REASON,
        actor=actor,
        at=at,
    )


def _lift(case: RiskCase, *, actor: str, at: datetime) -> None:
    """Lift the stop, unless another case of the same person stands behind it."""
    others = RiskCase.objects.filter(resident_id=case.resident_id).exclude(id=case.id)
    if others.filter(state="open", outcome="freeze").exists() or (
        others.filter(state="upheld").exists()
    ):
        return
    for found in suspensions.suspensions_of(resident_id=case.resident_id):
        if (found.source, found.scope, found.reason) == (_SOURCE, _SCOPE, REASON):
            suspensions.lift(suspension_id=found.id, sources=(_SOURCE,), actor=actor, at=at)
