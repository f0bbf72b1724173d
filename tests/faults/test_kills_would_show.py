"""The judges of the kills see every kind of damage: each is done by the owner, and taken back."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import psycopg2
import pytest

from tests.faults import invariants
from tests.faults.damage import (
    APPROVED,
    CONSTRAINTS,
    DAMAGE,
    FALSE_WORDS,
    LOG_DAMAGE,
    SEALED,
    TABLES,
)
from tests.faults.load import Load
from tests.faults.stage import Stage
from vpass import embedded


@contextmanager
def unguarded(stage: Stage) -> Iterator[Any]:
    """A cursor of the owner's without the guards; all it does is taken back."""
    connection = psycopg2.connect(embedded.owner_url(stage.folder))
    try:
        with connection.cursor() as cursor:
            for table in TABLES:
                cursor.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")
            for table, names in CONSTRAINTS.items():
                for name in names:
                    cursor.execute(f"ALTER TABLE {table} DROP CONSTRAINT {name}")
            yield cursor
    finally:
        connection.rollback()
        connection.close()


@pytest.fixture(scope="module")
def lived(stage: Stage) -> Stage:
    """A stack in which everything has happened at least once, at rest."""
    booked = (
        "SELECT count(*) FROM payments_settlementline l JOIN payments_payout o"
        " ON o.id = l.payout_id WHERE o.state = 'booked'"
    )
    for seed in range(5):
        if _approved(stage) and stage.read(booked)[0][0]:
            break
        load = Load(stage.town, stage.oracle, seed=seed)
        load.start(10)
        load.join(within_s=60.0)
        assert stage.rest()
    return stage


def _approved(stage: Stage) -> list[str]:
    """The windows whose approval clients were told of."""
    told = stage.oracle.told()
    return [each["id"] for each in told if each["work"] == "settlement.approve"]


@pytest.mark.stack
def test_examine__every_kind_of_damage__found_by_its_rule(lived: Stage):
    told, banks = lived.oracle.told(), {lived.town.bank_code: lived.town.bank.totals()}
    approved = _approved(lived)[0]
    missed = []

    with unguarded(lived) as cursor:
        assert invariants.examine(cursor, told=told, banks=banks) == []
        for rule, name, statement in DAMAGE:
            cursor.execute("SAVEPOINT before")
            try:
                cursor.execute(statement.replace(APPROVED, approved))
            except psycopg2.Error as error:
                missed.append(f"{rule} {name}: {error}")
                cursor.execute("ROLLBACK TO SAVEPOINT before")
                continue
            if not cursor.rowcount:
                missed.append(f"{rule} {name}: nothing to damage")
            found = {each.rule for each in invariants.examine(cursor, told=told, banks=banks)}
            if rule not in found:
                missed.append(f"{rule} {name}: found {sorted(found)}")
            cursor.execute("ROLLBACK TO SAVEPOINT before")

    print(f"faults damage: {len(DAMAGE)} tried, {len(missed)} broken")
    assert missed == []
    assert lived.examine(at_rest=True) == []


@pytest.mark.stack
def test_examine__clients_or_bank_were_told_otherwise__found(lived: Stage):
    told, totals = lived.oracle.told(), lived.town.bank.totals()
    url = embedded.database_url(lived.folder)
    missed = []

    with invariants.snapshot(url) as cursor:
        for rule, word in FALSE_WORDS:
            found = invariants.examine(cursor, told=[*told, {"key": "k", **word}])
            missed += [] if {each.rule for each in found} == {rule} else [(word, found)]
        for member in ("paid_out_fen", "debited_fen", "credited_fen", "returned_fen"):
            false = {lived.town.bank_code: {**totals, member: totals[member] + 1}}
            found = invariants.examine(cursor, told=told, banks=false)
            missed += [] if {each.rule for each in found} == {"I8"} else [(member, found)]
        twice = next(each for each in told if each["work"] == "withdrawal")
        other = next(each for each in told if each["work"] == "withdrawal" and each != twice)
        found = invariants.examine(cursor, told=[*told, {**other, "key": twice["key"]}])
        missed += [] if {each.rule for each in found} == {"I5"} else [("key", found)]

    assert missed == []


@pytest.mark.stack
def test_examine__access_log_damaged_behind_its_back__found_by_its_chain(lived: Stage):
    assert lived.examine(at_rest=True) == []
    missed = []

    with closing(psycopg2.connect(embedded.owner_url(lived.folder))) as owner:
        owner.autocommit = True
        with owner.cursor() as cursor, unlocked(cursor):
            cursor.execute(SEALED)
            for what, damage, undo in LOG_DAMAGE:
                cursor.execute(damage)
                assert cursor.rowcount == 1, what
                found = [each for each in lived.examine(at_rest=False) if each.rule == "I11"]
                cursor.execute(undo)
                if [each.what.split()[0] for each in found] != [what]:
                    missed.append(f"{what}: {found}")

    assert missed == []
    assert lived.examine(at_rest=True) == []
    assert lived.log.lines > 0


@contextmanager
def unlocked(cursor: Any) -> Iterator[None]:
    """The access log without its guards, for the owner and as long as the block runs."""
    tables = ("identity_accessline", "identity_accessseal")
    for table in tables:
        cursor.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")
    try:
        yield
    finally:
        for table in tables:
            cursor.execute(f"ALTER TABLE {table} ENABLE TRIGGER USER")
