"""Shops, through the public interfaces alone (PRODUCT P-15)."""

from pathlib import Path

import pytest

from tests.in_process import prepare_day, work
from tests.journeys.test_payment_thread import UP_TO_THE_MONEY, go
from tests.outside import OutsideWorld
from vpass.day import payment_steps, shop_steps
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
