"""Whatever breaks a step of the real day, the day says which one, and ends with exit code 1."""

import io
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command

from identity.models import Staff, Terminal
from payments import ledger
from tests.in_process import ClientTransport, fill_city, work
from tests.outside import OutsideWorld
from tests.people import known_keys
from vpass.day import checks, outside, payment_steps, steps
from vpass.day.outside import Outside
from vpass.day.play import Step
from vpass.day.story import STEPS
from vpass.management.commands import day as command
from vpass.supervisor import Run

__all__ = ["known_keys"]


@dataclass
class Stage:
    """A seeded city in this process, before its day; `options` are the command's."""

    sandbox: OutsideWorld
    folder: Path
    patch: pytest.MonkeyPatch
    options: dict[str, str] = field(default_factory=dict)


@pytest.fixture
def stage(
    transactional_db: None,
    sandbox_of_own: OutsideWorld,
    settings: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Stage:
    """`manage.py day` finds a stack that is up, which is this process; it waits for less long."""

    @contextmanager
    def stack(*, state_dir: Path) -> Iterator[Run]:
        url = settings.PUBLIC_URL
        yield Run(
            pid=1,
            started_at="1",
            mark="",
            web_url=url,
            public_url=url,
            sandbox_url=sandbox_of_own.url,
            processes={},
        )

    settings.STATE_DIR = tmp_path
    fill_city(tmp_path)
    for module, name, value in (
        (command, "stack", stack),
        (command, "HttpTransport", lambda *_, **__: ClientTransport()),
        (command, "Outside", lambda url, **_: Outside(url, wait=work)),
        (checks, "WITHIN_S", 2.0),
        (outside, "MESSAGE_WITHIN_S", 2.0),
    ):
        monkeypatch.setattr(module, name, value)
    return Stage(sandbox_of_own, tmp_path, monkeypatch)


def play_day(stage: Stage) -> tuple[int, list[str]]:
    """The command's exit code and the lines it showed."""
    shown = io.StringIO()
    try:
        call_command("day", stdout=shown, **stage.options)
    except SystemExit as end:
        return int(end.code or 0), shown.getvalue().splitlines()
    return 0, shown.getvalue().splitlines()


def refuse_the_desk(stage: Stage) -> None:
    stage.options["desk_code"] = "2" * 16


def have_the_register_lie(stage: Stage) -> None:
    stage.sandbox.breaks("register", "bad_signature", count=100)


def lose_every_message(stage: Stage) -> None:
    stage.sandbox.breaks("sms", "http_500", count=100)


def forget_the_tills_key(stage: Stage) -> None:
    """The day remembers to have enrolled the till; the program knows nothing of that."""
    (stage.folder / "day.json").write_text(json.dumps({"enrolled": ["till"]}), "utf-8")


def put_the_till_at_a_door(stage: Stage) -> None:
    Terminal.objects.filter(scene="pay").update(scene="door")


def have_the_bank_reject(stage: Stage) -> None:
    """Money comes from an account to which the bank pays nothing back."""
    stage.patch.setattr(payment_steps, "PAID_AT_ONCE", "0001")


def take_the_accountants_role(stage: Stage) -> None:
    Staff.objects.filter(user__username__startswith="day-finance").update(roles=[])


def book_a_fen_less(stage: Stage) -> None:
    post = ledger.post

    def short(**asked: Any) -> Any:
        legs = [ledger.Leg(leg.debit, leg.credit, leg.amount_fen - 1) for leg in asked["legs"]]
        return post(**asked | {"legs": legs})

    stage.patch.setattr(ledger, "post", short)


BROKEN: list[tuple[Callable[[Stage], None], Callable[..., str], str]] = [
    (lose_every_message, steps.enrol, "no message within 2 s"),
    (have_the_register_lie, steps.prove_identity, "502 register.answer_invalid"),
    (refuse_the_desk, steps.enrol_desk, "the desk's enrolment code is used or out of date"),
    (take_the_accountants_role, payment_steps.begin, "roles: expected ['finance'], found []"),
    (book_a_fen_less, payment_steps.top_up, "expected 500000, found 499999"),
    (forget_the_tills_key, payment_steps.pay_small, "401 signature.key_unknown"),
    (put_the_till_at_a_door, payment_steps.pay_small, "expected 201, was answered 403"),
    (have_the_bank_reject, payment_steps.withdraw, "at the bank: expected 'booked'"),
]


@pytest.mark.parametrize(
    ("break_it", "act", "said"), BROKEN, ids=[each[0].__name__ for each in BROKEN]
)
def test_day__one_step_broken__named_and_exit_code_1(
    stage: Stage, break_it: Callable[[Stage], None], act: Callable[..., str], said: str
):
    break_it(stage)

    code, lines = play_day(stage)

    assert code == 1
    lost = [number for number, line in enumerate(lines[:-1], 1) if "FAILED" in line]
    broken = next(step for step in STEPS if step.act is act)
    first = lines[lost[0] - 1]
    assert broken.name in first
    assert said in first
    assert needing(broken) <= set(lost)
    assert lines[-1] == f"day: {len(STEPS)} steps, {len(lost)} failed"


def test_day__nothing_broken__exit_code_0(stage: Stage):
    code, lines = play_day(stage)

    assert (code, lines[-1]) == (0, f"day: {len(STEPS)} steps, 0 failed"), "\n".join(lines)


def needing(broken: Step) -> set[int]:
    """The numbers of a step and of all that need it, directly or not."""
    lost = {broken.act}
    for step in STEPS:
        if lost & set(step.needs):
            lost.add(step.act)
    return {number for number, step in enumerate(STEPS, 1) if step.act in lost}
