"""Sensors for tests: what their platform pushes, the bays they watch, and who drains the inbox."""

import json
from datetime import datetime, timedelta
from functools import cache
from typing import Any
from wsgiref.types import WSGIApplication

from django.conf import settings
from django.core.handlers.wsgi import WSGIHandler
from django.http import HttpResponse
from django.test import RequestFactory

from services.iot import drain, intake
from services.iot.api.push_door import PushDoor
from services.iot.applications.parking import claims, sessions
from services.iot.models import Device, ParkingBay, ParkingTariff, Twin
from tests import banking, city
from vpass.common import outbox

SOURCE = "sandbox"


def address(source: str = SOURCE, secret: str | None = None) -> str:
    """The path that the platform was given."""
    secret = settings.SECRETS.iot_sources[SOURCE][1] if secret is None else secret
    return f"/api/platform/v1/push/{source}/{secret}"


class Answer(HttpResponse):
    """What came back, with its JSON as Django's test client has it."""

    def json(self) -> Any:
        return json.loads(self.content)


@cache
def usual_way() -> WSGIApplication:
    """The program without the short way in front of it."""
    return WSGIHandler()


@cache
def short_way() -> WSGIApplication:
    """The program as it is served."""
    return PushDoor(usual_way())


def push(
    body: bytes,
    *,
    through: WSGIApplication | None = None,
    path: str | None = None,
    content_type: str = "application/json",
    method: str = "POST",
    **environ: Any,
) -> Answer:
    """What is answered to a push; `environ` has WSGI's names."""
    request = RequestFactory().generic(method, path or address(), body, content_type, **environ)
    said: list[tuple[str, list[tuple[str, str]]]] = []

    def start_response(status: str, headers: list[tuple[str, str]], *_: Any) -> Any:
        said.append((status, headers))

    content = b"".join((through or short_way())(request.environ, start_response))
    status, headers = said[0]
    return Answer(content, status=int(status[:3]), headers=dict(headers))


def stamp(moment: datetime) -> str:
    """An event time as OceanConnect spells it."""
    return moment.strftime("%Y%m%dT%H%M%SZ")


def said(
    device: str, data: dict[str, Any], at: datetime, *, service: str = "ParkingSensor", **more: Any
) -> dict[str, Any]:
    """A deviceDataChanged."""
    return {
        "notifyType": "deviceDataChanged",
        "requestId": None,
        "deviceId": device,
        "gatewayId": device,
        "service": {
            "serviceId": service,
            "serviceType": service,
            "data": data,
            "eventTime": stamp(at),
        },
    } | more


def store(message: Any, *, at: datetime, source: str = SOURCE) -> None:
    """A push beside the edge."""
    body = message if isinstance(message, bytes) else json.dumps(message).encode()
    intake.store(source=source, body=body, at=at)


def drain_all(*, at: datetime, limit: int = drain.BATCH) -> int:
    """What the worker does, with every shard in turn; returns how many messages that was."""
    total = 0
    for shard in range(settings.IOT_SHARDS):
        while count := drain.drain(shard=shard, at=at, limit=limit):
            total += count
    return total


def work(*, at: datetime) -> None:
    """Drain, and have everybody hear of it."""
    drain_all(at=at)
    while outbox.deliver_due(at=at):
        pass


def twin(device: str) -> Twin:
    return Twin.objects.get(device__external_id=device)


def make_tariff(**changes: Any) -> ParkingTariff:
    """15 minutes free, then ¥2 for each half hour begun, at most ¥20 for 24 hours."""
    made = {"name": "街边", "free_minutes": 15, "half_hour_fen": 200, "day_cap_fen": 2_000}
    return ParkingTariff.objects.get_or_create(name=made["name"], defaults=made | changes)[0]


def make_bay(
    code: str = "A-017", *, device: str = "bay-17", at: datetime, operator: Any = None
) -> ParkingBay:
    """A bay with a sensor; its operator is a merchant."""
    if operator is None:
        merchant = banking.make_merchant(banking.make_bank().bank, name="停车服务中心")
        operator = merchant.organisation
    return ParkingBay.objects.create(
        code=code,
        device=make_device(device, at=at),
        operator=operator,
        tariff=make_tariff(),
        location_zh="胜利东街北侧",
        location_en="Shengli East Street, north side",
    )


def make_device(name: str, *, at: datetime) -> Device:
    device = Device.objects.create(source=SOURCE, external_id=name, heard_at=at)
    Twin.objects.create(device=device)
    return device


def claim(phone: city.Phone, code: str = "A-017", *, at: datetime, **changes: Any) -> claims.Shown:
    """A resident's word for a car, beside the edge."""
    caller = phone.caller
    key = city.idempotency(caller.scope, changes.pop("key", None))
    return claims.claim_bay(caller=caller, bay_code=code, idempotency_key=key, at=at, **changes)


def settle(*, at: datetime) -> None:
    """What the clock does, when everything is settled that can be at `at`."""
    sessions.settle_due(at=at)


def lie(minutes: float) -> timedelta:
    return timedelta(minutes=minutes)
