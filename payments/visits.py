"""Lets residents into unmanned shops by the code, and takes what they took when they leave.

At the door so much as the door says is held on the balance; whoever leaves pays what was taken out
of that, and the rest is free. Nobody inside at the end of the stay has paid anything.
"""

import uuid
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import IntegrityError, connection, transaction
from django.db.models import QuerySet

from payments import grades, history, ledger, pay_codes, queries, risk, states
from payments.captures import capture_order
from payments.facts import Facts
from payments.grades import LimitExceeded, Spend
from payments.ledger import HoldExceeded, InsufficientFunds
from payments.merchants import MerchantSuspended
from payments.models import Order, PaymentLimit, ShopDoor, Visit
from payments.orders import REFUSALS as PAYMENT_REFUSALS
from payments.queries import Parties
from payments.tendering import refusal_of
from vpass.common import clock
from vpass.common.callers import Caller, required
from vpass.common.errors import Conflict, DomainError, NotAllowed, NotFound
from vpass.common.idempotency import IdempotencyKey, once
from vpass.common.ids import uuid7

REFERENCE = "visit:"  # how the merchant reference of what was paid on leaving begins
EXPIRY = "visits.expiry"  # who ends a visit when its time is over
_HELD = "visit"

# Ends a visit that is still inside, and no other.
_END = """
WITH ended AS (
    UPDATE payments_visit SET state = %(to_state)s, order_id = %(order_id)s, left_at = %(at)s
    WHERE id = %(id)s AND state = 'inside' RETURNING id
), line AS (
    INSERT INTO payments_visitchange (visit_id, from_state, to_state, event, actor, at)
    SELECT id, 'inside', %(to_state)s, %(event)s, %(actor)s, %(at)s FROM ended RETURNING 1
)
SELECT count(*) FROM ended
"""


class NoShopDoor(NotAllowed):
    """This machine is not the door of an unmanned shop."""

    code = "visit.no_door"
    title_zh = "该终端不是无人店入口"


class DoorClosed(NotAllowed):
    """This door lets nobody in any more."""

    code = "visit.door_closed"
    title_zh = "该无人店入口已停用"


class VisitReferenceTaken(Conflict):
    """Another visit to this merchant has this reference."""

    code = "visit.reference_taken"
    title_zh = "该商户单号已用于另一次进店"


class VisitOver(Conflict):
    """Nobody is inside on this visit any more."""

    code = "visit.over"
    title_zh = "该次进店已结束"


# Refusals of an entry whose code is used up.
REFUSALS: dict[str, type[DomainError]] = {
    **PAYMENT_REFUSALS,
    LimitExceeded.code: LimitExceeded,
    VisitReferenceTaken.code: VisitReferenceTaken,
}


@dataclass(frozen=True, kw_only=True)
class VisitShown:
    """A visit as the shop sees it; times are RFC 3339 in UTC, amounts in fen."""

    id: str
    state: str
    merchant_reference: str
    held_fen: int
    paid_fen: int
    payment_id: str | None
    entered_at: str
    leave_by: str
    left_at: str | None


def show(visit: Visit) -> VisitShown:
    """What the shop sees of a visit, with its order in hand."""
    order = visit.order
    return VisitShown(
        id=str(visit.id),
        state=visit.state,
        merchant_reference=visit.merchant_reference,
        held_fen=visit.held_fen,
        paid_fen=0 if order is None else order.captured_fen,
        payment_id=None if order is None else str(order.id),
        entered_at=visit.entered_at.isoformat(),
        leave_by=visit.leave_by.isoformat(),
        left_at=None if visit.left_at is None else visit.left_at.isoformat(),
    )


def enter(
    *,
    caller: Caller,
    code: str,
    merchant_reference: str,
    idempotency_key: IdempotencyKey,
    at: datetime,
) -> VisitShown:
    """Let the resident in who shows this code at the caller's door, and hold the door's amount.

    A genuine code is used up whatever comes of it, and nothing else is left of a refusal. What is
    held counts for the day's limit of paying by code; a door takes no word and no PIN, so what
    would need one is refused. Raises NoShopDoor, DoorClosed, codes.ScanRefused, one of REFUSALS,
    NotAllowed for a caller that is no merchant, and what `once` raises.
    """
    with once(idempotency_key, at=at) as claim:
        if claim.answer is None:
            door = ShopDoor.objects.filter(terminal_id=caller.id).first()
            if door is None:
                raise NoShopDoor
            if door.state != "open":
                raise DoorClosed
            claim.answer = _enter(
                door, code=code, reference=merchant_reference, caller=caller, at=at
            )
        answer = dict(claim.answer)
    if refusal := answer.pop("refusal", None):
        raise REFUSALS[refusal](**answer)
    return VisitShown(**answer)


