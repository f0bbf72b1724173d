"""The day goes on: the bound bank card tops the wallet up, and pays at the till."""

import secrets

from vpass.day import card_steps
from vpass.day import payment_steps as payments
from vpass.day.actors import new_key
from vpass.day.checks import eventually, same, through_pixels
from vpass.day.play import Day, Step, adding_to

TOP_UP_FEN = 30_000
PRICE_FEN = 1_280

STEPS: list[Step] = []
step = adding_to(STEPS)


@step(
    "The bank card tops the wallet up, twice the same request",
    needs=(card_steps.bind_bank_card, payments.learn_of_withdrawal),
)
def top_up(day: Day) -> str:
    wallet, card_id, key = day.money.wallet, day.cards.shown["bank"]["id"], new_key()
    before_fen = _balance(day)
    begun, again = (
        wallet.top_up_by_card(card_id, TOP_UP_FEN, key=key).expect(201) for _ in range(2)
    )
    same("repeat", again, begun)
    shown = eventually(
        day,
        "the bank has booked it",
        lambda: wallet.top_up(begun["id"]).expect(200),
        until=lambda shown: shown["state"] == "booked",
        say="state",
    )
    same("card", shown["card_last4"], day.cards.shown["bank"]["last4"])
    same("balance of the wallet", _balance(day), before_fen + TOP_UP_FEN)
    day.money.moved.append(("top_up", TOP_UP_FEN))
    return f"from the card ending in {shown['card_last4']}"


@step("The resident chooses the bank card to pay with at tills", needs=(top_up,))
def choose_card(day: Day) -> str:
    wallet, shown = day.money.wallet, day.cards.shown["bank"]
    seen = wallet.payment_source().expect(200)
    same("what pays", seen["card_id"], None)
    chosen = [wallet.choose_source(shown["id"], seen["version"]).expect(200) for _ in range(2)]
    expected = {
        "card_id": shown["id"],
        "last4": shown["last4"],
        "version": seen["version"] + 1,
        "order": ["bank_card"],
    }
    same("the choice, and the same again", chosen, [expected, expected])
    late = wallet.choose_source(None, seen["version"])
    late.expect_refusal(409, "payment_source.changed")
    return late.code


@step("A payment by card at the till: the bank's answer is lost", needs=(choose_card,))
def pay_by_card(day: Day) -> str:
    before_fen = _balance(day)
    with day.outside.bank_answer_lost():
        code, _ = through_pixels(day.phone.show_code())
        paid = day.money.till.pay(
            code,
            amount_fen=PRICE_FEN,
            title="午餐 Lunch",
            reference=f"DAY-{secrets.token_hex(6)}",
        ).expect(201)
        same("payment", (paid["state"], paid["captured_fen"]), ("capturing", 0))
        day.money.by_card = eventually(
            day,
            "the payment is unknown",
            lambda: day.money.till.payment(paid["id"]).expect(200),
            until=lambda shown: shown["state"] == "unknown",
            say="state",
        )
    same("balance of the wallet", _balance(day), before_fen)
    return "unknown"


@step("The bank is asked, never told to debit again: resolved", needs=(pay_by_card,))
def learn_of_payment(day: Day) -> str:
    before_fen = _balance(day)
    paid = day.money.by_card = eventually(
        day,
        "the payment is resolved",
        lambda: day.money.till.payment(day.money.by_card["id"]).expect(200),
        until=lambda shown: shown["state"] == "resolved",
        say="state",
    )
    same("captured", paid["captured_fen"], PRICE_FEN)
    debited_fen = day.outside.bank_totals()["debited_fen"] - day.money.bank_before["debited_fen"]
    same("taken from cards by the bank", debited_fen, TOP_UP_FEN + PRICE_FEN)
    same("balance of the wallet", _balance(day), before_fen)
    day.money.moved += [("card_debit", PRICE_FEN), ("payment", -PRICE_FEN)]
    return "charged once"


@step("A frozen bank card does not pay; the balance is chosen again", needs=(learn_of_payment,))
def choose_balance(day: Day) -> str:
    wallet, card_id = day.money.wallet, day.cards.shown["bank"]["id"]
    same("frozen", day.cards.wallet.change(card_id, "freeze").expect(200)["fault"], "card.frozen")
    code, _ = through_pixels(day.phone.show_code())
    reply = day.money.till.pay(
        code, amount_fen=100, title="茶 Tea", reference=f"DAY-{secrets.token_hex(6)}"
    )
    reply.expect_refusal(409, "card.not_usable")
    same("reason", reply.body["reason"], "card.frozen")
    day.cards.wallet.change(card_id, "lift").expect(200)
    version = wallet.payment_source().expect(200)["version"]
    same("what pays", wallet.choose_source(None, version).expect(200)["card_id"], None)
    return str(reply.body["reason"])


def _balance(day: Day) -> int:
    return int(day.money.wallet.show().expect(200)["balance_fen"])
