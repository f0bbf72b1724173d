"""Operators see what runs, what waits and today's figures, and bring dead letters back."""

import uuid
from datetime import datetime
from typing import Any

import pytest

from identity.models import Organisation, Staff
from tests import city
from tests.people import at, counter, hall, known_keys
from tests.statements import statements
from vpass.common import clock, outbox
from vpass.common.models import AuditEvent, OutboxDelivery
from vpass.operations import engines

__all__ = ["at", "counter", "hall", "known_keys"]

OPERATIONS = "/api/operations/v1"

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def rings(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    rung: list[int] = []
    monkeypatch.setattr(outbox, "ring", lambda: rung.append(1))
    return rung


@pytest.fixture
def operator(hall: Organisation, at: datetime) -> city.DeskBrowser:
    browser = city.sign_in_clerk(city.make_desk(hall, name="值班室"), username="o", at=at)
    Staff.objects.filter(user__username="o").update(roles=["operations"])
    return browser


def dead_letter(at: datetime, *, state: str = "dead", **changes: Any) -> OutboxDelivery:
    return OutboxDelivery.objects.create(
        **{
            "event_id": uuid.uuid4(),
            "name": "card.tapped",
            "consumer": "fares",
            "payload": {"card": "c"},
            "published_at": at,
            "state": state,
            "attempts": 10,
            "due_at": at,
            "error": "KeyError",
        }
        | changes
    )


def redeliver(operator: city.DeskBrowser, letter: int, *, key: str | None = None) -> Any:
    path = f"{OPERATIONS}/dead-letters/{letter}/redelivery"
    return operator.send("POST", path, {}, key=key or city.new_key())


def test_state__a_quiet_city__everything_up_and_every_floors_figures(operator: city.DeskBrowser):
    # The first answer of a program looks whether everything is migrated, and counts the day.
    operator.send("GET", f"{OPERATIONS}/state")

    with statements() as sent:
        answer = operator.send("GET", f"{OPERATIONS}/state").json()

    # The session and the proof's single use; settings, and the outbox twice.
    assert [engine["name"] for engine in answer["engines"]] == [
        "web",
        "database",
        "broker",
        "relay",
    ]
    assert all(engine["is_up"] for engine in answer["engines"])
    assert answer["business_date"] == clock.city_date(clock.now()).isoformat()
    groups = [figure["group"] for figure in answer["figures"]]
    assert groups == sorted(groups, key=["runs", "waits", "today"].index)
    names = {figure["name"] for figure in answer["figures"]}
    assert {"desks", "outbox_dead", "payouts_unknown", "payments_fen", "scans_refused"} <= names
    assert len(sent) == 5


def test_city__only_todays(operator: city.DeskBrowser):
    answer = operator.send("GET", f"{OPERATIONS}/city").json()

    assert {figure["group"] for figure in answer["figures"]} == {"today"}
    assert answer["business_date"] == clock.city_date(clock.now()).isoformat()


@pytest.mark.parametrize(
    ("due", "oldest_s", "is_up"), [(0, 900.0, True), (1, 60.0, True), (1, 61.0, False)]
)
def test_engines__events_due_for_long__the_background_is_down(
    monkeypatch: pytest.MonkeyPatch, due: int, oldest_s: float, is_up: bool
):
    monkeypatch.setattr(
        engines.health, "outbox_figures", lambda: {"due": due, "oldest_s": oldest_s}
    )

    found, _ = engines.engines()

    assert {each.name: each.is_up for each in found}["relay"] is is_up


def test_dead_letters__listed_without_what_they_carry(operator: city.DeskBrowser, at: datetime):
    letter = dead_letter(at)
    dead_letter(at, state="pending", event_id=uuid.uuid4())

    answer = operator.send("GET", f"{OPERATIONS}/dead-letters").json()

    assert [each["id"] for each in answer["items"]] == [letter.id]
    assert answer["items"][0].keys() == {
        "id",
        "event",
        "consumer",
        "attempts",
        "error",
        "published_at",
    }


def test_redelivery__of_a_dead_letter__due_again_and_audited_once(
    operator: city.DeskBrowser, at: datetime, rings: list[int]
):
    letter, key = dead_letter(at), city.new_key()
    rings.clear()

    answers = [redeliver(operator, letter.id, key=key) for _ in range(2)]

    assert [each.status_code for each in answers] == [200, 200]
    assert answers[0].json() == answers[1].json() == {"id": letter.id, "state": "pending"}
    letter.refresh_from_db()
    assert (letter.state, letter.attempts, letter.error) == ("pending", 0, "")
    assert rings == [1]
    (line,) = AuditEvent.objects.filter(action="outbox.redelivered")
    assert operator.staff is not None
    assert (line.actor, line.subject) == (f"staff:{operator.staff.id}", f"delivery:{letter.id}")


def test_redelivery__delivered_already_or_unknown__refused_and_nothing_changed(
    operator: city.DeskBrowser, at: datetime
):
    letter = dead_letter(at, state="delivered", done_at=at)

    delivered, unknown = redeliver(operator, letter.id), redeliver(operator, letter.id + 1)

    assert city.problem(delivered) == (409, "state.illegal_transition")
    assert city.problem(unknown) == (404, "object.not_found")
    letter.refresh_from_db()
    assert letter.state == "delivered"
    assert not AuditEvent.objects.filter(action="outbox.redelivered").exists()


def test_redelivery__by_a_clerk__refused(counter: city.DeskBrowser, at: datetime):
    letter = dead_letter(at)

    assert city.problem(redeliver(counter, letter.id)) == (403, "caller.role_missing")
    letter.refresh_from_db()
    assert letter.state == "dead"
