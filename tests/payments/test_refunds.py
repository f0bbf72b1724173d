"""Refunds: whole, in parts, repeated, too large, and with nothing to pay them from."""

import uuid
from datetime import datetime
from typing import Any

import pytest

from identity.models import Resident
from payments import ledger, merchants, orders, refunds
from payments.models import Order, OrderChange, Posting, Refund, Transaction
from payments.settlement import windows
from tests import city
from tests.shop import Shop, balance_fen, open_shop
from tests.statements import statements
from vpass.common import outbox
from vpass.common.errors import NotFound
from vpass.common.models import OutboxDelivery

pytestmark = pytest.mark.django_db(transaction=True)

PAID_FEN = 1_000
FULL_FEN = 1_000_000


@pytest.fixture
def paid(shop: Shop, payer: city.Phone, grant: city.HeldGrant, at: datetime) -> Order:
    """A captured payment of ¥10."""
    shown = shop.pay(grant.code(at), at=at, amount_fen=PAID_FEN)
    return Order.objects.get(id=shown.id)


def refunded() -> list[int]:
    """What the ledger says went back."""
    postings = Posting.objects.filter(transaction__kind="refund").order_by("id")
    return list(postings.values_list("amount_fen", flat=True))


def test_refund__in_two_parts__until_all_is_back(
    shop: Shop, payer: city.Phone, paid: Order, at: datetime
):
    first = shop.refund(paid.id, 400, at=at, reference="R-1")
    second = shop.refund(paid.id, 600, at=at, reference="R-2")

    assert (first.payment_state, first.refunded_fen, first.refundable_fen) == (
        "part_refunded", 400, 600,
    )  # fmt: skip
    assert (second.payment_state, second.refunded_fen, second.refundable_fen) == (
        "refunded", 1_000, 0,
    )  # fmt: skip
    assert refunded() == [400, 600]
    assert (balance_fen(payer), shop.balance_fen) == (FULL_FEN, 0)
    changes = OrderChange.objects.filter(order=paid).order_by("id")
    assert [each.event for each in changes] == ["capture_at_once", "refund_part", "refund"]
    keys = Transaction.objects.filter(kind="refund").values_list("key", flat=True)
    assert set(keys) == {str(each) for each in Refund.objects.values_list("id", flat=True)}


def test_refund__many_parts__each_in_the_history(shop: Shop, paid: Order, at: datetime):
    for _ in range(4):
        shop.refund(paid.id, 250, at=at)

    events = OrderChange.objects.filter(order=paid).order_by("id").values_list("event", flat=True)
    assert list(events) == ["capture_at_once", *["refund_part"] * 3, "refund"]


