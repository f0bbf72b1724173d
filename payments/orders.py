"""Takes payments by a shown code; above an amount they wait for the payer's word.

What the payer has chosen pays: the balance at once, or a bank card, when its bank has booked it.
"""

import uuid
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import QuerySet

from cards.paying import CardNotUsable
from identity import codes
from payments import debits, history, queries, sources
from payments.captures import capture_order
from payments.ledger import InsufficientFunds
from payments.merchants import MerchantSuspended
from payments.models import Order
from payments.queries import LockedOrder, Parties
from payments.sources import BankCard
from vpass.common.callers import Caller, required
from vpass.common.errors import Conflict, DomainError, NotAllowed, NotFound
from vpass.common.idempotency import IdempotencyKey, once
from vpass.common.ids import uuid7

PURPOSE = "payment"
MAX_PAYMENT_FEN = 5_000_000
CONFIRM_WITHIN = timedelta(minutes=2)
EXPIRY = "orders.expiry"  # who moves an order on when its time is over


class OrderReferenceTaken(Conflict):
    """Another payment of this merchant has this reference."""

    code = "order.reference_taken"
    title_zh = "该商户单号已用于另一笔付款"


class OrderNotWaiting(Conflict):
    """This payment does not wait for the payer any more."""

    code = "order.not_waiting"
    title_zh = "该笔付款已不在等待确认"


class OrderExpired(DomainError):
    """This payment was not confirmed in time."""

    code = "order.expired"
    status = 410
    title_zh = "该笔付款未在规定时间内确认，已失效"


# Refusals of a payment whose code is used up.
REFUSALS: dict[str, type[DomainError]] = {
    **codes.REFUSALS,
    CardNotUsable.code: CardNotUsable,
    InsufficientFunds.code: InsufficientFunds,
    MerchantSuspended.code: MerchantSuspended,
    OrderReferenceTaken.code: OrderReferenceTaken,
}


