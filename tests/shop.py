"""A shop for tests: a merchant with a till, a phone with money in its wallet, and what they do."""

import uuid
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.conf import settings

from identity.models import Entitlement
from payments import confirmations, ledger, orders, refunds
from payments.models import Merchant, Order
from tests import banking, city
from vpass.common import signing
from vpass.common.callers import Caller

MERCHANT = "/api/merchant/v1"
RESIDENT = "/api/resident/v1"


class Till(city.Machine):
    """A merchant's till with its key."""

    @property
    def caller(self) -> Caller:
        return Caller(
            kind="merchant",
            id=self.terminal.id,
            key_id=self.key_id,
            organisation_id=self.terminal.organisation_id,
            store_id=self.terminal.store_id,
            scene=self.terminal.scene,
        )

    def pay(self, code: str, *, key: str | None = None, **changes: Any) -> Any:
        """Ask for a payment over HTTP."""
        body = asked(code) | changes
        return self.send("POST", f"{MERCHANT}/payments", body, key=key or city.new_key())

    def refund(self, order_id: Any, *, key: str | None = None, **changes: Any) -> Any:
        """Give 100 fen back over HTTP."""
        body = {"amount_fen": 100, "reference": uuid.uuid4().hex} | changes
        path = f"{MERCHANT}/payments/{order_id}/refunds"
        return self.send("POST", path, body, key=key or city.new_key())


def asked(code: str) -> dict[str, Any]:
    """What a till asks for: ¥12.34 by this code."""
    return {
        "code": code,
        "amount_fen": 1_234,
        "title": "风筝一只",
        "merchant_reference": uuid.uuid4().hex,
    }


@dataclass
class Shop:
    """A merchant with one till, and its bank."""

    system: banking.BankSystem
    merchant: Merchant
    till: Till

    @property
    def balance_fen(self) -> int:
        return ledger.balance_of(_account("merchant", self.merchant.organisation_id)).posted_fen

    def pay(self, code: str, *, at: datetime, key: str | None = None, **changes: Any) -> Any:
        """Take a payment, beside the edge."""
        return orders.pay_by_code(
            caller=self.till.caller,
            idempotency_key=city.idempotency(self.till.caller.scope, key),
            at=at,
            **asked(code) | changes,
        )

    def refund(self, order_id: Any, fen: int, *, at: datetime, **changes: Any) -> Any:
        """Give money back, beside the edge."""
        found = {
            "caller": self.till.caller,
            "order_id": uuid.UUID(str(order_id)),
            "amount_fen": fen,
            "reference": uuid.uuid4().hex,
            "idempotency_key": city.idempotency(self.till.caller.scope),
            "at": at,
        }
        return refunds.refund_order(**found | changes)

    def cancel(self, order_id: Any, *, at: datetime, key: str | None = None) -> Any:
        return orders.cancel_order(
            caller=self.till.caller,
            order_id=uuid.UUID(str(order_id)),
            idempotency_key=city.idempotency(self.till.caller.scope, key),
            at=at,
        )


def open_shop(
    *, name: str = "惠民超市", key_id: str = "till-1", system: banking.BankSystem | None = None
) -> Shop:
    """A merchant whose till may take payments."""
    system = system or banking.make_bank()
    merchant = banking.make_merchant(system.bank, name=name)
    Entitlement.objects.create(
        organisation=merchant.organisation,
        scene="pay",
        purpose=orders.PURPOSE,
        purpose_zh="付款",
        purpose_en="Payment",
        attributes=[],
    )
    made = city.make_terminal(merchant.organisation, scene="pay", key_id=key_id)
    return Shop(system, merchant, Till(made.terminal, made.key_id, made.private))


def fill(shop: Shop, phone: city.Phone, fen: int, *, at: datetime) -> None:
    """Money from the bank into a phone's wallet."""
    banking.fund(shop.system, resident_of(phone), fen, at=at)


def resident_of(phone: city.Phone) -> uuid.UUID:
    assert phone.device is not None
    return phone.device.resident_id


def balance_fen(phone: city.Phone) -> int:
    """What is in a phone's wallet."""
    return ledger.balance_of(_account("resident", resident_of(phone))).posted_fen


def signed(
    phone: city.Phone, order: Order, /, *, at: datetime, by: Any = None, **changes: Any
) -> str:
    """The phone's word for a payment; `changes` replace claims."""
    claims = {
        "aud": settings.PUBLIC_URL + confirmations.PATH.format(order_id=order.id),
        "iat": int(at.timestamp()),
        "jti": uuid.uuid4().hex,
        "order": str(order.id),
        "payee": str(order.merchant_id),
        "amount_fen": order.amount_fen,
    } | changes
    typ = claims.pop("typ", confirmations.TYPE)
    return signing.encode_jws(claims, by or phone.key, typ=typ)


def confirm(
    phone: city.Phone, order: Order, /, *, at: datetime, key: str | None = None, **changes: Any
) -> Any:
    """Confirm a payment, beside the edge."""
    return confirmations.confirm_order(
        caller=phone.caller,
        order_id=order.id,
        confirmation=signed(phone, order, at=at, **changes),
        idempotency_key=city.idempotency(phone.caller.scope, key),
        at=at,
    )


def decline(phone: city.Phone, order: Order, *, at: datetime) -> Any:
    return confirmations.decline_order(
        caller=phone.caller,
        order_id=order.id,
        idempotency_key=city.idempotency(phone.caller.scope),
        at=at,
    )


def _account(kind: str, owner: uuid.UUID) -> int:
    return ledger.open_account(kind=kind, owner=str(owner), floor_fen=0)