def leave(
    *,
    caller: Caller,
    visit_id: uuid.UUID,
    amount_fen: int,
    title: str,
    idempotency_key: IdempotencyKey,
    at: datetime,
) -> VisitShown:
    """Let out who is inside and take `amount_fen`, 0 up to what is held, for what was taken.

    What was held beyond that is free at once. A late one is let out as long as the visit has not
    expired. Raises NotFound, also for another merchant's visit; VisitOver, HoldExceeded with
    `held_fen`, MerchantSuspended, and what `once` raises: nothing has changed then.
    """
    with once(idempotency_key, at=at) as claim:
        if claim.answer is None:
            visit = _lock(visit_id)
            if visit is None or visit.merchant.organisation_id != caller.organisation_id:
                raise NotFound
            if visit.state != "inside":
                raise VisitOver(state=visit.state)
            if amount_fen > visit.held_fen:
                raise HoldExceeded(held_fen=visit.held_fen)
            if amount_fen:
                _take(visit, amount_fen, title=title, caller=caller, at=at)
                _end(visit, "paid", actor=caller.scope, at=at)
            else:
                _free(visit, "left", actor=caller.scope, at=at)
            claim.answer = asdict(show(visit))
        return VisitShown(**claim.answer)


def expire_due(*, at: datetime, limit: int = 500) -> int:
    """End the visits whose time is over and free what was held; returns how many. Safe twice."""
    with transaction.atomic():
        due = (
            Visit.objects.select_for_update(skip_locked=True, no_key=True)
            .filter(state="inside", leave_by__lte=at)
            .order_by("leave_by", "id")[:limit]
        )
        visits = list(due)
        for visit in visits:
            _free(visit, "expired", actor=EXPIRY, at=at)
    return len(visits)


def visits_of_merchant(*, caller: Caller) -> QuerySet[Visit]:
    """The visits to the caller's merchant, to be ordered by `-id`."""
    return Visit.objects.select_related("order").filter(
        merchant__organisation_id=required(caller.organisation_id)
    )


def visits_of_payer(*, caller: Caller) -> QuerySet[Visit]:
    """The caller's own visits with their shops, to be ordered by `-id`."""
    return Visit.objects.select_related("order", "merchant__organisation").filter(
        payer_id=required(caller.resident_id)
    )


def visit_in(visits: QuerySet[Visit], visit_id: uuid.UUID) -> Visit:
    """One of these visits; another's and a missing one raise NotFound alike."""
    visit = visits.filter(id=visit_id).first()
    if visit is None:
        raise NotFound
    return visit


def _enter(
    door: ShopDoor, *, code: str, reference: str, caller: Caller, at: datetime
) -> dict[str, Any]:
    shown = pay_codes.use_shown(code, caller=caller, reference=reference, at=at)
    if shown.payer_id is None:
        return {"refusal": shown.reason}
    found = queries.lock_and_look(
        organisation_id=required(caller.organisation_id),
        payer_id=shown.payer_id,
        amount_fen=door.hold_fen,
        at=at,
    )
    if found is None:
        raise NotAllowed
    parties, facts = found
    if refusal := refusal_of(parties):
        return {"refusal": refusal}
    visit = Visit(
        id=uuid7(at),
        door=door,
        merchant_id=parties.merchant_id,
        payer_id=shown.payer_id,
        merchant_reference=reference,
        held_fen=door.hold_fen,
        entered_at=at,
        leave_by=at + timedelta(minutes=door.stay_minutes),
    )
    if refusal := _judge(visit, facts, shown=shown, caller=caller, at=at):
        return {"refusal": refusal}
    try:
        with transaction.atomic():
            return _admit(visit, parties, _spend(visit, facts, shown, at=at), caller, at=at)
    except (LimitExceeded, InsufficientFunds) as error:
        return {"refusal": error.code}
    except IntegrityError:
        known = Visit.objects.values_list("id", flat=True).get(
            merchant_id=parties.merchant_id, merchant_reference=reference
        )
        return {"refusal": VisitReferenceTaken.code, "visit_id": str(known)}


