"""A push with the right secret is durable before its 200, whatever it says; others are refused."""

import io
import json
from datetime import datetime
from typing import Any
from wsgiref.types import WSGIApplication

import pytest
from django.conf import settings
from django.db import OperationalError, connection
from prometheus_client import REGISTRY

from services.iot import intake, tasks
from services.iot.api.push_door import ROUTE
from services.iot.models import InboxMessage
from tests import city, sensors
from tests.statements import statements
from tests.together import together
from vpass.common import doorbell

pytestmark = pytest.mark.django_db(transaction=True)

MESSAGE = json.dumps(sensors.said("d1", {"occupied": 1}, datetime(2026, 11, 21, 2, 0, 0))).encode()


@pytest.fixture(params=[sensors.short_way, sensors.usual_way], ids=["short", "usual"])
def way(request: pytest.FixtureRequest) -> WSGIApplication:
    """Both ways in: with the door before everything else, and without."""
    return request.param()


def inbox() -> list[tuple[str, bytes]]:
    return [(each.source, bytes(each.body)) for each in InboxMessage.objects.order_by("id")]


def test_push__right_secret__stored_as_it_came_in_one_statement(way: WSGIApplication):
    sensors.push(MESSAGE, through=way)  # so that connection and doorbell are there

    with statements() as sent:
        answer = sensors.push(MESSAGE, through=way)

    assert (answer.status_code, answer.json()) == (200, {"stored": True})
    assert answer["Cache-Control"] == "no-store"
    assert len(sent) == 1 and sent[0].startswith("INSERT INTO iot_inbox")
    assert inbox() == [("sandbox", MESSAGE)] * 2


def test_push__either_way__named_and_counted_as_any_request(way: WSGIApplication):
    labels = {"route": ROUTE, "method": "POST", "status": "200"}
    before = REGISTRY.get_sample_value("vpass_http_requests_total", labels) or 0.0

    answer = sensors.push(MESSAGE, through=way)
    own = sensors.push(MESSAGE, through=way, HTTP_X_REQUEST_ID="platform-0001")

    assert len(answer["X-Request-ID"]) == 32
    assert own["X-Request-ID"] == "platform-0001"
    assert REGISTRY.get_sample_value("vpass_http_requests_total", labels) == before + 2


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"\xff\xfe",
        b"\0",
        b'{"deviceId":"\\u0000"}',
        b'{"deviceId":7}',
        b'{"deviceId":"' + b"d" * 1_000 + b'"}',
        b'{"a":' + b"[" * 50_000 + b"]" * 50_000 + b"}",
        b'{"a":' + b"9" * 10_000 + b"}",
        b'{"a":1e999}',
        b'{"a":NaN}',
        b"x" * 1024 * 1024,
    ],
)
def test_push__nobody_can_read_it__stored_and_200(way: WSGIApplication, body: bytes):
    answer = sensors.push(body, through=way)

    assert answer.status_code == 200
    assert inbox() == [("sandbox", body)]


@pytest.mark.parametrize("kind", ["text/plain", "", "application/json; charset=gbk", "image/png"])
def test_push__of_another_content_type__stored_and_200(way: WSGIApplication, kind: str):
    assert sensors.push(MESSAGE, content_type=kind, through=way).status_code == 200
    assert inbox() == [("sandbox", MESSAGE)]


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        (sensors.address(secret="A" * 43), 401, "caller.not_authenticated"),
        (sensors.address(secret="a"), 401, "caller.not_authenticated"),
        (sensors.address("elsewhere"), 401, "caller.not_authenticated"),
        (sensors.address(secret="%00"), 404, "object.not_found"),
        (sensors.address(secret=""), 404, "object.not_found"),
        (sensors.address(secret="a/b"), 404, "object.not_found"),
    ],
    ids=["wrong", "short", "source", "nul", "none", "two parts"],
)
def test_push__wrong_secret_or_source__refused_and_nothing_stored(
    way: WSGIApplication, path: str, status: int, code: str
):
    answer = sensors.push(MESSAGE, path=path, through=way)

    assert city.problem(answer) == (status, code)
    assert inbox() == []


def test_push__right_secret_of_another_source__refused(way: WSGIApplication, monkeypatch: Any):
    secret = settings.SECRETS.iot_sources[sensors.SOURCE][1]
    monkeypatch.setitem(settings.SECRETS.iot_sources, "other", ("oceanconnect", "B" * 43))

    assert (
        sensors.push(MESSAGE, path=sensors.address("other", secret), through=way).status_code == 401
    )
    assert (
        sensors.push(MESSAGE, path=sensors.address("other", "B" * 43), through=way).status_code
        == 200
    )
    assert inbox() == [("other", MESSAGE)]


def test_push__over_a_mebibyte__413_and_nothing_stored(way: WSGIApplication):
    answer = sensors.push(b"x" * (1024 * 1024 + 1), through=way)

    assert city.problem(answer) == (413, "request.too_large")
    assert inbox() == []


