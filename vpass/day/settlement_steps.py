"""The day ends: two accountants close the window and pay the shops, and all books agree."""

from typing import Any

from vpass.day import card_payment_steps as by_card
from vpass.day import payment_steps as payments
from vpass.day.checks import eventually, same
from vpass.day.payment_actors import FinanceOfficer, all_items
from vpass.day.play import Day, Step, adding_to
from vpass.day.transport import Unexpected

CLOSE, APPROVE = "window.close", "settlement.approve"

STEPS: list[Step] = []
step = adding_to(STEPS)


@step(
    "One proposes to close the window early, and cannot approve it",
    needs=(payments.begin, payments.repeat_refund, by_card.learn_of_payment),
)
def propose_closing(day: Day) -> str:
    first, _ = day.money.officers
    windows = first.windows().expect(200)["items"]
    day.money.window_id = next(each["id"] for each in windows if each["state"] == "open")
    day.money.proposal_id = _propose(first, CLOSE, day.money.window_id)
    reply = first.approve(day.money.proposal_id)
    reply.expect_refusal(403, "proposal.self_approval")
    same("state of the window", _window(day)["state"], "open")
    return reply.code


@step("The other approves: the window is closed and netted", needs=(propose_closing,))
def close_window(day: Day) -> str:
    _, second = day.money.officers
    same("proposal", second.approve(day.money.proposal_id).expect(200)["state"], "approved")
    _await_window(day, "netted")
    windows = second.windows().expect(200)["items"]
    same("open windows", sum(each["state"] == "open" for each in windows), 1)
    return f"window {day.money.window_id}"


@step("Each fen of each shop's line is a payment or a refund", needs=(close_window,))
def explain_lines(day: Day) -> str:
    money = day.money
    paid = money.wallet.payments().expect(200)["items"]
    shop = next(each["payee"]["id"] for each in paid if each["id"] == money.small["id"])
    lines = {
        each["merchant"]["id"]: each
        for each in all_items(lambda query: money.officers[0].lines(money.window_id, query))
    }
    missing = {each["payee"]["id"] for each in paid if each["state"] == "captured"} - lines.keys()
    same("shops that the resident paid and that have no line", missing, set())
    explained = {merchant: _explain(day, line) for merchant, line in lines.items()}
    money.line = lines[shop]
    ours = [each for each in explained[shop] if each["order_id"] in _orders(day)]
    same("what the day has moved at the shop", _amounts(ours), _expected(day))
    if money.line["net_fen"] <= 0:
        raise Unexpected("the shop has earned nothing to be paid")
    postings = sum(map(len, explained.values()))
    return f"{len(lines)} lines, {postings} postings, the shop's net {money.line['net_fen']} fen"


def _explain(day: Day, line: Any) -> list[Any]:
    """The payments and refunds that a line is made of, and nothing besides."""
    officer, window_id = day.money.officers[0], day.money.window_id
    moved = all_items(lambda query: officer.line_payments(window_id, line["id"], query))
    for side, total in (
        ("gross", sum(each["amount_fen"] for each in moved if each["amount_fen"] > 0)),
        ("less", sum(each["amount_fen"] for each in moved if each["amount_fen"] < 0)),
    ):
        of_line = line["gross_fen"] if side == "gross" else -line["refunded_fen"] - line["fee_fen"]
        same(f"{side} of the line", of_line, total)
    net_fen = sum(each["amount_fen"] for each in moved) + line["carried_fen"]
    same("net of the line", line["net_fen"], net_fen)
    return moved


@step("Settlement is proposed by one and approved by the other: sent", needs=(explain_lines,))
def approve_settlement(day: Day) -> str:
    first, second = day.money.officers
    proposal_id = _propose(second, APPROVE, day.money.window_id)
    second.approve(proposal_id).expect_refusal(403, "proposal.self_approval")
    same("proposal", first.approve(proposal_id).expect(200)["state"], "approved")
    _await_window(day, "sent", "acked")
    payout = _line(day)["payout"]
    at_bank = day.outside.payout(payout["id"])
    same("orders at the bank", at_bank["orders"], 1)
    same("amount at the bank", at_bank["amount_fen"], day.money.line["net_fen"])
    return f"{day.money.line['net_fen']} fen"


@step("The bank books and gives notice: acknowledged", needs=(approve_settlement,))
def acknowledge(day: Day) -> str:
    day.outside.book_payouts(_line(day)["payout"]["id"])
    day.outside.book_payouts()  # and those of other shops
    history = [each["state"] for each in _await_window(day, "acked")["history"]]
    same("payout of the line", _line(day)["payout"]["state"], "booked")
    return ", ".join(history)


