"""Paying, funding and risk, through the public interfaces alone (PRODUCT P-2, P-4, P-14)."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.in_process import prepare_day, work
from tests.journeys.test_payment_thread import UP_TO_THE_MONEY, go
from tests.outside import OutsideWorld
from vpass.day import card_steps, paying_steps, payment_steps
from vpass.day.checks import eventually
from vpass.day.paying_actors import PayerPhone
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


def test_journey_p4__balance_first_then_the_card_and_back_leg_by_leg(day: Day):
    till = day.money.till
    go(day, card_steps.bind_bank_card)
    card = day.cards.shown["bank"]
    asked = {"card_id": card["id"], "version": 0, "order": ["balance", "bank_card"]}
    chosen = day.phone.send("PUT", "/payment-source", asked).expect(200)
    assert chosen["order"] == ["balance", "bank_card"]
    leave(day, 700)

    paid = till.pay(
        PayerPhone(day.phone).pay_code().expect(201)["code"],
        amount_fen=1_900,
        title="面条 Noodles",
        reference="SPLIT-1",
    ).expect(201)
    assert (paid["state"], balance(day)) == ("capturing", 700)
    until(day, lambda: till.payment(paid["id"]).expect(200)["state"] == "captured")

    assert balance(day) == 0
    mine = day.phone.send("GET", f"/payments/{paid['id']}").expect(200)
    assert (mine["card_fen"], mine["card_last4"]) == (1_200, card["last4"])
    for fen, key in ((1_000, "split-refund-1"), (900, "split-refund-2")):
        till.refund(paid["id"], amount_fen=fen, reference=key, key=key).expect(201)
    until(day, lambda: books(day) and balance(day) == 700)
    assert till.payment(paid["id"]).expect(200)["state"] == "refunded"


def leave(day: Day, fen: int) -> None:
    """Withdraw all but so much from the wallet, and have the bank book it."""
    day.money.wallet.withdraw(balance(day) - fen).expect(201)
    until(day, lambda: books(day) and balance(day) == fen)


def books(day: Day) -> bool:
    """The bank books what has been ordered by now."""
    day.outside.book_payouts()
    return True


def until(day: Day, holds: Callable[[], bool]) -> None:
    eventually(day, "it has come about", holds, until=bool)
