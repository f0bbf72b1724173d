"""The sandbox's IoT platform pushes what is published, and again until it is answered 200."""

import json
import shutil
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import requests
from django.conf import settings

from services.iot.dialects import oceanconnect
from services.iot.messages import DeviceTold, Reading
from tests.outside import OutsideWorld, sandbox_in


class Receiver(ThreadingHTTPServer):
    """Stands where V Pass would: keeps what comes, and answers what a test has laid down."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.got: list[tuple[str, Any]] = []
        self.answers: list[int] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        receiver: Any = self.server
        body = self.rfile.read(int(self.headers["Content-Length"]))
        receiver.got.append((self.path, json.loads(body)))
        self.send_response(receiver.answers.pop(0) if receiver.answers else 200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    server = Receiver()
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def platform(
    receiver: Receiver, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[OutsideWorld]:
    """A sandbox whose platform pushes to the receiver."""
    folder = tmp_path_factory.mktemp("state") / "sandbox"
    shutil.copytree(settings.STATE_DIR / "sandbox", folder)
    for name in ("bank.sqlite3", "sandbox.json"):
        (folder / name).unlink(missing_ok=True)
    with sandbox_in(folder, VPASS_URL=receiver.url) as world:
        yield world


def tell(world: OutsideWorld, what: str, body: Any) -> requests.Response:
    return requests.post(f"{world.url}/iot/control/{what}", json=body, timeout=20)


def test_readings__pushed_as_published_and_read_by_our_dialect(
    platform: OutsideWorld, receiver: Receiver
):
    receiver.got.clear()
    order = {
        "device_id": "d1",
        "service": "ParkingSensor",
        "data": {"occupied": 1},
        "event_time": "20261121T020000Z",
        "copies": 2,
    }

    told = tell(platform, "readings", order).json()

    secret = (settings.STATE_DIR / "sandbox" / "iot_secret.txt").read_text()
    message = {
        "notifyType": "deviceDataChanged", "requestId": None, "deviceId": "d1", "gatewayId": "d1",
        "service": {"serviceId": "ParkingSensor", "serviceType": "ParkingSensor",
                    "data": {"occupied": 1}, "eventTime": "20261121T020000Z"},
    }  # fmt: skip
    assert told == {"message": message, "pushes": [{"status": 200, "attempts": 1}] * 2}
    assert receiver.got == [(f"/api/platform/v1/push/sandbox/{secret}", message)] * 2
    (reading,) = oceanconnect.said(message)
    assert isinstance(reading, Reading) and reading.props == {"occupied": 1}


def test_readings__not_answered_200__pushed_again_and_dropped_in_the_end(
    platform: OutsideWorld, receiver: Receiver
):
    order = {"device_id": "d1", "service": "S", "data": {}}
    receiver.answers[:] = [503, 202]
    assert tell(platform, "readings", order).json()["pushes"] == [{"status": 200, "attempts": 3}]

    receiver.answers[:] = [500] * 4
    assert tell(platform, "readings", order).json()["pushes"] == [{"status": 500, "attempts": 4}]


def test_devices__pushed_as_published(platform: OutsideWorld, receiver: Receiver):
    receiver.got.clear()

    tell(platform, "devices", {"device_id": "d1", "info": {"name": "A-017"}}).raise_for_status()

    (message,) = [body for _, body in receiver.got]
    (told,) = oceanconnect.said(message)
    assert isinstance(told, DeviceTold)
    assert told.info["name"] == "A-017" and told.info["model"] is None
    assert (message["notifyType"], message["gatewayId"]) == ("deviceAdded", "d1")


@pytest.mark.parametrize(
    ("what", "order", "status"),
    [
        ("readings", {}, 400),
        ("readings", {"device_id": 1, "service": "S", "data": {}}, 400),
        ("readings", {"device_id": "d", "service": "S", "data": []}, 400),
        ("readings", {"device_id": "d", "service": "S", "data": {}, "event_time": "now"}, 400),
        ("readings", {"device_id": "d", "service": "S", "data": {}, "copies": 0}, 400),
        ("readings", {"device_id": "d", "service": "S", "data": {}, "colour": 1}, 400),
        ("devices", {"info": {}}, 400),
        ("nothing", {}, 404),
    ],
)
def test_control__not_as_it_must_be__refused(
    platform: OutsideWorld, receiver: Receiver, what: str, order: Any, status: int
):
    receiver.got.clear()

    assert tell(platform, what, order).status_code == status
    assert receiver.got == []


def test_control__nobody_to_push_to__404(sandbox_process: OutsideWorld):
    order = {"device_id": "d1", "service": "S", "data": {}}

    assert tell(sandbox_process, "readings", order).status_code == 404


def test_page__names_what_the_code_does():
    page = (Path(__file__).resolve().parents[2] / "docs" / "iot-protocol.md").read_text("utf-8")

    for word in (
        "deviceDataChanged",
        "deviceDatasChanged",
        "deviceAdded",
        "deviceInfoChanged",
        "/api/platform/v1/push/",
        "/iot/control/readings",
        "/iot/control/devices",
    ):
        assert word in page
