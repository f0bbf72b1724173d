"""An unmanned shop: in by the code, an amount held, what was taken paid, the rest free."""

import uuid
from datetime import datetime, timedelta
from typing import Any

import pytest

from identity import suspensions
from payments import ledger, merchants, proof, visits
from payments.grades import LimitExceeded
from payments.ledger import HoldExceeded, InsufficientFunds
from payments.merchants import MerchantSuspended
from payments.models import Hold, Order, RiskCase, RiskRule, ShopDoor, Spending, Visit, VisitChange
from payments.settlement import windows
from payments.visits import VisitOver, VisitReferenceTaken
from tests import city
from tests.shop import MERCHANT, RESIDENT, Shop, balance_fen, open_shop, resident_of
from tests.shops import HOLD_FEN, enter, held_fen, leave, make_door
from tests.statements import statements
from vpass.common.errors import NotFound

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def shop(transactional_db: None, at: datetime) -> Shop:
    windows.ensure_open(at=at)
    shop = open_shop()
    make_door(shop)
    return shop


def spent() -> list[int]:
    return list(Spending.objects.values_list("used_fen", flat=True))


def changes() -> list[tuple[str, str, str]]:
    return list(VisitChange.objects.order_by("id").values_list("from_state", "to_state", "event"))


def test_visit__some_of_the_hold_taken__paid_once_and_the_rest_is_free(
    shop: Shop, payer: city.Phone, grant: city.HeldGrant, at: datetime
):
    with statements() as to_enter:
        inside = enter(shop, grant.code(at), at=at, reference="D-1", key="entry-0001")
    assert (inside.state, inside.held_fen, inside.paid_fen) == ("inside", HOLD_FEN, 0)
    assert enter(shop, grant.code(at), at=at, reference="D-1", key="entry-0001") == inside
    assert (balance_fen(payer), held_fen(payer), spent()) == (1_000_000, HOLD_FEN, [HOLD_FEN])

    with statements() as to_leave:
        left = leave(shop, inside.id, 1_234, at=at, key="leave-0001")

    assert (left.state, left.paid_fen, left.merchant_reference) == ("paid", 1_234, "D-1")
    assert leave(shop, inside.id, 1_234, at=at, key="leave-0001") == left
    assert (balance_fen(payer), held_fen(payer), spent()) == (998_766, 0, [1_234])
    assert shop.balance_fen == 1_234
    order = Order.objects.get()
    assert (str(order.id), order.state, order.captured_fen) == (left.payment_id, "captured", 1_234)
    assert order.merchant_reference == "visit:D-1"
    assert changes() == [("", "inside", "enter"), ("inside", "paid", "leave_with_goods")]
    assert shop.refund(order.id, 234, at=at).payment_state == "part_refunded"
    assert proof.prove(at).is_sound
    assert (len(to_enter), len(to_leave)) == (12, 8)


def test_visit__nothing_taken_or_never_left__all_of_it_is_free(
    shop: Shop, payer: city.Phone, grant: city.HeldGrant, at: datetime
):
    first = enter(shop, grant.code(at), at=at)
    assert leave(shop, first.id, 0, at=at).state == "left"
    second = enter(shop, grant.code(at), at=at)
    late = at + timedelta(minutes=60)
    assert visits.expire_due(at=late - timedelta(seconds=1)) == 0

    assert (visits.expire_due(at=late), visits.expire_due(at=late)) == (1, 0)

    assert Visit.objects.get(id=second.id).state == "expired"
    for visit in (first, second):
        with pytest.raises(VisitOver):
            leave(shop, visit.id, 1, at=late)
    assert (balance_fen(payer), held_fen(payer), spent()) == (1_000_000, 0, [0])
    assert Order.objects.count() == 0
    assert set(Hold.objects.values_list("state", flat=True)) == {"voided"}


def test_leave__late_but_not_expired_yet__paid(
    shop: Shop, payer: city.Phone, grant: city.HeldGrant, at: datetime
):
    inside = enter(shop, grant.code(at), at=at)
    late = at + timedelta(minutes=90)

    assert leave(shop, inside.id, 100, at=late).state == "paid"

    assert visits.expire_due(at=late) == 0


def test_leave__too_much_another_shop_or_a_suspended_one__refused_and_still_inside(
    shop: Shop, payer: city.Phone, grant: city.HeldGrant, at: datetime
):
    inside = enter(shop, grant.code(at), at=at)
    other = open_shop(name="白浪河书店", key_id="till-2", system=shop.system)

    with pytest.raises(HoldExceeded) as refused:
        leave(shop, inside.id, HOLD_FEN + 1, at=at)
    for who, which in ((other, inside.id), (shop, uuid.uuid4())):
        with pytest.raises(NotFound):
            leave(who, which, 1, at=at)
    merchants.suspend_merchant(merchant_id=shop.merchant.id, actor="test", at=at)
    with pytest.raises(MerchantSuspended):
        leave(shop, inside.id, 1, at=at)

    assert refused.value.members == {"held_fen": HOLD_FEN}
    assert (Visit.objects.get().state, held_fen(payer)) == ("inside", HOLD_FEN)
    assert leave(shop, inside.id, 0, at=at).state == "left"  # nothing is earned by that


