"""A tap: one code, one ride, one fare; refused with a reason, and the code used all the same."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from cards import taps
from cards.models import BusLine, Card, Freeze, Issuer, Tap
from identity.access_log import DeedUndone
from identity.code_format import ALL_SCENES, SCENES
from identity.models import AccessLine, Redemption, Resident
from tests import city, wallets
from tests.statements import statements
from vpass.common import outbox
from vpass.common.errors import Unavailable
from vpass.common.models import OutboxDelivery
from vpass.programs import ROOT

heard: list[outbox.Event] = []


@pytest.fixture(autouse=True)
def listener(monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody who charges fares."""
    monkeypatch.setattr(outbox, "_subscriptions", {})
    outbox.subscribe(taps.TAP_RECORDED, "test.fares", heard.append)


def events() -> list[dict[str, Any]]:
    found = OutboxDelivery.objects.filter(name=taps.TAP_RECORDED, consumer="test.fares")
    return list(found.order_by("id").values_list("payload", flat=True))


def test_tap__good_card__a_ride_its_fare_and_the_word_for_it(
    bus: wallets.Bus, card: Card, grant: city.HeldGrant, phone: city.Phone, at: datetime
):
    answer = bus.tap(grant.code(at))

    assert answer.status_code == 200
    tap = Tap.objects.get()
    assert answer.json() == {
        "tap": str(tap.id),
        "line": "1",
        "concession": "none",
        "fare_fen": 200,
        "tapped_at": answer.json()["tapped_at"],
    }
    assert (tap.card_id, tap.terminal_id, tap.fare_fen) == (card.id, bus.terminal.id, 200)
    assert tap.line.code == "1"
    assert events() == [
        {
            "tap": str(tap.id),
            "card": str(card.id),
            "resident": str(wallets.resident_of(phone)),
            "organisation": str(bus.terminal.organisation_id),
            "fare_fen": 200,
        }
    ]
    line = AccessLine.objects.get()
    assert (line.scene, line.purpose, line.outcome, line.fields) == ("bus", "ride", "accepted", [])
    assert line.organisation_id == bus.terminal.organisation_id


def test_tap__six_statements(bus: wallets.Bus, card: Card, grant: city.HeldGrant, at: datetime):
    with statements() as sent:
        answer = bus.tap(grant.code(at))

    assert answer.status_code == 200
    assert len(sent) == 6, sent


def test_tap__refused__six_statements_too(
    bus: wallets.Bus, card: Card, grant: city.HeldGrant, at: datetime
):
    wallets.stop(card, "holder", at=at)

    with statements() as sent:
        answer = bus.tap(grant.code(at))

    assert city.problem(answer) == (403, "card.frozen")
    assert len(sent) == 6, sent


@pytest.mark.parametrize(("concession", "fare"), [("student", 100), ("senior", 0), ("disabled", 0)])
def test_tap__concession__its_fare_and_no_word_for_a_free_ride(
    bus: wallets.Bus,
    issuer: Issuer,
    phone: city.Phone,
    grant: city.HeldGrant,
    at: datetime,
    concession: str,
    fare: int,
):
    wallets.give_card(phone, issuer, concession=concession, at=at)

    tapped = bus.take(grant.code(at), at=at)

    assert (tapped.concession, tapped.fare_fen) == (concession, fare)
    assert Tap.objects.get().fare_fen == fare
    assert [event["fare_fen"] for event in events()] == ([fare] if fare else [])


def test_tap__same_request_again__same_ride(
    bus: wallets.Bus, card: Card, grant: city.HeldGrant, at: datetime
):
    code, key = grant.code(at), city.new_key()

    first, second = (bus.tap(code, key=key) for _ in range(2))

    assert first.json() == second.json()
    assert Tap.objects.count() == len(events()) == 1


def test_tap__same_code_again__used(
    bus: wallets.Bus, issuer: Issuer, card: Card, grant: city.HeldGrant, at: datetime
):
    code = grant.code(at)
    bus.take(code, at=at)
    other = wallets.open_bus(issuer, key_id="bus-2")

    answers = [bus.tap(code), other.tap(code)]

    assert [city.problem(one) for one in answers] == [(409, "code.already_used")] * 2
    assert Tap.objects.count() == 1


def _frozen(card: Card, at: datetime) -> None:
    wallets.stop(card, "police", at=at)


def _state(state: str) -> Any:
    return lambda card, at: Card.objects.filter(id=card.id).update(state=state)


def _past(card: Card, at: datetime) -> None:
    Card.objects.filter(id=card.id).update(valid_until=city.clock.city_date(at) - timedelta(days=1))


def _no_line(card: Card, at: datetime) -> None:
    BusLine.objects.update(code="2")


def _suspended(card: Card, at: datetime) -> None:
    Resident.objects.update(state="suspended")


