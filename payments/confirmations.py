"""Takes the payer's word for a payment: signed by the phone over order, payee and amount."""

import uuid
from dataclasses import asdict
from datetime import datetime

from django.conf import settings

from identity.models import Device
from identity.residents import AccountSuspended
from payments import history, queries, sources
from payments.captures import capture_order
from payments.merchants import MerchantSuspended
from payments.models import Order
from payments.orders import Shown, answered, debit_card, is_waiting, show
from payments.queries import LockedOrder, Parties
from vpass.common.callers import Caller, required
from vpass.common.errors import DomainError, NotFound
from vpass.common.idempotency import IdempotencyKey, once
from vpass.common.signing import BadToken, decode_jws, public_from_point

TYPE = "vpass-confirm+jwt"
LIFE_S = 60
PATH = "/api/resident/v1/payments/{order_id}/confirmation"
DECLINED = "order.declined"


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
    idempotency_key: IdempotencyKey,
    at: datetime,
) -> Shown:
    """Pay a waiting payment with the payer's signature over order, payee and amount: captured from
    the balance, or capturing while a bank debits the card that the payer has chosen by now.

    `confirmation` is a JWS, typ `vpass-confirm+jwt`, by the device's key, with `aud` the URL of
    the confirmation, `iat` at most 60 s old, `jti`, `order` and `payee` (their ids as text) and
    `amount_fen`. For want of money, or with a card that cannot pay, nothing changes, so that the
    payer can put some in or choose otherwise, and confirm again in time. Raises NotFound,
    orders.OrderNotWaiting, orders.OrderExpired, ConfirmationInvalid, InsufficientFunds,
    CardNotUsable, AccountSuspended, MerchantSuspended, and what `once` raises.
    """
    with once(idempotency_key, at=at) as claim:
        if claim.answer is None:
            locked = _lock_of_payer(order_id, caller=caller)
            order = locked.order
            if is_waiting(order, at=at):
                _judge(confirmation, caller=caller, order=order, at=at)
                _refuse_suspended(locked.parties)
                _pay(order, locked.parties, actor=caller.scope, at=at)
            claim.answer = asdict(show(order))
    return answered(claim.answer)


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


def _pay(order: Order, parties: Parties, *, actor: str, at: datetime) -> None:
    card = sources.card_to_pay(resident_id=order.payer_id, card_id=parties.card_id, at=at)
    if card is not None:
        for to_state in ("authorised", "capturing"):
            history.change_order(order, to_state, actor=actor, at=at)
        debit_card(order, card, at=at)
        return
    history.change_order(order, "captured", captured_fen=order.amount_fen, actor=actor, at=at)
    capture_order(order, parties, at=at)


def _lock_of_payer(order_id: uuid.UUID, *, caller: Caller) -> LockedOrder:
    locked = queries.lock_order(order_id)
    if locked is None or locked.order.payer_id != caller.resident_id:
        raise NotFound
    return locked


def _refuse_suspended(parties: Parties) -> None:
    if parties.payer_state != "active":
        raise AccountSuspended
    if parties.merchant_state != "active":
        raise MerchantSuspended


def _judge(confirmation: str, *, caller: Caller, order: Order, at: datetime) -> None:
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
