"""The sandbox's issuers know their people's cards, and no others."""

from typing import Any

import pytest

from vpass.sandbox import issuers, population
from vpass.sandbox.issuers import CARD_TYPES, Issuers, bank_card_number, bus_card_number

PLACE = 4
PERSON = population.people()[PLACE]
BINDING = "0e6f3a53-9c9b-4a3e-8a0f-6a5b6f0f8b11"
CODES = {card_type: code for code, card_type in CARD_TYPES.items()}


def asked(card_type: str, fields: dict[str, str] | None = None, **changes: Any) -> dict[str, Any]:
    question: dict[str, Any] = {
        "binding_id": BINDING,
        "card_type": card_type,
        "real_name": PERSON.real_name,
        "id_number": PERSON.id_number,
        "fields": fields or {},
    }
    return question | changes


def answer(server: Issuers, members: dict[str, Any], *, code: str = "") -> tuple[int, Any]:
    code = code or CODES.get(str(members.get("card_type")), "weifang-bus")
    found = server.answer(route=f"/{code}/v1/bindings", members=members)
    return found.status, dict(found.members)


@pytest.mark.parametrize("place", [0, 19, 199, 200, 5999])
def test_demo_cards__of_anybody__are_confirmed_as_listed(place: int):
    issuers = Issuers()
    person = population.crowd()[place]

    for card_type, cards in issuers.demo_cards(place).items():
        for number, card in enumerate(cards):
            status, members = answer(
                issuers,
                asked(
                    card_type,
                    card["fields"],
                    binding_id=f"0e6f3a53-9c9b-4a3e-8a0f-6a5b6f0f8b{number}0",
                    real_name=person.real_name,
                    id_number=person.id_number,
                ),
            )
            assert (status, members["status"]) == (200, "confirmed")
            assert members["card"] == card["card"]


def test_demo_cards__nobody_there__said_so():
    with pytest.raises(LookupError):
        Issuers().demo_cards(population.CROWD_SIZE)


@pytest.mark.parametrize(
    ("card_type", "number", "reason"),
    [
        ("bank", bank_card_number(PLACE, last4="1234", kind="08"), "expired"),
        ("bank", bank_card_number(PLACE, last4="1234", kind="09"), "stopped"),
        ("bank", bank_card_number(PLACE + 1, last4="1234"), "not_found"),
        ("bank", "6217000000400" + "12345", "not_found"),
        ("bus", bus_card_number(PLACE, kind="8"), "expired"),
        ("bus", bus_card_number(PLACE, kind="9"), "stopped"),
        ("bus", bus_card_number(PLACE + 1), "not_found"),
        ("bus", "99999999", "not_found"),
    ],
)
def test_binding__not_good__refused_with_the_reason(card_type: str, number: str, reason: str):
    fields = {"card_number": number} | ({"phone": PERSON.phone} if card_type == "bank" else {})

    assert answer(Issuers(), asked(card_type, fields)) == (
        200,
        {"binding_id": BINDING, "status": "refused", "reason": reason},
    )


def test_binding__other_name_number_or_phone__not_found():
    fields = {"card_number": bank_card_number(PLACE, last4="1234"), "phone": PERSON.phone}
    wrong = [
        asked("bank", fields, real_name="无此人"),
        asked("bank", fields, id_number=population.people()[0].id_number),
        asked("bank", fields | {"phone": "13900000000"}),
        asked("id", real_name="无此人"),
    ]

    for members in wrong:
        assert answer(Issuers(), members)[1]["reason"] == "not_found"


def test_binding__same_id_again__same_answer_and_other_members_refused():
    server = Issuers()
    members = asked("bus", {"card_number": bus_card_number(PLACE)})

    first, second = answer(server, members), answer(server, members)
    reused = answer(server, members | {"real_name": "无此人"})

    assert first == second
    assert reused == (409, {"error": "binding_id_reused"})
    assert server.journal() == {"questions": 1, "repeats": 1, "refused": 0}


def test_binding__same_id_after_the_card_was_stopped__judged_anew(
    monkeypatch: pytest.MonkeyPatch,
):
    server, members = Issuers(), asked("bus", {"card_number": bus_card_number(PLACE)})
    assert answer(server, members)[1]["status"] == "confirmed"
    stopped = {"status": "refused", "reason": "stopped"}
    monkeypatch.setattr(issuers, "_JUDGES", {"bus": lambda _: stopped})

    assert answer(server, members) == (200, {"binding_id": members["binding_id"], **stopped})


@pytest.mark.parametrize(
    "changes",
    [
        {"binding_id": "x"},
        {"real_name": " 王"},
        {"id_number": "1"},
        {"card_type": "dragon"},
        {"fields": []},
        {"fields": {"card_number": 7}},
        {"fields": {"card_number": "1"}},
        {"fields": {}},
        {"fields": {"card_number": "37070000000", "pin": "1"}},
        {"surprise": "1"},
    ],
    ids=str,
)
def test_binding__malformed__400(changes: dict[str, Any]):
    members = asked("bus", {"card_number": bus_card_number(PLACE)}) | changes

    assert answer(Issuers(), members, code="weifang-bus") == (400, {"error": "malformed"})


def test_binding__type_of_another_issuer__404():
    assert answer(Issuers(), asked("id"), code="weifang-bus") == (404, {"error": "not_found"})
