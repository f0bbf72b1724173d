"""Paying, funding and risk, through the public interfaces alone (PRODUCT P-2, P-4, P-14)."""

from pathlib import Path

import pytest

from tests.in_process import prepare_day, work
from tests.journeys.test_payment_thread import UP_TO_THE_MONEY, go
from tests.outside import OutsideWorld
from vpass.day import paying_steps, payment_steps
from vpass.day.play import Day


@pytest.fixture
def day(transactional_db: None, sandbox_of_own: OutsideWorld, tmp_path: Path) -> Day:
    """A resident with money in the wallet, and a till that is enrolled."""
    day = prepare_day(sandbox_of_own, folder=tmp_path)
    day.outside.wait = work
    go(day, *UP_TO_THE_MONEY, payment_steps.enrol_till)
    return day


def balance(day: Day) -> int:
    return int(day.money.wallet.show().expect(200)["balance_fen"])


def test_journey_p2_and_p14__digits_merchant_qr_and_a_risky_payment(day: Day):
    go(day, payment_steps.pay_small)

    go(day, paying_steps.pay_by_digits, paying_steps.pay_by_qr, paying_steps.pay_riskily)

    paid = payment_steps.SMALL_FEN + paying_steps.DIGITS_FEN + paying_steps.QR_FEN
    assert balance(day) == payment_steps.TOP_UP_FEN - paid - paying_steps.RISKY_FEN
