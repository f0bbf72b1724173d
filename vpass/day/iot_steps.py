"""The day goes on: a car is parked, a sensor speaks of it, late and twice, and it is paid once."""

from datetime import UTC, datetime, timedelta
from typing import Any

from vpass.common import clock
from vpass.day import payment_steps as payments
from vpass.day.checks import eventually, present, same
from vpass.day.play import Day, Step, adding_to
from vpass.day.steps import fetch_grant

BAY, SENSOR = "D-001", "bay-d-001"
HALF_HOUR, HALF_HOUR_FEN = timedelta(minutes=30), 200  # nothing is free in the day's bay
PARKED_FOR = timedelta(minutes=70)
LEFT_AGO = timedelta(minutes=5)

STEPS: list[Step] = []
step = adding_to(STEPS)


@step("The sensor of a parking bay reports a car", needs=(payments.top_up,))
def park(day: Day) -> str:
    at = clock.now().replace(microsecond=0)
    free_since = datetime.fromtimestamp(day.memory.bay_free_at, tz=UTC) + timedelta(seconds=1)
    day.parking.began_at = max(at - PARKED_FOR, free_since)
    _report(day, {"occupied": 1, "battery": 87}, event_time=day.parking.began_at)
    return f"{(at - day.parking.began_at).seconds // 60} minutes ago"


@step("The resident claims the bay: the stay runs, nobody else sees it", needs=(park, fetch_grant))
def claim(day: Day) -> str:
    driver = day.parking.driver
    reply = eventually(
        day, "a car to claim", lambda: driver.claim(BAY), until=lambda reply: reply.status != 409
    )
    stay = reply.expect(201)
    began_at = present(day.parking.began_at)
    same("began", datetime.fromisoformat(stay["started_at"]), began_at)
    same("stay", (stay["bay_code"], stay["state"], stay["ended_at"]), (BAY, "open", None))
    same("claimed again", driver.claim(BAY).expect(201)["id"], stay["id"])
    day.parking.stay_id = stay["id"]
    if day.neighbour is not None:
        foreign = day.neighbours_phone.send("GET", f"/parking/sessions/{stay['id']}")
        foreign.expect_refusal(404, "object.not_found")
    return stay["operator"]["en"]


@step("The sensor says free, twice, and an old word comes late: charged once", needs=(claim,))
def leave(day: Day) -> str:
    parking = day.parking
    parking.balance_fen = day.money.wallet.show().expect(200)["available_fen"]
    began_at = present(parking.began_at)
    ended_at = max(clock.now().replace(microsecond=0) - LEFT_AGO, began_at + timedelta(seconds=1))
    day.memory.note_bay_free(ended_at)
    between = (began_at + (ended_at - began_at) / 2).replace(microsecond=0)
    _report(day, {"occupied": 0, "battery": 87}, event_time=ended_at, copies=2)
    _report(day, {"occupied": 1, "battery": 88}, event_time=between)
    stay = eventually(
        day,
        "the stay is paid",
        lambda: parking.driver.stay(parking.stay_id).expect(200),
        until=lambda stay: stay["is_settled"],
        say="state",
    )
    parking.fee_fen = -(-(ended_at - began_at) // HALF_HOUR) * HALF_HOUR_FEN
    same("stay", (stay["state"], stay["fee_fen"]), ("paid", parking.fee_fen))
    same("its times", [stay["started_at"], stay["ended_at"]], [
        began_at.isoformat(), ended_at.isoformat(),
    ])  # fmt: skip
    return f"{(ended_at - began_at).seconds // 60} minutes, {parking.fee_fen} fen"


@step("The wallet's statement shows the fee once, and nothing is owed", needs=(leave,))
def read_statement(day: Day) -> str:
    parking, wallet = day.parking, day.money.wallet
    same("stays", [each["id"] for each in _items(parking.driver.stays())], [parking.stay_id])
    lines = [each for each in _items(wallet.statement()) if BAY in (each["title"] or "")]
    same("lines of the bay", [each["amount_fen"] for each in lines], [-parking.fee_fen])
    day.money.moved.append(("payment", -parking.fee_fen))
    left = wallet.show().expect(200)["available_fen"]
    same("left in the wallet", left, parking.balance_fen - parking.fee_fen)
    same("owed", _items(parking.driver.debts()), [])
    return str(lines[0]["payee"]["en"])


def _report(day: Day, data: dict[str, Any], *, event_time: datetime, copies: int = 1) -> None:
    pushes = day.outside.report(SENSOR, data, event_time=event_time, copies=copies)
    same("answers to the pushes", [each["status"] for each in pushes], [200] * copies)
    day.parking.reported.append(event_time)


def _items(reply: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = reply.expect(200)["items"]
    return found
