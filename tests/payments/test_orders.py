"""Payments by code, and payments that wait for the payer's word."""

import json
import uuid
from datetime import datetime, timedelta
from typing import Any

import pytest

from identity import codes
from identity.code_format import ALL_SCENES, SCENES
from identity.models import AccessLine, Entitlement, Redemption, Resident
from identity.residents import AccountSuspended
from payments import captures, confirmations, merchants, orders, tendering
from payments.ledger import InsufficientFunds
from payments.models import Order, OrderChange, Posting, Transaction
from tests import city
from tests.shop import Shop, balance_fen, confirm, decline, fill, open_shop, signed
from tests.statements import statements
from vpass.common import outbox, signing
from vpass.common.errors import NotAllowed, NotFound
from vpass.common.idempotency import KeyReused
from vpass.common.models import OutboxDelivery

pytestmark = pytest.mark.django_db(transaction=True)

LARGE_FEN = 100_001


@pytest.fixture
def heard(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Somebody hears of captured and refunded orders; the names of what this test tried to tell."""
    monkeypatch.setattr(outbox, "_subscriptions", {})
    for name in (captures.ORDER_CAPTURED, "payments.order_refunded"):
        outbox.subscribe(name, "test.listener", lambda event: None)
    return [captures.ORDER_CAPTURED]


def payments() -> list[Transaction]:
    return list(Transaction.objects.filter(kind="payment"))


def history(order: Order) -> list[tuple[str, str, str]]:
    changes = OrderChange.objects.filter(order=order).order_by("id")
    return [(each.from_state, each.to_state, each.event) for each in changes]


@pytest.fixture
def waiting(shop: Shop, payer: city.Phone, grant: city.HeldGrant, at: datetime) -> Order:
    """A large payment that waits for its payer."""
    shown = shop.pay(grant.code(at), at=at, amount_fen=LARGE_FEN)
    return Order.objects.get(id=shown.id)


# By code, at once


def test_pay__small_amount__captured_at_once_with_one_posting_and_one_event(
    shop: Shop, payer: city.Phone, grant: city.HeldGrant, heard: list[str], at: datetime
):
    shown = shop.pay(grant.code(at), at=at, amount_fen=1_234, merchant_reference="A-1")

    order = Order.objects.get()
    assert shown == orders.show(order)
    assert (shown.id, shown.state, shown.captured_fen, shown.refunded_fen) == (
        str(order.id), "captured", 1_234, 0,
    )  # fmt: skip
    assert history(order) == [("created", "captured", "capture_at_once")]
    (posting,) = Posting.objects.filter(transaction__kind="payment")
    assert (posting.amount_fen, posting.transaction.order_id) == (1_234, order.id)
    assert (balance_fen(payer), shop.balance_fen) == (1_000_000 - 1_234, 1_234)
    (event,) = OutboxDelivery.objects.filter(name__in=heard)
    assert (event.name, json.loads(json.dumps(event.payload))) == (
        "payments.order_captured",
        {
            "order_id": str(order.id),
            "merchant_id": str(order.merchant_id),
            "payer_id": str(order.payer_id),
            "amount_fen": 1_234,
        },
    )


def test_pay__written_into_the_payers_access_log(
    shop: Shop, payer: city.Phone, grant: city.HeldGrant, at: datetime
):
    shop.pay(grant.code(at), at=at, merchant_reference="A-1")

    line = AccessLine.objects.get()
    assert (line.outcome, line.scene, line.purpose, line.case_number, line.fields) == (
        "accepted", "pay", "payment", "A-1", [],
    )  # fmt: skip


def test_pay__over_http_with_a_listener__exactly_seven_statements(
    shop: Shop, payer: city.Phone, grant: city.HeldGrant, heard: list[str], at: datetime
):
    shop.till.pay(grant.code(at))  # the first one reads the city's keys

    with statements() as sent:
        answer = shop.till.pay(grant.code(at))

    assert answer.status_code == 201
    assert len(sent) == 7, "\n".join(sent)


@pytest.mark.parametrize(
    ("amount_fen", "state"), [(1, "captured"), (100_000, "captured"), (100_001, "confirming")]
)
def test_pay__about_the_no_confirmation_amount__captured_or_waits(
    shop: Shop,
    payer: city.Phone,
    grant: city.HeldGrant,
    at: datetime,
    amount_fen: int,
    state: str,
):
    shown = shop.pay(grant.code(at), at=at, amount_fen=amount_fen)

    assert shown.state == state
    assert len(payments()) == (state == "captured")


def test_pay__repeated__same_answer_and_one_posting(
    shop: Shop, payer: city.Phone, grant: city.HeldGrant, at: datetime
):
    body = {"code": grant.code(at), "merchant_reference": "A-1"}

    first = shop.pay(**body, at=at, key="one-and-the-same")
    again = shop.pay(**body, at=at + timedelta(hours=1), key="one-and-the-same")

    assert again == first
    assert len(payments()) == Order.objects.count() == Redemption.objects.count() == 1


def test_pay__reference_used_before__refused_with_the_other_payment_and_the_code_is_used(
    shop: Shop, payer: city.Phone, grant: city.HeldGrant, at: datetime
):
    first = shop.pay(grant.code(at), at=at, merchant_reference="A-1")

    with pytest.raises(orders.OrderReferenceTaken) as caught:
        shop.pay(grant.code(at), at=at, merchant_reference="A-1", amount_fen=5)

    assert caught.value.members == {"payment_id": first.id}
    assert len(payments()) == Order.objects.count() == 1
    assert Redemption.objects.count() == 2


def test_pay__same_reference_at_another_merchant__taken(
    shop: Shop, payer: city.Phone, grant: city.HeldGrant, at: datetime
):
    other = open_shop(name="白浪河书店", key_id="till-2", system=shop.system)

    shop.pay(grant.code(at), at=at, merchant_reference="A-1")
    other.pay(grant.code(at), at=at, merchant_reference="A-1")

    assert len(payments()) == 2


# Refused


def test_pay__not_enough_money__failed_order_code_used_and_nothing_posted(
    shop: Shop, phone: city.Phone, grant: city.HeldGrant, heard: list[str], at: datetime
):
    fill(shop, phone, 999, at=at)
    code = grant.code(at)
    asked = {"amount_fen": 1_000, "merchant_reference": "A-1", "key": "one-and-the-same"}

    with pytest.raises(InsufficientFunds) as caught:
        shop.pay(code, at=at, **asked)

    order = Order.objects.get()
    assert caught.value.members == {"payment_id": str(order.id)}
    assert (order.state, order.reason) == ("failed", "ledger.insufficient_funds")
    assert (order.captured_fen, history(order)) == (0, [("created", "failed", "refuse")])
    assert payments() == []
    assert (balance_fen(phone), shop.balance_fen) == (999, 0)
    assert OutboxDelivery.objects.count() == 0
    fill(shop, phone, 1_000, at=at)
    with pytest.raises(InsufficientFunds) as again:
        shop.pay(code, at=at, **asked)
    assert again.value.members == caught.value.members
    with pytest.raises(codes.CodeAlreadyUsed):
        shop.pay(code, at=at)


def test_pay__wallet_without_an_account__not_enough_money(
    shop: Shop, phone: city.Phone, grant: city.HeldGrant, at: datetime
):
    with pytest.raises(InsufficientFunds):
        shop.pay(grant.code(at), at=at)

    assert Order.objects.get().state == "failed"


def test_pay__merchant_suspended__refused_at_once(
    shop: Shop, payer: city.Phone, grant: city.HeldGrant, at: datetime
):
    merchants.suspend_merchant(merchant_id=shop.merchant.id, actor="test", at=at)

    with pytest.raises(merchants.MerchantSuspended):
        shop.pay(grant.code(at), at=at)

    assert (Order.objects.get().state, Order.objects.get().reason) == (
        "failed", "merchant.suspended",
    )  # fmt: skip
    assert payments() == []
    assert Redemption.objects.count() == 1
    merchants.lift_merchant(merchant_id=shop.merchant.id, actor="test", at=at)
    assert shop.pay(grant.code(at), at=at).state == "captured"


def test_pay__payer_suspended__refused_without_an_order(
    shop: Shop, payer: city.Phone, grant: city.HeldGrant, at: datetime
):
    Resident.objects.update(state="suspended")

    with pytest.raises(codes.HolderSuspended):
        shop.pay(grant.code(at), at=at)

    assert (Order.objects.count(), payments(), Redemption.objects.count()) == (0, [], 1)


@pytest.mark.parametrize("scenes", [0, SCENES["id"], ALL_SCENES - SCENES["pay"]])
def test_pay__code_not_signed_for_payment__refused_without_an_order(
    shop: Shop, payer: city.Phone, grant: city.HeldGrant, at: datetime, scenes: int
):
    code = grant.code(at, scenes=scenes or SCENES["bus"])

    for _ in range(2):
        with pytest.raises(codes.SceneNotAllowed):
            shop.pay(code, at=at, key="one-and-the-same", merchant_reference="A-1")

    assert (Order.objects.count(), payments()) == (0, [])
    assert AccessLine.objects.get().reason == "code.scene_not_allowed"


def test_pay__merchant_without_the_right__refused(
    shop: Shop, payer: city.Phone, grant: city.HeldGrant, at: datetime
):
    Entitlement.objects.all().delete()

    with pytest.raises(codes.NotEntitled):
        shop.pay(grant.code(at), at=at)

    assert Order.objects.count() == 0


def test_pay__organisation_that_is_no_merchant__not_allowed_and_nothing_left(
    shop: Shop, payer: city.Phone, grant: city.HeldGrant, at: datetime
):
    shop.merchant.delete()

    with pytest.raises(NotAllowed):
        shop.pay(grant.code(at), at=at)

    assert (Order.objects.count(), Redemption.objects.count()) == (0, 0)


@pytest.mark.parametrize(
    ("spoil", "refusal"),
    [
        (lambda text: text[:-1] + ("A" if text[-1] != "A" else "B"), codes.ScanRefused),
        (lambda text: "VP1:X", codes.CodeUnreadable),
        (lambda text: "", codes.CodeUnreadable),
    ],
)
def test_pay__code_not_genuine__refused_and_nothing_written(
    shop: Shop,
    payer: city.Phone,
    grant: city.HeldGrant,
    at: datetime,
    spoil: Any,
    refusal: type[Exception],
):
    with pytest.raises(refusal):
        shop.pay(spoil(grant.code(at)), at=at)

    assert (Order.objects.count(), Redemption.objects.count(), payments()) == (0, 0, [])


def test_pay__code_of_a_minute_ago__expired(
    shop: Shop, payer: city.Phone, grant: city.HeldGrant, at: datetime
):
    with pytest.raises(codes.CodeExpired):
        shop.pay(grant.code(at - timedelta(seconds=61)), at=at)

    assert Order.objects.count() == 0


# With the payer's word


def test_confirm__signed_by_the_phone__captured_with_one_posting_and_one_event(
    shop: Shop, payer: city.Phone, waiting: Order, heard: list[str], at: datetime
):
    shown = confirm(payer, waiting, at=at)

    waiting.refresh_from_db()
    assert (shown.state, waiting.state, waiting.captured_fen) == (
        "captured", "captured", LARGE_FEN,
    )  # fmt: skip
    assert history(waiting) == [
        ("created", "confirming", "ask_holder"),
        ("confirming", "captured", "confirm"),
    ]
    assert (balance_fen(payer), shop.balance_fen) == (1_000_000 - LARGE_FEN, LARGE_FEN)
    assert [each.name for each in OutboxDelivery.objects.filter(name__in=heard)] == heard


def test_waiting__holds_no_money_and_says_until_when(
    shop: Shop, payer: city.Phone, waiting: Order, at: datetime
):
    assert waiting.confirm_by == at + tendering.CONFIRM_WITHIN
    assert (balance_fen(payer), payments()) == (1_000_000, [])


@pytest.mark.parametrize(
    "changes",
    [
        {"amount_fen": LARGE_FEN - 1},
        {"amount_fen": str(LARGE_FEN)},
        {"amount_fen": float(LARGE_FEN)},
        {"amount_fen": True},
        {"order": str(uuid.UUID(int=1))},
        {"payee": str(uuid.UUID(int=1))},
        {"aud": "https://elsewhere.example/"},
        {"typ": "vpass-token+jwt"},
        {"by": signing.generate_p256()},
        {"iat": 0},
    ],
    ids=lambda changes: "-".join(changes),
)
def test_confirm__signed_otherwise__refused_and_it_still_waits(
    payer: city.Phone, waiting: Order, at: datetime, changes: dict[str, Any]
):
    with pytest.raises(confirmations.ConfirmationInvalid):
        confirm(payer, waiting, at=at, **changes)

    waiting.refresh_from_db()
    assert (waiting.state, payments()) == ("confirming", [])
    assert confirm(payer, waiting, at=at).state == "captured"


@pytest.mark.parametrize("left_out", ["order", "payee", "amount_fen", "jti", "iat"])
def test_confirm__a_claim_missing__refused(
    payer: city.Phone, waiting: Order, at: datetime, left_out: str
):
    claims = {
        "aud": signed(payer, waiting, at=at),
        "iat": int(at.timestamp()),
        "jti": "x",
        "order": str(waiting.id),
        "payee": str(waiting.merchant_id),
        "amount_fen": waiting.amount_fen,
    }
    claims.pop(left_out)
    token = signing.encode_jws(claims, payer.key, typ=confirmations.TYPE)

    with pytest.raises(confirmations.ConfirmationInvalid):
        confirmations.confirm_order(
            caller=payer.caller,
            order_id=waiting.id,
            confirmation=token,
            idempotency_key=city.idempotency(payer.caller.scope),
            at=at,
        )


def test_confirm__in_time_and_too_late__captured_or_expired(
    shop: Shop, payer: city.Phone, grant: city.HeldGrant, waiting: Order, at: datetime
):
    late = at + tendering.CONFIRM_WITHIN
    just_in_time = late - timedelta(milliseconds=1)
    other = shop.pay(grant.code(at), at=at, amount_fen=LARGE_FEN)

    with pytest.raises(orders.OrderExpired):
        confirm(payer, waiting, at=late)

    waiting.refresh_from_db()
    assert (waiting.state, waiting.reason) == ("expired", "order.expired")
    assert payments() == []
    with pytest.raises(orders.OrderExpired):
        confirm(payer, waiting, at=just_in_time)
    assert confirm(payer, Order.objects.get(id=other.id), at=just_in_time).state == "captured"


def test_confirm__twice__replayed_with_the_key_and_refused_without(
    payer: city.Phone, waiting: Order, at: datetime
):
    first = confirm(payer, waiting, at=at, key="one-and-the-same")
    again = confirm(payer, waiting, at=at + timedelta(hours=1), key="one-and-the-same")

    assert again == first
    with pytest.raises(orders.OrderNotWaiting) as caught:
        confirm(payer, waiting, at=at)
    assert caught.value.members == {"state": "captured"}
    assert len(payments()) == 1


def test_confirm__not_enough_money__waits_on_until_there_is_some(
    shop: Shop, phone: city.Phone, grant: city.HeldGrant, at: datetime
):
    fill(shop, phone, LARGE_FEN - 1, at=at)
    order = Order.objects.get(id=shop.pay(grant.code(at), at=at, amount_fen=LARGE_FEN).id)

    with pytest.raises(InsufficientFunds):
        confirm(phone, order, at=at)

    order.refresh_from_db()
    assert (order.state, payments()) == ("confirming", [])
    fill(shop, phone, 1, at=at)
    assert confirm(phone, order, at=at).state == "captured"
    assert balance_fen(phone) == 0


def test_confirm__somebody_else__as_if_there_were_none(
    payer: city.Phone, waiting: Order, at: datetime
):
    stranger = city.make_phone(1, at=at)

    for work in (confirm, decline):
        with pytest.raises(NotFound):
            work(stranger, waiting, at=at)

    waiting.refresh_from_db()
    assert waiting.state == "confirming"


@pytest.mark.parametrize("who", ["payer", "merchant"])
def test_confirm__a_party_suspended_meanwhile__refused(
    shop: Shop, payer: city.Phone, waiting: Order, at: datetime, who: str
):
    expected: type[Exception] = AccountSuspended
    if who == "payer":
        Resident.objects.update(state="suspended")
    else:
        merchants.suspend_merchant(merchant_id=shop.merchant.id, actor="test", at=at)
        expected = merchants.MerchantSuspended

    with pytest.raises(expected):
        confirm(payer, waiting, at=at)

    waiting.refresh_from_db()
    assert (waiting.state, payments()) == ("confirming", [])


def test_decline__by_the_payer__failed_for_good(
    shop: Shop, payer: city.Phone, waiting: Order, at: datetime
):
    shown = decline(payer, waiting, at=at)

    waiting.refresh_from_db()
    assert (shown.state, waiting.state, waiting.reason) == ("failed", "failed", "order.declined")
    for work in (confirm, decline):
        with pytest.raises(orders.OrderNotWaiting):
            work(payer, waiting, at=at)
    assert payments() == []


def test_cancel__by_the_till__cancelled_for_good(
    shop: Shop, payer: city.Phone, waiting: Order, at: datetime
):
    shown = shop.cancel(waiting.id, at=at, key="one-and-the-same")

    assert shown.state == "cancelled"
    assert shop.cancel(waiting.id, at=at, key="one-and-the-same") == shown
    with pytest.raises(orders.OrderNotWaiting):
        shop.cancel(waiting.id, at=at)
    with pytest.raises(orders.OrderNotWaiting):
        confirm(payer, waiting, at=at)
    assert history(waiting)[-1] == ("confirming", "cancelled", "cancel")


def test_cancel__captured_or_anothers__refused(
    shop: Shop, payer: city.Phone, grant: city.HeldGrant, waiting: Order, at: datetime
):
    captured = shop.pay(grant.code(at), at=at)
    other = open_shop(name="白浪河书店", key_id="till-2", system=shop.system)

    with pytest.raises(orders.OrderNotWaiting):
        shop.cancel(captured.id, at=at)
    with pytest.raises(NotFound):
        other.cancel(waiting.id, at=at)
    with pytest.raises(NotFound):
        shop.cancel(uuid.uuid4(), at=at)


def test_expire__due_ones_alone__and_safe_to_run_twice(
    shop: Shop, payer: city.Phone, grant: city.HeldGrant, waiting: Order, at: datetime
):
    later = at + timedelta(seconds=1)
    young = shop.pay(grant.code(at), at=later, amount_fen=LARGE_FEN)
    due = at + tendering.CONFIRM_WITHIN

    assert orders.expire_due_orders(at=due - timedelta(milliseconds=1)) == 0
    assert orders.expire_due_orders(at=due) == 1
    assert orders.expire_due_orders(at=due) == 0

    waiting.refresh_from_db()
    assert (waiting.state, waiting.reason) == ("expired", "order.expired")
    assert history(waiting)[-1] == ("confirming", "expired", "expire")
    assert Order.objects.get(id=young.id).state == "confirming"


def test_key__used_for_another_request__refused(
    shop: Shop, payer: city.Phone, grant: city.HeldGrant, at: datetime
):
    shop.pay(grant.code(at), at=at, key="one-and-the-same")

    with pytest.raises(KeyReused):
        orders.pay_by_code(
            caller=shop.till.caller,
            code=grant.code(at),
            amount_fen=1,
            title="x",
            merchant_reference="y",
            idempotency_key=city.idempotency(
                shop.till.caller.scope, "one-and-the-same", digest=b"\2" * 32
            ),
            at=at,
        )

    assert len(payments()) == 1