def _judge(
    visit: Visit, facts: Facts, *, shown: pay_codes.Shown, caller: Caller, at: datetime
) -> str | None:
    """Why a rule of risk keeps a resident out, if one does; one that freezes leaves a failed order
    for its case."""
    verdict = risk.judge(facts, amount_fen=visit.held_fen, bound_at=shown.bound_at, at=at)
    if not verdict.freezes:
        return LimitExceeded.code if verdict.needs_word else None
    refused = _order(visit, visit.held_fen, title="", caller=caller, at=at)
    refused.state, refused.reason = "failed", risk.RiskRefused.code
    refused.captured_fen, refused.way = 0, shown.way
    if history.write_order(refused, actor=caller.scope, at=at):
        risk.open_case(refused, verdict, at=at)
    return risk.RiskRefused.code


def _spend(visit: Visit, facts: Facts, shown: pay_codes.Shown, *, at: datetime) -> Spend:
    limit = grades.limit_of(facts, means=PaymentLimit.Means.CODE, device=shown.device)
    spend = grades.spend_within(facts, limit, amount_fen=visit.held_fen, at=at)
    if spend is None:
        raise LimitExceeded
    return spend


def _admit(
    visit: Visit, parties: Parties, spend: Spend, caller: Caller, *, at: datetime
) -> dict[str, Any]:
    if parties.payer_account is None:
        raise InsufficientFunds
    if not grades.count(spend, payer_id=visit.payer_id, amount_fen=visit.held_fen):
        raise LimitExceeded
    visit.grade = spend.grade
    visit.save(force_insert=True)
    event = states.VISIT.initial
    visit.changes.create(from_state="", to_state=event, event="enter", actor=caller.scope, at=at)
    ledger.hold(
        hold_id=visit.id,
        account=parties.payer_account,
        amount_fen=visit.held_fen,
        purpose=_HELD,
        reference=visit.id,
        expires_at=None,  # it ends with the visit, in one transaction
        at=at,
    )
    return asdict(show(visit))


def _lock(visit_id: uuid.UUID) -> Visit | None:
    """A visit that nobody else ends before we commit, with its merchant."""
    return (
        Visit.objects.select_for_update(of=("self",), no_key=True)
        .select_related("merchant")
        .filter(id=visit_id)
        .first()
    )


def _take(visit: Visit, fen: int, *, title: str, caller: Caller, at: datetime) -> None:
    """Pay what was taken out of the hold, as an order like any other."""
    parties = queries.lock_parties(
        organisation_id=visit.merchant.organisation_id, payer_id=visit.payer_id
    )
    if parties is None:
        raise RuntimeError("a visit's merchant and payer stay")
    if parties.merchant_state != "active":
        raise MerchantSuspended
    order = _order(visit, fen, title=title, caller=caller, at=at)
    if not history.write_order(order, actor=caller.scope, at=at):
        raise RuntimeError("a visit is paid once")
    capture_order(order, parties, held_for=visit.id, at=at)
    visit.order = order
    _uncount(visit, visit.held_fen - fen)


def _free(visit: Visit, to_state: str, *, actor: str, at: datetime) -> None:
    ledger.void(hold_id=visit.id, at=at)
    _uncount(visit, visit.held_fen)
    _end(visit, to_state, actor=actor, at=at)


def _end(visit: Visit, to_state: str, *, actor: str, at: datetime) -> None:
    values: dict[str, Any] = {
        "id": visit.id,
        "to_state": to_state,
        "event": states.VISIT.event("inside", to_state),
        "order_id": visit.order_id,
        "actor": actor,
        "at": at,
    }
    with connection.cursor() as cursor:
        cursor.execute(_END, values)
        if not cursor.fetchone()[0]:
            raise RuntimeError("a visit is ended under its lock only")
    visit.state, visit.left_at = to_state, at


def _uncount(visit: Visit, fen: int) -> None:
    """Give back of the day's limit what was held and not taken."""
    if fen:
        spend = Spend(grade=visit.grade, daily_fen=None, on_date=clock.city_date(visit.entered_at))
        grades.uncount(spend, payer_id=visit.payer_id, amount_fen=fen)


def _order(visit: Visit, fen: int, *, title: str, caller: Caller, at: datetime) -> Order:
    return Order(
        id=uuid7(at),
        merchant_id=visit.merchant_id,
        till_id=caller.id,
        store_id=caller.store_id,
        payer_id=visit.payer_id,
        amount_fen=fen,
        captured_fen=fen,
        title=title,
        merchant_reference=f"{REFERENCE}{visit.merchant_reference}",
        state="captured",
        created_at=at,
        way=Order.Way.CODE,
    )
