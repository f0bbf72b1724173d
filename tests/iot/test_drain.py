"""What was taken in is read once, whatever else lies beside it in the inbox."""

import json
import time
from datetime import datetime, timedelta
from typing import Any

import psycopg2
import pytest
from django.db import DatabaseError, OperationalError, connection

from services.iot import dead_letters, drain, partitions
from services.iot.models import DeadLetter, Device, Event, InboxMessage, Quarantined, Twin
from tests import sensors
from tests.statements import statements
from vpass.common.errors import NotFound

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def at(at: datetime) -> datetime:
    return at.replace(microsecond=0)


def air(device: str, at: datetime, pm25: Any, **more: Any) -> dict[str, Any]:
    return sensors.said(device, {"pm25": pm25}, at, service="Air", **more)


def left() -> tuple[int, int, int, int]:
    """How many lie in the inbox, are events, are dead, are quarantined."""
    return (
        InboxMessage.objects.count(),
        Event.objects.count(),
        DeadLetter.objects.count(),
        Quarantined.objects.count(),
    )


def test_drain__a_reading__event_device_and_twin(at: datetime):
    sensors.store(air("d1", at, 40), at=at)

    assert sensors.drain_all(at=at) == 1

    event, device = Event.objects.get(), Device.objects.get()
    assert (event.device_id, event.service, event.event_time) == (device.id, "Air", at)
    assert (event.props, event.received_at) == ({"pm25": 40}, at)
    assert (device.source, device.external_id, device.info) == ("sandbox", "d1", {})
    twin = sensors.twin("d1")
    assert twin.reported == {"Air": {"pm25": [40, round(at.timestamp() * 1000)]}}
    assert twin.version == 1
    assert left() == (0, 1, 0, 0)


def test_drain__any_number_of_messages__same_number_of_statements(at: datetime):
    partitions.ensure(at=at)
    counts = []
    for number in (1, 50):
        for n in range(number):
            sensors.store(air("d1", at - timedelta(seconds=n), number), at=at)
        shard = InboxMessage.objects.values_list("shard", flat=True).first()
        with statements() as sent:
            assert drain.drain(shard=shard, at=at) == number
        counts.append(len(sent))

    # lock, take, devices (and once the new one: write and find it), events, twins twice
    assert counts == [8, 6]


def test_drain__nothing_there__two_statements_and_0(at: datetime):
    partitions.ensure(at=at)
    with statements() as sent:
        assert drain.drain(shard=0, at=at) == 0

    assert len(sent) == 2


def test_drain__more_than_a_batch__oldest_first(at: datetime):
    for number in range(5):
        sensors.store(air("d1", at + timedelta(seconds=number), number), at=at)
    shard = InboxMessage.objects.values_list("shard", flat=True).first()

    assert drain.drain(shard=shard, at=at, limit=3) == 3

    assert sensors.twin("d1").reported["Air"]["pm25"][0] == 2
    assert InboxMessage.objects.count() == 2


def test_drain__large_messages__fewer_at_a_time_but_never_none(
    at: datetime, monkeypatch: pytest.MonkeyPatch
):
    for number in range(5):
        sensors.store(air("d1", at + timedelta(seconds=number), "x" * 400), at=at)
    first = InboxMessage.objects.order_by("id")[0]
    shard, size = first.shard, len(first.body)
    taken = []

    for limit in (1, 2 * size + 1):
        monkeypatch.setattr(drain, "BATCH_BYTES", limit)
        taken.append(drain.drain(shard=shard, at=at))

    assert taken == [1, 3]


@pytest.mark.parametrize(("at_once", "dead"), [(2, 0), (0, 1)])
def test_drain__more_than_the_time_is_for__by_halves_and_the_rest_goes_on(
    at: datetime, monkeypatch: pytest.MonkeyPatch, at_once: int, dead: int
):
    """The statement time-out of the database itself, above two readings or at a certain one."""
    real = drain._write

    def slow(batch: drain._Batch, *, at: datetime) -> None:
        is_there = any(each.reading.props == {"pm25": 5} for each in batch.events.values())
        if len(batch.events) > at_once if at_once else is_there:
            with connection.cursor() as cursor:
                cursor.execute("SET LOCAL statement_timeout = 20")
                cursor.execute("SELECT pg_sleep(5)")
        real(batch, at=at)

    monkeypatch.setattr(drain, "_write", slow)
    for number in range(9):
        sensors.store(air("d1", at + timedelta(seconds=number), number), at=at)

    assert sensors.drain_all(at=at) == 9

    assert left() == (0, 9 - dead, dead, 0)
    assert sensors.twin("d1").reported["Air"]["pm25"][0] == 8
    assert [each.reason for each in DeadLetter.objects.all()] == ["not_storable"] * dead


