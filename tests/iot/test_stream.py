"""A shuffled, repeated and late stream ends as the ordered one does, to the fen (goal G4)."""

import json
import os
import random
from datetime import datetime, timedelta
from typing import Any

import pytest

from payments.models import Charge
from payments.settlement import windows
from services.iot import drain
from services.iot.models import DeadLetter, Event, ParkingSession, Twin
from tests import city, sensors
from tests.engines import TestDatabase
from tests.shop import balance_fen, fill, open_shop
from vpass.common import outbox

pytestmark = pytest.mark.django_db(transaction=True)

ROUNDS = int(os.environ.get("VPASS_ROUNDS", "0"))
BAYS = 3
DRIVERS = 2


def story(at: datetime, *, seed: int) -> list[dict[str, Any]]:
    """What sensors say in eight hours, in the order of its event time."""
    choose = random.Random(seed)
    said = []
    for bay in range(BAYS):
        moment, is_occupied = at - timedelta(hours=9), True
        while moment < at - timedelta(hours=1):
            data = {"occupied": int(is_occupied), "battery": choose.randint(1, 99)}
            said.append((moment, sensors.said(f"bay-{bay}", data, moment)))
            is_occupied = is_occupied if choose.random() < 0.3 else not is_occupied
            moment += timedelta(seconds=choose.randint(0, 5_000))
    for number in range(60):
        moment = at - timedelta(minutes=choose.randint(60, 540))
        data = {"pm25": choose.randint(0, 99), "no2": choose.randint(0, 9)}
        said.append((moment, sensors.said(f"air-{number % 7}", data, moment, service="Air")))
    return [message for _, message in sorted(said, key=lambda each: each[0])]


def spoilt(told: list[dict[str, Any]], *, seed: int) -> list[bytes]:
    """The same, shuffled, a tenth of it twice, a twentieth held back to the very end."""
    choose = random.Random(seed)
    messages = [json.dumps(each).encode() for each in told]
    late = choose.sample(messages, len(messages) // 20)
    stream = [each for each in messages if each not in late]
    stream += choose.sample(messages, len(messages) // 10)
    choose.shuffle(stream)
    return stream + late


def play(stream: list[bytes], *, seed: int, at: datetime, settings: Any) -> Any:
    """Take a stream in by small pieces, with workers that die, and say what it came to."""
    choose = random.Random(seed)
    windows.ensure_open(at=at)
    shop = open_shop()
    operator = sensors.banking.make_merchant(shop.system.bank, name="停车服务中心").organisation
    drivers = [city.make_phone(number, at=at) for number in range(DRIVERS)]
    for driver in drivers:
        fill(shop, driver, 100_000, at=at)
    for number in range(BAYS):
        sensors.make_bay(f"A-{number}", device=f"bay-{number}", at=at, operator=operator)
    settings.PARKING_SETTLE_AFTER_S = 86_400  # nobody knows yet that nothing is late any more
    for number, body in enumerate(stream):
        sensors.store(body, at=at)
        if choose.random() < 0.1 or number == len(stream) - 1:
            die_once(choose, at=at)
            sensors.drain_all(at=at, limit=choose.choice([1, 7, 100]))
            outbox.deliver_due(at=at, limit=choose.choice([1, 100]))
    sensors.work(at=at)
    for number, driver in enumerate(drivers):
        for hours in (8.5, 6, 4, 2):
            moment = at - timedelta(hours=hours)
            try:
                sensors.claim(driver, f"A-{number}", at=at, parked_at=moment)
            except sensors.claims.NothingToClaim:
                continue
    settings.PARKING_SETTLE_AFTER_S = 120
    for _ in range(2):
        sensors.settle(at=at)
        sensors.work(at=at)
    return outcome(drivers)


def die_once(choose: random.Random, *, at: datetime) -> None:
    """A worker does its work and is killed before it commits."""
    advance = drain.twins.advance

    def killed(heard: Any) -> None:
        advance(heard)
        raise KeyboardInterrupt

    drain.twins.advance = killed
    try:
        drain.drain(shard=choose.randrange(4), at=at)
    except KeyboardInterrupt:
        pass
    finally:
        drain.twins.advance = advance


def outcome(drivers: list[city.Phone]) -> Any:
    """Twins, sessions and charges without what is random in them."""
    sessions = ParkingSession.objects.select_related("bay", "claim").order_by(
        "bay__code", "started_at"
    )
    names = {driver.caller.resident_id: number for number, driver in enumerate(drivers)}
    return {
        "twins": sorted(
            (each.device.external_id, json.dumps(each.reported, sort_keys=True), each.version)
            for each in Twin.objects.select_related("device")
        ),
        "sessions": [
            (
                each.bay.code, each.started_at, each.ended_at, each.state, each.fee_fen,
                each.claim and names[each.claim.resident_id], each.late_change_fen,
            )
            for each in sessions
        ],
        "charges": sorted(
            (names[each.payer_id], each.amount_fen, each.state) for each in Charge.objects.all()
        ),
        "wallets": [balance_fen(driver) for driver in drivers],
        "events": Event.objects.count(),
        "dead": DeadLetter.objects.count(),
    }  # fmt: skip


def test_stream__shuffled_repeated_and_late__ends_as_the_ordered_one(
    at: datetime, settings: Any, django_db_setup: TestDatabase
):
    at = at.replace(microsecond=0)
    tried = ROUNDS or 2
    broken = 0

    for seed in range(tried):
        told = story(at, seed=seed)
        ordered = play(
            [json.dumps(each).encode() for each in told], seed=seed, at=at, settings=settings
        )
        django_db_setup.restore()
        found = play(spoilt(told, seed=seed), seed=seed + 1, at=at, settings=settings)
        django_db_setup.restore()
        assert ordered["charges"] and ordered["events"] == len(told)
        broken += found != ordered

    print(f"faults iot-stream: {tried} tried, {broken} broken")
    assert broken == 0
