"""kill -9 of each program in the citizen's day: the rest of it goes well and the books agree."""

import json
import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import requests

from tests.faults.judging import judge, tell
from tests.faults.kills import kill, wait_until_back
from tests.faults.stage import Stage
from vpass import processes, seed, supervisor
from vpass.day import checks, iot_steps, outside, payment_steps
from vpass.day.checks import same
from vpass.day.memory import Memory
from vpass.day.outside import Outside
from vpass.day.play import Day, Step, play, prepare
from vpass.day.story import STEPS
from vpass.day.transport import HttpTransport, NoAnswer, Patience

PROGRAMS = ("web", "worker", "beat", "sandbox", "redis", "postgres")
FULL_DAYS = 5
PATIENCE_S = 120.0
# A delivery or a bank call whose worker died is taken up again after 65 s.
TAKEN_UP_WITHIN_S = 90.0
LOST_AT_MOST = 2  # answers of one step


@pytest.mark.stack
def test_day__each_program_killed_once__the_rest_goes_well_and_the_books_agree(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(checks, "WITHIN_S", TAKEN_UP_WITHIN_S)
    monkeypatch.setattr(outside, "MESSAGE_WITHIN_S", TAKEN_UP_WITHIN_S)
    days, broken = FULL_DAYS if stage.is_full else 1, []

    for number in range(days):
        assert stage.rest()
        broken += [f"day {number}: {each}" for each in play_day(stage, seed_of_chance=number)]

    tell("kill-day", tried=days * len(PROGRAMS), broken=len(broken))
    assert broken == []


def play_day(stage: Stage, *, seed_of_chance: int) -> list[str]:
    """A whole day in which each program dies before another step; what is wrong afterwards."""
    run = supervisor.read_run(stage.folder)
    assert run is not None
    patience = Patience(PATIENCE_S)
    day = prepare(
        transport=HttpTransport(run.web_url, public_url=run.public_url, patience=patience),
        outside=Outside(run.sandbox_url, patience=patience),
        memory=Memory.load(stage.folder / "day.json"),
        logins=json.loads((stage.folder / seed.LOGINS).read_text("utf-8")),
    )
    dead: list[tuple[str, int]] = []
    lines: list[str] = []

    failed = play(
        with_kills(stage, random.Random(seed_of_chance), note=dead.append), day, say=lines.append
    )

    found = [line for line in lines if "FAILED" in line]
    assert failed == len(found)
    found += [
        f"{name} did not come back"
        for name, pid in dead
        if not wait_until_back(stage.folder, name, killed=pid)
    ]
    found += [] if len(dead) == len(PROGRAMS) else [f"only {dead} were killed"]
    stage.oracle.acknowledged += told_by(day)
    stage.hasten_bank()
    found += [] if stage.rest() else ["something is still under way"]
    found += [str(each) for each in stage.examine(at_rest=True)] + judge(stage)
    print(
        f"  {len(lines)} steps, {patience.repeated} requests repeated, killed {dead};"
        f" {stage.log.lines} lines of the access log in {stage.log.seals} seals"
    )
    return found


def with_kills(
    stage: Stage, chance: random.Random, *, note: Callable[[tuple[str, int]], object]
) -> list[Step]:
    """The day's steps, before six of which a program is killed; one kill each, well apart."""
    order = chance.sample(PROGRAMS, len(PROGRAMS))
    stretch = len(STEPS) // len(order)
    when = {part * stretch + chance.randrange(stretch): name for part, name in enumerate(order)}
    acts: dict[Any, Any] = {}
    steps = []
    for number, step in enumerate(STEPS):
        acts[step.act] = begun_again(stage, step, killing(stage, when.get(number), note))
        steps.append(
            replace(step, act=acts[step.act], needs=tuple(acts[need] for need in step.needs))
        )
    return steps


def killing(
    stage: Stage, name: str | None, note: Callable[[tuple[str, int]], object]
) -> Callable[[], bool]:
    """The death of a program, if one is named; says whether one was.

    Only the outside world is waited for: while it is away the program says so, as it has to.
    """

    def die() -> bool:
        if name is None:
            return False
        killed = kill(stage.folder, name)
        note((name, killed))
        if name == "sandbox":
            assert wait_until_back(stage.folder, name, killed=killed)
            assert processes.wait_until(lambda: answers(stage.town.bank.url), within_s=20.0)
        return True

    return die


def begun_again(stage: Stage, step: Step, before: Callable[[], bool]) -> Callable[[Day], str]:
    """The step's act after what comes before it; after a kill, the access log is looked at.

    What has no idempotency key and lost its answer (a sign-in, say) is begun again, as people do;
    also a step later, for what is left of a killed program may answer once more and then be gone.
    """

    def act(day: Day) -> str:
        was_killed = before()
        for _ in range(LOST_AT_MOST):
            try:
                said = step.act(day)
                break
            except NoAnswer:
                assert processes.wait_until(lambda: answers(stage.health_url), within_s=30.0)
        else:
            said = step.act(day)
        if was_killed:
            same("the chain of the access log", stage.log.look(at_rest=False), [])
        return said

    return act


def told_by(day: Day) -> list[dict[str, Any]]:
    """What the day's people were acknowledged, as the oracle keeps it."""
    money, told = day.money, []
    for paid in (money.small, money.large):
        if paid is not None:
            fen, key = paid["amount_fen"], paid["merchant_reference"]
            told.append({"work": "payment", "key": key, "id": paid["id"], "amount_fen": fen})
            told[-1]["state"] = "captured"
    if money.refund is not None:
        given_back = {"id": money.refund["id"], "amount_fen": payment_steps.REFUND_FEN}
        told.append({"work": "refund", "key": money.refund_key, "of": money.large["id"]})
        told[-1] |= given_back
    if money.withdrawal_id:
        fen = payment_steps.WITHDRAWAL_FEN
        told.append({"work": "withdrawal", "key": money.withdrawal_id, "amount_fen": fen})
        told[-1]["id"] = money.withdrawal_id
    sensor = {"work": "push", "key": iot_steps.SENSOR, "device": iot_steps.SENSOR}
    told += [{**sensor, "moment": moment.isoformat()} for moment in day.parking.reported]
    return told


def answers(url: str) -> bool:
    """Whether something listens again."""
    try:
        return requests.get(url, timeout=5).status_code < 500
    except requests.ConnectionError:
        return False
