"""The day goes on: the waterworks sends bills, one is paid in two parts, a receipt is checked."""

from datetime import timedelta
from typing import Any

from vpass.common import clock
from vpass.day import payment_steps as payments
from vpass.day.actors import new_key
from vpass.day.checks import eventually, present, same
from vpass.day.play import Day, Step, adding_to
from vpass.day.steps import prove_identity

WATER_FEN, SEWAGE_FEN = 4_830, 1_270
PART_FEN = 5_000
REST_FEN = WATER_FEN + SEWAGE_FEN - PART_FEN

STEPS: list[Step] = []
step = adding_to(STEPS)


@step(
    "The waterworks' server sends a batch; one line is refused by itself", needs=(prove_identity,)
)
def upload(day: Day) -> str:
    key, bills = new_key(), _bills(present(day.resident).id_number)
    first, again = (day.outside.upload_bills(day.billing.login, bills, key=key) for _ in range(2))
    same("status", first["status"], 201)
    same("the same batch again", again, first)
    lines = first["answer"]["lines"]
    same("outcomes", [(each["outcome"], each["code"]) for each in lines], [
        ("accepted", None), ("accepted", None), ("refused", "bill.lines_refused"),
    ])  # fmt: skip
    day.billing.bill = lines[0]
    return f"notice code {lines[0]['notice_code'][:4]}…, {len(lines)} lines"


@step("The resident sees it among what is owed, and pays a part", needs=(upload, payments.top_up))
def pay_part(day: Day) -> str:
    billing = day.billing
    (owed,) = [
        each
        for each in billing.owed().expect(200)["items"]
        if each["id"] == billing.bill["bill_id"]
    ]
    same("owed", (owed["kind"], owed["amount_fen"]), ("bill", WATER_FEN + SEWAGE_FEN))
    too_much = billing.pay(owed["notice_code"], owed["amount_fen"] + 1)
    too_much.expect_refusal(409, "bill.too_much")
    shown = _pay(day, PART_FEN, until="part_paid")
    same("bill", (shown["state"], shown["open_fen"]), ("part_paid", REST_FEN))
    paid = [(each["head"], each["paid_fen"]) for each in shown["lines"]]
    same("by head", paid, [("water", WATER_FEN), ("sewage", PART_FEN - WATER_FEN)])
    return f"{PART_FEN} of {owed['amount_fen']} fen"


@step("The rest is paid, and anybody can check the receipt", needs=(pay_part,))
def pay_rest(day: Day) -> str:
    billing = day.billing
    shown = _pay(day, REST_FEN, until="paid")
    same("bill", (shown["state"], shown["open_fen"]), ("paid", 0))
    same("owed", _owed_ids(day), [])
    billing.receipt = billing.fetch_receipt(billing.payments[-1]).expect(200)
    code, content = billing.receipt["receipt_code"], billing.receipt["content"]
    checked = billing.check(code).expect(200)
    same("receipt", (checked["receipt_code"], checked["amount_fen"]), (code, REST_FEN))
    signature = billing.receipt["signature"]
    same("by content", billing.check_content(content, signature).expect(200), checked)
    forged = content.replace(f'"amount_fen":{REST_FEN}', '"amount_fen":1', 1)
    billing.check_content(forged, signature).expect_refusal(422, "receipt.not_genuine")
    return str(checked["biller"]["en"])


def _pay(day: Day, amount_fen: int, *, until: str) -> Any:
    """The bill after a part of it has been paid and has come to it."""
    billing, wallet = day.billing, day.money.wallet
    opened = billing.pay(billing.bill["notice_code"], amount_fen).expect(201)
    payment = {"id": opened["payment_id"], "payee": {"id": opened["payee_id"]}, **opened}
    same("answer", wallet.confirm(payment).expect(200)["state"], "captured")
    day.money.moved.append(("payment", -amount_fen))
    billing.payments.append(opened["payment_id"])
    return eventually(
        day,
        "the payment has come to the bill",
        lambda: billing.show(billing.bill["bill_id"]).expect(200),
        until=lambda shown: shown["state"] == until,
        say="state",
    )


def _owed_ids(day: Day) -> list[str]:
    items = day.billing.owed().expect(200)["items"]
    return [each["id"] for each in items if each["id"] == day.billing.bill["bill_id"]]


def _bills(id_number: str) -> list[dict[str, Any]]:
    """A bill for the resident, one for somebody else, and one with a head that nobody knows."""
    first = clock.city_date(clock.now()).replace(day=1)
    month = {
        "title": "水费 Water",
        "period_from": (first - timedelta(days=1)).replace(day=1).isoformat(),
        "period_to": first.isoformat(),
        "due_date": (clock.city_date(clock.now()) + timedelta(days=10)).isoformat(),
    }
    water = {"head": "water", "amount_fen": WATER_FEN}
    sewage = {"head": "sewage", "amount_fen": SEWAGE_FEN}
    stranger = {"kind": "customer", "value": "0370018"}
    return [
        {
            **month,
            "reference": f"DAY-{new_key()[:16]}",
            "payer": {"kind": "id_number", "value": id_number},
            "lines": [water, sewage],
        },
        {**month, "reference": f"DAY-{new_key()[:16]}", "payer": stranger, "lines": [water]},
        {
            **month,
            "reference": f"DAY-{new_key()[:16]}",
            "payer": stranger,
            "lines": [{**water, "head": "gas"}],
        },
    ]
