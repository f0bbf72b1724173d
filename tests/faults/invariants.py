"""What must hold whatever was killed, of money, seats and readings: each rule SQL, in a snapshot.

They read as the application or as the owner, and can run while payments go on; what `at_rest` adds
holds when nothing is under way any more. I11, the chain of the access log, is log_keeper's.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg2

from payments import states
from tests.faults.rules import RULES
from vpass.common.states import EdgeTable

SHOWN = 20  # lines of one rule


@dataclass(frozen=True)
class Broken:
    """A rule that does not hold, and of what."""

    rule: str
    what: str

    def __str__(self) -> str:
        return f"{self.rule}: {self.what}"


_TABLES: Mapping[str, EdgeTable] = {
    "order": states.ORDER,
    "charge": states.CHARGE,
    "payout": states.PAYOUT,
    "debit": states.DEBIT,
    "window": states.WINDOW,
}


def examine(
    cursor: Any,
    *,
    told: Sequence[Mapping[str, Any]] = (),
    banks: Mapping[str, Mapping[str, Any]] | None = None,
    at_rest: bool = True,
) -> list[Broken]:
    """What does not hold, as the cursor's transaction sees it.

    `told` is what clients hold us to (see Oracle.told); `banks` has the totals of each bank by its
    code, which agree at rest only.
    """
    values = {
        "told": json.dumps(list(told)),
        "banks": json.dumps(banks or {}),
        "at_rest": at_rest,
        "edges": json.dumps(_edges()),
    }
    broken = []
    for rule, statement in RULES.items():
        cursor.execute(statement, values)
        broken += [Broken(rule, what) for (what,) in cursor.fetchmany(SHOWN)]
    return broken


@contextmanager
def snapshot(url: str) -> Iterator[Any]:
    """A cursor for whom nothing moves any more: one REPEATABLE READ transaction that only reads."""
    connection = psycopg2.connect(url)
    try:
        connection.set_session(isolation_level="REPEATABLE READ", readonly=True)
        with connection.cursor() as cursor:
            yield cursor
    finally:
        connection.close()


def _edges() -> list[dict[str, str]]:
    """Every edge of these tables; the one to the initial state has no event."""
    edges = []
    for kind, table in _TABLES.items():
        edges.append({"kind": kind, "from_state": "", "to_state": table.initial, "event": ""})
        for from_state, ways in table.edges.items():
            for to_state, event in ways.items():
                edges.append(
                    {"kind": kind, "from_state": from_state, "to_state": to_state, "event": event}
                )
    return edges