@pytest.mark.parametrize(
    ("change", "status", "code"),
    [
        (_frozen, 403, "card.frozen"),
        (_state("lost"), 403, "card.lost"),
        (_state("pending"), 403, "card.pending"),
        (_state("expired"), 403, "card.expired"),
        (_state("unbound"), 403, "card.none"),
        (_state("replaced"), 403, "card.none"),
        (_past, 403, "card.expired"),
        (_no_line, 422, "tap.line_unknown"),
        (_suspended, 403, "code.suspended"),
    ],
)
def test_tap__refused__reason_told_again_the_code_used_and_the_holder_reads_it(
    bus: wallets.Bus,
    card: Card,
    grant: city.HeldGrant,
    at: datetime,
    change: Any,
    status: int,
    code: str,
):
    change(card, at)
    shown, key = grant.code(at), city.new_key()

    first, repeated = (bus.tap(shown, key=key) for _ in range(2))

    assert city.problem(first) == city.problem(repeated) == (status, code)
    assert not Tap.objects.exists()
    assert events() == []
    assert Redemption.objects.count() == 1
    line = AccessLine.objects.get()
    assert (line.outcome, line.reason, line.fields) == ("refused", code, [])
    assert city.problem(bus.tap(shown)) == (409, "code.already_used")


@pytest.mark.parametrize("source", Freeze.Source.values)
def test_tap__frozen_by_whomever__refused(
    bus: wallets.Bus, card: Card, grant: city.HeldGrant, at: datetime, source: str
):
    wallets.stop(card, source, at=at)

    assert city.problem(bus.tap(grant.code(at))) == (403, "card.frozen")


def test_tap__no_bus_card__refused(bus: wallets.Bus, grant: city.HeldGrant, at: datetime):
    assert city.problem(bus.tap(grant.code(at))) == (403, "card.none")


def test_tap__code_without_the_bus_scene__refused(
    bus: wallets.Bus, card: Card, grant: city.HeldGrant, at: datetime
):
    shown = grant.code(at, scenes=ALL_SCENES - SCENES["bus"])

    assert city.problem(bus.tap(shown)) == (403, "code.scene_not_allowed")
    assert not Tap.objects.exists()


def test_tap__terminal_of_another_scene__not_entitled(
    kiosk_of_company: city.Machine, card: Card, grant: city.HeldGrant, at: datetime
):
    answer = kiosk_of_company.send(
        "POST", wallets.TAPS, {"code": grant.code(at), "line": "1"}, key=city.new_key()
    )

    assert city.problem(answer) == (403, "scan.not_entitled")
    assert not Tap.objects.exists()


@pytest.fixture
def kiosk_of_company(bus: wallets.Bus) -> city.Machine:
    return city.make_terminal(bus.terminal.organisation, key_id="kiosk-2")


def test_tap__line_of_another_company__unknown(
    bus: wallets.Bus, card: Card, grant: city.HeldGrant, at: datetime
):
    stranger = wallets.open_issuer("id", name_zh="寿光公交")
    BusLine.objects.update(organisation=stranger.organisation)

    assert city.problem(bus.tap(grant.code(at))) == (422, "tap.line_unknown")


@pytest.mark.parametrize("code", ["", "VP1:X", "x" * 2049, 7])
def test_tap__no_code__refused_and_nothing_left(bus: wallets.Bus, card: Card, code: Any):
    assert bus.tap(code).status_code in (400, 422)
    assert not Redemption.objects.exists()
    assert not Tap.objects.exists()


def test_tap__card_changes_between_look_and_deed__judged_anew(
    bus: wallets.Bus,
    card: Card,
    grant: city.HeldGrant,
    at: datetime,
    monkeypatch: pytest.MonkeyPatch,
):
    refusal = taps.Boarding.refusal

    def late(self: taps.Boarding, found: Any) -> str | None:
        reason = refusal(self, found)
        if not Freeze.objects.exists():
            monkeypatch.setattr(taps.Boarding, "refusal", refusal)
            self._card["epoch"] = 0  # as if somebody had frozen it since
        return reason

    monkeypatch.setattr(taps.Boarding, "refusal", late)

    tapped = bus.take(grant.code(at), at=at)

    assert tapped.fare_fen == 200
    assert Tap.objects.count() == Redemption.objects.count() == len(events()) == 1


def test_tap__card_changes_all_the_while__unavailable_and_the_code_unused(
    bus: wallets.Bus,
    card: Card,
    grant: city.HeldGrant,
    at: datetime,
    monkeypatch: pytest.MonkeyPatch,
):
    def never(**_: Any) -> None:
        raise DeedUndone

    monkeypatch.setattr(taps.codes, "use_code", never)

    with pytest.raises(Unavailable):
        bus.take(grant.code(at), at=at)

    assert not Redemption.objects.exists()
    assert not Tap.objects.exists()


def test_refusals__every_fault_of_a_card__has_its_class():
    for state in ("pending", "lost", "expired"):
        assert f"card.{state}" in taps.REFUSALS
    assert {"card.frozen", "card.debt", "card.none", "tap.line_unknown"} <= taps.REFUSALS.keys()


def test_refusals__each_has_words_for_the_holders_access_log():
    common = ROOT / "templates" / "static" / "js" / "common"
    strings = "".join(path.read_text("utf-8") for path in common.glob("strings*.js"))

    missing = [code for code in taps.REFUSALS if f'"why.{code}"' not in strings]

    assert missing == []
