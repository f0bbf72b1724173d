"""What partners push is refused when its signature is bad, old or used, and that is logged."""

import io
import json
import uuid
from datetime import timedelta
from typing import Any

import pytest
from django.apps import apps
from django.conf import settings

from tests import banking, city, sensors
from tests.contracts.test_access import endpoints, url
from vpass.common import clock, http_signatures, signing
from vpass.common.api import Audience
from vpass.common.http_signatures import Parts

pytestmark = pytest.mark.django_db(transaction=True)

FLOORS = ("identity", "cards", "payments", "services", "iot")
CALLBACKS = sorted(
    route
    for route, view in endpoints().items()
    if view.audience in (Audience.BANK, Audience.ISSUER) and hasattr(view, "post")
    if view.signed_in  # a key's enrolment is signed by the key itself
)
FAULTS = {
    "by another key": "signature.invalid",
    "body changed": "signature.digest_wrong",
    "of another address": "signature.invalid",
    "an hour old": "signature.expired",
    "of tomorrow": "signature.clock_wrong",
    "repeated": "signature.replayed",
}


def rows() -> dict[str, int]:
    return {
        model.__name__: model._default_manager.count()
        for floor in FLOORS
        for model in apps.get_app_config(floor).get_models()
    }


def lines(log: io.StringIO) -> list[dict[str, Any]]:
    found = [json.loads(line) for line in log.getvalue().splitlines() if line.startswith("{")]
    return [line for line in found if line.get("event") == "request"]


def signed(machine: city.Machine, path: str, body: bytes, *, fault: str) -> dict[str, str]:
    """The headers of a request that is bad in one way."""
    shifts = {"an hour old": -timedelta(hours=1), "of tomorrow": timedelta(days=1)}
    named = {"content-type": "application/json", "idempotency-key": uuid.uuid4().hex}
    added = http_signatures.sign_request(
        Parts(
            method="POST",
            target_uri=settings.PUBLIC_URL + path + ("x" if fault == "of another address" else ""),
            headers=named,
            body=body + b" " if fault == "body changed" else body,
        ),
        key_id=machine.key_id,
        private=signing.generate_ed25519() if fault == "by another key" else machine.private,
        algorithm="ed25519",
        at=clock.now() + shifts.get(fault, timedelta()),
        nonce=uuid.uuid4().hex,
    )
    named.pop("content-type")
    return named | added


@pytest.mark.parametrize("fault", FAULTS)
def test_callback__badly_signed__refused_and_logged_and_nothing_done(
    fault: str, program_log: io.StringIO
):
    system = banking.make_bank()
    machines = {
        "bank": system.machine,
        "issuer": city.make_terminal(system.bank.organisation, scene="issuer", key_id="issuer-1"),
    }
    before, body = rows(), json.dumps({"notice_id": str(uuid.uuid4())}).encode()
    assert len(CALLBACKS) >= 7

    for route in CALLBACKS:
        path = url(route)
        headers = signed(machines[route.split("/")[1]], path, body, fault=fault)
        if fault == "repeated":
            assert city.send("POST", path, body, headers).status_code != 401
        known = len(lines(program_log))

        answer = city.send("POST", path, body, headers)

        assert city.problem(answer) == (401, FAULTS[fault]), route
        (line,) = lines(program_log)[known:]
        assert (line["status"], line["code"]) == (401, FAULTS[fault]), line
    assert rows() == before


def test_push__wrong_secret__refused_and_logged_without_it(program_log: io.StringIO):
    before, secret = rows(), "A" * 43

    answer = sensors.push(b"{}", path=sensors.address(secret=secret))

    assert city.problem(answer) == (401, "caller.not_authenticated")
    (line,) = lines(program_log)
    assert (line["status"], line["code"]) == (401, "caller.not_authenticated")
    assert secret not in program_log.getvalue()
    assert rows() == before
