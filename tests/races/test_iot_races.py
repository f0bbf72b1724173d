"""Twenty workers with one inbox, twenty drivers with one bay: each thing happens once."""

import os
from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import psycopg2
import pytest
from django.db import OperationalError, connection

from payments.models import Charge
from payments.settlement import windows
from services.iot import drain
from services.iot.applications.parking import sessions
from services.iot.models import Event, InboxMessage, ParkingBay, ParkingClaim, ParkingSession
from tests import city, sensors
from tests.shop import Shop, fill, open_shop
from tests.together import together

pytestmark = pytest.mark.django_db(transaction=True)

ROUNDS = int(os.environ.get("VPASS_ROUNDS", "0"))
WORKERS = 8
READINGS = 40


def rounds(short: int) -> int:
    return ROUNDS or short


def tell(name: str, *, tried: int, broken: int) -> None:
    print(f"faults {name}: {tried} tried, {broken} broken")


@pytest.fixture
def shop(transactional_db: None, at: datetime) -> Shop:
    windows.ensure_open(at=at)
    return open_shop()


@pytest.fixture
def bay(shop: Shop, at: datetime) -> ParkingBay:
    operator = sensors.banking.make_merchant(shop.system.bank, name="停车服务中心")
    return sensors.make_bay(at=at, operator=operator.organisation)


def fill_inbox(at: datetime) -> int:
    """Readings of one device, each pushed twice; returns its shard."""
    for number in range(READINGS):
        moment = at - timedelta(seconds=number)
        for _ in range(2):
            sensors.store(sensors.said("d1", {"n": number}, moment, service="Air"), at=at)
    return InboxMessage.objects.values_list("shard", flat=True)[0]


def drain_together(shard: int, at: datetime) -> list[Any]:
    def work(_: int) -> int:
        count = 0
        for _try in range(5):
            count += drain.drain(shard=shard, at=at, limit=17)
        return count

    return together(WORKERS, work)


def test_drain__eight_workers_with_one_shard__each_reading_once(db: None, at: datetime):
    tried = rounds(short=5)
    broken = 0

    for number in range(tried):
        moment = at - timedelta(minutes=number)
        shard = fill_inbox(moment)
        before = Event.objects.count()
        found = drain_together(shard, at)
        while drain.drain(shard=shard, at=at):
            pass
        broken += any(isinstance(each, Exception) for each in found)
        broken += Event.objects.count() - before != READINGS
        broken += sensors.twin("d1").version != READINGS * (number + 1)
        broken += InboxMessage.objects.exists()

    tell("drain-race", tried=tried, broken=broken)
    assert broken == 0


def test_drain__guard_off__the_same_race_shows(
    db: None, at: datetime, monkeypatch: pytest.MonkeyPatch
):
    """Without the content's key, and looking at the inbox first and deleting then, all double."""
    serial = iter(range(10**9))
    monkeypatch.setattr(drain, "key_of", lambda *_: next(serial).to_bytes(32, "big"), raising=True)
    shard = fill_inbox(at)

    drain_together(shard, at)
    while drain.drain(shard=shard, at=at):
        pass

    assert Event.objects.count() > READINGS
    assert sensors.twin("d1").version > READINGS


def held_shard(owner: Any, at: datetime) -> int:
    """A shard with a message that another worker, on this connection, has just taken."""
    sensors.store(sensors.said("d1", {"n": 1}, at, service="Air"), at=at)
    shard = InboxMessage.objects.values_list("shard", flat=True)[0]
    with owner.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(22098, %s)", [shard])
        cursor.execute("DELETE FROM iot_inbox WHERE shard = %s", [shard])
    return int(shard)


@pytest.fixture
def hasty() -> Iterator[None]:
    with connection.cursor() as cursor:
        cursor.execute("SET lock_timeout = 50")
    yield
    with connection.cursor() as cursor:
        cursor.execute("RESET lock_timeout")


def test_drain__another_has_the_shard__goes_on_without_waiting(
    db: None, hasty: None, owner_url: str, at: datetime
):
    with psycopg2.connect(owner_url) as owner:
        assert drain.drain(shard=held_shard(owner, at), at=at) == 0
        owner.rollback()

    assert sensors.drain_all(at=at) == 1


