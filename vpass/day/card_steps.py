"""The day goes on: cards come into the wallet, the bus takes a code, and one card is stopped."""

from typing import Any

from vpass.day.actors import new_key
from vpass.day.checks import eventually, present, same, through_pixels
from vpass.day.play import Day, Step, adding_to
from vpass.day.steps import FOREIGN_PURPOSE, enrol_neighbour, fetch_grant
from vpass.day.transport import Unexpected

FARE_FEN = 200
BUS_COMPANY = "Weifang Bus Company"
ISSUERS = {"id": "public-security", "bank": "weifang-bank", "bus": "weifang-bus"}

STEPS: list[Step] = []
step = adding_to(STEPS)

# What needs the fare to be charged.
CHARGED_STEPS: list[Step] = []
charged_step = adding_to(CHARGED_STEPS)


@step("The card wallet is empty; each type says what it asks", needs=(fetch_grant,))
def look_at_types(day: Day) -> str:
    same("cards", day.cards.wallet.cards().expect(200)["items"], [])
    types = day.phone.send("GET", "/card-types").expect(200)["items"]
    found = {one["code"]: [issuer["code"] for issuer in one["issuers"]] for one in types}
    same("types and who issues them", found, {code: [by] for code, by in ISSUERS.items()})
    return f"{len(types)} types"


@step("The ID card is bound: public security confirms it", needs=(look_at_types,))
def bind_id_card(day: Day) -> str:
    shown = _bind(day, "id")
    same("last four", shown["last4"], "")
    return f"good until {shown['valid_until'] or 'for ever'}"


@step("A bank card is bound at its bank; twice the same request", needs=(look_at_types,))
def bind_bank_card(day: Day) -> str:
    shown = _bind(day, "bank", which=1)
    same("brand", shown["facts"], {"brand": "UnionPay"})
    return f"ends in {shown['last4']}"


@step("A neighbour's bus card is refused by its issuer", needs=(look_at_types, enrol_neighbour))
def bind_foreign_card(day: Day) -> str:
    card = day.outside.demo_cards(present(day.neighbour).place)["bus"][0]
    reply = day.cards.wallet.bind("bus", ISSUERS["bus"], card["fields"])
    reply.expect_refusal(422, "card.not_confirmed")
    same("reason", reply.body["reason"], "not_found")
    return reply.code


@step("The resident's own bus card is bound", needs=(look_at_types,))
def bind_bus_card(day: Day) -> str:
    return f"concession {_bind(day, 'bus')['facts']['concession']}"


@step("The bus scans the code: a ride, and the same again when asked", needs=(bind_bus_card,))
def tap(day: Day) -> str:
    code, key = _code(day), new_key()
    day.cards.tapped = day.cards.bus.tap(code, key=key).expect(200)
    same("fare", (day.cards.tapped["fare_fen"], day.cards.tapped["line"]), (FARE_FEN, "1"))
    same("repeat", day.cards.bus.tap(code, key=key).expect(200), day.cards.tapped)
    day.cards.bus.tap(code).expect_refusal(409, "code.already_used")
    return f"¥{FARE_FEN / 100:.2f}"


@step("The bus card is frozen: no ride, while the ID stays good", needs=(tap,))
def freeze(day: Day) -> str:
    card_id = day.cards.shown["bus"]["id"]
    frozen = day.cards.wallet.change(card_id, "freeze").expect(200)
    same("fault", frozen["fault"], "card.frozen")
    reply = day.cards.bus.tap(_code(day))
    reply.expect_refusal(403, "card.frozen")
    seen = day.kiosk.scan(day.phone.show_code(), purpose=FOREIGN_PURPOSE).expect(200)
    same("outcome at the kiosk", seen["outcome"], "accepted")
    newest = day.phone.access_log().expect(200)["items"][1]
    same("the ride in the log", (newest["outcome"], newest["reason"]), ("refused", "card.frozen"))
    return reply.code


@step("The freeze is lifted, and the bus takes the resident again", needs=(freeze,))
def lift(day: Day) -> str:
    lifted = day.cards.wallet.change(day.cards.shown["bus"]["id"], "lift").expect(200)
    same("card", (lifted["fault"], lifted["stops"]), (None, []))
    day.cards.tapped = day.cards.bus.tap(_code(day)).expect(200)
    return f"¥{FARE_FEN / 100:.2f}"


@charged_step("The fares of both rides stand in the wallet's statement", needs=(lift,))
def read_fares(day: Day) -> str:
    def fares() -> list[int]:
        lines = day.money.wallet.statement().expect(200)["items"]
        return [
            line["amount_fen"]
            for line in lines
            if line["payee"] and line["payee"]["en"] == BUS_COMPANY
        ]

    found = eventually(day, "both fares", fares, until=lambda paid: len(paid) >= 2)
    same("fares", found, [-FARE_FEN, -FARE_FEN])
    day.money.moved += [("payment", fen) for fen in found]
    return f"¥{2 * FARE_FEN / 100:.2f}"


def _bind(day: Day, card_type: str, *, which: int = 0) -> dict[str, Any]:
    """Binds one of the resident's cards, twice with one key, and keeps what was shown."""
    demo = day.outside.demo_cards(present(day.resident).place)[card_type][which]
    fields, key = _asked(demo["fields"]), new_key()
    first, second = (
        day.cards.wallet.bind(card_type, ISSUERS[card_type], fields, key=key) for _ in range(2)
    )
    shown: dict[str, Any] = first.expect(201)
    same("repeat", second.expect(201)["id"], shown["id"])
    same("card", (shown["state"], shown["fault"], shown["stops"]), ("active", None, []))
    number = fields.get("card_number")
    if number and number in str(shown):
        raise Unexpected("a card's number is shown in full")
    day.cards.shown[card_type] = shown
    return shown


def _asked(fields: dict[str, str]) -> dict[str, str]:
    """What the holder types: the phone number is known to V Pass already."""
    return {name: value for name, value in fields.items() if name != "phone"}


def _code(day: Day) -> str:
    code, _ = through_pixels(day.phone.show_code())
    return code
