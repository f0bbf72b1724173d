"""Measures `post`: ledger postings through Python, against pgbench writing the same rows bare.

Both sides have as many connections, each posting one transaction after the other. Ours are
processes that call `payments.ledger.post`, every call a transaction of its own; pgbench runs the
script in `baselines/` as the owner, with prepared statements, into the same tables. A round
measures one side after the other, the next round in the other order.
"""

import multiprocessing
import random
import statistics
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

import django
from django.db import connection

from payments import ledger, proof
from payments.ledger import Leg
from tests.bench.figures import Figure
from tests.bench.pgbench import pgbench_rate
from vpass import embedded
from vpass.common import clock
from vpass.supervisor import Run

CONNECTIONS = 8
ROUNDS = 6
ROUND_S = 2.0
RESIDENTS = MERCHANTS = 1000
FUNDS_FEN = 10**12
MOST_FEN = 10_000
PATIENCE_S = 60.0
SCRIPT = Path(__file__).resolve().parent / "baselines" / "post.sql"


@dataclass(frozen=True)
class Plan:
    """Whose money moves: account ids, in unbroken ranges."""

    payers: range
    payees: range
    window: int


def measure(run: Run, *, state_dir: Path) -> Figure:
    """Random residents pay random merchants."""
    plan = open_accounts()
    return _compare("post", plan, state_dir=state_dir, goal=0.40)


def measure_hot(run: Run, *, state_dir: Path) -> Figure:
    """Random residents all pay one merchant."""
    plan = open_accounts()
    one = Plan(plan.payers, plan.payees[:1], plan.window)
    return _compare("post-hot", one, state_dir=state_dir, goal=0.60)


def _compare(name: str, plan: Plan, *, state_dir: Path, goal: float) -> Figure:
    _require_durable()
    ours: list[float] = []
    theirs: list[float] = []
    owner_url = embedded.owner_url(state_dir)
    before = count_transactions()
    with _posters(plan) as posters:
        for number in range(ROUNDS + 1):
            sides = [
                lambda: ours.append(_python_rate(posters)),
                lambda: theirs.append(_pgbench_rate(plan, owner_url)),
            ]
            for side in sides if number % 2 else reversed(sides):
                side()
    written = count_transactions() - before
    proved = proof.prove(clock.now())
    if not proved.is_sound:
        raise RuntimeError(f"the ledger is not sound after it: {proved.findings[0].line()}")
    ours, theirs = ours[1:], theirs[1:]  # the first round warms both up
    ratios = [mine / other for mine, other in zip(ours, theirs, strict=True)]
    return Figure(
        name=name,
        value=statistics.mean(ours),
        unit="postings/s",
        ratio=statistics.median(ratios),
        against="pgbench bare SQL",
        goal=goal,
        details={
            "baseline_rate": round(statistics.mean(theirs), 1),
            "ratios": [round(ratio, 3) for ratio in ratios],
            "connections": CONNECTIONS,
            "transactions_written": written,
        },
    )


def open_accounts() -> Plan:
    """A thousand residents with money and a thousand merchants, new ones."""
    at = clock.now()
    window = ledger.open_window(business_date=clock.city_date(at), at=at)
    mark = uuid.uuid4().hex
    ranges = []
    with connection.cursor() as cursor:
        for kind, count in (("resident", RESIDENTS), ("merchant", MERCHANTS)):
            cursor.execute(
                "SELECT account_v1(%s, %s || n, 0) FROM generate_series(1, %s) AS n",
                [kind, mark, count],
            )
            ids = sorted(row[0] for row in cursor.fetchall())
            ranges.append(range(ids[0], ids[-1] + 1))
            if len(ranges[-1]) != count:
                raise RuntimeError("somebody else opened accounts meanwhile")
    bank = ledger.open_account(kind="bank", owner=mark, floor_fen=None)
    ledger.post(
        kind="top_up",
        caller="bench",
        key=mark,
        legs=[Leg(bank, payer, FUNDS_FEN) for payer in ranges[0]],
        event_at=at,
        at=at,
    )
    return Plan(ranges[0], ranges[1], window)


# Our side


@contextmanager
def _posters(plan: Plan) -> Iterator[list[Connection]]:
    """Processes with a connection each, which post while they are told to."""
    context = multiprocessing.get_context("spawn")
    pipes = [context.Pipe() for _ in range(CONNECTIONS)]
    processes = [
        context.Process(target=_work, args=(theirs, plan), daemon=True) for _, theirs in pipes
    ]
    for process in processes:
        process.start()
    try:
        for ours, _ in pipes:
            _receive(ours)  # it is ready
        yield [ours for ours, _ in pipes]
        for ours, _ in pipes:
            ours.send(None)
    finally:
        for process in processes:
            process.join(PATIENCE_S)
            process.terminate()


def _work(pipe: Connection, plan: Plan) -> None:
    django.setup()
    choose = random.Random()
    connection.ensure_connection()
    pipe.send(0.0)
    while (seconds := pipe.recv()) is not None:
        started = time.perf_counter()
        end = started + seconds
        count = 0
        while time.perf_counter() < end:
            at = clock.now()
            leg = Leg(choose.choice(plan.payers), choose.choice(plan.payees), _amount(choose))
            ledger.post(
                kind="payment",
                caller="bench",
                key=uuid.uuid4().hex,
                legs=[leg],
                order_id=uuid.uuid4(),
                event_at=at,
                at=at,
            )
            count += 1
        pipe.send(count / (time.perf_counter() - started))
    connection.close()


def _amount(choose: random.Random) -> int:
    return choose.randint(1, MOST_FEN)


def _python_rate(posters: list[Connection]) -> float:
    for pipe in posters:
        pipe.send(ROUND_S)
    return sum(_receive(pipe) for pipe in posters)


def _receive(pipe: Connection) -> float:
    if not pipe.poll(PATIENCE_S):
        raise RuntimeError("a posting process does not answer")
    return float(pipe.recv())


# The other side


def _pgbench_rate(plan: Plan, owner_url: str) -> float:
    variables = {
        "first_payer": plan.payers[0],
        "last_payer": plan.payers[-1],
        "first_payee": plan.payees[0],
        "last_payee": plan.payees[-1],
        "most_fen": MOST_FEN,
        "window": plan.window,
    }
    return pgbench_rate(
        SCRIPT, owner_url, clients=CONNECTIONS, seconds=ROUND_S, variables=variables
    )


# What is measured has to be the real thing


def count_transactions() -> int:
    """How many transactions there are."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM payments_transaction")
        return int(cursor.fetchone()[0])


def _require_durable() -> None:
    with connection.cursor() as cursor:
        for setting in ("fsync", "synchronous_commit", "full_page_writes"):
            cursor.execute(f"SHOW {setting}")
            if cursor.fetchone()[0] != "on":
                raise RuntimeError(f"{setting} is off")
