"""Shops, through the public interfaces alone (PRODUCT P-6, P-7, P-8, P-15)."""

from pathlib import Path

import pytest

from tests.in_process import prepare_day, work
from tests.journeys.test_payment_thread import UP_TO_THE_MONEY, go
from tests.outside import OutsideWorld
from vpass.day import (
    administration_steps,
    merchant_steps,
    payment_steps,
    shop_steps,
    store_steps,
)
from vpass.day.checks import eventually
from vpass.day.payment_actors import all_items
from vpass.day.play import Day


@pytest.fixture
def day(transactional_db: None, sandbox_of_own: OutsideWorld, tmp_path: Path) -> Day:
    """A resident with money in the wallet, and a till that is enrolled."""
    day = prepare_day(sandbox_of_own, folder=tmp_path)
    day.outside.wait = work
    go(day, *UP_TO_THE_MONEY, payment_steps.enrol_till)
    return day


def test_p15__unmanned_shop__in_by_the_code_and_what_was_taken_paid(day: Day):
    go(day, shop_steps.enrol_door, shop_steps.shop_unmanned, shop_steps.only_look)

    seen = day.shopping.visits().expect(200)["items"]
    assert [(each["state"], each["paid_fen"]) for each in seen] == [
        ("left", 0),
        ("paid", shop_steps.DRINKS_FEN),
    ]
    moves = day.money.wallet.statement().expect(200)["items"]
    assert [each["amount_fen"] for each in moves] == [
        -shop_steps.DRINKS_FEN,
        payment_steps.TOP_UP_FEN,
    ]
    bought = seen[1]["payment_id"]
    back = day.shopping.door.refund(bought, amount_fen=240, reference="R-1", key="p15-refund-1")
    assert back.expect(201)["payment_state"] == "part_refunded"


@pytest.fixture
def taken_on(day: Day) -> Day:
    """A shop has been taken on today, and a cashier has taken a payment at one of its tills."""
    go(
        day,
        merchant_steps.take_on,
        administration_steps.sign_in_administrators,
        merchant_steps.open_store,
        merchant_steps.open_tills,
        merchant_steps.pay_cashier,
    )
    return day


def test_p8_and_p7__a_firm_taken_on_by_two__its_tills_give_back_by_two(taken_on: Day):
    go(taken_on, merchant_steps.refund_by_two)

    till = taken_on.shopping.tills[1]
    lines = till.statement().expect(200)["items"]
    assert [(each["kind"], each["amount_fen"], each["cashier"]) for each in lines] == [
        ("refund", -merchant_steps.LARGE_REFUND_FEN, merchant_steps.CASHIER),
        ("payment", merchant_steps.PRICE_FEN, merchant_steps.CASHIER),
    ]
    (asked,) = till.send("GET", "/refund-requests").expect(200)["items"]
    assert (asked["state"], asked["refund_id"] is not None) == ("approved", True)


def test_p8_p14_and_p15__closed_stopped_judged_anew_and_a_door__by_one_or_two(taken_on: Day):
    go(
        taken_on,
        store_steps.close_store,
        store_steps.stop_merchant,
        store_steps.change_rule,
        store_steps.open_door,
    )

    first, _ = taken_on.money.officers
    changed = [each["action"] for each in first.changes().expect(200)["items"]]
    assert changed == ["shop_door.open", "risk_rule.set", "risk_rule.set", "merchant.reinstate"]


def test_p6__where_is_my_money__followed_to_the_new_shops_bank(taken_on: Day):
    day, shopping = taken_on, taken_on.shopping
    payment_id = shopping.paid["id"]
    done = [each["state"] for each in day.money.wallet.way(payment_id).expect(200)["stages"]]
    assert done == ["done", "done", "waiting", "waiting", "waiting"]

    settle(day)

    stages = day.money.wallet.way(payment_id).expect(200)["stages"]
    assert [each["state"] for each in stages] == ["done"] * 5
    (settlement,) = shopping.tills[0].settlements().expect(200)["items"]
    assert settlement["net_fen"] == merchant_steps.PRICE_FEN
    assert settlement["payout_id"] == stages[3]["reference"]
    assert settlement["bank_reference"] == stages[4]["reference"]
    made_of = all_items(lambda query: shopping.tills[0].settled_payments(settlement["id"], query))
    assert [each["payment_id"] for each in made_of] == [payment_id]
    assert day.outside.payout(settlement["payout_id"])["amount_fen"] == merchant_steps.PRICE_FEN


def settle(day: Day) -> None:
    """Two accountants close the window and pay it out; the bank books."""
    first, second = day.money.officers
    window_id = first.windows().expect(200)["items"][0]["id"]
    for action, state in (("window.close", "netted"), ("settlement.approve", "sent")):
        proposed = first.propose(action, window_id).expect(201)
        second.approve(proposed["id"]).expect(200)
        await_window(day, window_id, state)
    day.outside.book_payouts()
    await_window(day, window_id, "acked")


def await_window(day: Day, window_id: int, state: str) -> None:
    first, _ = day.money.officers
    eventually(
        day,
        f"the window is {state}",
        lambda: first.window(window_id).expect(200),
        until=lambda window: window["state"] in (state, "acked"),
        say="state",
    )
