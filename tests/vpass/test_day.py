"""The runner of the day fails loudly, and the day goes well on a real stack."""

import base64
import io
import json
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command

from tests.engines import site_free_environment
from tests.faults.kills import state_dir_of
from vpass.common import signing
from vpass.day.actors import totp
from vpass.day.memory import FIRST_PLACE, Memory
from vpass.day.play import Step, play
from vpass.day.story import STEPS
from vpass.day.transport import Reply, Unexpected
from vpass.management.commands import day as command
from vpass.programs import ROOT
from vpass.supervisor import Run, StackFailure

LOGINS = {
    "day": {
        "clerk": {"username": "c", "password": "p", "totp_secret": "AAAA"},
        "desk_enrolment_code": "2" * 16,
        "till_enrolment_code": "3" * 16,
        "door_enrolment_code": "3" * 16,
        "finance": {
            "staff": [
                {"username": name, "password": "p", "totp_secret": "AAAA"} for name in ("a", "b")
            ],
            "desk_enrolment_codes": ["4" * 16, "5" * 16],
        },
        "check_in": {
            "staff": {"username": "r", "password": "p", "totp_secret": "AAAA"},
            "desk_enrolment_code": "6" * 16,
        },
        "privacy": {
            "login": {"username": "o", "password": "p", "totp_secret": "AAAA"},
            "desk_enrolment_code": "7" * 16,
        },
        "registrar": {
            "clerk": {"username": "g", "password": "p", "totp_secret": "AAAA"},
            "desk_enrolment_code": "8" * 16,
        },
        "administration": {
            "staff": [
                {"username": name, "password": "p", "totp_secret": "AAAA"} for name in ("d", "e")
            ],
            "desk_enrolment_codes": ["8" * 16, "9" * 16],
        },
        "hotline": {
            "clerk": {"username": "h", "password": "p", "totp_secret": "AAAA"},
            "desk_enrolment_code": "6" * 16,
        },
    },
    "billers": {"utility": {"key_id": "biller-utility", "private_key_pem": ""}},
    "departments": [
        {
            "key_id": f"department-{number}",
            "private_key_pem": signing.private_pem(signing.generate_ed25519()),
        }
        for number in (1, 2)
    ],
    "terminal": {
        "id": "00000000-0000-0000-0000-000000000001",
        "key_id": "kiosk-1",
        "private_key_pem": signing.private_pem(signing.generate_ed25519()),
    },
    "bus": {
        "line": "1",
        "key_id": "bus-1",
        "private_key_pem": signing.private_pem(signing.generate_ed25519()),
    },
}


def good(day: Any) -> str:
    return "fine"


def bad(day: Any) -> str:
    raise Unexpected("expected 200, was answered 500 server.error")


def crash(day: Any) -> str:
    raise KeyError("fields")


def after_bad(day: Any) -> str:
    raise AssertionError("must not be played")


def after_that(day: Any) -> str:
    raise AssertionError("must not be played")


BROKEN = [
    Step("first", good),
    Step("second", bad),
    Step("third", after_bad, (good, bad)),
    Step("fourth", after_that, (after_bad,)),
    Step("fifth", good, (good,)),
]


def test_play__a_broken_step__what_needs_it_fails_too_and_the_rest_is_played():
    lines: list[str] = []

    failed = play(BROKEN, None, say=lines.append)  # type: ignore[arg-type]

    assert failed == 3
    assert [line.split(" s  ")[1] for line in lines] == [
        "ok  fine",
        "FAILED  expected 200, was answered 500 server.error",
        "FAILED  not played: needs step 2",
        "FAILED  not played: needs step 3",
        "ok  fine",
    ]
    assert [line.split()[:2] for line in lines] == [
        ["1", "first"],
        ["2", "second"],
        ["3", "third"],
        ["4", "fourth"],
        ["5", "fifth"],
    ]


def test_play__a_step_that_crashes__counted_and_its_traceback_shown(
    capsys: pytest.CaptureFixture[str],
):
    lines: list[str] = []

    failed = play([Step("crash", crash)], None, say=lines.append)  # type: ignore[arg-type]

    assert failed == 1
    assert lines[0].endswith("FAILED  KeyError: 'fields'")
    assert "in crash" in capsys.readouterr().err


