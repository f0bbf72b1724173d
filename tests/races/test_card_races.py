"""One code at many buses, a freeze against taps, and many wishes to bind at once."""

import threading
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

import pytest
from django.db import transaction

from cards import freezes, queries, taps, wallet
from cards.models import Card, CardAccount, Issuer, Tap
from identity.models import Redemption
from tests import city, wallets
from tests.together import WAIT_S, together
from vpass.common import outbox
from vpass.common.models import OutboxDelivery

pytestmark = pytest.mark.django_db(transaction=True)

BUSES = 20
TAPS_AT_ONCE = 6
BANK_CARDS = 5


@pytest.fixture
def issuer(transactional_db: None) -> Issuer:
    return wallets.open_issuer()


@pytest.fixture
def bus(issuer: Issuer) -> wallets.Bus:
    return wallets.open_bus(issuer)


@pytest.fixture
def card(issuer: Issuer, phone: city.Phone, at: datetime) -> Card:
    return wallets.give_card(phone, issuer, at=at)


@pytest.fixture(autouse=True)
def listener(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox, "_subscriptions", {})
    outbox.subscribe(taps.TAP_RECORDED, "test.fares", lambda event: None)


def outcome(result: Any) -> str:
    if isinstance(result, taps.Tapped | wallet.CardShown):
        return "done"
    return getattr(result, "code", None) or repr(result)


# One code, many buses


def test_tap__one_code_at_twenty_buses__one_ride_and_one_fare(
    issuer: Issuer, bus: wallets.Bus, card: Card, grant: city.HeldGrant, at: datetime
):
    buses = [wallets.open_bus(issuer, key_id=f"bus-{number}") for number in range(2, BUSES + 2)]
    code = grant.code(at)

    found = together(BUSES, lambda index: buses[index].take(code, at=at))

    assert Counter(map(outcome, found)) == {"done": 1, "code.already_used": BUSES - 1}
    assert Tap.objects.count() == Redemption.objects.count() == 1
    assert OutboxDelivery.objects.filter(name=taps.TAP_RECORDED).count() == 1


def test_tap__one_request_sent_many_times_at_once__one_ride(
    bus: wallets.Bus, card: Card, grant: city.HeldGrant, at: datetime
):
    code, key = grant.code(at), city.new_key()

    found = together(BUSES, lambda _: bus.take(code, key=key, at=at))

    assert set(map(outcome, found)) <= {"done", "idempotency.running"}
    assert len({one.tap for one in found if isinstance(one, taps.Tapped)}) == 1
    assert Tap.objects.count() == 1


# A freeze between a tap's look and its deed