def test_push__compressed_or_of_unknown_length__refused(way: WSGIApplication):
    packed = sensors.push(MESSAGE, through=way, HTTP_CONTENT_ENCODING="gzip")
    odd = sensors.push(MESSAGE, through=way, CONTENT_LENGTH="-1")

    assert city.problem(packed) == (415, "request.media_type")
    assert city.problem(odd) == (400, "request.invalid")
    assert inbox() == []


def test_push__another_method__405(way: WSGIApplication):
    assert sensors.push(b"", through=way, method="GET").status_code == 405


def test_push__connection_broken_meanwhile__replaced_and_stored():
    sensors.push(MESSAGE)
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        (pid,) = cursor.fetchone()
    other = connection.copy()
    with other.cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(%s)", [pid])
    other.close()

    assert sensors.push(MESSAGE).status_code == 200
    assert inbox() == [("sandbox", MESSAGE)] * 2


def test_push__sender_goes_away__nothing_stored(way: WSGIApplication):
    cut_off = {"CONTENT_LENGTH": str(len(MESSAGE) + 1), "wsgi.input": io.BytesIO(MESSAGE)}

    answer = sensors.push(MESSAGE, through=way, **cut_off)

    assert city.problem(answer) == (400, "request.invalid")
    assert inbox() == []


@pytest.mark.parametrize(("size", "by_the_door"), [(64 * 1024, 1), (64 * 1024 + 1, 0)])
def test_push__larger_than_a_device_speaks__the_usual_way(size: int, by_the_door: int):
    def taken() -> float:
        return REGISTRY.get_sample_value("vpass_iot_pushes_total", {"source": "sandbox"}) or 0.0

    before = taken()

    assert sensors.push(b"x" * size).status_code == 200

    assert taken() == before + by_the_door
    assert inbox() == [("sandbox", b"x" * size)]


def test_store__database_refuses_the_short_way__asked_again_by_the_usual_one(
    monkeypatch: pytest.MonkeyPatch,
):
    def refuse(*_: Any) -> None:
        raise OperationalError

    monkeypatch.setattr(intake, "_insert", refuse)

    assert city.problem(sensors.push(MESSAGE)) == (503, "service.busy")
    assert inbox() == []


def test_store__eight_at_once__each_once_in_fewer_statements():
    sent: list[int] = []
    insert = intake._insert

    def count(rows: Any) -> None:
        sent.append(len(rows))
        insert(rows)

    def push_many(index: int) -> list[int]:
        bodies = [f"{index}-{number}".encode() for number in range(20)]
        return [sensors.push(body).status_code for body in bodies]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(intake, "_insert", count)
        answers = together(8, push_many)

    assert answers == [[200] * 20] * 8
    assert sorted(body for _, body in inbox()) == sorted(
        f"{index}-{number}".encode() for index in range(8) for number in range(20)
    )
    assert sum(sent) == 160 and len(sent) < 160


def test_shard__of_one_device__always_the_same_and_spread():
    shards = {
        device: {
            intake.shard_of(json.dumps(said).encode())
            for said in (
                {"deviceId": device, "service": {"data": {"x": 1}}},
                {"notifyType": "deviceDataChanged", "deviceId": device},
                {"notify_data": {"header": {"device_id": device}}},
            )
        }
        for device in map(str, range(200))
    }

    assert all(len(each) == 1 for each in shards.values())
    assert set.union(*shards.values()) == set(range(settings.IOT_SHARDS))


def test_ring__many_posts_at_once__one_bell(monkeypatch: pytest.MonkeyPatch):
    rung: list[int] = []
    monkeypatch.setattr(doorbell, "ring", lambda task, *, shard: rung.append(shard))
    monkeypatch.setattr(intake, "_rung", {})
    monkeypatch.setattr(intake, "RING_EVERY_S", 60.0)

    for _ in range(20):
        sensors.push(MESSAGE)

    assert rung == [intake.shard_of(MESSAGE)]


def test_drain_task__more_than_it_can_do__leaves_the_process_after_two_seconds(
    monkeypatch: pytest.MonkeyPatch,
):
    clock = iter(range(100))
    drained: list[int] = []
    monkeypatch.setattr(tasks.time, "monotonic", lambda: next(clock))
    monkeypatch.setattr(tasks.draining, "drain", lambda *, shard, at: drained.append(shard) or 1)

    tasks.drain(shard=3)

    assert drained == [3, 3]


def test_ring__nobody_hears_it__gone_when_the_schedule_has_rung(monkeypatch: pytest.MonkeyPatch):
    sent: list[dict[str, Any]] = []
    monkeypatch.setattr(
        doorbell.current_app, "send_task", lambda task, **options: sent.append(options)
    )
    monkeypatch.setattr(doorbell._Circuit, "silent_until", 0.0)

    doorbell.ring(intake.DRAIN_TASK, shard=3)

    assert [(each["kwargs"], each["expires"]) for each in sent] == [({"shard": 3}, 5.0)]


def test_oldest_waiting__the_first_of_all_shards(at: datetime):
    assert intake.oldest_waiting() is None
    for number in range(8):
        sensors.store({"deviceId": str(number)}, at=at + sensors.lie(number))

    assert intake.oldest_waiting() == at
