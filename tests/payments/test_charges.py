"""What is used without a till is paid once: at once, or when money comes in."""

import json
import uuid
from datetime import datetime
from typing import Any

import pytest
from django.db import transaction

from identity.models import Resident
from payments import charges, fares, merchants, orders
from payments.charges import ChargeNotDue, ChargePartyUnknown, ChargeReferenceTaken
from payments.models import Charge, ChargeChange, Order, OrderChange, Transaction
from payments.settlement import netting, windows
from tests import banking, city
from tests.shop import Shop, balance_fen, fill, open_shop, resident_of
from tests.statements import statements
from vpass.common import clock, outbox
from vpass.common.errors import NotFound
from vpass.common.models import OutboxDelivery

pytestmark = pytest.mark.django_db(transaction=True)

TOLD = {charges.CHARGE_DUE, charges.CHARGE_PAID, charges.CHARGE_CANCELLED}


@pytest.fixture(autouse=True)
def heard(monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody hears of charges, beside those who hear of everything else."""
    heard_of = {name: dict(those) for name, those in outbox._subscriptions.items()}
    monkeypatch.setattr(outbox, "_subscriptions", heard_of)
    for name in TOLD:
        outbox.subscribe(name, "test.listener", lambda event: None)


def charge(shop: Shop, phone: city.Phone, fen: int, *, at: datetime, **changes: Any) -> Any:
    asked: dict[str, Any] = {
        "payer_id": resident_of(phone),
        "organisation_id": shop.merchant.organisation_id,
        "amount_fen": fen,
        "title": "停车 Parking",
        "reference": f"parking:{uuid.uuid4()}",
        "at": at,
    }
    with transaction.atomic():
        return charges.charge(**asked | changes)


def told() -> list[tuple[str, dict[str, Any]]]:
    rows = OutboxDelivery.objects.filter(consumer="test.listener").order_by("id")
    return [(row.name, json.loads(json.dumps(row.payload))) for row in rows]


def history(charged: Any) -> list[tuple[str, str, str]]:
    changes = ChargeChange.objects.filter(charge_id=charged.id).order_by("id")
    return [(each.from_state, each.to_state, each.event) for each in changes]


def states() -> list[tuple[int, str]]:
    return list(Charge.objects.order_by("id").values_list("amount_fen", "state"))


def test_charge__money_there__paid_by_a_captured_order_of_no_till(
    shop: Shop, payer: city.Phone, at: datetime
):
    charged = charge(shop, payer, 600, at=at, reference="tap:1")

    order = Order.objects.get()
    assert charged == charges.Charged(id=charged.id, state="paid", order_id=str(order.id))
    assert (order.state, order.captured_fen, order.till_id) == ("captured", 600, None)
    assert (order.title, order.merchant_reference) == ("停车 Parking", "tap:1")
    change = OrderChange.objects.get()
    assert (change.event, change.actor) == ("capture_at_once", "charges")
    assert (balance_fen(payer), shop.balance_fen) == (999_400, 600)
    assert history(charged) == [("", "due", "charge"), ("due", "paid", "collect")]
    assert told() == [
        (
            "payments.charge_paid",
            {
                "charge": charged.id,
                "resident": str(resident_of(payer)),
                "organisation": str(shop.merchant.organisation_id),
                "reference": "tap:1",
                "amount_fen": 600,
            },
        )
    ]


def test_charge__too_little_money__due_and_nothing_posted(
    shop: Shop, payer: city.Phone, at: datetime
):
    charged = charge(shop, payer, 1_000_001, at=at)

    assert (charged.state, charged.order_id) == ("due", None)
    assert (balance_fen(payer), shop.balance_fen) == (1_000_000, 0)
    assert Order.objects.count() == 0
    assert [name for name, _ in told()] == ["payments.charge_due"]


def test_charge__wallet_that_never_had_money__due(shop: Shop, phone: city.Phone, at: datetime):
    assert charge(shop, phone, 1, at=at).state == "due"


@pytest.mark.parametrize("who", ["merchant", "payer"])
def test_charge__somebody_suspended__due(shop: Shop, payer: city.Phone, at: datetime, who: str):
    if who == "merchant":
        merchants.suspend_merchant(merchant_id=shop.merchant.id, actor="test", at=at)
    else:
        Resident.objects.update(state="suspended")

    assert charge(shop, payer, 1, at=at).state == "due"
    assert balance_fen(payer) == 1_000_000


def test_charge__same_reference_again__same_charge_and_one_payment(
    shop: Shop, payer: city.Phone, at: datetime
):
    first = charge(shop, payer, 600, at=at, reference="tap:1")

    assert charge(shop, payer, 600, at=at, reference="tap:1") == first
    assert Transaction.objects.filter(kind="payment").count() == len(told()) == 1


def test_charge__same_reference_of_another_merchant__another_charge(
    shop: Shop, payer: city.Phone, at: datetime
):
    other = open_shop(name="公交公司", key_id="till-2", system=shop.system)

    assert charge(shop, payer, 600, at=at, reference="tap:1").state == "paid"
    assert charge(other, payer, 700, at=at, reference="tap:1").state == "paid"
    assert (shop.balance_fen, other.balance_fen) == (600, 700)


def test_charge__same_reference_with_another_amount__refused_and_nothing_changed(
    shop: Shop, payer: city.Phone, at: datetime
):
    charge(shop, payer, 600, at=at, reference="tap:1")

    with pytest.raises(ChargeReferenceTaken):
        charge(shop, payer, 601, at=at, reference="tap:1")

    assert (states(), balance_fen(payer)) == ([(600, "paid")], 999_400)


def test_charge__organisation_that_is_no_merchant__refused(
    shop: Shop, payer: city.Phone, at: datetime
):
    with pytest.raises(ChargePartyUnknown):
        charge(shop, payer, 600, at=at, organisation_id=uuid.uuid4())

    assert states() == []


def test_charge__outside_a_transaction__a_mistake_of_the_program(
    shop: Shop, payer: city.Phone, at: datetime
):
    with pytest.raises(RuntimeError):
        charges.charge(
            payer_id=resident_of(payer),
            organisation_id=shop.merchant.organisation_id,
            amount_fen=1,
            title="-",
            reference="tap:1",
            at=at,
        )


# Collecting


def test_top_up__debts_are_collected_oldest_first_and_what_is_too_large_waits(
    shop: Shop, phone: city.Phone, at: datetime
):
    for fen in (300, 900, 500):
        charge(shop, phone, fen, at=at)

    fill(shop, phone, 1_000, at=at)
    outbox.deliver_due(at=at)

    assert states() == [(300, "paid"), (900, "due"), (500, "paid")]
    assert (balance_fen(phone), shop.balance_fen) == (200, 800)
    assert [name for name, _ in told()].count("payments.charge_paid") == 2


def test_refund__debts_are_collected_from_it(shop: Shop, payer: city.Phone, at: datetime):
    order = banking.pay(shop.merchant, resident_of(payer), 1_000_000, at=at)
    charge(shop, payer, 700, at=at)

    banking.refund(order, 700, at=at)
    outbox.deliver_due(at=at)

    assert (states(), balance_fen(payer)) == ([(700, "paid")], 0)


def test_failed_withdrawal__debts_are_collected_from_what_is_free_again(
    shop: Shop, payer: city.Phone, at: datetime, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(
        "payments.pursuit.partner_bank", lambda code: banking.StubBank([banking.REJECTED])
    )
    banking.withdraw(resident_of(payer), 1_000_000, at=at)
    charge(shop, payer, 700, at=at)
    assert states() == [(700, "due")]

    outbox.deliver_due(at=clock.now())
    outbox.deliver_due(at=clock.now())

    assert (states(), balance_fen(payer)) == ([(700, "paid")], 999_300)


def test_collect__delivered_twice__paid_once(shop: Shop, phone: city.Phone, at: datetime):
    charge(shop, phone, 600, at=at)
    fill(shop, phone, 5_000, at=at)

    assert charges.collect(payer_id=resident_of(phone), at=at) == 1
    assert charges.collect(payer_id=resident_of(phone), at=at) == 0
    assert (balance_fen(phone), shop.balance_fen) == (4_400, 600)


@pytest.mark.parametrize("who", ["merchant", "payer"])
def test_sweep__somebody_was_suspended__collected_once_they_are_lifted(
    shop: Shop, payer: city.Phone, at: datetime, who: str
):
    if who == "merchant":
        merchants.suspend_merchant(merchant_id=shop.merchant.id, actor="test", at=at)
    else:
        Resident.objects.update(state="suspended")
    charge(shop, payer, 600, at=at)

    assert charges.collect_due(at=at) == 0
    if who == "merchant":
        merchants.lift_merchant(merchant_id=shop.merchant.id, actor="test", at=at)
    else:
        Resident.objects.update(state="active")
    assert [charges.collect_due(at=at) for _ in range(2)] == [1, 0]
    assert (states(), balance_fen(payer)) == ([(600, "paid")], 999_400)


def test_sweep__too_little_money__nobody_is_asked(shop: Shop, payer: city.Phone, at: datetime):
    charge(shop, payer, 1_000_001, at=at)

    with statements() as sent:
        assert charges.collect_due(at=at) == 0
    assert len(sent) == 1


# Cancelling


def test_cancel__due__told_and_never_collected(shop: Shop, phone: city.Phone, at: datetime):
    charged = charge(shop, phone, 600, at=at, reference="tap:1")
    organisation_id = shop.merchant.organisation_id

    charges.cancel_charge(organisation_id=organisation_id, reference="tap:1", actor="test", at=at)
    fill(shop, phone, 5_000, at=at)
    charges.collect(payer_id=resident_of(phone), at=at)

    assert history(charged)[1] == ("due", "cancelled", "cancel")
    assert [name for name, _ in told()] == ["payments.charge_due", "payments.charge_cancelled"]
    assert balance_fen(phone) == 5_000
    assert charge(shop, phone, 600, at=at, reference="tap:1").state == "cancelled"


def test_cancel__paid_or_unknown__refused(shop: Shop, payer: city.Phone, at: datetime):
    charge(shop, payer, 600, at=at, reference="tap:1")
    organisation_id = shop.merchant.organisation_id

    with pytest.raises(ChargeNotDue):
        charges.cancel_charge(
            organisation_id=organisation_id, reference="tap:1", actor="test", at=at
        )
    with pytest.raises(NotFound):
        charges.cancel_charge(organisation_id=uuid.uuid4(), reference="tap:1", actor="test", at=at)

    assert (states(), shop.balance_fen) == ([(600, "paid")], 600)


# What a paid charge is afterwards


def test_paid_charge__refunded_and_netted_like_any_payment(
    shop: Shop, payer: city.Phone, at: datetime
):
    charged = charge(shop, payer, 600, at=at)
    shop.refund(charged.order_id, 100, at=at)
    window_id = windows.ensure_open(at=at)
    windows.close(window_id=window_id, actor="test", at=at)

    netting.net_next(at=at)

    (line,) = netting.lines_of(window_id=window_id)
    assert (line.gross_fen, line.refunded_fen, line.net_fen) == (600, 100, 500)
    assert orders.orders_of_payer(caller=payer.caller).get().refunded_fen == 100


# Fares


def tap(shop: Shop, phone: city.Phone, fen: int) -> dict[str, Any]:
    return {
        "tap": uuid.uuid4(),
        "card": uuid.uuid4(),
        "resident": resident_of(phone),
        "organisation": shop.merchant.organisation_id,
        "fare_fen": fen,
    }


def test_tap__delivered_twice__fare_is_charged_once(shop: Shop, payer: city.Phone, at: datetime):
    recorded = tap(shop, payer, 200)
    for _ in range(2):
        with transaction.atomic():
            outbox.publish(fares.TAP_RECORDED, recorded, at=at)

    outbox.deliver_due(at=at)

    paid = Charge.objects.get()
    assert (paid.state, paid.title, paid.reference) == (
        "paid",
        "公交 Bus",
        f"tap:{recorded['tap']}",
    )
    assert balance_fen(payer) == 999_800


def test_tap__free_ride__no_charge(shop: Shop, payer: city.Phone, at: datetime):
    with transaction.atomic():
        outbox.publish(fares.TAP_RECORDED, tap(shop, payer, 0), at=at)

    outbox.deliver_due(at=at)

    assert states() == []


# Over HTTP


def test_charges__over_http__what_is_owed_and_only_ones_own(
    shop: Shop, phone: city.Phone, at: datetime
):
    mine = charge(shop, phone, 300, at=at)
    charge(shop, city.make_phone(1, at=at), 400, at=at)

    answer = phone.send("GET", "/api/resident/v1/charges")

    (item,) = answer.json()["items"]
    assert item["id"] == mine.id
    assert item["payee"] == {"id": str(shop.merchant.id), "zh": "惠民超市", "en": "Books"}
    assert (item["title"], item["amount_fen"]) == ("停车 Parking", 300)