def test_enter__paying_is_suspended__kept_out(
    shop: Shop, payer: city.Phone, grant: city.HeldGrant, at: datetime
):
    suspensions.suspend(
        resident_id=resident_of(payer), scope="pay", source="operator", reason="lost", actor="test",
        at=at,
    )  # fmt: skip

    found = shop.till.send("POST", f"{MERCHANT}/visits", body(grant, at), key=city.new_key())

    assert (found.status_code, found.json()["code"]) == (403, "code.pay_suspended")
    assert (Visit.objects.count(), held_fen(payer)) == (0, 0)


def test_enter__too_little_money_or_room_in_the_limit__kept_out_and_the_code_is_used(
    shop: Shop, phone: city.Phone, grant: city.HeldGrant, at: datetime
):
    code = grant.code(at)
    with pytest.raises(InsufficientFunds):
        enter(shop, code, at=at)
    used = shop.till.send("POST", f"{MERCHANT}/visits", body(grant, at, code), key=city.new_key())
    assert used.json()["code"] == "code.already_used"
    ShopDoor.objects.update(hold_fen=10_000_000)
    with pytest.raises(LimitExceeded):
        enter(shop, grant.code(at), at=at)
    assert (Visit.objects.count(), Hold.objects.count(), spent()) == (0, 0, [])


def test_enter__a_rule_of_risk__kept_out_and_on_the_queue_when_it_freezes(
    shop: Shop, payer: city.Phone, grant: city.HeldGrant, at: datetime
):
    RiskRule.objects.all().delete()
    RiskRule.objects.create(
        name="much", kind="amount_fen", threshold=HOLD_FEN - 1, outcome="confirm", words_zh="大额",
        words_en="Much",
    )  # fmt: skip
    with pytest.raises(LimitExceeded):
        enter(shop, grant.code(at), at=at)
    RiskRule.objects.update(outcome="freeze")

    found = shop.till.send("POST", f"{MERCHANT}/visits", body(grant, at), key=city.new_key())

    assert (found.status_code, found.json()["code"]) == (403, "risk.refused")
    assert RiskCase.objects.get().order.state == "failed"
    assert (Visit.objects.count(), held_fen(payer)) == (0, 0)


def test_enter__reference_used_or_no_door__refused(
    shop: Shop, payer: city.Phone, grant: city.HeldGrant, at: datetime
):
    first = enter(shop, grant.code(at), at=at, reference="D-1")

    with pytest.raises(VisitReferenceTaken) as refused:
        enter(shop, grant.code(at), at=at, reference="D-1")
    assert refused.value.members == {"visit_id": first.id}
    assert (held_fen(payer), spent()) == (HOLD_FEN, [HOLD_FEN])
    other = open_shop(name="白浪河书店", key_id="till-2", system=shop.system)
    found = other.till.send("POST", f"{MERCHANT}/visits", body(grant, at), key=city.new_key())
    assert (found.status_code, found.json()["code"]) == (403, "visit.no_door")
    assert Visit.objects.count() == 1


def test_visits__over_http__bad_input_has_a_code_and_both_sides_see_it(
    shop: Shop, payer: city.Phone, grant: city.HeldGrant, at: datetime
):
    path = f"{MERCHANT}/visits"
    inside = shop.till.send("POST", path, body(grant, at), key="entry-0001").json()
    leaving = f"{path}/{inside['id']}/leaving"
    for amount in (-1, "1", 1.5, True, None, 10**18, "１"):
        bad = shop.till.send("POST", leaving, {"amount_fen": amount, "title": "x"}, key="bad-00001")
        assert (bad.status_code, bad.json()["code"]) == (400, "request.invalid"), amount
    bad = shop.till.send(
        "POST", path, body(grant, at) | {"merchant_reference": "a b"}, key="bad-00002"
    )
    assert (bad.status_code, bad.json()["code"]) == (400, "request.invalid")

    (mine,) = payer.send("GET", f"{RESIDENT}/visits").json()["items"]

    assert (mine["id"], mine["state"], mine["held_fen"]) == (inside["id"], "inside", HOLD_FEN)
    assert mine["shop"]["zh"] == "惠民超市"
    (shops,) = shop.till.send("GET", path).json()["items"]
    assert shops == inside == shop.till.send("GET", f"{path}/{inside['id']}").json()
    assert ledger.balance_of(shop_account(payer)).held_fen == HOLD_FEN


def body(grant: city.HeldGrant, at: datetime, code: str | None = None) -> dict[str, Any]:
    return {"code": code or grant.code(at), "merchant_reference": uuid.uuid4().hex}


def shop_account(phone: city.Phone) -> int:
    return ledger.open_account(kind="resident", owner=str(resident_of(phone)))