def test_steps__each_needs_only_what_stands_before_it():
    played: set[Any] = set()
    for step in STEPS:
        assert set(step.needs) <= played, step.name
        played.add(step.act)
    assert len(played) == len(STEPS)
    assert len({step.name for step in STEPS}) == len(STEPS)


@pytest.fixture
def fake_stack(settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A state folder with log-ins, and a stack that is nowhere."""

    @contextmanager
    def stack(*, state_dir: Path) -> Iterator[Run]:
        yield Run(
            pid=1,
            started_at="1",
            mark="",
            web_url="http://127.0.0.1:1",
            public_url="http://127.0.0.1:1",
            sandbox_url="http://127.0.0.1:1",
            processes={},
        )

    settings.STATE_DIR = tmp_path
    monkeypatch.setattr(command, "stack", stack)
    (tmp_path / "demo.json").write_text(json.dumps(LOGINS), "utf-8")
    return tmp_path


def run_command() -> tuple[int, list[str]]:
    """The command's exit code and the lines it showed."""
    shown = io.StringIO()
    try:
        call_command("day", stdout=shown)
    except SystemExit as end:
        return int(end.code or 0), shown.getvalue().splitlines()
    return 0, shown.getvalue().splitlines()


def test_command__a_broken_step__exit_code_1_and_last_line_says_how_many(
    fake_stack: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(command, "STEPS", BROKEN)

    code, lines = run_command()

    assert code == 1
    assert lines[-1] == "day: 5 steps, 3 failed"
    assert len(lines) == 6


def test_command__all_well__exit_code_0(fake_stack: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(command, "STEPS", BROKEN[:1])

    assert run_command()[0] == 0
    assert run_command()[1][-1] == "day: 1 steps, 0 failed"


def test_command__nothing_answers__every_step_fails(
    fake_stack: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(command, "PATIENCE_S", 0.5)

    code, lines = run_command()

    assert code == 1
    assert lines[-1] == f"day: {len(STEPS)} steps, {len(STEPS)} failed"
    assert "no answer to GET /.well-known/vpass-keys.json" in lines[0]
    assert "without it there is no day" in lines[1]


def test_command__stack_does_not_come_up__exit_code_1(
    fake_stack: Path, monkeypatch: pytest.MonkeyPatch
):
    def stack(*, state_dir: Path) -> Any:
        raise StackFailure("postgres does not start; see the log")

    monkeypatch.setattr(command, "stack", stack)

    code, lines = run_command()

    assert code == 1
    assert lines == [
        "FAILED  postgres does not start; see the log",
        f"day: {len(STEPS)} steps, {len(STEPS)} failed",
    ]


def test_memory__saved__comes_back_and_is_its_owners_alone(tmp_path: Path):
    path = tmp_path / "day.json"
    memory = Memory.load(path)
    assert [memory.take_place(), memory.take_place()] == [FIRST_PLACE, FIRST_PLACE + 1]
    key = memory.key("till")
    memory.totp_steps["c"] = 7

    memory.note_enrolled("till")

    assert Memory.load(path) == memory
    assert signing.jwk_of(Memory.load(path).key("till")) == signing.jwk_of(key)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [each.name for each in tmp_path.iterdir()] == ["day.json"]


@pytest.mark.parametrize(
    ("seconds", "digits"),
    [(59, "287082"), (1111111109, "081804"), (1234567890, "005924"), (2000000000, "279037")],
)
def test_totp__vectors_of_rfc_6238(seconds: int, digits: str):
    secret = base64.b32encode(b"12345678901234567890").decode()

    assert totp(secret, at=datetime.fromtimestamp(seconds, tz=UTC)) == digits


def test_reply__unexpected__says_status_and_code_but_nothing_personal():
    reply = Reply(200, {"fields": {"real_name": "王秀英"}}, {})

    with pytest.raises(Unexpected) as refused:
        reply.expect(409)
    with pytest.raises(Unexpected, match=r"expected 409 code\.already_used, was answered 200$"):
        reply.expect_refusal(409, "code.already_used")

    assert str(refused.value) == "expected 409, was answered 200"


@pytest.mark.stack
def test_day__on_a_real_stack__ends_with_0_failed(stack: Run):
    done = subprocess.run(
        [sys.executable, "manage.py", "day"],
        cwd=ROOT,
        env=site_free_environment(state_dir_of(stack)),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1] == f"day: {len(STEPS)} steps, 0 failed"
