"""Takes the payer's word for a payment: signed by the phone over order, payee and amount."""

import uuid
from dataclasses import asdict
from datetime import datetime
from typing import Any

from django.conf import settings

from identity.models import Device
from payments import accounts, grades, history, pins, queries, risk, sources
from payments.captures import with_balance_moving
from payments.grades import LimitExceeded, PinNeeded
from payments.merchants import MerchantSuspended
from payments.models import Order, PaymentLimit
from payments.orders import Shown, answered, carry_out, is_waiting, show
from payments.queries import LockedOrder, Parties
from payments.risk import Verdict
from vpass.common.callers import Caller, required
from vpass.common.errors import DomainError, NotFound
from vpass.common.idempotency import IdempotencyKey, find_answer, once
from vpass.common.signing import BadToken, decode_jws, public_from_point

TYPE = "vpass-confirm+jwt"
LIFE_S = 60
PATH = "/api/resident/v1/payments/{order_id}/confirmation"
DECLINED = "order.declined"

Means = PaymentLimit.Means
_NOTHING = Verdict(outcome="", reasons=())


class ConfirmationInvalid(DomainError):
    """The confirmation is not signed by this phone for this payment."""

    code = "order.confirmation_invalid"
    status = 422
    title_zh = "付款确认的签名与该笔付款不符"


def confirm_order(
    *,
    caller: Caller,
    order_id: uuid.UUID,
    confirmation: str,
    pin: str | None = None,
    idempotency_key: IdempotencyKey,
    at: datetime,
) -> Shown:
    """Pay a waiting payment with the payer's signature over order, payee and amount: captured from
    the balance, or capturing while a bank debits the card that the payer has chosen by now.

    With the payment `pin`, once it has stood for pins.NEW_FOR, more may be paid by code, and it is
    needed where a rule of risk asks for it; a wrong one counts as a try whatever else there is to
    refuse.

    `confirmation` is a JWS, typ `vpass-confirm+jwt`, by the device's key, with `aud` the URL of
    the confirmation, `iat` at most 60 s old, `jti`, `order` and `payee` (their ids as text) and
    `amount_fen`. For want of money, or with a card that cannot pay, nothing changes, so that the
    payer can put some in or choose otherwise, and confirm again in time; the same with a PIN that
    is missing, or a limit that is reached. A payment that a rule of risk stops has failed. Raises
    NotFound, orders.OrderNotWaiting, orders.OrderExpired, ConfirmationInvalid, InsufficientFunds,
    CardNotUsable, AccountSuspended, accounts.PayingSuspended, MerchantSuspended, grades.PinNeeded,
    grades.LimitExceeded, risk.RiskRefused, what pins.prove raises, and what `once` raises.
    """
    pin_since = None
    if pin is not None and find_answer(idempotency_key) is None:
        pin_since = pins.prove(resident_id=required(caller.resident_id), pin=pin)
    answer = with_balance_moving(
        lambda: _confirm_once(
            order_id,
            caller=caller,
            confirmation=confirmation,
            pin_since=pin_since,
            key=idempotency_key,
            at=at,
        )
    )
    if answer["reason"] == risk.RiskRefused.code:
        raise risk.RiskRefused(payment_id=answer["id"])
    return answered(answer)


def decline_order(
    *, caller: Caller, order_id: uuid.UUID, idempotency_key: IdempotencyKey, at: datetime
) -> Shown:
    """Refuse a waiting payment as its payer.

    Raises NotFound, orders.OrderNotWaiting, orders.OrderExpired, and what `once` raises.
    """
    with once(idempotency_key, at=at) as claim:
        if claim.answer is None:
            order = _lock_of_payer(order_id, caller=caller).order
            if is_waiting(order, at=at):
                history.change_order(order, "failed", reason=DECLINED, actor=caller.scope, at=at)
            claim.answer = asdict(show(order))
    return answered(claim.answer)


