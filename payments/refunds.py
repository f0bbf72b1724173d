"""Gives money back: all or part of a captured payment, each refund once.

It goes back to what has paid, the last source first: to the bank card up to what the card paid,
through the wallet and by a payout, then into the balance.
"""

import uuid
from dataclasses import asdict, dataclass
from datetime import datetime

from payments import accounts, history, ledger, payouts, queries
from payments.ledger import InsufficientFunds, Leg
from payments.merchants import MerchantSuspended
from payments.models import Debit, Order, Payout, Refund
from payments.orders import lock_of_merchant
from payments.payouts import Destination, Payee
from payments.queries import LockedOrder
from vpass.common import clock, outbox
from vpass.common.callers import Caller
from vpass.common.errors import Conflict
from vpass.common.idempotency import IdempotencyKey, once

ORDER_REFUNDED = "payments.order_refunded"


class RefundTooMuch(Conflict):
    """The refunds of a payment cannot exceed what was paid."""

    code = "refund.too_much"
    title_zh = "退款总额超出实付金额"


class RefundReferenceReused(Conflict):
    """A refund of another amount has this reference."""

    code = "refund.reference_reused"
    title_zh = "该退款单号已用于另一金额的退款"


class RefundNeedsTwo(Conflict):
    """So much of a payment is given back by two: one till asks for it and another approves."""

    code = "refund.needs_two"
    title_zh = "该笔退款须由另一终端复核"


class MerchantShort(Conflict):
    """The merchant's account does not cover the refund."""

    code = "refund.merchant_short"
    title_zh = "商户账户余额不足以退款"


class PayerGone(Conflict):
    """The payer's account is closed and its cards forgotten: there is nowhere to refund to."""

    code = "refund.payer_gone"
    title_zh = "付款人账户已注销，无法原路退款"


@dataclass(frozen=True, kw_only=True)
class RefundShown:
    """A refund as its merchant sees it, with the state it has left the payment in."""

    id: str
    payment_id: str
    reference: str
    amount_fen: int
    payment_state: str
    refunded_fen: int
    refundable_fen: int


def refund_order(
    *,
    caller: Caller,
    order_id: uuid.UUID,
    amount_fen: int,
    reference: str,
    idempotency_key: IdempotencyKey,
    at: datetime,
) -> RefundShown:
    """Give back `amount_fen` of a payment of the caller's merchant, whose own name for it is
    `reference`: the same reference and amount again is the same refund, under any key.

    Raises NotFound, RefundTooMuch (with `refundable_fen`), RefundReferenceReused, RefundNeedsTwo
    (with `alone_fen`, what one till may still give back), MerchantShort, MerchantSuspended,
    PayerGone, and what `once` raises. After any of these nothing has changed.
    """
    try:
        with once(idempotency_key, at=at) as claim:
            if claim.answer is None:
                locked = lock_of_merchant(order_id, caller=caller)
                refund = queries.refund_of(order_id=order_id, reference=reference)
                shown = (
                    _known(locked.order, refund, amount_fen=amount_fen)
                    if refund is not None
                    else _refund_alone(
                        locked,
                        amount_fen=amount_fen,
                        reference=reference,
                        actor=caller.scope,
                        at=at,
                    )
                )
                claim.answer = asdict(shown)
            return RefundShown(**claim.answer)
    except InsufficientFunds as error:
        raise MerchantShort from error


def _known(order: Order, refund: Refund, *, amount_fen: int) -> RefundShown:
    if refund.amount_fen != amount_fen:
        raise RefundReferenceReused
    return _show(order, refund.id, reference=refund.reference, amount_fen=amount_fen)


def _refund_alone(
    locked: LockedOrder, *, amount_fen: int, reference: str, actor: str, at: datetime
) -> RefundShown:
    check(locked, amount_fen=amount_fen)
    if locked.refund_alone_fen is not None:
        alone_fen = max(0, locked.refund_alone_fen - locked.order.refunded_fen)
        if amount_fen > alone_fen:
            raise RefundNeedsTwo(alone_fen=alone_fen)
    return give_back(locked, amount_fen=amount_fen, reference=reference, actor=actor, at=at)


def check(locked: LockedOrder, *, amount_fen: int) -> None:
    """Raises MerchantSuspended and RefundTooMuch where so much cannot be given back."""
    if locked.parties.merchant_state != "active":
        raise MerchantSuspended
    if locked.parties.payer_state == "closed":
        raise PayerGone
    refundable_fen = locked.order.captured_fen - locked.order.refunded_fen
    if amount_fen > refundable_fen:
        raise RefundTooMuch(refundable_fen=refundable_fen)


def give_back(
    locked: LockedOrder, *, amount_fen: int, reference: str, actor: str, at: datetime
) -> RefundShown:
    """Give so much of a locked order back, whoever had to agree, in the caller's transaction.

    Raises RefundTooMuch, MerchantSuspended, and InsufficientFunds when the merchant is short.
    """
    check(locked, amount_fen=amount_fen)
    order, parties = locked.order, locked.parties
    to_card_fen = min(amount_fen, max(0, (locked.by_card_fen or 0) - order.refunded_fen))
    refund_id = history.write_refund(
        order, amount_fen=amount_fen, reference=reference, actor=actor, at=at
    )
    if refund_id is None or parties.merchant_account is None:
        raise RuntimeError("a captured order is refunded under its lock only")
    # Who waited for the capture has read the parties as they were before it.
    payer_account = parties.payer_account or accounts.resident_account(order.payer_id)
    ledger.post(
        kind="refund",
        caller=f"order:{order.id}",
        key=str(refund_id),
        legs=[Leg(parties.merchant_account, payer_account, amount_fen)],
        order_id=order.id,
        event_at=at,
        at=at,
    )
    if to_card_fen:
        _send_to_card(order, to_card_fen, account=payer_account, at=at)
    event = {
        "order_id": order.id,
        "refund_id": refund_id,
        "merchant_id": order.merchant_id,
        "payer_id": order.payer_id,
        "amount_fen": amount_fen,
    }
    outbox.publish(ORDER_REFUNDED, event, at=at)
    return _show(order, refund_id, reference=reference, amount_fen=amount_fen)


def _send_to_card(order: Order, fen: int, *, account: int, at: datetime) -> None:
    """Have the bank put a refund onto the card that paid; should it not, it stays in the wallet."""
    debit = Debit.objects.select_related("bank").get(order_id=order.id)
    payouts.prepare(
        payee=Payee(account=account, resident_id=order.payer_id),
        destination=Destination(
            bank=debit.bank, account_token=debit.account_token, last4=debit.account_last4
        ),
        amount_fen=fen,
        reference=f"V PASS R-{clock.city_date(at):%Y%m%d}",
        business_date=clock.city_date(at),
        purpose=Payout.Purpose.REFUND,
        at=at,
    )


def _show(order: Order, refund_id: uuid.UUID, *, reference: str, amount_fen: int) -> RefundShown:
    return RefundShown(
        id=str(refund_id),
        payment_id=str(order.id),
        reference=reference,
        amount_fen=amount_fen,
        payment_state=order.state,
        refunded_fen=order.refunded_fen,
        refundable_fen=order.captured_fen - order.refunded_fen,
    )