@pytest.fixture
def held_back(
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[tuple[threading.Barrier, threading.Event]]:
    """Taps wait after their first look at the card, until the event is set."""
    have_looked, go_on = threading.Barrier(TAPS_AT_ONCE + 1), threading.Event()
    judged = taps.Boarding.refusal
    waited = threading.local()

    def refusal(self: taps.Boarding, grant: Any) -> str | None:
        reason = judged(self, grant)
        if not getattr(waited, "once", False):
            waited.once = True
            have_looked.wait(WAIT_S)
            assert go_on.wait(WAIT_S)
        return reason

    monkeypatch.setattr(taps.Boarding, "refusal", refusal)
    yield have_looked, go_on
    go_on.set()


def freeze_between(
    held_back: tuple[threading.Barrier, threading.Event],
    bus: wallets.Bus,
    card: Card,
    grant: city.HeldGrant,
    *,
    at: datetime,
) -> Counter[str]:
    """What the taps met which had looked at the card before it was frozen, and go on after."""
    have_looked, go_on = held_back
    codes = [grant.code(at) for _ in range(TAPS_AT_ONCE)]

    def work(index: int) -> Any:
        if index < TAPS_AT_ONCE:
            return bus.take(codes[index], at=at)
        have_looked.wait(WAIT_S)
        wallets.stop(Card.objects.get(id=card.id), "holder", at=at)
        go_on.set()
        return None

    return Counter(map(outcome, together(TAPS_AT_ONCE + 1, work)[:-1]))


def test_freeze__between_look_and_deed__no_tap_goes_through(
    held_back: Any, bus: wallets.Bus, card: Card, grant: city.HeldGrant, at: datetime
):
    found = freeze_between(held_back, bus, card, grant, at=at)

    assert found == {"card.frozen": TAPS_AT_ONCE}
    assert not Tap.objects.exists()


def test_freeze__guard_off__taps_go_through_a_frozen_card(
    held_back: Any,
    bus: wallets.Bus,
    card: Card,
    grant: city.HeldGrant,
    at: datetime,
    monkeypatch: pytest.MonkeyPatch,
):
    unguarded = taps._DEED.replace("AND c.epoch = %(deed_epoch)s", "")
    assert unguarded != taps._DEED
    monkeypatch.setattr(taps, "_DEED", unguarded)

    found = freeze_between(held_back, bus, card, grant, at=at)

    assert found == {"done": TAPS_AT_ONCE}
    assert Tap.objects.count() == TAPS_AT_ONCE


# A freeze while a tap has not committed yet


def freeze_overtakes(
    bus: wallets.Bus,
    card: Card,
    grant: city.HeldGrant,
    monkeypatch: pytest.MonkeyPatch,
    *,
    at: datetime,
) -> bool:
    """Whether a freeze is through before a tap which has written its ride commits."""
    has_written, frozen = threading.Event(), threading.Event()
    overtaken: list[bool] = []
    use_code = taps.codes.use_code

    def slow(**asked: Any) -> Any:
        used = use_code(**asked)
        has_written.set()
        overtaken.append(frozen.wait(0.5))
        return used

    monkeypatch.setattr(taps.codes, "use_code", slow)

    def work(index: int) -> Any:
        if index == 0:
            return bus.take(grant.code(at), at=at)
        assert has_written.wait(WAIT_S)
        with transaction.atomic():
            locked = queries.lock_card(resident_id=card.account.resident_id, card_id=card.id)
            freezes.freeze(locked, source="holder", reason="holder", at=at)
        frozen.set()
        return None

    tapped, error = together(2, work)
    assert outcome(tapped) == "done"
    assert error is None
    return overtaken[0]


def test_freeze__while_a_tap_is_being_written__waits_for_it(
    bus: wallets.Bus,
    card: Card,
    grant: city.HeldGrant,
    at: datetime,
    monkeypatch: pytest.MonkeyPatch,
):
    assert not freeze_overtakes(bus, card, grant, monkeypatch, at=at)
    assert Tap.objects.count() == 1


def test_freeze__lock_off__is_through_before_the_tap(
    bus: wallets.Bus,
    card: Card,
    grant: city.HeldGrant,
    at: datetime,
    monkeypatch: pytest.MonkeyPatch,
):
    unguarded = taps._DEED.replace("FOR SHARE OF c", "")
    assert unguarded != taps._DEED
    monkeypatch.setattr(taps, "_DEED", unguarded)

    assert freeze_overtakes(bus, card, grant, monkeypatch, at=at)


# Many wishes to bind at once


def bind_together(
    phone: city.Phone, count: int, number: Callable[[int], str], *, at: datetime
) -> Counter[str]:
    by = wallets.StubIssuer()
    found = together(
        count, lambda index: wallets.bind(phone, by, "bank", card_number=number(index), at=at)
    )
    return Counter(map(outcome, found))


def different(index: int) -> str:
    return f"62170000000000{1000 + index}"


def same(index: int) -> str:
    return "621700000000001000"


@pytest.fixture
def bank(transactional_db: None) -> Issuer:
    return wallets.open_issuer("bank", kind="bank")


def test_bind__ten_cards_at_once__as_many_as_the_type_allows(
    bank: Issuer, phone: city.Phone, at: datetime
):
    found = bind_together(phone, 10, different, at=at)

    assert found == {"done": BANK_CARDS, "card.too_many": 10 - BANK_CARDS}
    assert Card.objects.count() == BANK_CARDS


def test_bind__guard_off__more_than_the_type_allows(
    bank: Issuer, phone: city.Phone, at: datetime, monkeypatch: pytest.MonkeyPatch
):
    """Counting first and writing then, without the accounts' places."""
    have_counted = threading.Barrier(10)

    def look(*, resident_id: uuid.UUID, card_type: str, places: int) -> list[CardAccount]:
        bound = Card.objects.filter(account__resident_id=resident_id).count()
        have_counted.wait(WAIT_S)
        place = uuid.uuid4().int % 30_000 + 1
        return [
            CardAccount.objects.create(
                resident_id=resident_id, card_type=card_type, place=place, places=30_000
            )
        ][: places - bound]

    monkeypatch.setattr(queries, "lock_accounts", look)

    found = bind_together(phone, 10, different, at=at)

    assert found["done"] > BANK_CARDS


def test_bind__one_card_ten_times_at_once__stands_there_once(
    bank: Issuer, phone: city.Phone, at: datetime
):
    found = bind_together(phone, 10, same, at=at)

    assert found == {"done": 1, "card.already_bound": 9}
    assert Card.objects.count() == 1


def test_bind__unique_number_off__one_card_stands_there_several_times(
    bank: Issuer, phone: city.Phone, at: datetime, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(wallet, "number_hash", lambda *_: uuid.uuid4().bytes * 2)

    assert bind_together(phone, 10, same, at=at)["done"] == BANK_CARDS