def test_drain__connection_ended_while_idle__by_halves_on_another(
    at: datetime, monkeypatch: pytest.MonkeyPatch
):
    real = drain._write

    def slow(batch: drain._Batch, *, at: datetime) -> None:
        if len(batch.events) > 2:
            with connection.cursor() as cursor:
                cursor.execute("SET LOCAL idle_in_transaction_session_timeout = 20")
                time.sleep(0.1)
                cursor.execute("SELECT 1")
        real(batch, at=at)

    monkeypatch.setattr(drain, "_write", slow)
    for number in range(5):
        sensors.store(air("d1", at + timedelta(seconds=number), number), at=at)

    assert sensors.drain_all(at=at) == 5

    assert left() == (0, 5, 0, 0)


def test_drain__pushed_again__counts_once(at: datetime):
    for _ in range(3):
        sensors.store(air("d1", at, 40), at=at)
    sensors.drain_all(at=at)
    sensors.store(json.dumps(air("d1", at, 40), indent=2).encode(), at=at + timedelta(days=1))
    sensors.drain_all(at=at + timedelta(days=1))

    assert left() == (0, 1, 0, 0)
    assert sensors.twin("d1").version == 1


def test_drain__several_services_in_one_message__an_event_each(at: datetime):
    message = {
        "notifyType": "deviceDatasChanged", "requestId": None, "deviceId": "d1", "gatewayId": "d1",
        "services": [air("d1", at, 1)["service"], sensors.said("d1", {"x": 1}, at)["service"]],
    }  # fmt: skip
    sensors.store(message, at=at)

    sensors.drain_all(at=at)

    assert sorted(sensors.twin("d1").reported) == ["Air", "ParkingSensor"]
    assert sensors.twin("d1").version == 2


def test_drain__one_service_of_several_unreadable__nothing_of_the_message(at: datetime):
    wrong = air("d1", at, 1)["service"] | {"eventTime": "yesterday"}
    message = {
        "notifyType": "deviceDatasChanged", "deviceId": "d1",
        "services": [air("d1", at, 1)["service"], wrong],
    }  # fmt: skip
    sensors.store(message, at=at)

    sensors.drain_all(at=at)

    assert left() == (0, 0, 1, 0)
    assert Device.objects.count() == 0


def test_drain__told_of_a_device__its_info_kept_and_no_event(at: datetime):
    for name in ("one", "other"):
        info = {"name": name, "model": None}
        sensors.store({"notifyType": "deviceAdded", "deviceId": "d1", "deviceInfo": info}, at=at)
        sensors.drain_all(at=at)

    assert Device.objects.get().info == {"name": "other", "model": None}
    assert (Twin.objects.get().version, left()) == (0, (0, 0, 0, 0))


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"{", "not_json"),
        (b"\0", "not_json"),
        (b"[]", "not_object"),
        (b"{}", "notify_type"),
        (b'{"notifyType":"commandRsp","deviceId":"d"}', "notify_type"),
        (b'{"notifyType":"deviceDataChanged","deviceId":"d"}', "service"),
        (
            b'{"notifyType":"deviceDataChanged","deviceId":"d","service":{"serviceId":"S","data":'
            b'{"a":1e999},"eventTime":"20261121T020000Z"}}',
            "not_json",
        ),
        (
            b'{"notifyType":"deviceDataChanged","deviceId":"d","service":{"serviceId":"S","data":'
            b'{"a":' + b"[" * 300 + b"]" * 300 + b'},"eventTime":"20261121T020000Z"}}',
            "not_storable",
        ),
    ],
)
def test_drain__unreadable__dead_as_it_came_and_the_others_go_on(
    at: datetime, body: bytes, reason: str
):
    sensors.store(air("d1", at, 1), at=at)
    sensors.store(body, at=at)
    sensors.store(air("d2", at, 2), at=at)

    sensors.drain_all(at=at)

    dead = DeadLetter.objects.get()
    assert (dead.source, bytes(dead.body), dead.reason) == ("sandbox", body, reason)
    assert dead.received_at == at
    assert left() == (0, 2, 1, 0)