def test_drain__lock_off__waits_for_the_other(
    db: None, hasty: None, owner_url: str, at: datetime, monkeypatch: pytest.MonkeyPatch
):
    """The rows themselves keep two from taking one message; the lock keeps them from waiting."""
    monkeypatch.setattr(drain, "LOCK_CLASS", 1)

    with psycopg2.connect(owner_url) as owner:
        shard = held_shard(owner, at)
        with pytest.raises(OperationalError) as caught:
            drain.drain(shard=shard, at=at)
        owner.rollback()

    assert caught.value.__cause__.pgcode == "55P03"


def test_claim__ten_drivers_with_one_car__one_has_it(bay: ParkingBay, at: datetime):
    tried = min(rounds(short=3), 50)
    phones = [city.make_phone(number, at=at) for number in range(10)]
    broken = 0

    for number in range(tried):
        start = at.replace(microsecond=0) - timedelta(hours=2 * tried - 2 * number)
        sensors.store(sensors.said("bay-17", {"occupied": 1}, start), at=at)
        sensors.work(at=at)
        before = ParkingClaim.objects.count()

        found = together(10, lambda index: sensors.claim(phones[index], at=at))

        seen = Counter(
            getattr(each, "code", repr(each)) if isinstance(each, Exception) else "claimed"
            for each in found
        )
        broken += seen != {"claimed": 1, "parking.claimed": 9}
        broken += ParkingClaim.objects.count() - before != 1
        end = start + timedelta(minutes=20)
        sensors.store(sensors.said("bay-17", {"occupied": 0}, end), at=at)
        sensors.work(at=at)

    tell("claim-race", tried=tried, broken=broken)
    assert broken == 0


def test_claim__guard_off__two_have_the_car(
    bay: ParkingBay, at: datetime, monkeypatch: pytest.MonkeyPatch
):
    phones = [city.make_phone(number, at=at) for number in range(10)]
    sensors.store(sensors.said("bay-17", {"occupied": 1}, at - timedelta(hours=1)), at=at)
    sensors.work(at=at)
    monkeypatch.setattr(
        sensors.claims,
        "lock_bay",
        lambda which: ParkingBay.objects.select_related("tariff").get(which),
    )
    monkeypatch.setattr(
        sensors.claims, "_find", lambda bay, **_: ParkingSession.objects.get(bay=bay)
    )
    worst = 0

    for _ in range(20):
        ParkingSession.objects.update(claim=None)
        ParkingClaim.objects.all().delete()
        found = together(10, lambda index: sensors.claim(phones[index], at=at))
        claimed = sum(not isinstance(each, Exception) for each in found)
        worst = max(worst, claimed, ParkingClaim.objects.count())
        if worst > 1:
            break

    assert worst > 1, "without the locks two have one car, or the race was none"


def test_settle__eight_workers_with_one_bay__charged_once(
    bay: ParkingBay, shop: Shop, at: datetime, settings: Any
):
    phone = city.make_phone(0, at=at)
    fill(shop, phone, 100_000, at=at)
    settings.PARKING_SETTLE_AFTER_S = 86_400
    tried = min(rounds(short=3), 50)
    broken = 0

    for number in range(tried):
        start = at.replace(microsecond=0) - timedelta(hours=2 * tried - 2 * number)
        end = start + timedelta(minutes=40)
        for is_occupied, moment in ((1, start), (0, end)):
            sensors.store(sensors.said("bay-17", {"occupied": is_occupied}, moment), at=at)
        sensors.work(at=at)
        sensors.claim(phone, at=at, parked_at=start)

        found = together(WORKERS, lambda _: sessions.follow(bay.id, settled_before=at, at=at))

        broken += any(isinstance(each, Exception) for each in found)
        broken += Charge.objects.filter(state="paid").count() != number + 1
        broken += ParkingSession.objects.filter(state="paid").count() != number + 1

    tell("settle-race", tried=tried, broken=broken)
    assert broken == 0