@dataclass(frozen=True, kw_only=True)
class Shown:
    """A payment as its merchant sees it; times are RFC 3339 in UTC, amounts in fen.

    `reason` is the problem code of a failure, "order.declined", what is wrong with the card
    ("card.frozen"), the bank's reason ("bank.insufficient_funds"), or "debit.never_arrived".
    """

    id: str
    state: str
    amount_fen: int
    captured_fen: int
    refunded_fen: int
    title: str
    merchant_reference: str
    reason: str | None
    confirm_by: str | None
    created_at: str


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What a till asks for."""

    code: str
    amount_fen: int
    title: str
    merchant_reference: str


def show(order: Order) -> Shown:
    """What the merchant sees of an order."""
    return Shown(
        id=str(order.id),
        state=order.state,
        amount_fen=order.amount_fen,
        captured_fen=order.captured_fen,
        refunded_fen=order.refunded_fen,
        title=order.title,
        merchant_reference=order.merchant_reference,
        reason=order.reason,
        confirm_by=None if order.confirm_by is None else order.confirm_by.isoformat(),
        created_at=order.created_at.isoformat(),
    )


def pay_by_code(
    *,
    caller: Caller,
    code: str,
    amount_fen: int,
    title: str,
    merchant_reference: str,
    idempotency_key: IdempotencyKey,
    at: datetime,
) -> Shown:
    """Take a payment by the code a resident shows at the caller's till.

    `amount_fen` is 1 to MAX_PAYMENT_FEN; above settings.NO_CONFIRMATION_FEN the payment waits for
    the payer's word, CONFIRM_WITHIN, else it is captured at once, or capturing while a bank debits
    the payer's card. `merchant_reference` is the merchant's own, once for ever. A genuine code is
    used up whatever comes of it; a refusal for want of money, a card that cannot pay or a suspended
    party leaves a failed order (the member `payment_id`; with OrderReferenceTaken it is the other
    payment's). The same request gets the same answer again. Raises a codes.ScanRefused,
    InsufficientFunds, CardNotUsable, MerchantSuspended, OrderReferenceTaken, NotAllowed for a
    caller that is no merchant, and what `once` raises.
    """
    asked = Asked(
        code=code, amount_fen=amount_fen, title=title, merchant_reference=merchant_reference
    )
    try:
        answer = _pay_once(asked, caller=caller, key=idempotency_key, at=at)
    except InsufficientFunds as error:
        # The posting has taken all with it. The till has seen the code, so that has to stay used.
        answer = _pay_once(asked, caller=caller, key=idempotency_key, refusal=error.code, at=at)
    if refusal := answer.pop("refusal", None):
        raise REFUSALS[refusal](**answer)
    return Shown(**answer)


def cancel_order(
    *, caller: Caller, order_id: uuid.UUID, idempotency_key: IdempotencyKey, at: datetime
) -> Shown:
    """Call a waiting payment off as its merchant.

    Raises NotFound, OrderNotWaiting, OrderExpired, and what `once` raises.
    """
    with once(idempotency_key, at=at) as claim:
        if claim.answer is None:
            order = lock_of_merchant(order_id, caller=caller).order
            if is_waiting(order, at=at):
                history.change_order(order, "cancelled", actor=caller.scope, at=at)
            claim.answer = asdict(show(order))
    return answered(claim.answer)


def expire_due_orders(*, at: datetime, limit: int = 500) -> int:
    """End payments which nobody confirmed in time; returns how many. Safe to run twice."""
    with transaction.atomic():
        due = (
            Order.objects.select_for_update(skip_locked=True, no_key=True)
            .filter(state="confirming", confirm_by__lte=at)
            .order_by("confirm_by", "id")[:limit]
        )
        orders = list(due)
        for order in orders:
            history.change_order(order, "expired", reason=OrderExpired.code, actor=EXPIRY, at=at)
    return len(orders)


def orders_of_merchant(*, caller: Caller) -> QuerySet[Order]:
    """The payments of the caller's merchant, to be ordered by `-id`."""
    return Order.objects.filter(merchant__organisation_id=required(caller.organisation_id))


def orders_of_payer(*, caller: Caller) -> QuerySet[Order]:
    """The caller's own payments with merchants and debits, to be ordered by `-id`."""
    return Order.objects.select_related("merchant__organisation", "debit").filter(
        payer_id=required(caller.resident_id)
    )


def order_in(orders: QuerySet[Order], order_id: uuid.UUID) -> Order:
    """One of these orders; another's and a missing one raise NotFound alike."""
    order = orders.filter(id=order_id).first()
    if order is None:
        raise NotFound
    return order


def lock_of_merchant(order_id: uuid.UUID, *, caller: Caller) -> LockedOrder:
    """An order of the caller's merchant, locked for a change. Raises NotFound."""
    locked = queries.lock_order(order_id)
    if locked is None or locked.organisation_id != caller.organisation_id:
        raise NotFound
    return locked


def debit_card(order: Order, source: BankCard, *, at: datetime) -> None:
    """Have a bank pay an order that is capturing, from a card, after the caller's transaction."""
    debits.prepare(
        card=source.card,
        bank=source.bank,
        resident_id=order.payer_id,
        order_id=order.id,
        amount_fen=order.amount_fen,
        at=at,
    )


def is_waiting(order: Order, *, at: datetime) -> bool:
    """Whether a locked order can still be confirmed; one whose time is over expires here.

    Raises OrderNotWaiting, OrderExpired.
    """
    if order.state == "expired":
        raise OrderExpired
    if order.state != "confirming" or order.confirm_by is None:
        raise OrderNotWaiting(state=order.state)
    if order.confirm_by > at:
        return True
    history.change_order(order, "expired", reason=OrderExpired.code, actor=EXPIRY, at=at)
    return False


def answered(answer: dict[str, Any]) -> Shown:
    """A kept answer as it was given. Raises OrderExpired when that is what was found."""
    shown = Shown(**answer)
    if shown.state == "expired":
        raise OrderExpired
    return shown


def _pay_once(
    asked: Asked,
    *,
    caller: Caller,
    key: IdempotencyKey,
    refusal: str | None = None,
    at: datetime,
) -> dict[str, Any]:
    with once(key, at=at) as claim:
        if claim.answer is None:
            claim.answer = _pay(asked, caller=caller, refusal=refusal, at=at)
        return dict(claim.answer)


def _pay(asked: Asked, *, caller: Caller, refusal: str | None, at: datetime) -> dict[str, Any]:
    shown = codes.read_genuine(asked.code, at=at)
    use = codes.use_code(
        caller=caller,
        shown=shown,
        purpose=PURPOSE,
        case_number=asked.merchant_reference,
        at=at,
    )
    if use.resident is None:
        return {"refusal": use.reason}
    parties = queries.lock_parties(
        organisation_id=required(caller.organisation_id), payer_id=use.resident.id
    )
    if parties is None:
        raise NotAllowed
    order = _new_order(asked, caller=caller, payer_id=use.resident.id, parties=parties, at=at)
    card, told = _decide(order, parties, refusal=refusal or _refusal(parties), at=at)
    via = ("authorised",) if card is not None else ()
    if not history.write_order(order, via=via, actor=caller.scope, at=at):
        known = Order.objects.values_list("id", flat=True).get(
            merchant_id=parties.merchant_id, merchant_reference=asked.merchant_reference
        )
        return {"refusal": OrderReferenceTaken.code, "payment_id": str(known)}
    if told:
        return told | {"payment_id": str(order.id)}
    if card is not None:
        debit_card(order, card, at=at)
    elif order.state == "captured":
        capture_order(order, parties, at=at)
    return asdict(show(order))


def _decide(
    order: Order, parties: Parties, *, refusal: str | None, at: datetime
) -> tuple[BankCard | None, dict[str, str]]:
    """Set the state in which a new order is written; the card that pays, and what refuses it."""
    if refusal is not None:
        order.state, order.reason = "failed", refusal
        return None, {"refusal": refusal}
    if order.amount_fen > settings.NO_CONFIRMATION_FEN:
        order.state, order.confirm_by = "confirming", at + CONFIRM_WITHIN
        return None, {}
    try:
        card = sources.card_to_pay(resident_id=order.payer_id, card_id=parties.card_id, at=at)
    except CardNotUsable as error:
        order.state, order.reason = "failed", error.members["reason"]
        return None, {"refusal": error.code, "reason": error.members["reason"]}
    if card is None:
        order.state, order.captured_fen = "captured", order.amount_fen
    else:
        order.state = "capturing"
    return card, {}


def _new_order(
    asked: Asked, *, caller: Caller, payer_id: uuid.UUID, parties: Parties, at: datetime
) -> Order:
    return Order(
        id=uuid7(at),
        merchant_id=parties.merchant_id,
        till_id=caller.id,
        payer_id=payer_id,
        amount_fen=asked.amount_fen,
        title=asked.title,
        merchant_reference=asked.merchant_reference,
        created_at=at,
    )


def _refusal(parties: Parties) -> str | None:
    if parties.merchant_state != "active":
        return MerchantSuspended.code
    return None if parties.payer_state == "active" else codes.HolderSuspended.code
