"""Payments that begin on the payer's phone."""

from datetime import datetime, timedelta

import pytest
from django.db import transaction

from payments import app_orders, orders
from payments.models import Order, Transaction
from tests import city
from tests.shop import Shop, balance_fen, confirm

pytestmark = pytest.mark.django_db(transaction=True)


def open_for(shop: Shop, payer: city.Phone, *, at: datetime, reference: str = "bill:1") -> Order:
    with transaction.atomic():
        return app_orders.open_order(
            merchant_id=shop.merchant.id,
            payer_id=payer.caller.resident_id,
            amount_fen=1_200,
            title="水费",
            merchant_reference=reference,
            actor=payer.caller.scope,
            at=at,
        )


def test_open__confirmed_by_the_phone__captured(shop: Shop, payer: city.Phone, at: datetime):
    order = open_for(shop, payer, at=at)

    assert confirm(payer, order, at=at).state == "captured"
    assert (balance_fen(payer), shop.balance_fen) == (1_000_000 - 1_200, 1_200)


def test_open__the_merchants_reference_again__refused(shop: Shop, payer: city.Phone, at: datetime):
    open_for(shop, payer, at=at)

    with pytest.raises(orders.OrderReferenceTaken):
        open_for(shop, payer, at=at)

    assert Order.objects.count() == 1


def test_open__its_time_over__expires_unpaid(shop: Shop, payer: city.Phone, at: datetime):
    open_for(shop, payer, at=at)

    assert orders.expire_due_orders(at=at + app_orders.OPEN_FOR - timedelta(seconds=1)) == 0
    assert orders.expire_due_orders(at=at + app_orders.OPEN_FOR) == 1
    assert not Transaction.objects.filter(kind="payment").exists()
