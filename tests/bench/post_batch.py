"""Measures `post-batch`: 5,000 payments into one account through the set-based function, against
the same rows by one bare SQL statement.

Each side has one connection. Ours is `payments.batches.post_batch`, from the entries to what became
of each, a round trip and a transaction for 5,000; pgbench runs the statement in `baselines/` as the
owner, prepared, with rows it makes up itself. A round measures one side after the other, the next
round in the other order.
"""

import random
import statistics
import time
import uuid
from pathlib import Path

from payments import batches, proof
from payments.batches import Entry
from payments.ledger import Leg, Posted
from tests.bench import frame
from tests.bench.figures import Figure
from tests.bench.pgbench import pgbench_rate
from tests.bench.post import MOST_FEN, Plan, count_transactions, open_accounts
from vpass import embedded
from vpass.common import clock
from vpass.supervisor import Run

PAYMENTS = 5_000
BATCHES = 6  # of ours in a round
ROUNDS = 6
ROUND_S = 2.0
SCRIPT = Path(__file__).resolve().parent / "baselines" / "post_batch.sql"


def measure(run: Run, *, state_dir: Path) -> Figure:
    """Payments a second, and the ratio to the baseline (the median of the rounds)."""
    frame.require_durable()
    plan = open_accounts()
    owner_url = embedded.owner_url(state_dir)
    ours: list[float] = []
    theirs: list[float] = []
    before = count_transactions()
    for number in range(ROUNDS + 1):
        sides = [
            lambda: ours.append(_rate_of_batches(plan)),
            lambda: theirs.append(_rate_of_statement(plan, owner_url)),
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
        name="post-batch",
        value=statistics.mean(ours),
        unit="payments/s",
        ratio=statistics.median(ratios),
        against="one bare multi-row SQL",
        goal=0.60,
        details={
            "baseline_rate": round(statistics.mean(theirs), 1),
            "ratios": [round(ratio, 3) for ratio in ratios],
            "payments_a_batch": PAYMENTS,
            "transactions_written": written,
        },
    )


def _rate_of_batches(plan: Plan) -> float:
    spent = 0.0
    choose = random.Random()
    for _ in range(BATCHES):
        entries = _entries(plan, choose)
        started = time.perf_counter()
        results = batches.post_batch(entries, at=clock.now())
        spent += time.perf_counter() - started
        if not all(isinstance(each, Posted) and each.is_new for each in results):
            raise RuntimeError("a payment of the batch was not posted")
    return BATCHES * PAYMENTS / spent


def _entries(plan: Plan, choose: random.Random) -> list[Entry]:
    at = clock.now()
    return [
        Entry(
            kind="payment",
            caller="bench",
            key=uuid.uuid4().hex,
            legs=[Leg(choose.choice(plan.payers), plan.payees[0], choose.randint(1, MOST_FEN))],
            order_id=uuid.uuid4(),
            event_at=at,
        )
        for _ in range(PAYMENTS)
    ]


def _rate_of_statement(plan: Plan, owner_url: str) -> float:
    variables = {
        "count": PAYMENTS,
        "first_payer": plan.payers[0],
        "payers": len(plan.payers),
        "payee": plan.payees[0],
        "most_fen": MOST_FEN,
        "window": plan.window,
    }
    rate = pgbench_rate(SCRIPT, owner_url, clients=1, seconds=ROUND_S, variables=variables)
    return rate * PAYMENTS
