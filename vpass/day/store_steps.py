"""The day goes on: a store closes for a while, its merchant is stopped, and rules change."""

import secrets
from typing import Any

from vpass.common import signing
from vpass.day import merchant_steps as merchants
from vpass.day.checks import same, through_pixels
from vpass.day.payment_actors import Till
from vpass.day.play import Day, Step, adding_to
from vpass.day.transport import Reply

BOOK_FEN = 1_650
WORD_FROM_FEN = 1_400  # and up to a hundred more: from there a new phone needs a word
DOOR: dict[str, Any] = {"hold_fen": 1_200, "stay_minutes": 30}

STEPS: list[Step] = []
step = adding_to(STEPS)


@step(
    "The store closes: its till is refused until two open it again", needs=(merchants.open_tills,)
)
def close_store(day: Day) -> str:
    office, (till, _) = day.administration, day.shopping.tills
    store_id = day.shopping.store_id
    same("store", office.proposer.suspend("stores", store_id).expect(200)["state"], "suspended")
    till.statement().expect_refusal(403, "store.closed")
    _pay(day, till).expect_refusal(403, "store.closed")
    proposed = office.proposer.propose("store.lift", store_id).expect(201)
    office.approver.approve(proposed["id"]).expect(200)
    (store,) = till.send("GET", "/stores").expect(200)["items"]
    same("store", (store["code"], store["state"]), (merchants.STORE["code"], "active"))
    return str(store["en"])


@step(
    "One accountant stops the merchant, two let it go on",
    needs=(merchants.pay_cashier, close_store),
)
def stop_merchant(day: Day) -> str:
    (first, second), till = day.money.officers, day.shopping.tills[0]
    path = f"/merchants/{day.shopping.taken_on['id']}"
    same("merchant", first.stop(f"{path}/suspension").expect(200)["state"], "suspended")
    _pay(day, till).expect_refusal(403, "merchant.suspended")
    back = till.refund(day.shopping.paid["id"], amount_fen=1, reference="R-9", key=_new_key())
    back.expect_refusal(403, "merchant.suspended")
    proposed = first.propose_change(f"{path}/reinstatement").expect(201)
    first.approve(proposed["id"]).expect_refusal(403, "proposal.self_approval")
    second.approve(proposed["id"]).expect(200)
    same("payment", _pay(day, till).expect(201)["state"], "captured")
    return "reinstated"


@step(
    "Two accountants change a rule of risk, and the next payment is judged so",
    needs=(stop_merchant,),
)
def change_rule(day: Day) -> str:
    (first, _), till = day.money.officers, day.shopping.tills[0]
    rules = first.send("GET", "/risk-rules?limit=100", part="/api/finance/v1").expect(200)["items"]
    rule = next(each for each in rules if each["name"] == "new-phone")
    stricter = rule | {"from_fen": WORD_FROM_FEN + secrets.randbelow(100)}
    _change(day, "/risk-rule-changes", stricter)
    waiting = _pay(day, till).expect(201)
    same("payment", waiting["state"], "confirming")
    till.send("POST", f"/payments/{waiting['id']}/cancellation", {}, key=_new_key()).expect(200)
    _change(day, "/risk-rule-changes", rule)
    same("payment", _pay(day, till).expect(201)["state"], "captured")
    newest, before = first.changes().expect(200)["items"][:2]
    same("history", (newest["before"], newest["after"]), (before["after"], before["before"]))
    return str(newest["subject"])


@step("A machine of the store becomes a door by two, and is closed by one", needs=(stop_merchant,))
def open_door(day: Day) -> str:
    office, shopping = day.administration, day.shopping
    words = {"name_zh": "无人区门", "name_en": "Door of the self-service room"}
    detail: dict[str, Any] = words | {"scene": "pay", "store": shopping.store_id}
    shop = shopping.taken_on["organisation_id"]
    proposed = office.proposer.propose("terminal.register", shop, **detail).expect(201)
    made = office.approver.approve(proposed["id"]).expect(200)
    door = Till(day.transport, signing.generate_p256())
    door.enrol(enrolment_code=made["code"]).expect(201)
    _enter(day, door).expect_refusal(403, "visit.no_door")
    _change(day, "/shop-doors", {"terminal_id": made["made"], **DOOR})
    inside = _enter(day, door).expect(201)
    same("held", inside["held_fen"], DOOR["hold_fen"])
    closing = f"/shop-doors/{made['made']}/closing"
    same("door", day.money.officers[0].stop(closing).expect(200)["state"], "closed")
    _enter(day, door).expect_refusal(403, "visit.door_closed")
    nothing = {"amount_fen": 0, "title": "无 Nothing"}
    left = door.send("POST", f"/visits/{inside['id']}/leaving", nothing, key=_new_key()).expect(200)
    same("visit", left["state"], "left")
    return "in, closed, out"


def _change(day: Day, path: str, asked: dict[str, Any]) -> None:
    first, second = day.money.officers
    second.approve(first.propose_change(path, **asked).expect(201)["id"]).expect(200)


def _pay(day: Day, till: Till) -> Reply:
    code, _ = through_pixels(day.phone.show_code())
    return till.pay(code, amount_fen=BOOK_FEN, title="图书 Books", reference=_reference())


def _enter(day: Day, door: Till) -> Reply:
    code, _ = through_pixels(day.phone.show_code())
    asked = {"code": code, "merchant_reference": _reference()}
    return door.send("POST", "/visits", asked, key=_new_key())


def _reference() -> str:
    return f"DAY-{secrets.token_hex(6).upper()}"


def _new_key() -> str:
    return f"day-{secrets.token_hex(12)}"