def test_drain__what_the_database_refuses__found_among_many_and_dead(
    at: datetime, monkeypatch: pytest.MonkeyPatch
):
    """With a reader that lets half a character pass."""
    monkeypatch.setattr(drain, "read_body", json.loads)
    monkeypatch.setattr(drain, "canonical", lambda value: json.dumps(value).encode())
    poisoned = [
        air("p1", at, "\ud800"),
        {"notifyType": "deviceAdded", "deviceId": "p\ud800", "deviceInfo": {}},
        {"notifyType": "deviceAdded", "deviceId": "p2", "deviceInfo": {"name": "\ud800"}},
    ]
    for number in range(20):
        sensors.store(air(f"d{number}", at, number), at=at)
        if number % 7 == 3:
            sensors.store(poisoned[number // 7], at=at)

    sensors.drain_all(at=at)

    assert {each.reason for each in DeadLetter.objects.all()} == {"not_storable"}
    assert left() == (0, 20, 3, 0)


def test_drain__source_that_is_no_longer_known__dead(at: datetime):
    sensors.store(air("d1", at, 1), at=at, source="gone")

    sensors.drain_all(at=at)

    assert DeadLetter.objects.get().reason == "source"


@pytest.mark.parametrize(
    ("lag", "is_taken"),
    [
        (timedelta(days=-30), True),
        (timedelta(days=-30, seconds=-1), False),
        (timedelta(minutes=10), True),
        (timedelta(minutes=10, seconds=1), False),
        (timedelta(days=3650), False),
        (timedelta(days=-20_000), False),
    ],
)
def test_drain__event_time_at_the_bounds__taken_or_quarantined(
    at: datetime, lag: timedelta, is_taken: bool
):
    for _ in range(2):
        sensors.store(air("d1", at + lag, 40), at=at)

    sensors.drain_all(at=at)

    assert left() == ((0, 1, 0, 0) if is_taken else (0, 0, 0, 1))
    assert Twin.objects.filter(device__external_id="d1").count() == is_taken


def test_drain__waited_for_days__what_has_no_day_any_more_is_quarantined(at: datetime):
    for lag in (timedelta(days=31), timedelta(days=31, seconds=1), timedelta(days=34)):
        sensors.store(air("d1", at - lag, 40), at=at - timedelta(days=5))

    sensors.drain_all(at=at)

    assert left() == (0, 1, 0, 2)


def test_drain__database_goes_away__nothing_lost_and_nothing_dead(
    at: datetime, monkeypatch: pytest.MonkeyPatch
):
    sensors.store(air("d1", at, 1), at=at)
    error = DatabaseError()
    error.__cause__ = psycopg2.errors.DeadlockDetected()

    def broken(*_: Any) -> None:
        raise error

    monkeypatch.setattr(drain.twins, "advance", broken)
    monkeypatch.setattr(drain, "is_passing", lambda found: found is error)
    with pytest.raises(DatabaseError):
        sensors.drain_all(at=at)
    assert left() == (1, 0, 0, 0)
    monkeypatch.undo()

    sensors.drain_all(at=at)

    assert left() == (0, 1, 0, 0)


def test_replay__after_it_can_be_read__taken_in_once(at: datetime, monkeypatch: Any):
    with monkeypatch.context() as patch:
        patch.setattr(drain, "DIALECTS", {})
        sensors.store(air("d1", at, 1), at=at)
        sensors.drain_all(at=at)
    dead = DeadLetter.objects.get()

    dead_letters.replay(dead.id)
    sensors.drain_all(at=at + timedelta(days=2))

    assert left() == (0, 1, 0, 0)
    assert Event.objects.get().received_at == at
    with pytest.raises(NotFound):
        dead_letters.replay(dead.id)


def test_purge__dead_and_quarantined_of_a_month_ago__forgotten_some_at_a_time(
    at: datetime, monkeypatch: pytest.MonkeyPatch
):
    for lag in (timedelta(), timedelta(days=40), timedelta(days=41)):
        sensors.store(b"{", at=at - lag)
        sensors.store(air("d1", at + timedelta(days=90), lag.days), at=at - lag)
    sensors.drain_all(at=at)
    assert left() == (0, 0, 3, 3)

    monkeypatch.setattr(dead_letters, "PURGED_AT_ONCE", 1)

    with statements() as sent:
        dead_letters.purge(at=at)

    assert left() == (0, 0, 2, 2)
    assert len(sent) == 2
    dead_letters.purge(at=at)
    dead_letters.purge(at=at)
    assert left() == (0, 0, 1, 1)


# Days


def days() -> list[str]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid"
            " WHERE i.inhparent = 'iot_event'::regclass ORDER BY 1"
        )
        return [row[0] for row in cursor.fetchall()]


def test_days__a_month_back_and_some_ahead():
    assert 34 <= len(days()) <= 40


def test_ensure__a_later_day__made_once_and_dropped_when_over(
    at: datetime, owner_url: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(partitions._Made, "through", datetime.min.date())
    partitions.ensure(at=at)  # the database may have been made the day before
    monkeypatch.setattr(partitions._Made, "through", datetime.min.date())
    before = days()

    with statements() as sent:
        partitions.ensure(at=at + timedelta(days=5))
        partitions.ensure(at=at + timedelta(days=5))

    assert len(sent) == 1
    made = [each for each in days() if each not in before]
    assert len(made) == 5
    assert partitions.drop_old(at=at) == 0
    with psycopg2.connect(owner_url) as owner, owner.cursor() as cursor:
        for day in made:
            cursor.execute(f"DROP TABLE {day}")


def test_drain__somebody_reads_the_events_for_long__goes_on_with_the_days_there_are(
    at: datetime, owner_url: str, monkeypatch: pytest.MonkeyPatch
):
    tomorrow = at + timedelta(days=1)
    monkeypatch.setattr(partitions._Made, "through", datetime.min.date())
    sensors.store(air("d1", at, 1), at=at)
    with psycopg2.connect(owner_url) as reader, reader.cursor() as reading:
        reading.execute("SELECT count(*) FROM iot_event")
        with connection.cursor() as cursor:
            cursor.execute("SET lock_timeout = 50")
        try:
            assert sensors.drain_all(at=tomorrow) == 1
            with pytest.raises(OperationalError):
                sensors.drain_all(at=at + timedelta(days=90))
        finally:
            with connection.cursor() as cursor:
                cursor.execute("RESET lock_timeout")

    assert left() == (0, 1, 0, 0)


def test_drop__days_still_in_use__refused_whoever_asks(at: datetime):
    with connection.cursor() as cursor, pytest.raises(DatabaseError) as caught:
        cursor.execute("SELECT iot_drop_days_v1(%s)", [at.date() - timedelta(days=28)])

    assert caught.value.__cause__.pgcode == "42501"


def test_drop__a_day_nothing_may_fall_on__dropped_whole(at: datetime):
    old = at.date() - timedelta(days=60)
    with connection.cursor() as cursor:
        cursor.execute("SELECT iot_make_days_v1(%s, %s)", [old, old])

    assert partitions.drop_old(at=at) >= 1

    assert f"iot_event_{old:%Y%m%d}" not in days()


@pytest.mark.parametrize(
    "statement",
    ["UPDATE iot_event SET service = 'x'", "DELETE FROM iot_event", "DROP TABLE iot_event",
     "CREATE TABLE iot_event_x PARTITION OF iot_event FOR VALUES FROM ('2000-01-01') TO"
     " ('2000-01-02')"],
)  # fmt: skip
def test_event__written__cannot_be_changed_by_the_program(at: datetime, statement: str):
    sensors.store(air("d1", at, 1), at=at)
    sensors.drain_all(at=at)

    with connection.cursor() as cursor, pytest.raises(DatabaseError) as caught:
        cursor.execute(statement)

    assert caught.value.__cause__.pgcode == "42501"
    assert Event.objects.count() == 1
