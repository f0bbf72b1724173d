"""The day goes on: money comes from the bank, is paid at a till, given back, and withdrawn."""

import secrets
from typing import Any

from identity.code_format import ALL_SCENES, SCENES
from vpass.day.actors import new_key
from vpass.day.checks import eventually, present, same, through_pixels
from vpass.day.play import Day, Step, adding_to
from vpass.day.steps import fetch_grant, signed_in
from vpass.day.transport import Unexpected

TOP_UP_FEN = 500_000
SMALL_FEN = 2_580
LARGE_FEN = 128_000  # above what needs no confirmation
REFUND_FEN = 48_000
WITHDRAWAL_FEN = 100_000
PAID_AT_ONCE = "0002"  # the end of the number of an account to which the bank pays at once
UNDER_WAY = {"approved", "filed", "sent"}

STEPS: list[Step] = []
step = adding_to(STEPS)


@step("Two accountants sign in; what earlier days began is settled")
def begin(day: Day) -> str:
    waited = 0.0
    for officer, enrolment_code in zip(
        day.money.officers, day.money.office_enrolment_codes, strict=True
    ):
        if officer.username not in day.memory.enrolled:
            officer.enrol_desk(enrolment_code=enrolment_code).expect(201)
            day.memory.note_enrolled(officer.username)
        session, waited_now = signed_in(day, officer)
        same("roles", session["staff"]["roles"], ["finance"])
        waited += waited_now
    day.money.bank_before = eventually(
        day,
        "quiet at the bank",
        lambda: _settle_old(day),
        until=lambda totals: totals is not None,
    )
    return f"waited {waited:.0f} s for fresh codes" if waited else ""


@step("The resident's wallet is empty and shows a top-up number", needs=(fetch_grant,))
def open_wallet(day: Day) -> str:
    wallet = day.money.wallet.show().expect(200)
    same("wallet", (wallet["balance_fen"], wallet["available_fen"]), (0, 0))
    day.money.top_up_number = wallet["top_up_number"]
    return f"{len(day.money.top_up_number)} digits"


@step("The bank gives signed notice of a transfer: the money is there", needs=(open_wallet,))
def top_up(day: Day) -> str:
    outside = day.outside
    notice = outside.pay_in(
        day.money.top_up_number,
        amount_fen=TOP_UP_FEN,
        payer_name=present(day.resident).real_name,
        payer_last4=PAID_AT_ONCE,
    )
    told = eventually(
        day,
        "the notice is answered",
        lambda: outside.notice(notice["id"]),
        until=lambda told: told["outcome"],
        say="last_status",
    )
    same("outcome at the bank", told["outcome"], "credited")
    _same_balance(day, TOP_UP_FEN)
    day.money.moved.append(("top_up", TOP_UP_FEN))
    return _yuan(TOP_UP_FEN)


@step("The till is enrolled")
def enrol_till(day: Day) -> str:
    if "till" in day.memory.enrolled:
        return "with the key kept from an earlier day"
    enrolled = day.money.till.enrol(enrolment_code=day.money.till_enrolment_code).expect(201)
    day.memory.note_enrolled("till")
    till = enrolled["machine"]
    return f"{till['organisation']['en']}, {till['name']['en']}"


@step("The till scans the code: a small payment is captured at once", needs=(top_up, enrol_till))
def pay_small(day: Day) -> str:
    paid = _pay(day, amount_fen=SMALL_FEN, title="早餐 Breakfast")
    same("payment", (paid["state"], paid["captured_fen"]), ("captured", SMALL_FEN))
    day.money.small = paid
    day.money.moved.append(("payment", -SMALL_FEN))
    _same_balance(day, TOP_UP_FEN - SMALL_FEN)
    return _yuan(SMALL_FEN)


@step("A payment above the limit waits for the resident", needs=(pay_small,))
def pay_large(day: Day) -> str:
    waiting = _pay(day, amount_fen=LARGE_FEN, title="自行车 Bicycle")
    same("payment", (waiting["state"], waiting["captured_fen"]), ("confirming", 0))
    day.money.large = waiting
    _same_balance(day, TOP_UP_FEN - SMALL_FEN)
    return _yuan(LARGE_FEN)


@step("The phone confirms order, payee and amount, no other: captured", needs=(pay_large,))
def confirm(day: Day) -> str:
    wallet, large = day.money.wallet, day.money.large
    newest = wallet.payments().expect(200)["items"][0]
    same("the newest payment on the phone", newest["id"], large["id"])
    same("its amount and state", (newest["amount_fen"], newest["state"]), (LARGE_FEN, "confirming"))
    wallet.confirm(newest, amount_fen=LARGE_FEN - 1).expect_refusal(
        422, "order.confirmation_invalid"
    )
    same("answer", wallet.confirm(newest).expect(200), {"id": large["id"], "state": "captured"})
    at_till = day.money.till.payment(large["id"]).expect(200)
    same("at the till", (at_till["state"], at_till["captured_fen"]), ("captured", LARGE_FEN))
    day.money.moved.append(("payment", -LARGE_FEN))
    _same_balance(day, TOP_UP_FEN - SMALL_FEN - LARGE_FEN)
    return newest["payee"]["en"]


@step("A code without the right to pay is refused at the till", needs=(top_up, enrol_till))
def pay_without_right(day: Day) -> str:
    code, _ = through_pixels(day.phone.show_code(scenes=ALL_SCENES & ~SCENES["pay"]))
    reply = day.money.till.pay(code, amount_fen=100, title="茶 Tea", reference=_new_reference())
    reply.expect_refusal(403, "code.scene_not_allowed")
    return reply.code


