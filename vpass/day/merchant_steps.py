"""The day goes on: a firm is taken on, its tills open, and a large refund takes both of them."""

import secrets
from typing import Any

from stdnum.cn import uscc

from vpass.common import signing
from vpass.day import payment_steps as payments
from vpass.day.administration_steps import sign_in_administrators
from vpass.day.checks import same, through_pixels
from vpass.day.payment_actors import Till, all_items
from vpass.day.play import Day, Step, adding_to

ALONE_FEN = 500  # what one till of the shop gives back
PRICE_FEN, LARGE_REFUND_FEN = 1_860, 960
CASHIER = "0017"
STORE: dict[str, Any] = {
    "code": "S01",
    "name_zh": "白浪河店",
    "name_en": "Bailang River Store",
    "address": "潍坊市潍城区白浪河路9号",
    "longitude": 119.1021,
    "latitude": 36.7087,
}

STEPS: list[Step] = []
step = adding_to(STEPS)


@step("Two accountants take a firm on by its credit code", needs=(payments.begin,))
def take_on(day: Day) -> str:
    first, second = day.money.officers
    number = secrets.token_hex(4)
    digits = f"91370700MA{secrets.randbelow(10**7):07d}"
    asked: dict[str, Any] = {
        "credit_code": digits + uscc.calc_check_digit(digits),
        "name_zh": f"白浪河书店{number}",
        "name_en": f"River Books {number}",
        "bank_code": first.merchants().expect(200)["items"][0]["bank_code"],
        "payout_account": f"tok_river_books_{number}_0002",
        "refund_alone_fen": ALONE_FEN,
    }
    other = "A" if asked["credit_code"][-1] != "A" else "B"
    mistyped = asked | {"credit_code": f"{digits}{other}"}
    first.propose_merchant(**mistyped).expect_refusal(422, "merchant.credit_code_invalid")
    proposed = first.propose_merchant(**asked).expect(201)
    first.approve(proposed["id"]).expect_refusal(403, "proposal.self_approval")
    same("proposal", second.approve(proposed["id"]).expect(200)["state"], "approved")
    first.propose_merchant(**asked).expect_refusal(409, "merchant.known")
    (day.shopping.taken_on,) = (
        each for each in all_items(first.merchants) if each["credit_code"] == asked["credit_code"]
    )
    same("merchant", day.shopping.taken_on["state"], "active")
    return str(asked["name_en"])


@step("Two administrators open its store", needs=(take_on, sign_in_administrators))
def open_store(day: Day) -> str:
    office, shop = day.administration, day.shopping.taken_on["organisation_id"]
    proposed = office.proposer.propose("store.register", shop, **STORE).expect(201)
    day.shopping.store_id = office.approver.approve(proposed["id"]).expect(200)["made"]
    return str(STORE["name_en"])


@step(
    "Two administrators register its tills; each code is shown once and good once",
    needs=(open_store,),
)
def open_tills(day: Day) -> str:
    office, shopping = day.administration, day.shopping
    store: dict[str, Any] = {"scene": "pay", "store": shopping.store_id}
    shopping.tills = [Till(day.transport, signing.generate_p256()) for _ in range(2)]
    for number, till in enumerate(shopping.tills, start=1):
        words = {"name_zh": f"{number}号收银台", "name_en": f"Till {number}"} | store
        shop = shopping.taken_on["organisation_id"]
        proposed = office.proposer.propose("terminal.register", shop, **words).expect(201)
        approved = office.approver.approve(proposed["id"]).expect(200)
        till.enrol(enrolment_code=approved["code"]).expect(201)
        stranger = Till(day.transport, signing.generate_p256())
        again = stranger.enrol(enrolment_code=approved["code"])
        again.expect_refusal(422, "terminal.code_refused")
    return f"{len(shopping.tills)} tills"


@step(
    "A cashier takes a payment: the statement says who and where, and so does the phone",
    needs=(open_tills, payments.top_up),
)
def pay_cashier(day: Day) -> str:
    till = day.shopping.tills[0]
    code, _ = through_pixels(day.phone.show_code())
    day.shopping.paid = till.pay(
        code,
        amount_fen=PRICE_FEN,
        title="图书 Books",
        reference=f"DAY-{secrets.token_hex(6).upper()}",
        cashier=CASHIER,
    ).expect(201)
    same("payment", day.shopping.paid["state"], "captured")
    (line,) = till.statement(f"?store={STORE['code']}").expect(200)["items"]
    same("statement", (line["cashier"], line["amount_fen"]), (CASHIER, PRICE_FEN))
    same("of another store", till.statement("?store=S02").expect(200)["items"], [])
    seen = day.money.wallet.payments().expect(200)["items"][0]
    same("on the phone", seen["store"]["address"], STORE["address"])
    return f"cashier {CASHIER}"


@step("A large refund is asked for at one till and approved at the other", needs=(pay_cashier,))
def refund_by_two(day: Day) -> str:
    (one, two), paid_id = day.shopping.tills, day.shopping.paid["id"]
    asked: dict[str, Any] = {"amount_fen": LARGE_REFUND_FEN, "reference": "R-1"}
    alone = one.refund(paid_id, **asked, key=f"alone-{secrets.token_hex(6)}")
    alone.expect_refusal(409, "refund.needs_two")
    waiting = one.ask_refund(paid_id, **asked).expect(201)
    same("the same again", one.ask_refund(paid_id, **asked).expect(201), waiting)
    one.approve_refund(waiting["id"]).expect_refusal(403, "refund_request.self_approval")
    before = day.money.wallet.show().expect(200)["balance_fen"]
    same("request", two.approve_refund(waiting["id"]).expect(200)["state"], "approved")
    two.approve_refund(waiting["id"]).expect_refusal(409, "refund_request.over")
    after = day.money.wallet.show().expect(200)["balance_fen"]
    same("given back", after - before, LARGE_REFUND_FEN)
    same("payment", one.payment(paid_id).expect(200)["state"], "part_refunded")
    return f"{LARGE_REFUND_FEN} of {PRICE_FEN} fen"
