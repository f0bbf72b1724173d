"""What issuers tell of their cards: their own stops, ends and replacements, and no one else's."""

from datetime import datetime
from typing import Any

import pytest
from django.db import connection

from cards.models import Card, Freeze, Issuer
from tests import city, wallets
from vpass.common.models import IdempotencyRecord

NUMBER = "37070020009"
NEW = {"new_card": "37070020017", "facts": {"concession": "student"}, "valid_until": "2040-01-31"}


@pytest.fixture
def system(issuer: Issuer) -> wallets.IssuerSystem:
    return wallets.system_of(issuer)


def standing(state: str = "active", *, is_frozen: bool = False) -> dict[str, Any]:
    return {"card_type": "bus", "state": state, "is_frozen": is_frozen}


def test_freeze__then_lift__only_the_issuers_own(
    system: wallets.IssuerSystem, card: Card, at: datetime
):
    wallets.stop(card, "police", at=at)

    frozen = system.tell("freezes", reason="stolen")
    again = system.tell("freezes", reason="stolen")
    lifted = system.tell("lifts")
    twice = system.tell("lifts")

    assert frozen.json() == standing(is_frozen=True)
    assert city.problem(again) == (409, "card.frozen_already")
    assert lifted.json() == standing()
    assert city.problem(twice) == (409, "card.not_frozen")
    left = Freeze.objects.filter(lifted_at=None)
    assert [one.source for one in left] == ["police"]


def test_freeze__same_request_again__same_answer(system: wallets.IssuerSystem, card: Card):
    key = city.new_key()

    first, second = (system.tell("freezes", reason="stolen", key=key) for _ in range(2))

    assert first.json() == second.json()
    assert Freeze.objects.count() == 1


def test_replacement__new_card_in_the_same_account_with_every_stop(
    system: wallets.IssuerSystem, card: Card, phone: city.Phone, at: datetime
):
    for source in ("holder", "police"):
        wallets.stop(card, source, at=at)
    Card.objects.filter(id=card.id).update(state="lost")

    answer = system.tell("replacements", **NEW)

    assert answer.json() == standing()
    former, successor = Card.objects.order_by("id")
    assert (former.id, former.state) == (card.id, "replaced")
    assert (successor.predecessor_id, successor.account_id) == (card.id, card.account_id)
    assert (successor.number, successor.last4) == ("37070020017", "0017")
    assert successor.facts == {"concession": "student"}
    assert successor.valid_until.isoformat() == "2040-01-31"
    stops = successor.freezes.filter(lifted_at=None)
    assert sorted(one.source for one in stops) == ["holder", "police"]
    assert not former.freezes.filter(lifted_at=None).exists()
    (shown,) = phone.send("GET", wallets.CARDS).json()["items"]
    assert (shown["id"], shown["fault"]) == (str(successor.id), "card.frozen")


def test_replacement__the_old_number_again__not_found(system: wallets.IssuerSystem, card: Card):
    system.tell("replacements", **NEW)

    assert city.problem(system.tell("freezes", reason="stolen")) == (404, "object.not_found")
    assert system.tell("freezes", card="37070020017", reason="stolen").status_code == 200


@pytest.mark.parametrize(
    ("changes", "status", "code"),
    [
        ({"new_card": "12"}, 400, "request.invalid"),
        ({"facts": {}}, 400, "request.invalid"),
        ({"facts": {"concession": "vip"}}, 400, "request.invalid"),
        ({"valid_until": "2040-02-30"}, 400, "request.invalid"),
        ({"new_card": "37070120009"}, 409, "card.already_bound"),
    ],
    ids=str,
)
def test_replacement__malformed_or_taken__refused_and_nothing_changed(
    system: wallets.IssuerSystem,
    issuer: Issuer,
    card: Card,
    at: datetime,
    changes: dict[str, Any],
    status: int,
    code: str,
):
    wallets.give_card(city.make_phone(1, at=at), issuer, number="37070120009", at=at)

    answer = system.tell("replacements", **NEW | changes)

    assert city.problem(answer) == (status, code)
    assert Card.objects.count() == 2
    assert not Card.objects.exclude(state="active").exists()
    assert not IdempotencyRecord.objects.exists()


def test_expiry__then_nothing_more(system: wallets.IssuerSystem, card: Card):
    ended = system.tell("expiries")

    assert ended.json() == standing("expired")
    assert city.problem(system.tell("expiries")) == (409, "state.illegal_transition")
    assert city.problem(system.tell("freezes", reason="x")) == (409, "state.illegal_transition")


@pytest.mark.parametrize("what", ["freezes", "lifts", "replacements", "expiries"])
def test_anything__of_another_issuers_card_or_no_issuer__refused_and_nothing_changed(
    system: wallets.IssuerSystem, card: Card, what: str
):
    members = {"freezes": {"reason": "x"}, "replacements": NEW}.get(what, {})
    other = wallets.system_of(wallets.open_issuer("id"), key_id="issuer-2")
    hall = city.make_organisation()
    nobody = city.make_terminal(hall, scene="issuer", key_id="issuer-3")
    stranger = wallets.IssuerSystem(nobody.terminal, nobody.key_id, nobody.private)

    assert city.problem(other.tell(what, **members)) == (404, "object.not_found")
    assert city.problem(system.tell(what, card="37070099999", **members)) == (
        404,
        "object.not_found",
    )
    assert city.problem(system.tell(what, card_type="dragon", **members)) == (
        404,
        "object.not_found",
    )
    assert city.problem(stranger.tell(what, **members)) == (403, "caller.not_allowed")
    assert Card.objects.get().epoch == 1


def test_freeze__before_the_card_is_known__repeated_under_its_key_until_it_is(
    system: wallets.IssuerSystem, issuer: Issuer, phone: city.Phone, at: datetime
):
    key = city.new_key()
    unknown = system.tell("freezes", reason="stolen", key=key)
    wallets.give_card(phone, issuer, at=at)
    known = system.tell("freezes", reason="stolen", key=key)

    assert city.problem(unknown) == (404, "object.not_found")
    assert (known.status_code, known.json()) == (200, standing(is_frozen=True))


def test_card_of_an_issuer__found_by_its_index(db: None):
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
        cursor.execute(
            "EXPLAIN SELECT FROM cards_card WHERE number_hash = '\\x00'"
            " AND card_type = 'bus' AND state NOT IN ('replaced', 'unbound') ORDER BY id DESC"
        )
        plan = "\n".join(row[0] for row in cursor.fetchall())

    assert "Index Scan using card_by_number" in plan
