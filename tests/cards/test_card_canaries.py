"""Card numbers and tokens go through every flow, and stand nowhere in clear afterwards."""

import io
import logging
from datetime import datetime
from typing import Any

import pytest

from cards.api import resident
from cards.issuers import Answer, IssuerUnavailable
from cards.models import Card, Issuer
from tests import city, wallets
from tests.contracts.test_canaries import dump_of_database, dump_of_redis, found_in
from vpass.common import outbox

BANK_NUMBER = "621700000007778123"
BUS_NUMBER = "37070660051"
NEW_NUMBER = "37070660069"
WRONG_NUMBER = "37070999990"


def play_everything(
    issuer: Issuer, bus: wallets.Bus, phone: city.Phone, monkeypatch: pytest.MonkeyPatch
) -> tuple[dict[str, str], list[str]]:
    """Every flow once, right and wrong; returns the canaries and what was answered."""
    wallets.open_issuer("bank", kind="bank")
    system, stub = wallets.system_of(issuer), wallets.StubIssuer()
    monkeypatch.setattr(resident.http, "card_issuer", lambda _: stub)
    answers: list[str] = []

    def note(answer: Any) -> Any:
        answers.append(answer.content.decode())
        return answer

    def bind(card_type: str, number: str) -> Any:
        body = {
            "card_type": card_type,
            "issuer": wallets.ISSUER_OF[card_type],
            "fields": {"card_number": number},
        }
        return note(phone.send("POST", wallets.CARDS, body, key=city.new_key()))

    stub.answers = [IssuerUnavailable(), Answer(reason="not_found")]
    statuses = [bind("bus", WRONG_NUMBER).status_code for _ in range(2)]
    statuses += [bind("bus", BUS_NUMBER + "x").status_code]
    statuses += [bind("bank", BANK_NUMBER).status_code, bind("bus", BUS_NUMBER).status_code]
    assert statuses == [503, 422, 400, 201, 201]
    statuses = [bind("bus", WRONG_NUMBER).status_code]
    held = phone.grant(at=city.clock.now())
    statuses += [note(bus.tap(held.code(city.clock.now()))).status_code]
    statuses += [note(system.tell("freezes", card=BUS_NUMBER, reason="stolen")).status_code]
    statuses += [note(bus.tap(held.code(city.clock.now()))).status_code]
    statuses += [note(system.tell("lifts", card=WRONG_NUMBER)).status_code]
    replaced = {"facts": {"concession": "none"}, "valid_until": None}
    statuses += [
        note(
            system.tell("replacements", card=BUS_NUMBER, new_card=NEW_NUMBER, **replaced)
        ).status_code
    ]
    statuses += [note(phone.send("GET", wallets.CARDS)).status_code]
    assert statuses == [409, 200, 200, 403, 404, 200, 200]
    outbox.deliver_due(at=city.clock.now())
    token = Card.objects.get(card_type="bank").token
    canaries = {
        "bank card": BANK_NUMBER,
        "bus card": BUS_NUMBER,
        "new bus card": NEW_NUMBER,
        "wrong number": WRONG_NUMBER,
        "token": token,
        "name": city.PEOPLE[0].real_name,
        "ID number": city.PEOPLE[0].id_number,
    }
    return canaries, answers


def test_canaries__after_every_flow_of_cards__nowhere_in_clear(
    issuer: Issuer,
    bus: wallets.Bus,
    phone: city.Phone,
    at: datetime,
    monkeypatch: pytest.MonkeyPatch,
    program_log: io.StringIO,
    caplog: pytest.LogCaptureFixture,
):
    caplog.set_level(logging.DEBUG)

    canaries, answers = play_everything(issuer, bus, phone, monkeypatch)

    said = program_log.getvalue()
    assert '"route"' in said, "the log of requests was not caught"
    assert found_in(dump_of_database(), canaries) == set()
    assert found_in(said, canaries) == set()
    told = [record for record in caplog.records if record.name != "django.db.backends"]
    assert found_in("\n".join(record.getMessage() for record in told), canaries) == set()
    assert found_in("\n".join(answers), canaries) == set()
    assert found_in(dump_of_redis(), canaries) == set()


def test_canaries__a_number_planted_in_clear__found(card: Card):
    Card.objects.filter(id=card.id).update(facts={"note": BUS_NUMBER})

    assert found_in(dump_of_database(), {"bus card": BUS_NUMBER}) == {"bus card"}
