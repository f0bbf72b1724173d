"""Pays bills, all or part, by orders that begin on the payer's phone, and follows these orders.

Opening a payment reserves its amount, so that two phones can never pay the same fen; the money
reaches the lines when the order is captured, the oldest and highest first, and comes off them in
the reverse order when it is refunded.
"""

import uuid
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta

from django.db import connection

from payments import accounts, app_orders, bill_receipts, bills
from payments.captures import BILL_REFERENCE
from payments.merchants import MerchantSuspended
from payments.models import Bill, BillLine, BillPayment, BillShare
from vpass.common.callers import Caller, required
from vpass.common.errors import Conflict, NotFound
from vpass.common.idempotency import IdempotencyKey, find_answer, once
from vpass.common.limits import Limit, spend
from vpass.common.outbox import Event

ACTOR = "bills"
OPENS = Limit("bill_payment.open", maximum=30, per=timedelta(hours=1))

# The sum is bounded where it is made, and by the constraint behind it.
_RESERVE = """
UPDATE payments_bill
SET reserved_fen = reserved_fen + %(fen)s, payments_opened = payments_opened + 1
WHERE id = %(bill)s AND paid_fen + reserved_fen + %(fen)s <= amount_fen
RETURNING payments_opened
"""


class BillNotOwed(Conflict):
    """This bill is paid or cancelled already."""

    code = "bill.not_owed"
    title_zh = "该账单已缴清或已撤销"


class BillTooMuch(Conflict):
    """So much of this bill cannot be paid; the rest is paid or waits in another payment."""

    code = "bill.too_much"
    title_zh = "超出该账单可缴金额（其余已缴或正在支付）"


@dataclass(frozen=True, kw_only=True)
class Opened:
    """A payment of a bill that waits for the payer's word, as any payment of a phone does."""

    payment_id: str
    payee_id: str
    amount_fen: int
    confirm_by: str


def pay_bill(
    *,
    caller: Caller,
    code: str,
    amount_fen: int,
    idempotency_key: IdempotencyKey,
    at: datetime,
) -> Opened:
    """Open a payment of a part of a bill or of all of it, by its notice code.

    The amount is reserved until the order is paid or has ended without. A payer has one payment of
    a bill open: a new one calls the one off that still waits for the payer's word; and who the bill
    is for takes the place of a stranger's that waits. Raises bills.NoticeCodeInvalid, NotFound,
    limits.LimitReached (30 codes in vain in ten minutes, or OPENS), BillNotOwed, BillTooMuch (with
    `open_fen`), MerchantSuspended, AccountSuspended, accounts.PayingSuspended, and what `once`
    raises.
    """
    digits = bills.code_digits(code)
    if find_answer(idempotency_key) is None:
        bills.refuse_guessing(caller=caller, digits=digits, at=at)
        spend(OPENS, caller.scope, at=at)
    try:
        with once(idempotency_key, at=at) as claim:
            if claim.answer is None:
                accounts.refuse_suspended(required(caller.resident_id))
                bill = bills.lock_bill(notice_code=digits)
                if bill is None:
                    raise NotFound
                claim.answer = asdict(_open(bill, caller=caller, amount_fen=amount_fen, at=at))
            return Opened(**claim.answer)
    except NotFound:
        spend(bills.LOOK_UPS, caller.scope, at=at)  # codes are not to be guessed here either
        raise


def payments_of(*, bill: Bill, caller: Caller | None = None) -> list[BillPayment]:
    """A bill's payments with their orders, the newest first: all, or those of one resident."""
    found = BillPayment.objects.select_related("order").filter(bill=bill)
    if caller is not None:
        found = found.filter(payer_id=required(caller.resident_id))
    return list(found.order_by("-number"))


def take_payment(event: Event) -> None:
    """Give a captured order's money to the lines of the bill that it pays. Safe to run twice."""
    payment = _payment_of(event)
    if payment is not None:
        bill = _locked(payment)
        payment.refresh_from_db()
        _take(payment, bill, at=event.published_at)


