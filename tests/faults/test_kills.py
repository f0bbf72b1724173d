"""kill -9 in the middle of payments and settlements: nothing acknowledged is lost, none twice."""

import random
import time

import pytest

from tests.faults.judging import judge, tell
from tests.faults.kills import kill, wait_until_back
from tests.faults.load import Load
from tests.faults.stage import Stage
from vpass import processes

FULL_ROUNDS = 5
NEEDED = {"payment", "refund", "withdrawal", "window.close", "push"}
OPERATIONS = {False: 10, True: 25}  # of each of four threads, for a kill; short and full form
DECIDED_IN_ONE = 2  # a sensor speaks after each


@pytest.mark.stack
@pytest.mark.parametrize("what", ["worker", "web", "redis", "postgres"])
def test_kill__in_the_middle_of_payments_and_settlements__nothing_lost_and_nothing_twice(
    stage: Stage, what: str
):
    oracle = stage.oracle
    rounds = FULL_ROUNDS if stage.is_full else 1
    before, broken, begun = oracle.decided, [], time.monotonic()

    for number in range(rounds):
        broken += [f"{what} {number}: {each}" for each in kill_once(stage, what, seed=number)]

    tell(f"kill-{what}", tried=rounds, broken=len(broken))
    payouts = stage.read("SELECT purpose, state, count(*) FROM payments_payout GROUP BY 1, 2")
    windows = stage.read("SELECT state, count(*) FROM payments_window GROUP BY 1")
    print(
        f"  {oracle.decided - before} operations decided in {time.monotonic() - begun:.0f} s;"
        f" so far: tries without an answer {oracle.faults}, slowest {oracle.longest_s:.1f} s,"
        f" refused {oracle.refused}, payouts {payouts}, windows {windows};"
        f" {stage.log.lines} lines of the access log in {stage.log.seals} seals"
    )
    assert broken == []


def kill_once(stage: Stage, what: str, *, seed: int) -> list[str]:
    """One loop with a kill in its middle; what is wrong afterwards."""
    oracle, operations = stage.oracle, OPERATIONS[stage.is_full]
    load = Load(stage.town, oracle, seed=seed)
    start = oracle.decided
    at = start + random.Random(f"{what}{seed}").randint(
        DECIDED_IN_ONE * operations, DECIDED_IN_ONE * 2 * operations
    )

    if what == "worker":  # so that it dies with a question to the bank on its way
        stage.town.bank.breaks("bank", "delay", count=1000, seconds=0.5)
    load.start(operations)
    is_halfway = processes.wait_until(
        lambda: oracle.decided >= at or bool(load.failed), within_s=60.0, every_s=0.005
    )
    assert is_halfway and not load.failed, (load.failed, oracle.faults, oracle.refused)
    killed = kill(stage.folder, what)
    stage.town.bank.heals()
    until_then = oracle.decided
    is_back = wait_until_back(stage.folder, what, killed=killed)
    load.join(within_s=120.0)

    found = [] if is_back else [f"{what} did not come back"]
    found += [] if oracle.decided > until_then else ["nothing was done after the kill"]
    found += [f"{each} was never tried" for each in NEEDED - load.tried.keys()]
    oracle.repeat(20)
    found += [str(each) for each in stage.examine(at_rest=False)]
    found += [] if stage.rest() else ["something is still under way"]
    found += [str(each) for each in stage.examine(at_rest=True)]
    found += judge(stage)
    return found
