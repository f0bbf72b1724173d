"""A running stack under test: its clients, its oracle, and what its database and bank say."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg2

from tests.faults import invariants
from tests.faults.clients import Town
from tests.faults.invariants import Broken
from tests.faults.log_keeper import LogKeeper
from tests.faults.oracle import Oracle
from vpass import embedded, processes, supervisor

START_FEN = 5_000_000
RESTS_WITHIN_S = 60.0

# Stands for the time that back-offs would take.
_HURRY = (
    "UPDATE common_outbox SET due_at = clock_timestamp() WHERE state = 'pending' AND attempts > 0",
    *(
        f"UPDATE {table} SET next_inquiry_at = clock_timestamp()"
        " WHERE next_inquiry_at > clock_timestamp()"
        for table in ("payments_payout", "payments_debit")
    ),
)
_UNDER_WAY = """
SELECT (SELECT count(*) FROM common_outbox WHERE state = 'pending')
    + (SELECT count(*) FROM payments_payout
        WHERE state NOT IN ('booked', 'rejected', 'never_arrived'))
    + (SELECT count(*) FROM payments_debit
        WHERE state NOT IN ('booked', 'rejected', 'never_arrived'))
    + (SELECT count(*) FROM payments_window
        WHERE state IN ('closing', 'approved', 'filed', 'sent'))
    + (SELECT count(*) FROM iot_inbox)
"""


@dataclass
class Stage:
    """One stack and everything that was ever told about it."""

    folder: Path
    town: Town
    log: LogKeeper
    is_full: bool
    oracle: Oracle = field(init=False)

    def __post_init__(self) -> None:
        self.oracle = Oracle(self.folder / "oracle.jsonl")

    @property
    def health_url(self) -> str:
        """Where the program says whether it can work."""
        run = supervisor.read_run(self.folder)
        assert run is not None
        return f"{run.web_url}/health/ready"

    def open(self) -> None:
        """Money comes into every wallet."""
        self.hasten_bank()
        for wallet in self.town.wallets:
            self.town.bank.credit(wallet, START_FEN)
        assert processes.wait_until(
            lambda: self.town.bank.totals()["notices"].get("credited") == len(self.town.wallets),
            within_s=30.0,
        ), self.town.bank.totals()

    def hasten_bank(self) -> None:
        """Has the bank book soon; one that was started anew has forgotten that."""
        self.town.bank.ask("POST", "/bank/control/settings", {"books_after_s": 0.3})

    def rest(self) -> bool:
        """Whether everything under way comes to its end in time, with its waits cut short."""

        def is_at_rest() -> bool:
            totals = self.town.bank.totals()
            if totals["notices"].get("waiting") or any(
                totals[kind].get("accepted") for kind in ("payouts", "debits")
            ):
                return False
            self.hurry()
            return not self.read(_UNDER_WAY)[0][0]

        return processes.wait_until(is_at_rest, within_s=RESTS_WITHIN_S, every_s=0.5)

    def examine(self, *, at_rest: bool, told: Sequence[Mapping[str, Any]] = ()) -> list[Broken]:
        """What does not hold, in one snapshot, read as the application's role; and the log (I11).

        `told` is known beside what the oracle has heard.
        """
        banks = {self.town.bank_code: self.town.bank.totals()} if at_rest else None
        with invariants.snapshot(embedded.database_url(self.folder)) as cursor:
            broken = invariants.examine(
                cursor, told=[*self.oracle.told(), *told], banks=banks, at_rest=at_rest
            )
        return broken + [Broken("I11", each) for each in self.log.look(at_rest=at_rest)]

    def hurry(self) -> None:
        """Lets what waits for its next try have it now."""
        with self._cursor() as cursor:
            for statement in _HURRY:
                cursor.execute(statement)

    def read(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        """The rows of a statement, as the application's role sees them."""
        with self._cursor() as cursor:
            cursor.execute(statement, values)
            return list(cursor.fetchall())

    @contextmanager
    def _cursor(self) -> Iterator[Any]:
        with closing(psycopg2.connect(embedded.database_url(self.folder))) as connection:
            connection.autocommit = True
            with connection.cursor() as cursor:
                yield cursor
