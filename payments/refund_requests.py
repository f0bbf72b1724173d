"""Has two tills stand behind a refund that is too large for one: one asks, another approves."""

import uuid
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta

from django.db.models import QuerySet

from payments import queries, refunds, states
from payments.ledger import InsufficientFunds
from payments.models import RefundRequest
from payments.orders import lock_of_merchant
from payments.refunds import MerchantShort, RefundReferenceReused
from vpass.common.callers import Caller, required
from vpass.common.errors import Conflict, NotAllowed, NotFound
from vpass.common.idempotency import IdempotencyKey, once
from vpass.common.ids import uuid7

LIFE = timedelta(hours=24)


class SelfApproval(NotAllowed):
    """The till that asks for a refund cannot approve it."""

    code = "refund_request.self_approval"
    title_zh = "申请退款的终端不能自行复核"


class RefundRequestOver(Conflict):
    """This refund has been decided or is out of date."""

    code = "refund_request.over"
    title_zh = "该退款申请已处理或已过期"


@dataclass(frozen=True, kw_only=True)
class RequestShown:
    """A refund that waits, or waited, for a second till; times are RFC 3339 in UTC."""

    id: str
    payment_id: str
    reference: str
    amount_fen: int
    state: str
    asked_by: str
    asked_at: str
    decided_by: str | None
    decided_at: str | None
    refund_id: str | None


def show(request: RefundRequest) -> RequestShown:
    """What the merchant sees of it."""
    return RequestShown(
        id=str(request.id),
        payment_id=str(request.order_id),
        reference=request.reference,
        amount_fen=request.amount_fen,
        state=request.state,
        asked_by=str(request.asked_by_id),
        asked_at=request.asked_at.isoformat(),
        decided_by=None if request.decided_by_id is None else str(request.decided_by_id),
        decided_at=None if request.decided_at is None else request.decided_at.isoformat(),
        refund_id=None if request.refund_id is None else str(request.refund_id),
    )


def ask(
    *,
    caller: Caller,
    order_id: uuid.UUID,
    amount_fen: int,
    reference: str,
    idempotency_key: IdempotencyKey,
    at: datetime,
) -> RequestShown:
    """Ask for a refund, of any amount, which another till of the merchant has LIFE to approve.

    The same reference and amount again is the same request, under any key. Raises NotFound,
    refunds.RefundTooMuch, RefundReferenceReused, MerchantSuspended, and what `once` raises.
    """
    with once(idempotency_key, at=at) as claim:
        if claim.answer is None:
            locked = lock_of_merchant(order_id, caller=caller)
            request = RefundRequest.objects.filter(order_id=order_id, reference=reference).first()
            if request is None:
                if queries.refund_of(order_id=order_id, reference=reference) is not None:
                    raise RefundReferenceReused
                refunds.check(locked, amount_fen=amount_fen)
                request = RefundRequest.objects.create(
                    id=uuid7(at),
                    order_id=order_id,
                    reference=reference,
                    amount_fen=amount_fen,
                    asked_by_id=caller.id,
                    asked_at=at,
                )
            elif request.amount_fen != amount_fen:
                raise RefundReferenceReused
            claim.answer = asdict(show(request))
        return RequestShown(**claim.answer)


def approve(
    *, caller: Caller, request_id: uuid.UUID, idempotency_key: IdempotencyKey, at: datetime
) -> RequestShown:
    """Approve what another till has asked for: the money goes back, in the same transaction.

    Raises NotFound, SelfApproval, RefundRequestOver, refunds.RefundTooMuch, MerchantShort,
    MerchantSuspended, and what `once` raises. After any of these nothing has changed.
    """
    try:
        with once(idempotency_key, at=at) as claim:
            if claim.answer is None:
                request = _lock(request_id, caller=caller, at=at)
                if str(request.asked_by_id) == str(caller.id):
                    raise SelfApproval
                locked = lock_of_merchant(request.order_id, caller=caller)
                if queries.refund_of(order_id=request.order_id, reference=request.reference):
                    raise RefundReferenceReused
                refund = refunds.give_back(
                    locked,
                    amount_fen=request.amount_fen,
                    reference=request.reference,
                    actor=caller.scope,
                    at=at,
                )
                request.refund_id = uuid.UUID(refund.id)
                _decide(request, "approved", caller=caller, at=at)
                claim.answer = asdict(show(request))
            return RequestShown(**claim.answer)
    except InsufficientFunds as error:
        raise MerchantShort from error


def reject(
    *, caller: Caller, request_id: uuid.UUID, idempotency_key: IdempotencyKey, at: datetime
) -> RequestShown:
    """Reject what another till has asked for, or take one's own back.

    Raises NotFound, RefundRequestOver, and what `once` raises.
    """
    with once(idempotency_key, at=at) as claim:
        if claim.answer is None:
            request = _lock(request_id, caller=caller, at=at)
            _decide(request, "rejected", caller=caller, at=at)
            claim.answer = asdict(show(request))
        return RequestShown(**claim.answer)


def requests_of(*, caller: Caller) -> QuerySet[RefundRequest]:
    """What the tills of the caller's merchant have asked for, to be ordered by `-id`."""
    return RefundRequest.objects.filter(
        order__merchant__organisation_id=required(caller.organisation_id)
    )


def expire_old(*, at: datetime) -> int:
    """End what nobody has decided within LIFE; returns how many."""
    return RefundRequest.objects.filter(state="asked", asked_at__lte=at - LIFE).update(
        state="expired", decided_at=at
    )


def _lock(request_id: uuid.UUID, *, caller: Caller, at: datetime) -> RefundRequest:
    found = requests_of(caller=caller).select_for_update(of=("self",)).filter(id=request_id)
    request = found.first()
    if request is None:
        raise NotFound
    if request.state != "asked" or request.asked_at <= at - LIFE:
        raise RefundRequestOver(state=request.state)
    return request


def _decide(request: RefundRequest, to_state: str, *, caller: Caller, at: datetime) -> None:
    states.REFUND_REQUEST.check(request.state, to_state)
    request.state, request.decided_at = to_state, at
    request.decided_by_id = uuid.UUID(str(caller.id))
    request.save(update_fields=["state", "decided_by", "decided_at", "refund"])
