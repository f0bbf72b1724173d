"""Opens payments that begin on the payer's own phone: for a bill, a merchant's QR, an order in an
app. They wait for the payer's word like any other (payments.confirmations)."""

import uuid
from datetime import datetime, timedelta

from payments import history
from payments.models import Order
from payments.orders import OrderReferenceTaken
from vpass.common.ids import uuid7

OPEN_FOR = timedelta(minutes=15)


def open_order(
    *,
    merchant_id: uuid.UUID,
    payer_id: uuid.UUID,
    amount_fen: int,
    title: str,
    merchant_reference: str,
    actor: str,
    way: str = Order.Way.APP,
    till_id: uuid.UUID | None = None,
    store_id: uuid.UUID | None = None,
    open_for: timedelta = OPEN_FOR,
    at: datetime,
) -> Order:
    """Write a payment that waits `open_for` for its payer's word, within the caller's transaction.

    `merchant_reference` is unique for the merchant, for ever: what opens orders of its own begins
    it with its kind and a colon ("bill:…"). Whether the parties may pay and be paid is asked when
    it is confirmed. Raises OrderReferenceTaken.
    """
    order = Order(
        id=uuid7(at),
        merchant_id=merchant_id,
        till_id=till_id,
        store_id=store_id,
        payer_id=payer_id,
        amount_fen=amount_fen,
        title=title,
        merchant_reference=merchant_reference,
        state="confirming",
        confirm_by=at + open_for,
        created_at=at,
        way=way,
    )
    if not history.write_order(order, actor=actor, at=at):
        raise OrderReferenceTaken
    return order