def _confirm_once(
    order_id: uuid.UUID,
    *,
    caller: Caller,
    confirmation: str,
    pin_since: datetime | None,
    key: IdempotencyKey,
    at: datetime,
) -> dict[str, Any]:
    with once(key, at=at) as claim:
        if claim.answer is None:
            locked = _lock_of_payer(order_id, caller=caller)
            order = locked.order
            if is_waiting(order, at=at):
                device = _judge(confirmation, caller=caller, order=order, at=at)
                _refuse_suspended(locked.parties)
                verdict = _weigh(order, device, pin_since=pin_since, at=at)
                risk.open_case(order, verdict, at=at)
                if verdict.freezes:
                    reason = risk.RiskRefused.code
                    history.change_order(order, "failed", reason=reason, actor=caller.scope, at=at)
                else:
                    _pay(order, locked.parties, actor=caller.scope, at=at)
            claim.answer = asdict(show(order))
        return dict(claim.answer)


def _weigh(order: Order, device: Device, *, pin_since: datetime | None, at: datetime) -> Verdict:
    """Count a payment by code under the payer's limit, and say what risk thinks of it.

    What was shown at a till was weighed there. Raises PinNeeded, LimitExceeded.
    """
    facts = queries.look(order, at=at)
    verdict = _NOTHING
    if order.way not in (Order.Way.CODE, Order.Way.DIGITS):
        verdict = risk.judge(facts, amount_fen=order.amount_fen, bound_at=device.bound_at, at=at)
    if verdict.freezes:
        return verdict
    if (verdict.needs_pin or order.needs_pin) and pin_since is None:
        raise PinNeeded
    if order.way == Order.Way.APP:
        return verdict  # no barcode: the central bank's limits are not about it
    is_old = pin_since is not None and pin_since + pins.NEW_FOR <= at
    means = Means.PIN if is_old else Means.SIGNATURE
    if order.way == Order.Way.QR_STATIC:
        means = Means.STATIC
    ask: dict[str, Any] = {"amount_fen": order.amount_fen, "at": at}
    limit = grades.limit_of(facts, means=means, device=device.grade)
    spend = grades.spend_within(facts, limit, **ask)
    whose: dict[str, Any] = {"payer_id": order.payer_id, "amount_fen": order.amount_fen}
    if spend is not None and grades.count(spend, **whose):
        order.grade, order.counted_on = spend.grade, spend.on_date
        return verdict
    if means == Means.SIGNATURE and pin_since is None:
        better = grades.limit_of(facts, means=Means.PIN, device=device.grade)
        if grades.spend_within(facts, better, **ask) is not None:
            raise PinNeeded
    raise LimitExceeded(
        grade=None if limit is None else limit.grade,
        single_fen=None if limit is None else limit.single_fen,
        daily_fen=None if limit is None else limit.daily_fen,
    )


def _pay(order: Order, parties: Parties, *, actor: str, at: datetime) -> None:
    funding = sources.funding_of(order.amount_fen, parties, payer_id=order.payer_id, at=at)
    if funding.card is not None:
        for to_state in ("authorised", "capturing"):
            history.change_order(order, to_state, actor=actor, at=at)
    else:
        captured_fen = order.amount_fen
        history.change_order(order, "captured", captured_fen=captured_fen, actor=actor, at=at)
    carry_out(order, parties, funding, at=at)


def _lock_of_payer(order_id: uuid.UUID, *, caller: Caller) -> LockedOrder:
    locked = queries.lock_order(order_id)
    if locked is None or locked.order.payer_id != caller.resident_id:
        raise NotFound
    return locked


def _refuse_suspended(parties: Parties) -> None:
    accounts.refuse_state(parties.payer_state)
    if parties.merchant_state != "active":
        raise MerchantSuspended


def _judge(confirmation: str, *, caller: Caller, order: Order, at: datetime) -> Device:
    device = Device.objects.get(id=required(caller.device_id))
    try:
        claims = decode_jws(
            confirmation,
            public_from_point(bytes(device.point)),
            typ=TYPE,
            audience=settings.PUBLIC_URL + PATH.format(order_id=order.id),
            at=at,
            required=("iat", "jti", "order", "payee", "amount_fen"),
        )
    except BadToken as error:
        raise ConfirmationInvalid(error.reason) from error
    signed = (claims["order"], claims["payee"], claims["amount_fen"])
    is_same = signed == (str(order.id), str(order.merchant_id), order.amount_fen)
    is_number = type(claims["amount_fen"]) is int
    if not is_same or not is_number or at.timestamp() - claims["iat"] > LIFE_S:
        raise ConfirmationInvalid
    return device
