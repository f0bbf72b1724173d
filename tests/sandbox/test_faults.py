"""The fault switch: only from this machine, counted, and on the site it is meant for."""

import http.client
import json
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.outside import OutsideWorld
from tests.sandbox.asking import ask, message, question
from vpass.sandbox import faults


def call(
    sandbox: OutsideWorld, method: str, path: str, *, body: bytes = b"", **headers: str
) -> tuple[int, Any]:
    connection = http.client.HTTPConnection("127.0.0.1", urlsplit(sandbox.url).port, timeout=10)
    try:
        connection.request(method, path, body=body, headers=headers)
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
    finally:
        connection.close()


def test_faults__counted_and_cleared(sandbox: OutsideWorld):
    sandbox.breaks("register", "http_500", count=2)
    url = f"{sandbox.url}/register/v1/matches"

    statuses = [ask(url, question())[0] for _ in range(3)]

    assert statuses == [500, 500, 200]
    assert sandbox.read("/faults") == {"faults": []}
    sandbox.breaks("register", "http_500", count=9)
    call(sandbox, "DELETE", "/faults")
    assert ask(url, question())[0] == 200


def test_faults__one_site__the_other_goes_on(sandbox: OutsideWorld):
    sandbox.breaks("register", "http_500")

    assert ask(f"{sandbox.url}/sms/v1/messages", message())[0] == 202
    assert ask(f"{sandbox.url}/register/v1/matches", question())[0] == 500


def test_faults__in_the_order_they_were_asked_for(sandbox: OutsideWorld):
    sandbox.breaks("register", "too_many", seconds=9)
    sandbox.breaks("register", "http_500")
    url = f"{sandbox.url}/register/v1/matches"

    assert [ask(url, question())[0] for _ in range(3)] == [429, 500, 200]


def test_lost_reply__the_work_was_done(sandbox: OutsideWorld):
    sandbox.breaks("register", "lost_reply")
    before = sandbox.read("/register/journal")
    asked = question()
    url = f"{sandbox.url}/register/v1/matches"

    with pytest.raises(http.client.RemoteDisconnected):
        ask(url, asked)

    after = sandbox.read("/register/journal")
    assert after["questions"] == before["questions"] + 1
    assert ask(url, asked)[0] == 200
    assert sandbox.read("/register/journal")["questions"] == after["questions"]


def test_reset__nothing_was_done(sandbox: OutsideWorld):
    sandbox.breaks("register", "reset")
    before = sandbox.read("/register/journal")

    with pytest.raises(ConnectionResetError) as caught:
        ask(f"{sandbox.url}/register/v1/matches", question())

    assert not isinstance(caught.value, http.client.RemoteDisconnected)
    assert sandbox.read("/register/journal") == before


def test_duplicate__handled_twice_and_noted_once(sandbox: OutsideWorld):
    sandbox.breaks("register", "duplicate")
    before = sandbox.read("/register/journal")
    asked = question()

    status, answer = ask(f"{sandbox.url}/register/v1/matches", asked)

    assert (status, answer["request_id"]) == (200, asked["request_id"])
    after = sandbox.read("/register/journal")
    assert after["questions"] == before["questions"] + 1
    assert after["repeats"] == before["repeats"] + 1


@pytest.mark.parametrize(
    "order",
    [
        {},
        {"site": "insurer", "mode": "delay"},
        {"site": "register", "mode": "explode"},
        {"site": "register", "mode": "delay", "count": 0},
        {"site": "register", "mode": "delay", "count": True},
        {"site": "register", "mode": "delay", "seconds": 61},
        {"site": "register", "mode": "delay", "seconds": "1"},
        {"site": "register", "mode": "huge", "variant": "old"},
        {"site": "register", "mode": "delay", "more": 1},
        {"site": ["register"], "mode": ["delay"]},
    ],
    ids=str,
)
def test_faults__order_it_cannot_carry_out__400(sandbox: OutsideWorld, order: dict[str, Any]):
    body = json.dumps(order).encode()

    status, _ = call(sandbox, "POST", "/faults", body=body, **{"Content-Type": "application/json"})

    assert status == 400
    assert sandbox.read("/faults") == {"faults": []}


def test_faults__a_browser_form__refused(sandbox: OutsideWorld):
    body = json.dumps({"site": "register", "mode": "delay"}).encode()

    status, _ = call(sandbox, "POST", "/faults", body=body, **{"Content-Type": "text/plain"})

    assert status == 415
    assert sandbox.read("/faults") == {"faults": []}


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/faults"),
        ("DELETE", "/faults"),
        ("GET", "/register/demo-people"),
        ("GET", "/register/journal"),
        ("GET", "/sms/v1/inbox/13911112222"),
    ],
)
def test_routes_of_the_demonstration__another_host_name__403(
    sandbox: OutsideWorld, method: str, path: str
):
    assert call(sandbox, method, path, Host="evil.example")[0] == 403


def test_unknown_route_and_method__json_refusals(sandbox: OutsideWorld):
    assert call(sandbox, "GET", "/nothing") == (404, {"error": "not_found"})
    assert call(sandbox, "GET", "/register/v1/matches") == (405, {"error": "method"})


def test_switch__nonsense_without_a_variant__takes_turns():
    switch = faults.Switch(sites=frozenset({"register"}))
    switch.add({"site": "register", "mode": "nonsense", "count": 8})

    taken = [switch.take("register") for _ in range(8)]

    assert [fault.variant for fault in taken if fault] == list(faults.MODES["nonsense"])
    assert switch.take("register") is None
