"""The day's actors without a stack: their requests go through Django's test client."""

import json
import time
from collections.abc import Mapping
from pathlib import Path

from django.conf import settings
from django.test import Client

from payments import debits, payouts, pursuit
from payments.settlement import payouts as settlement
from tests import sensors
from tests.outside import OutsideWorld
from tests.paying import lay_down_rules
from vpass import seed
from vpass.common import outbox
from vpass.common.clock import now
from vpass.day.memory import Memory
from vpass.day.outside import Outside
from vpass.day.play import Day, prepare
from vpass.day.transport import Patience, Reply, read_json


class ClientTransport:
    """Calls the whole program, middleware included, in this process."""

    def __init__(self) -> None:
        self.public_url = settings.PUBLIC_URL
        self.patience = Patience()

    def send(
        self, method: str, path: str, *, headers: Mapping[str, str], body: bytes = b""
    ) -> Reply:
        """See vpass.day.transport.Transport; an error inside the program is an answer too."""
        others = {name: value for name, value in headers.items() if name.lower() != "content-type"}
        answer = Client(raise_request_exception=False).generic(
            method, path, body, content_type="application/json", headers=others
        )
        cookies = {name: cookie.value for name, cookie in answer.cookies.items()}
        return Reply(answer.status_code, read_json(answer.content), cookies, answer.content)


def deliver() -> None:
    """What the worker does in a stack."""
    outbox.deliver_due(at=now())


def work() -> None:
    """What worker and clock do in a stack; an inquiry comes sooner than its five seconds."""
    sensors.drain_all(at=now())
    if outbox.deliver_due(at=now()) == 0:
        payouts.pursue_due(at=now() + pursuit.TAKEN_FOR)
        debits.pursue_due(at=now() + pursuit.TAKEN_FOR)
        settlement.settle_due(at=now())
        time.sleep(0.02)


def fill_city(folder: Path) -> None:
    """A seeded city in the test's database, with the rules of risk that a migrated one has."""
    lay_down_rules()
    seed.fill_city(state_dir=folder, at=now())


def prepare_day(sandbox: OutsideWorld, *, folder: Path) -> Day:
    """A seeded city in the test's database, and the actors of a day in it."""
    fill_city(folder)
    return prepare(
        transport=ClientTransport(),
        outside=Outside(sandbox.url, wait=deliver),
        memory=Memory.load(folder / "day.json"),
        logins=json.loads((folder / seed.LOGINS).read_text("utf-8")),
    )