@step("The till gives a part back", needs=(confirm,))
def refund(day: Day) -> str:
    money = day.money
    money.refund_reference, money.refund_key = _new_reference(), new_key()
    money.refund = _refund(day, key=money.refund_key).expect(201)
    same("payment", money.refund["payment_state"], "part_refunded")
    same("what is left of it", money.refund["refundable_fen"], LARGE_FEN - REFUND_FEN)
    money.moved.append(("refund", REFUND_FEN))
    _same_balance(day, TOP_UP_FEN - SMALL_FEN - LARGE_FEN + REFUND_FEN)
    return _yuan(REFUND_FEN)


@step("The same refund again is the same refund, under any key", needs=(refund,))
def repeat_refund(day: Day) -> str:
    for key in (day.money.refund_key, new_key()):
        if _refund(day, key=key).expect(201) != day.money.refund:
            raise Unexpected("the repeated refund has another answer")
    _same_balance(day, TOP_UP_FEN - SMALL_FEN - LARGE_FEN + REFUND_FEN)
    return ""


@step("A withdrawal: the bank pays, and its answer is lost", needs=(repeat_refund,))
def withdraw(day: Day) -> str:
    before_fen = _balance(day)
    with day.outside.bank_answer_lost():
        begun = day.money.wallet.withdraw(WITHDRAWAL_FEN).expect(201)
        day.money.withdrawal_id = begun["id"]
        eventually(
            day,
            "the withdrawal is unknown",
            lambda: _withdrawal(day),
            until=lambda shown: shown["state"] == "unknown",
            say="state",
        )
    same("at the bank", day.outside.payout(begun["id"])["status"], "booked")
    wallet = day.money.wallet.show().expect(200)
    same(
        "balance, and what is free of it",
        (wallet["balance_fen"], wallet["available_fen"]),
        (before_fen, before_fen - WITHDRAWAL_FEN),
    )
    return "unknown"


@step("The bank is asked, never ordered again: booked, and paid once", needs=(begin, withdraw))
def learn_of_withdrawal(day: Day) -> str:
    shown = eventually(
        day,
        "the withdrawal is booked",
        lambda: _withdrawal(day),
        until=lambda shown: shown["state"] == "booked",
        say="state",
    )
    states = [each["state"] for each in shown["history"]]
    same("its history", states, ["prepared", "unknown", "booked"])
    at_bank = day.outside.payout(day.money.withdrawal_id)
    same("orders at the bank", (at_bank["status"], at_bank["orders"]), ("booked", 1))
    same("amount at the bank", at_bank["amount_fen"], WITHDRAWAL_FEN)
    same("reference of the bank", shown["bank_reference"], at_bank["bank_reference"])
    day.money.moved.append(("payout", -WITHDRAWAL_FEN))
    paid_out = day.outside.bank_totals()["paid_out_fen"] - day.money.bank_before["paid_out_fen"]
    same("paid out by the bank", paid_out, WITHDRAWAL_FEN)
    _same_balance(day, TOP_UP_FEN - SMALL_FEN - LARGE_FEN + REFUND_FEN - WITHDRAWAL_FEN)
    return ", ".join(states)


@step("The resident reads of the till in the access log", needs=(confirm, pay_without_right))
def read_till_uses(day: Day) -> str:
    lines = [
        (line["outcome"], line["reason"], line["purpose"]["code"], line["case_number"])
        for line in day.phone.access_log().expect(200)["items"]
        if line["scene"] == "pay"
    ]
    references = [day.money.large["merchant_reference"], day.money.small["merchant_reference"]]
    same("lines, newest first", [line[:3] for line in lines], [
        ("refused", "code.scene_not_allowed", "payment"),
        ("accepted", None, "payment"),
        ("accepted", None, "payment"),
    ])  # fmt: skip
    same("the shop's own numbers", [line[3] for line in lines[1:]], references)
    return f"{len(lines)} lines"


def _settle_old(day: Day) -> Any:
    """The bank's totals, when nothing is on its way between us; None while something is."""
    day.outside.book_payouts()
    windows = day.money.officers[0].windows().expect(200)["items"]
    totals = day.outside.bank_totals()
    is_quiet = not totals["notices"].get("waiting") and not any(
        totals[kind].get("accepted") for kind in ("payouts", "debits")
    )
    is_settled = all(each["state"] not in UNDER_WAY for each in windows)
    return totals if is_quiet and is_settled else None


def _pay(day: Day, *, amount_fen: int, title: str) -> Any:
    code, _ = through_pixels(day.phone.show_code())
    reply = day.money.till.pay(code, amount_fen=amount_fen, title=title, reference=_new_reference())
    return reply.expect(201)


def _refund(day: Day, *, key: str) -> Any:
    money = day.money
    return money.till.refund(
        money.large["id"], amount_fen=REFUND_FEN, reference=money.refund_reference, key=key
    )


def _withdrawal(day: Day) -> Any:
    return day.money.wallet.withdrawal(day.money.withdrawal_id).expect(200)


def _balance(day: Day) -> int:
    return int(day.money.wallet.show().expect(200)["balance_fen"])


def _same_balance(day: Day, expected_fen: int) -> None:
    same("balance of the wallet", _balance(day), expected_fen)


def _new_reference() -> str:
    return f"DAY-{secrets.token_hex(6)}"


def _yuan(fen: int) -> str:
    return f"¥{fen // 100:,}.{fen % 100:02d}"
