"""The sandbox's face checks and register's control: what they take, and what they refuse."""

import pytest
import requests

from tests.outside import OutsideWorld
from tests.sandbox.asking import ask, question
from vpass.sandbox import population

PERSON = population.people()[30]


def post(sandbox: OutsideWorld, path: str, body: object) -> tuple[int, dict[str, object]]:
    answer = requests.post(f"{sandbox.url}{path}", json=body, timeout=10)
    return answer.status_code, answer.json()


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/liveness/v1/checks", {}, 400),
        ("/liveness/v1/checks", [], 400),
        ("/liveness/v1/checks", {"challenge": "A", "subject": "A", "audience": "A"}, 400),
        (
            "/liveness/v1/checks",
            {"challenge": "A" * 43, "subject": "A" * 43, "audience": "http://a"},
            404,
        ),
        ("/liveness/control/next", {"mode": "kind"}, 400),
        ("/liveness/control/next", {"mode": "slow", "seconds": 61}, 400),
        ("/phone-maker/v1/attestations", {"public_key": {}, "challenge": "AAAA"}, 400),
        ("/phone-maker/v1/attestations", {"public_key": {}, "challenge": "§"}, 400),
        ("/register/control/changes", {"id_number": "1", "kind": "died"}, 404),
        ("/register/control/changes", {"id_number": "1", "kind": "moved"}, 400),
    ],
)
def test_controls__malformed_or_unknown__refused(
    sandbox: OutsideWorld, path: str, body: object, status: int
):
    assert post(sandbox, path, body)[0] == status


def test_register__entry_changed_and_back__asked_by_the_new_name_alone(sandbox: OutsideWorld):
    def change(new_name: str) -> tuple[int, dict[str, object]]:
        order = {
            "id_number": PERSON.id_number,
            "kind": "name_changed",
            "new_name": new_name,
            "tell": False,
        }
        return post(sandbox, "/register/control/changes", order)

    def is_matched(name: str) -> bool:
        url = f"{sandbox.url}/register/v1/matches"
        answer = ask(url, question(real_name=name, id_number=PERSON.id_number))
        return bool(answer[1]["matched"])

    status, told = change("王新名")
    try:
        assert (status, told["answers"]) == (200, [])
        event = told["event"]
        assert isinstance(event, dict)
        assert (event["kind"], event["census_id"]) == ("name_changed", PERSON.census_id)
        assert is_matched("王新名")
        assert not is_matched(PERSON.real_name)
    finally:
        change(PERSON.real_name)
    assert is_matched(PERSON.real_name)
