"""Other ways to pay in tests: pay codes, PINs, rules of risk, and a phone's word for a PIN."""

import uuid
from datetime import datetime
from importlib import import_module
from typing import Any

from django.conf import settings
from django.db import connection

from payments import confirmations, pay_codes, pins, qr_payments
from payments.models import Order, PayCode, RiskRule
from tests import city
from tests.shop import Shop, signed
from vpass.common import signing
from vpass.common.sealed_fields import lookup_hash

PIN = "482915"


def digits(phone: city.Phone, *, at: datetime) -> str:
    """A fresh pay code, without the limit of six a minute."""
    body = pay_codes.PREFIX + f"{uuid.uuid4().int % 10**15:015d}"
    code = body + pay_codes.check_digit(body)
    PayCode.objects.create(
        code_hash=lookup_hash("pay-code", code),
        device=phone.device,
        issued_at=at,
        expires_at=at + pay_codes.LIFE,
    )
    return code


def lay_down_rules() -> None:
    """The default rules, as the migration writes them; a test's database is without."""
    with connection.cursor() as cursor:
        cursor.execute(import_module("payments.migrations.0008_payment_rules").RULES)


def rule(name: str, kind: str, threshold: int, outcome: str, *, from_fen: int = 0) -> RiskRule:
    return RiskRule.objects.create(
        name=name,
        kind=kind,
        threshold=threshold,
        from_fen=from_fen,
        outcome=outcome,
        words_zh="规则",
        words_en="Rule",
    )


def pin_word(phone: city.Phone, *, at: datetime, **changes: Any) -> str:
    """The phone's word for a PIN."""
    claims = {
        "aud": settings.PUBLIC_URL + pins.PATH,
        "iat": int(at.timestamp()),
        "jti": uuid.uuid4().hex,
    } | changes
    return signing.encode_jws(claims, phone.key, typ=pins.TYPE)


def set_pin(phone: city.Phone, *, at: datetime, pin: str = PIN, **changes: Any) -> None:
    pins.set_pin(caller=phone.caller, pin=pin, word=pin_word(phone, at=at), at=at, **changes)


def confirm_with(phone: city.Phone, order_id: Any, pin: str | None, *, at: datetime) -> Any:
    """Confirm a payment with a PIN, beside the edge."""
    order = Order.objects.get(id=order_id)
    return confirmations.confirm_order(
        caller=phone.caller,
        order_id=order.id,
        confirmation=signed(phone, order, at=at),
        pin=pin,
        idempotency_key=city.idempotency(phone.caller.scope),
        at=at,
    )


def make_qr(shop: Shop, kind: str = "dynamic", *, at: datetime, **changes: Any) -> Any:
    asked: dict[str, Any] = {
        "kind": kind,
        "title": "水果",
        "amount_fen": None if kind == "static" else 4_560,
        "merchant_reference": None if kind == "static" else uuid.uuid4().hex[:20].upper(),
    }
    return qr_payments.make(
        caller=shop.till.caller,
        idempotency_key=city.idempotency(shop.till.caller.scope),
        at=at,
        **asked | changes,
    )


def scan(phone: city.Phone, text: str, *, at: datetime, amount_fen: int | None = None) -> Order:
    order_id = qr_payments.begin(
        caller=phone.caller,
        text=text,
        amount_fen=amount_fen,
        idempotency_key=city.idempotency(phone.caller.scope),
        at=at,
    )
    return Order.objects.get(id=order_id)
