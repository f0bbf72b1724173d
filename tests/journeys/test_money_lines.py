"""Lines of Cloud Pay as people meet them, through the public interfaces (PRODUCT P-1, P-2, P-14).

P-4 is in test_paying, P-5 in test_bill_thread, P-6 to P-8 and P-15 in test_shops.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from payments import proof
from tests.in_process import prepare_day, work
from tests.journeys.test_payment_thread import UP_TO_THE_MONEY, go
from tests.outside import OutsideWorld
from vpass.common.clock import now
from vpass.day import paying_steps, payment_steps, shop_steps
from vpass.day.actors import new_key
from vpass.day.checks import eventually
from vpass.day.paying_actors import PayerPhone, RiskDesk
from vpass.day.payment_actors import all_items
from vpass.day.play import Day


@pytest.fixture
def day(transactional_db: None, sandbox_of_own: OutsideWorld, tmp_path: Path) -> Day:
    """A resident with money in the wallet, and a till that is enrolled."""
    day = prepare_day(sandbox_of_own, folder=tmp_path)
    day.outside.wait = work
    go(day, *UP_TO_THE_MONEY, payment_steps.enrol_till)
    return day


def wallet(day: Day) -> tuple[int, int]:
    shown = day.money.wallet.show().expect(200)
    return shown["balance_fen"], shown["available_fen"]


def pay(day: Day, amount_fen: int, reference: str) -> Any:
    return day.money.till.pay(
        day.phone.show_code(), amount_fen=amount_fen, title="茶 Tea", reference=reference
    )


def test_p1__whole_fen__held_taken_given_back_and_never_below_nothing(
    day: Day, sandbox_of_own: OutsideWorld
):
    till, all_of_it = day.money.till, payment_steps.TOP_UP_FEN
    go(day, payment_steps.pay_small, shop_steps.enrol_door)
    left = all_of_it - payment_steps.SMALL_FEN

    inside = day.shopping.enter(day.phone.show_code(), reference="P1-VISIT").expect(201)
    assert wallet(day) == (left, left - shop_steps.HOLD_FEN)
    gone = day.money.wallet.withdraw(left - shop_steps.HOLD_FEN + 1)
    gone.expect_refusal(409, "ledger.insufficient_funds")
    assert wallet(day) == (left, left - shop_steps.HOLD_FEN)
    day.shopping.leave(inside["id"], 640, title="面包 Bread").expect(200)
    left -= 640

    sandbox_of_own.breaks("bank", "reset")
    withdrawn = day.money.wallet.withdraw(left).expect(201)["id"]
    assert wallet(day)[1] == 0
    pay(day, 1, "P1-NOTHING-LEFT").expect_refusal(409, "ledger.insufficient_funds")
    state = eventually(
        day,
        "the bank's word",
        lambda: day.money.wallet.withdrawal(withdrawn).expect(200)["state"],
        until=lambda state: state == "never_arrived",
    )
    assert (state, wallet(day)) == ("never_arrived", (left, left))

    small = day.money.small["id"]
    for reference, fen in (("R1", 1_000), ("R2", 1_580)):
        till.refund(small, amount_fen=fen, reference=reference, key=new_key()).expect(201)
    too_much = till.refund(small, amount_fen=1, reference="R3", key=new_key())
    too_much.expect_refusal(409, "refund.too_much")
    left += payment_steps.SMALL_FEN

    lines = all_items(day.money.wallet.statement)
    assert sum(each["amount_fen"] for each in lines) == left == wallet(day)[0]
    assert sum(each["amount_fen"] for each in till.statement().expect(200)["items"]) == 0
    assert proof.prove(now()).is_sound


@pytest.mark.parametrize("shown_as", ["link", "static"])
def test_p2__in_the_app_and_by_a_printed_qr__shown_confirmed_and_paid_once(day: Day, shown_as: str):
    till, phone = day.money.till, PayerPhone(day.phone)
    whose = {"amount_fen": 3_300, "merchant_reference": "P2-1"} if shown_as == "link" else {}
    asked = {"form": shown_as, "title": "花 Flowers", **whose}
    made = till.send("POST", "/qr-codes", asked, key=new_key()).expect(201)

    fen = None if whose else 3_300
    waiting = phone.scan(made["text"], amount_fen=fen).expect(201)
    assert (waiting["amount_fen"], waiting["state"]) == (3_300, "confirming")
    assert wallet(day)[0] == payment_steps.TOP_UP_FEN
    day.money.wallet.confirm(waiting, amount_fen=33).expect_refusal(
        422, "order.confirmation_invalid"
    )
    day.money.wallet.confirm(waiting).expect(200)

    assert wallet(day)[0] == payment_steps.TOP_UP_FEN - 3_300
    again = phone.scan(made["text"], amount_fen=fen).expect(201)
    expected = ("captured", waiting["id"]) if whose else ("confirming", again["id"])
    assert (again["state"], again["id"]) == expected  # a link is for one payment


def test_p14__unusual_payment_was_fraud__paying_stops_at_once_and_the_id_stays_good(day: Day):
    waiting = pay(day, paying_steps.RISKY_FEN, "P14-1").expect(201)
    assert waiting["state"] == "confirming"
    day.money.wallet.confirm(day.money.wallet.payments().expect(200)["items"][0]).expect(200)
    desk = RiskDesk(day.money.officers[0])
    (case,) = desk.open_cases().expect(200)["items"]
    assert (case["payment"]["id"], case["reasons"]) == (waiting["id"], [paying_steps.RULE])

    assert desk.decide(case["id"], is_fraud=True).expect(200)["state"] == "upheld"
    desk.decide(case["id"], is_fraud=False).expect_refusal(409, "risk_case.decided")

    before = wallet(day)
    pay(day, 100, "P14-2").expect_refusal(403, "code.pay_suspended")
    day.money.wallet.withdraw(100).expect_refusal(403, "account.pay_suspended")
    assert wallet(day) == before
    assert day.phone.me().expect(200)["level"] == 2
    assert "fraud" not in json.dumps(day.money.wallet.payments().expect(200))
