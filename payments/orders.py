"""Takes payments by a shown code; above an amount they wait for the payer's word.

What the payer has chosen pays: the balance at once, or a bank card, when its bank has booked it.
"""

import uuid
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.models import QuerySet

from cards.paying import CardNotUsable
from identity import codes
from identity.access_log import DeedUndone
from payments import captures, debits, history, ledger, pay_codes, queries, risk, tendering
from payments.captures import capture_order, naming_shortage, with_balance_moving
from payments.ledger import InsufficientFunds
from payments.merchants import MerchantSuspended
from payments.models import Order
from payments.queries import LockedOrder, Parties
from payments.sources import Funding
from payments.tendering import Asked, Tender, Tendered
from vpass.common.callers import Caller, required
from vpass.common.errors import Conflict, DomainError, NotAllowed, NotFound
from vpass.common.idempotency import IdempotencyKey, once

PURPOSE = pay_codes.PURPOSE
MAX_PAYMENT_FEN = 5_000_000
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
    **pay_codes.REFUSALS,
    risk.RiskRefused.code: risk.RiskRefused,
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

    def as_answer(self) -> dict[str, Any]:
        """The same by name, to be kept; all of it is plain (asdict would copy it slowly)."""
        return dict(vars(self))


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
    cashier: str | None = None,
    idempotency_key: IdempotencyKey,
    at: datetime,
) -> Shown:
    """Take a payment by the code a resident shows at the caller's till: the one code or 18 digits.

    `amount_fen` is 1 to MAX_PAYMENT_FEN; above what the code alone may pay, once or today, or when
    a rule of risk asks for it, the payment waits for the payer's word, CONFIRM_WITHIN, else it is
    captured at once, or capturing while a bank debits the payer's card. `merchant_reference` is the
    merchant's own, once for ever, `cashier` the number of who stands there. A genuine code is used
    up whatever comes of it; a refusal for want of money, a card that cannot pay, a suspended party
    or risk leaves a failed order (the member `payment_id`; with OrderReferenceTaken it is the other
    payment's). The same request gets the same answer again. Raises a codes.ScanRefused, one of
    pay_codes.REFUSALS, InsufficientFunds, CardNotUsable, MerchantSuspended, risk.RiskRefused,
    OrderReferenceTaken, NotAllowed for a caller that is no merchant, and what `once` raises.
    """
    asked = Asked(
        code=code,
        amount_fen=amount_fen,
        title=title,
        merchant_reference=merchant_reference,
        cashier=cashier,
    )
    try:
        answer = with_balance_moving(
            lambda: _pay_once(asked, caller=caller, key=idempotency_key, at=at)
        )
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
            claim.answer = show(order).as_answer()
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


def orders_of_merchant(*, caller: Caller, store: str | None = None) -> QuerySet[Order]:
    """The payments of the caller's merchant, or of its store of this code; to be ordered by
    `-id`."""
    found = Order.objects.filter(merchant__organisation_id=required(caller.organisation_id))
    return found if store is None else found.filter(store__code=store)


def orders_of_payer(*, caller: Caller) -> QuerySet[Order]:
    """The caller's own payments with merchants, stores and debits, to be ordered by `-id`."""
    return Order.objects.select_related("merchant__organisation", "store", "debit").filter(
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
    if not pay_codes.is_digits(asked.code):
        with suppress(DeedUndone), once(key, at=at) as claim:
            if claim.answer is None:
                claim.answer = _pay_at_once(asked, caller=caller, refusal=refusal, at=at)
            return dict(claim.answer)
        # The limit is full meanwhile, or the reference taken: the steps tell which.
    with once(key, at=at) as claim:
        if claim.answer is None:
            claim.answer = _pay_by_steps(asked, caller=caller, refusal=refusal, at=at)
        return dict(claim.answer)


def _pay_at_once(
    asked: Asked, *, caller: Caller, refusal: str | None, at: datetime
) -> dict[str, Any]:
    """Take a payment by the one code, in the two statements that use the code.

    Raises access_log.DeedUndone when the order could not be written as it was judged.
    """
    tender = Tender(asked, caller=caller, refusal=refusal, at=at)
    with naming_shortage(lambda: tender.tendered.parties):
        use = codes.use_code(
            caller=caller,
            shown=codes.read_genuine(asked.code, at=at),
            purpose=PURPOSE,
            case_number=asked.merchant_reference,
            occasion=tender,
            at=at,
        )
    if use.resident is None:
        return {"refusal": use.reason}
    return _finish(tender.tendered, is_posted=tender.tendered.is_captured, at=at)


def _pay_by_steps(
    asked: Asked, *, caller: Caller, refusal: str | None, at: datetime
) -> dict[str, Any]:
    shown = pay_codes.use_shown(
        asked.code, caller=caller, reference=asked.merchant_reference, at=at
    )
    if shown.payer_id is None:
        return {"refusal": shown.reason}
    found = queries.lock_and_look(
        organisation_id=required(caller.organisation_id),
        payer_id=shown.payer_id,
        amount_fen=asked.amount_fen,
        at=at,
    )
    if found is None:
        raise NotAllowed
    parties, facts = found
    tendered = tendering.judge(
        asked, caller=caller, shown=shown, parties=parties, facts=facts, refusal=refusal, at=at
    )
    order, plan = tendered.order, tendered.plan
    written = history.write_counted_order(
        order, plan.spend, via=plan.via, actor=caller.scope, at=at
    )
    if written == "full":  # another payment was faster than this one's look at the limit
        tendered.plan = tendering.decide(order, parties, refusal=None, spend=None, at=at)
        written = history.write_counted_order(order, None, actor=caller.scope, at=at)
    if written == "taken":
        known = Order.objects.values_list("id", flat=True).get(
            merchant_id=parties.merchant_id, merchant_reference=asked.merchant_reference
        )
        return {"refusal": OrderReferenceTaken.code, "payment_id": str(known)}
    return _finish(tendered, is_posted=False, at=at)


def _finish(tendered: Tendered, *, is_posted: bool, at: datetime) -> dict[str, Any]:
    """Do what follows a written order, in its transaction, and return the answer."""
    order, plan = tendered.order, tendered.plan
    if tendered.refusal in (None, risk.RiskRefused.code):
        risk.open_case(order, tendered.verdict, at=at)
    if plan.told:
        return plan.told | {"payment_id": str(order.id)}
    if is_posted:
        captures.tell_captured(order, at=at)
    elif plan.funding is not None:
        carry_out(order, tendered.parties, plan.funding, at=at)
    return show(order).as_answer()


def carry_out(order: Order, parties: Parties, funding: Funding, *, at: datetime) -> None:
    """Move the money of an order that is captured, or have a card's bank asked for its part of one
    that is capturing, while the balance's part is held.

    Raises InsufficientFunds; BalanceMoved when a card stands behind the balance.
    """
    with naming_shortage(lambda: parties):
        _take_of_balance(order, parties, funding, at=at)
    if funding.card is None:
        return
    debits.prepare(
        card=funding.card.card,
        bank=funding.card.bank,
        resident_id=order.payer_id,
        order_id=order.id,
        amount_fen=funding.card_fen,
        at=at,
    )


def _take_of_balance(order: Order, parties: Parties, funding: Funding, *, at: datetime) -> None:
    if funding.card is None:
        capture_order(order, parties, at=at)
    elif funding.balance_fen:
        if parties.payer_account is None:
            raise InsufficientFunds
        ledger.hold(
            hold_id=order.id,
            account=parties.payer_account,
            amount_fen=funding.balance_fen,
            purpose=PURPOSE,
            reference=order.id,
            expires_at=None,
            at=at,
        )