def test_refund__with_a_listener__one_event_and_exactly_nine_statements(
    shop: Shop, paid: Order, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(outbox, "_subscriptions", {})
    outbox.subscribe(refunds.ORDER_REFUNDED, "test.listener", lambda event: None)

    with statements() as sent:
        answer = shop.till.refund(paid.id, amount_fen=300)

    assert answer.status_code == 201
    assert len(sent) == 9, "\n".join(sent)
    (event,) = OutboxDelivery.objects.filter(name=refunds.ORDER_REFUNDED)
    assert (event.name, event.payload["refund_id"], event.payload["amount_fen"]) == (
        "payments.order_refunded", answer.json()["id"], 300,
    )  # fmt: skip


@pytest.mark.parametrize("is_same_key", [True, False])
def test_refund__same_reference_and_amount__the_same_refund(
    shop: Shop, paid: Order, at: datetime, is_same_key: bool
):
    scope = shop.till.caller.scope
    keys = [city.idempotency(scope, f"key-number-{1 if is_same_key else n}") for n in range(2)]

    first, again = (
        shop.refund(paid.id, 400, at=at, reference="R-1", idempotency_key=key) for key in keys
    )

    assert again == first
    assert refunded() == [400]
    assert Refund.objects.count() == 1


def test_refund__same_reference_after_others__shows_how_it_stands_now(
    shop: Shop, paid: Order, at: datetime
):
    first = shop.refund(paid.id, 400, at=at, reference="R-1")
    shop.refund(paid.id, 600, at=at, reference="R-2")

    again = shop.refund(paid.id, 400, at=at, reference="R-1")

    assert (again.id, again.refundable_fen, again.payment_state) == (first.id, 0, "refunded")


def test_refund__same_reference_and_another_amount__refused(shop: Shop, paid: Order, at: datetime):
    shop.refund(paid.id, 400, at=at, reference="R-1")

    with pytest.raises(refunds.RefundReferenceReused):
        shop.refund(paid.id, 401, at=at, reference="R-1")

    assert refunded() == [400]


@pytest.mark.parametrize(("before", "amount_fen"), [(0, 1_001), (400, 601), (1_000, 1)])
def test_refund__more_than_is_left__refused_and_nothing_changed(
    shop: Shop, payer: city.Phone, paid: Order, at: datetime, before: int, amount_fen: int
):
    if before:
        shop.refund(paid.id, before, at=at)
    state = Order.objects.values().get()

    with pytest.raises(refunds.RefundTooMuch) as caught:
        shop.refund(paid.id, amount_fen, at=at)

    assert caught.value.members == {"refundable_fen": PAID_FEN - before}
    assert Order.objects.values().get() == state
    assert sum(refunded()) == before


@pytest.mark.parametrize("state", ["confirming", "failed"])
def test_refund__of_what_was_never_paid__refused(
    shop: Shop, payer: city.Phone, grant: city.HeldGrant, at: datetime, state: str
):
    if state == "confirming":
        shop.pay(grant.code(at), at=at, amount_fen=100_001)
    else:
        with pytest.raises(ledger.InsufficientFunds):
            shop.pay(grant.code(at), at=at, amount_fen=100_000, **_empty(shop, payer, at))
    order = Order.objects.get(state=state)

    with pytest.raises(refunds.RefundTooMuch):
        shop.refund(order.id, 1, at=at)

    assert refunded() == []


def _empty(shop: Shop, payer: city.Phone, at: datetime) -> dict[str, Any]:
    """Empties the wallet."""
    account = ledger.open_account(kind="resident", owner=str(payer.caller.id))
    elsewhere = ledger.open_account(kind="bank", owner="elsewhere", floor_fen=None)
    ledger.post(
        kind="payout",
        caller="test",
        key="empty",
        legs=[ledger.Leg(account, elsewhere, balance_fen(payer))],
        event_at=at,
        at=at,
    )
    return {}


def test_refund__merchants_account_does_not_cover_it__refused_and_good_later(
    shop: Shop, payer: city.Phone, grant: city.HeldGrant, paid: Order, at: datetime
):
    # The money has gone out to the merchant's bank.
    account = merchants.merchant_account(shop.merchant)
    elsewhere = ledger.open_account(kind="bank", owner="elsewhere", floor_fen=None)
    ledger.post(
        kind="payout",
        caller="test",
        key="paid out",
        legs=[ledger.Leg(account, elsewhere, PAID_FEN - 1)],
        event_at=at,
        at=at,
    )
    asked = {
        "reference": "R-1",
        "idempotency_key": city.idempotency(shop.till.caller.scope, "one-and-the-same"),
    }

    with pytest.raises(refunds.MerchantShort):
        shop.refund(paid.id, PAID_FEN, at=at, **asked)

    paid.refresh_from_db()
    assert (paid.state, paid.refunded_fen, refunded()) == ("captured", 0, [])
    shop.pay(grant.code(at), at=at, amount_fen=PAID_FEN)
    assert shop.refund(paid.id, PAID_FEN, at=at, **asked).payment_state == "refunded"


def test_refund__of_what_is_held_for_a_payout__refused(shop: Shop, paid: Order, at: datetime):
    ledger.hold(
        hold_id=uuid.uuid4(),
        account=merchants.merchant_account(shop.merchant),
        amount_fen=PAID_FEN,
        purpose="payout",
        reference=uuid.uuid4(),
        expires_at=None,
        at=at,
    )

    with pytest.raises(refunds.MerchantShort):
        shop.refund(paid.id, 1, at=at)


def test_refund__after_the_window_was_closed__belongs_to_the_next_one(
    shop: Shop, paid: Order, at: datetime
):
    first = windows.ensure_open(at=at)
    windows.close(window_id=first, actor="test", at=at)

    shop.refund(paid.id, 400, at=at)

    found = dict(Transaction.objects.values_list("kind", "window_id"))
    assert found["payment"] == first
    assert found["refund"] == windows.ensure_open(at=at) != first


def test_refund__suspended_merchant__refused(shop: Shop, paid: Order, at: datetime):
    merchants.suspend_merchant(merchant_id=shop.merchant.id, actor="test", at=at)

    with pytest.raises(merchants.MerchantSuspended):
        shop.refund(paid.id, 1, at=at)

    assert refunded() == []


def test_refund__suspended_payer__still_gets_the_money_back(
    shop: Shop, payer: city.Phone, paid: Order, at: datetime
):
    Resident.objects.update(state="suspended")

    shop.refund(paid.id, PAID_FEN, at=at)

    assert balance_fen(payer) == FULL_FEN


def test_refund__another_merchants_payment__as_if_there_were_none(
    shop: Shop, paid: Order, at: datetime
):
    other = open_shop(name="白浪河书店", key_id="till-2", system=shop.system)

    for order_id in (paid.id, uuid.uuid4()):
        with pytest.raises(NotFound):
            other.refund(order_id, 1, at=at)

    assert refunded() == []


def test_refund__of_a_confirmed_payment__goes_back_to_its_payer(
    shop: Shop, payer: city.Phone, grant: city.HeldGrant, at: datetime
):
    from tests.shop import confirm

    shown = shop.pay(grant.code(at), at=at, amount_fen=orders.MAX_PAYMENT_FEN // 10)
    confirm(payer, Order.objects.get(id=shown.id), at=at)

    assert shop.refund(shown.id, 500_000, at=at).payment_state == "refunded"
    assert balance_fen(payer) == FULL_FEN
