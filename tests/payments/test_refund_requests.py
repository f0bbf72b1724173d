"""A refund too large for one till: another of the merchant's has to approve it."""

import uuid
from collections import Counter
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import IntegrityError

from payments import proof, refund_requests
from payments.models import Merchant, Order, Refund, RefundRequest
from payments.orders import Shown
from payments.refund_requests import RefundRequestOver, RequestShown, SelfApproval
from payments.refunds import RefundNeedsTwo, RefundReferenceReused, RefundTooMuch
from tests import city
from tests.shop import MERCHANT, Shop, Till, balance_fen, open_shop
from tests.together import together
from vpass.common.errors import NotFound

pytestmark = pytest.mark.django_db(transaction=True)

ALONE_FEN = 400


@pytest.fixture
def other(shop: Shop) -> Till:
    """A second till of a shop where one alone gives back up to ¥4 of a payment."""
    Merchant.objects.update(refund_alone_fen=ALONE_FEN)
    made = city.make_terminal(shop.merchant.organisation, scene="pay", key_id="till-second")
    return Till(made.terminal, made.key_id, made.private)


@pytest.fixture
def paid(shop: Shop, payer: city.Phone, grant: city.HeldGrant, other: Till, at: datetime) -> Shown:
    return shop.pay(grant.code(at), at=at, amount_fen=1_000)


def ask(shop: Shop, paid: Shown, fen: int, *, at: datetime, **changes: Any) -> RequestShown:
    found: dict[str, Any] = {
        "caller": shop.till.caller,
        "order_id": uuid.UUID(paid.id),
        "amount_fen": fen,
        "reference": "R-1",
        "idempotency_key": city.idempotency(shop.till.caller.scope),
        "at": at,
    }
    return refund_requests.ask(**found | changes)


def approve(till: Till, asked: RequestShown, *, at: datetime, key: str | None = None) -> Any:
    return refund_requests.approve(
        caller=till.caller,
        request_id=uuid.UUID(asked.id),
        idempotency_key=city.idempotency(till.caller.scope, key),
        at=at,
    )


def test_refund__above_what_one_till_gives_back__two_do_it_once(
    shop: Shop, other: Till, paid: Shown, payer: city.Phone, at: datetime
):
    assert shop.refund(paid.id, 300, at=at).refunded_fen == 300
    with pytest.raises(RefundNeedsTwo) as refused:
        shop.refund(paid.id, 101, at=at)
    assert refused.value.members == {"alone_fen": 100}

    asked = ask(shop, paid, 500, at=at)
    assert ask(shop, paid, 500, at=at) == asked, "the same request under another key"
    assert (asked.state, Refund.objects.count()) == ("asked", 1)
    with pytest.raises(SelfApproval) as alone:
        approve(shop.till, asked, at=at)
    assert (alone.value.status, balance_fen(payer)) == (403, 999_300)

    done = approve(other, asked, at=at, key="approve-1")

    assert approve(other, asked, at=at, key="approve-1") == done
    assert (done.state, done.decided_by) == ("approved", str(other.terminal.id))
    assert str(Refund.objects.latest("id").id) == done.refund_id
    order = Order.objects.get()
    assert (order.state, order.refunded_fen, balance_fen(payer)) == ("part_refunded", 800, 999_800)
    with pytest.raises(RefundRequestOver):
        approve(other, asked, at=at)
    assert proof.prove(at).is_sound


def test_ask__what_cannot_be_given_back__refused_and_nothing_kept(
    shop: Shop, paid: Shown, at: datetime
):
    with pytest.raises(RefundTooMuch):
        ask(shop, paid, 1_001, at=at)
    shop.refund(paid.id, 100, at=at, reference="R-9")
    with pytest.raises(RefundReferenceReused):
        ask(shop, paid, 500, at=at, reference="R-9")
    stranger = open_shop(name="白浪河书店", key_id="till-3", system=shop.system)
    with pytest.raises(NotFound):
        ask(stranger, paid, 500, at=at)
    assert RefundRequest.objects.count() == 0
    asked = ask(shop, paid, 500, at=at)
    with pytest.raises(RefundReferenceReused):
        ask(shop, paid, 501, at=at)
    with pytest.raises(NotFound):
        approve(stranger.till, asked, at=at)
    bad = shop.till.send(
        "POST", f"{MERCHANT}/payments/{paid.id}/refund-requests",
        {"amount_fen": "9", "reference": "R 1"}, key=city.new_key(),
    )  # fmt: skip
    assert (bad.status_code, bad.json()["code"]) == (400, "request.invalid")


def test_approve__rejected_or_too_late__refused_and_nothing_moved(
    shop: Shop, other: Till, paid: Shown, payer: city.Phone, at: datetime
):
    first, second = ask(shop, paid, 500, at=at), ask(shop, paid, 450, at=at, reference="R-2")
    path = f"{MERCHANT}/refund-requests/{first.id}/rejection"
    assert shop.till.send("POST", path, {}, key=city.new_key()).json()["state"] == "rejected"
    with pytest.raises(RefundRequestOver):
        approve(other, first, at=at)
    with pytest.raises(RefundRequestOver):
        approve(other, second, at=at + timedelta(hours=24))
    assert refund_requests.expire_old(at=at + timedelta(hours=24)) == 1
    assert set(RefundRequest.objects.values_list("state", flat=True)) == {"rejected", "expired"}
    assert (Refund.objects.count(), balance_fen(payer)) == (0, 999_000)


def test_approve__eight_at_once__given_back_once(
    shop: Shop, other: Till, paid: Shown, payer: city.Phone, at: datetime
):
    asked = ask(shop, paid, 500, at=at)

    found = together(8, lambda _: approve(other, asked, at=at))

    seen = Counter(getattr(each, "state", getattr(each, "code", repr(each))) for each in found)
    assert seen == {"approved": 1, "refund_request.over": 7}
    assert (Refund.objects.count(), balance_fen(payer)) == (1, 999_500)


def test_approve__by_the_same_till_behind_our_back__refused_by_the_database(
    shop: Shop, other: Till, paid: Shown, at: datetime
):
    done = approve(other, ask(shop, paid, 500, at=at), at=at)

    with pytest.raises(IntegrityError, match="refund_request_four_eyes"):
        RefundRequest.objects.filter(id=done.id).update(decided_by=shop.till.terminal.id)
