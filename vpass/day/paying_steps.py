"""The day goes on: other ways to pay, and a payment that looks unusual."""

import secrets
from typing import Any

from vpass.day import payment_steps as payments
from vpass.day.checks import same, through_pixels
from vpass.day.paying_actors import PayerPhone, QrTill, RiskDesk
from vpass.day.play import Day, Step, adding_to

DIGITS_FEN = 990
QR_FEN = 4_560
RISKY_FEN = 68_000  # below what needs a word, and above what a new phone may
RULE = "new-phone"

STEPS: list[Step] = []
step = adding_to(STEPS)


@step("An old till reads 18 digits: paid, once", needs=(payments.pay_small,))
def pay_by_digits(day: Day) -> str:
    digits = PayerPhone(day.phone).pay_code().expect(201)["code"]
    asked: dict[str, Any] = {"amount_fen": DIGITS_FEN, "title": "报纸 Newspaper"}
    paid = day.money.till.pay(digits, reference=_new_reference(), **asked).expect(201)
    same("payment", (paid["state"], paid["captured_fen"]), ("captured", DIGITS_FEN))
    again = day.money.till.pay(digits, reference=_new_reference(), **asked)
    again.expect_refusal(422, "pay_code.not_valid")
    return f"{len(digits)} digits, then {again.code}"


@step("The till shows a QR for an amount: the phone scans it and confirms", needs=(pay_by_digits,))
def pay_by_qr(day: Day) -> str:
    till, phone, reference = QrTill(day.money.till), PayerPhone(day.phone), _new_reference()
    made = till.show_qr(amount_fen=QR_FEN, title="水果 Fruit", reference=reference).expect(201)
    text, _ = through_pixels(made["text"])
    spoilt = text[:-1] + ("0" if text[-1] != "0" else "1")
    phone.scan(spoilt).expect_refusal(422, "merchant_qr.unreadable")
    waiting = phone.scan(text).expect(201)
    same("amount and state", (waiting["amount_fen"], waiting["state"]), (QR_FEN, "confirming"))
    same("answer", day.money.wallet.confirm(waiting).expect(200)["state"], "captured")
    seen = till.qr(made["id"]).expect(200)
    same("at the till", seen["payment"]["captured_fen"], QR_FEN)
    return str(waiting["payee"]["en"])


@step("A new phone pays much: stepped up, confirmed, and cleared by staff", needs=(pay_by_qr,))
def pay_riskily(day: Day) -> str:
    code, _ = through_pixels(day.phone.show_code())
    waiting: Any = day.money.till.pay(
        code, amount_fen=RISKY_FEN, title="手表 Watch", reference=_new_reference()
    ).expect(201)
    same("payment", waiting["state"], "confirming")
    newest = day.money.wallet.payments().expect(200)["items"][0]
    same("answer", day.money.wallet.confirm(newest).expect(200)["state"], "captured")
    desk = RiskDesk(day.money.officers[0])
    found = desk.open_cases().expect(200)["items"]
    case = next(each for each in found if each["payment"]["id"] == waiting["id"])
    same("why", (case["outcome"], case["reasons"]), ("confirm", [RULE]))
    same("decision", desk.decide(case["id"], is_fraud=False).expect(200)["state"], "cleared")
    return RULE


def _new_reference() -> str:
    return f"DAY-{secrets.token_hex(6).upper()}"