def give_back(event: Event) -> None:
    """Take a refund off the lines of the bill that the order has paid, which is owed again.

    Safe to run twice, and before the payment has been taken.
    """
    payment = _payment_of(event)
    if payment is None:
        return
    refund_id, left_fen = uuid.UUID(event.payload["refund_id"]), int(event.payload["amount_fen"])
    bill, at = _locked(payment), event.published_at
    payment.refresh_from_db()
    _take(payment, bill, at=at)
    if BillShare.objects.filter(payment=payment, refund=refund_id).exists():
        return
    lines = bills.bring_up_to_date(bill, at=at)
    given: dict[int, int] = {}
    for line_id, fen in payment.shares.values_list("line_id", "amount_fen"):
        given[line_id] = given.get(line_id, 0) + fen
    shares = []
    for line in reversed(lines):
        fen = min(left_fen, given.get(line.id, 0))
        if fen > 0:
            shares.append(_share(payment, line, -fen, refund_id=refund_id, at=at))
            left_fen -= fen
    if left_fen:
        raise RuntimeError("a refund is never more than what was paid")
    payment.refunded_fen -= sum(share.amount_fen for share in shares)
    payment.save(update_fields=["refunded_fen"])
    _write(bill, shares, at=at)


def _open(bill: Bill, *, caller: Caller, amount_fen: int, at: datetime) -> Opened:
    if bill.biller.merchant.state != "active":
        raise MerchantSuspended
    payer_id = required(caller.resident_id)
    if bill.reserved_fen:
        bills.displace(bill, payer_id=payer_id, actor=caller.scope, at=at)
    bills.bring_up_to_date(bill, at=at)
    if bill.state not in bills.OWED:
        raise BillNotOwed(state=bill.state)
    number = _reserve(bill, amount_fen)
    if number is None and bytes(bill.payer_hash) in bills.payer_hashes(payer_id):
        bills.displace(bill, actor=caller.scope, at=at)
        bills.bring_up_to_date(bill, at=at)
        number = _reserve(bill, amount_fen)
    if number is None:
        raise BillTooMuch(open_fen=bill.amount_fen - bill.paid_fen - bill.reserved_fen)
    order = app_orders.open_order(
        merchant_id=bill.biller_id,
        payer_id=payer_id,
        amount_fen=amount_fen,
        title=bill.title,
        merchant_reference=f"{BILL_REFERENCE}{bill.id}:{number}",
        actor=caller.scope,
        at=at,
    )
    BillPayment.objects.create(
        order=order, bill=bill, number=number, payer_id=payer_id, amount_fen=amount_fen
    )
    if order.confirm_by is None:
        raise RuntimeError("a payment of a phone waits for a word, for a time")
    return Opened(
        payment_id=str(order.id),
        payee_id=str(bill.biller_id),
        amount_fen=amount_fen,
        confirm_by=order.confirm_by.isoformat(),
    )


def _reserve(bill: Bill, amount_fen: int) -> int | None:
    with connection.cursor() as cursor:
        cursor.execute(_RESERVE, {"bill": bill.id, "fen": amount_fen})
        row = cursor.fetchone()
    return None if row is None else int(row[0])


def _take(payment: BillPayment, bill: Bill, *, at: datetime) -> None:
    if payment.paid_at is not None:
        return
    if payment.released_at is not None:
        raise RuntimeError("an order that has ended is never captured")
    lines = bills.bring_up_to_date(bill, at=at)
    shares = apportion(payment, lines, at=at)
    payment.paid_at = at
    payment.save(update_fields=["paid_at"])
    bill.reserved_fen -= payment.amount_fen
    _write(bill, shares, at=at)
    bill_receipts.issue(payment, bill, shares, at=at)


def apportion(payment: BillPayment, lines: Iterable[BillLine], *, at: datetime) -> list[BillShare]:
    """How a payment goes to lines in their order, each as far as the money goes; the lines in hand
    are changed too."""
    shares, left_fen = [], payment.amount_fen
    for line in lines:
        fen = min(left_fen, line.amount_fen - line.paid_fen)
        if fen > 0:
            shares.append(_share(payment, line, fen, at=at))
            left_fen -= fen
    if left_fen:
        raise RuntimeError("what is reserved is never more than what is owed")
    return shares


def _share(
    payment: BillPayment,
    line: BillLine,
    fen: int,
    *,
    refund_id: uuid.UUID | None = None,
    at: datetime,
) -> BillShare:
    line.paid_fen += fen
    return BillShare(payment=payment, line=line, amount_fen=fen, refund=refund_id, at=at)


def _write(bill: Bill, shares: list[BillShare], *, at: datetime) -> None:
    BillLine.objects.bulk_update([share.line for share in shares], ["paid_fen"])
    BillShare.objects.bulk_create(shares)
    bill.paid_fen += sum(share.amount_fen for share in shares)
    bills.move(bill, actor=ACTOR, at=at)


def _payment_of(event: Event) -> BillPayment | None:
    return BillPayment.objects.filter(order_id=event.payload["order_id"]).first()


def _locked(payment: BillPayment) -> Bill:
    bill = bills.lock_bill(id=payment.bill_id)
    if bill is None:
        raise RuntimeError("a payment's bill stays")
    return bill