@step(
    "Where is my money? At the shop's bank; and the shop sees of what its payout is made",
    needs=(acknowledge,),
)
def follow_the_money(day: Day) -> str:
    money = day.money
    stages = money.wallet.way(money.large["id"]).expect(200)["stages"]
    same("stages not done", [each["stage"] for each in stages if each["state"] != "done"], [])
    settlement = money.till.settlements().expect(200)["items"][0]
    same("the shop's settlement", settlement["id"], money.line["id"])
    same("its payout", settlement["payout_id"], stages[3]["reference"])
    same("its bank's reference", settlement["bank_reference"], stages[4]["reference"])
    made_of = all_items(lambda query: money.till.settled_payments(settlement["id"], query))
    moved_fen = settlement["net_fen"] - settlement["carried_fen"]
    same("its payments and refunds", sum(each["amount_fen"] for each in made_of), moved_fen)
    return str(stages[4]["reference"])


@step(
    "Statements of resident, shop and bank agree, to the fen",
    needs=(acknowledge, payments.learn_of_withdrawal),
)
def compare_statements(day: Day) -> str:
    money = day.money
    lines = all_items(money.wallet.statement)
    same(
        "the wallet's statement",
        sorted((line["kind"], line["amount_fen"]) for line in lines),
        sorted(money.moved),
    )
    balance_fen = money.wallet.show().expect(200)["balance_fen"]
    same("sum of the wallet's statement", sum(line["amount_fen"] for line in lines), balance_fen)
    of_shop = _shop_statement(day)
    ours = [line for line in of_shop if line["payment_id"] in _orders(day)]
    same("the day in the shop's statement", _amounts(ours), _expected(day))
    payouts = [line["amount_fen"] for line in of_shop if line["kind"] == "payout"]
    same("the shop's last payout", payouts[:1], [-money.line["net_fen"]])
    return _compare_with_bank(day)


def _compare_with_bank(day: Day) -> str:
    before, now = day.money.bank_before, day.outside.bank_totals()
    window = all_items(lambda query: day.money.officers[0].lines(day.money.window_id, query))
    paid_to_shops = sum(line["net_fen"] for line in window if line["payout"] is not None)
    credited, debited = payments.TOP_UP_FEN, by_card.TOP_UP_FEN + by_card.PRICE_FEN
    came, went = credited + debited, payments.WITHDRAWAL_FEN + paid_to_shops
    for name, expected in (
        ("credited_fen", credited),
        ("debited_fen", debited),
        ("paid_out_fen", went),
        ("returned_fen", 0),
        ("balance_fen", came - went),
    ):
        same(f"{name} of the bank, today", now[name] - before[name], expected)
    return f"in {came} fen, out {went} fen"


def _propose(officer: FinanceOfficer, action: str, window_id: int) -> str:
    """The id of a new proposal; one that an earlier day has left is taken away first."""
    for known in officer.proposals().expect(200)["items"]:
        is_same = (known["action"], known["subject"]) == (action, str(window_id))
        if is_same and known["state"] == "proposed":
            officer.reject(known["id"])
    return str(officer.propose(action, window_id).expect(201)["id"])


def _window(day: Day) -> Any:
    return day.money.officers[0].window(day.money.window_id).expect(200)


def _await_window(day: Day, *states: str) -> Any:
    return eventually(
        day,
        f"the window is {' or '.join(states)}",
        lambda: _window(day),
        until=lambda window: window["state"] in states,
        say="state",
    )


def _line(day: Day) -> Any:
    lines = all_items(lambda query: day.money.officers[0].lines(day.money.window_id, query))
    return next(line for line in lines if line["id"] == day.money.line["id"])


def _shop_statement(day: Day) -> list[Any]:
    """The shop's lines of the days in which the window and the one after it lie, newest first."""
    windows = day.money.officers[0].windows().expect(200)["items"]
    dates = {each["business_date"] for each in windows if each["id"] >= day.money.window_id}
    lines = [line for date in dates for line in all_items(day.money.till.statement, date=date)]
    return sorted(lines, key=lambda line: -int(line["id"]))


def _orders(day: Day) -> set[str]:
    return {day.money.small["id"], day.money.large["id"], day.money.by_card["id"]}


def _amounts(moved: list[Any]) -> list[tuple[str, str, int]]:
    key = "order_id" if moved and "order_id" in moved[0] else "payment_id"
    return sorted((each[key], each["kind"], each["amount_fen"]) for each in moved)


def _expected(day: Day) -> list[tuple[str, str, int]]:
    small, large = day.money.small["id"], day.money.large["id"]
    return sorted(
        [
            (small, "payment", payments.SMALL_FEN),
            (large, "payment", payments.LARGE_FEN),
            (large, "refund", -payments.REFUND_FEN),
            (day.money.by_card["id"], "payment", by_card.PRICE_FEN),
        ]
    )
