"""The day goes on: an unmanned shop lets the resident in by the code and takes what was taken."""

import secrets
from typing import Any

from vpass.day import payment_steps as payments
from vpass.day.checks import same, through_pixels
from vpass.day.play import Day, Step, adding_to

HOLD_FEN = 20_000  # as the seeded doors are set
DRINKS_FEN = 1_240

STEPS: list[Step] = []
step = adding_to(STEPS)


@step("The door of an unmanned shop is enrolled")
def enrol_door(day: Day) -> str:
    if "door" in day.memory.enrolled:
        return "with the key kept from an earlier day"
    shopping = day.shopping
    enrolled = shopping.door.enrol(enrolment_code=shopping.door_enrolment_code).expect(201)
    day.memory.note_enrolled("door")
    return str(enrolled["machine"]["organisation"]["en"])


@step(
    "In by the code: an amount is held, and what was taken is paid on leaving",
    needs=(enrol_door, payments.top_up),
)
def shop_unmanned(day: Day) -> str:
    shopping, before = day.shopping, _wallet(day)
    inside = _enter(day)
    same("visit", (inside["state"], inside["held_fen"]), ("inside", HOLD_FEN))
    seen = shopping.visits().expect(200)["items"][0]
    same("on the phone", (seen["id"], seen["state"]), (inside["id"], "inside"))
    same("while inside", _wallet(day), (before[0], before[1] - HOLD_FEN))
    too_much = shopping.leave(inside["id"], HOLD_FEN + 1, title="饮料 Drinks")
    too_much.expect_refusal(422, "hold.exceeded")
    left = shopping.leave(inside["id"], DRINKS_FEN, title="饮料 Drinks").expect(200)
    same("visit", (left["state"], left["paid_fen"]), ("paid", DRINKS_FEN))
    same("afterwards", _wallet(day), (before[0] - DRINKS_FEN, before[1] - DRINKS_FEN))
    newest = day.money.wallet.payments().expect(200)["items"][0]
    same("the newest payment", newest["id"], left["payment_id"])
    return f"{DRINKS_FEN} of {HOLD_FEN} fen held"


@step("In and out with nothing: all that was held is free", needs=(shop_unmanned,))
def only_look(day: Day) -> str:
    before, inside = _wallet(day), _enter(day)
    left = day.shopping.leave(inside["id"], 0, title="无 Nothing").expect(200)
    same("visit", (left["state"], left["paid_fen"]), ("left", 0))
    same("wallet", _wallet(day), before)
    day.shopping.leave(inside["id"], 100, title="无 Nothing").expect_refusal(409, "visit.over")
    return "nothing paid"


def _enter(day: Day) -> Any:
    code, _ = through_pixels(day.phone.show_code())
    reference = f"DAY-{secrets.token_hex(6).upper()}"
    return day.shopping.enter(code, reference=reference).expect(201)


def _wallet(day: Day) -> tuple[int, int]:
    """What is there, and how much of it is free."""
    shown = day.money.wallet.show().expect(200)
    return int(shown["balance_fen"]), int(shown["available_fen"])
