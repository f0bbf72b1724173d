"""Lines of the access log are sealed afterwards; whoever changes, removes or adds one is found."""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path

import psycopg2
import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.db.utils import ProgrammingError

from identity import access_chain
from identity.models import AccessLine, AccessSeal
from tests import city
from tests.together import together
from vpass.common import ids
from vpass.common.ids import uuid7

pytestmark = pytest.mark.django_db(transaction=True)

LATER = access_chain.SETTLED_AFTER + timedelta(seconds=1)


def write(phone: city.Phone, kiosk: city.Machine, *, at: datetime) -> AccessLine:
    assert phone.device is not None
    return AccessLine.objects.create(
        id=uuid7(at), resident_id=phone.device.resident_id,
        organisation_id=kiosk.terminal.organisation_id, terminal=kiosk.terminal, scene="id",
        purpose=city.PURPOSE, fields=["real_name"], outcome="accepted", at=at,
    )  # fmt: skip


@pytest.fixture
def lines(phone: city.Phone, kiosk: city.Machine, at: datetime) -> list[AccessLine]:
    """Four lines of two residents, sealed."""
    other = city.make_phone(1, at=at)
    written = [
        write(phone if number % 2 else other, kiosk, at=at + timedelta(milliseconds=number))
        for number in range(4)
    ]
    access_chain.seal_lines(at=at + LATER)
    return written


@contextmanager
def as_owner(url: str) -> Iterator[psycopg2.extensions.cursor]:
    """The owner of the schema with the triggers off: the strongest forger there is."""
    owner = psycopg2.connect(url)
    owner.autocommit = True
    tables = ("identity_accessline", "identity_accessseal")
    try:
        with owner.cursor() as cursor:
            for table in tables:
                cursor.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")
            yield cursor
            for table in tables:
                cursor.execute(f"ALTER TABLE {table} ENABLE TRIGGER USER")
    finally:
        owner.close()


def found() -> list[str]:
    return sorted(finding.line() for finding in access_chain.verify().findings)


def test_verify__as_sealed__every_line_counted_and_nothing_found(lines: list[AccessLine]):
    verified = access_chain.verify()

    assert (verified.lines, verified.findings) == (4, ())
    assert verified.seals == access_chain.SHARDS  # quiet shards are sealed too


def test_seal__lines_that_may_still_be_on_their_way__left_for_later(
    phone: city.Phone, kiosk: city.Machine, at: datetime
):
    line = write(phone, kiosk, at=at)

    access_chain.seal_lines(at=at + access_chain.SETTLED_AFTER - timedelta(seconds=1))
    assert access_chain.verify().lines == 0
    access_chain.seal_lines(at=at + LATER)

    assert access_chain.verify().lines == 1
    assert AccessSeal.objects.exclude(marks=b"").get().upto_id > line.id


def test_seal__again__a_new_seal_only_for_new_lines_or_after_an_hour(
    lines: list[AccessLine], phone: city.Phone, kiosk: city.Machine, at: datetime
):
    before = AccessSeal.objects.count()

    assert access_chain.seal_lines(at=at + LATER * 2) == 0
    write(phone, kiosk, at=at + LATER * 2)
    assert access_chain.seal_lines(at=at + LATER * 4) == 1
    assert access_chain.seal_lines(at=at + LATER * 4 + access_chain.QUIET_FOR) >= 15

    assert AccessSeal.objects.count() >= before + 16
    assert found() == []


def test_seal__more_lines_than_one_holds__in_parts(
    lines: list[AccessLine], phone: city.Phone, kiosk: city.Machine, at: datetime,
    monkeypatch: pytest.MonkeyPatch,
):  # fmt: skip
    monkeypatch.setattr(access_chain, "LINES_A_SEAL", 2)
    for number in range(5):
        write(phone, kiosk, at=at + LATER + timedelta(milliseconds=number))

    made = [access_chain.seal_lines(at=at + LATER * 3) for _ in range(4)]

    assert made == [1, 1, 1, 0]
    assert access_chain.verify().lines == 9
    assert found() == []


def test_seal__two_workers_at_once__one_chain(
    lines: list[AccessLine], phone: city.Phone, kiosk: city.Machine, at: datetime
):
    write(phone, kiosk, at=at + LATER)

    made = together(4, lambda _: access_chain.seal_lines(at=at + LATER * 3))

    assert sum(made) == 1
    assert found() == []


@pytest.mark.parametrize(
    "change",
    ["fields = '{real_name,id_number}'", "outcome = 'refused'", "reason = 'x'", "purpose = 'x'",
     "staff_id = NULL, case_number = 'WF-9'", "at = at + interval '1 microsecond'",
     "visible_from = now()", "terminal_id = NULL", "is_shielded = true"],
)  # fmt: skip
def test_verify__line_changed_by_the_owner__named(
    lines: list[AccessLine], owner_url: str, change: str
):
    with as_owner(owner_url) as cursor:
        cursor.execute(f"UPDATE identity_accessline SET {change} WHERE id = %s", [str(lines[2].id)])

    assert found() == [f"changed {lines[2].id}"]


def test_verify__line_removed__named(lines: list[AccessLine], owner_url: str):
    with as_owner(owner_url) as cursor:
        cursor.execute("DELETE FROM identity_accessline WHERE id = %s", [str(lines[1].id)])

    assert found() == [f"removed {lines[1].id}"]


def test_verify__line_moved_to_another_resident__missed_here_or_new_there(
    lines: list[AccessLine], owner_url: str
):
    with as_owner(owner_url) as cursor:
        cursor.execute(
            "UPDATE identity_accessline SET resident_id = %s WHERE id = %s",
            [str(lines[0].resident_id), str(lines[1].id)],
        )

    assert {each.split()[1] for each in found()} == {str(lines[1].id)}


def test_verify__line_inserted_behind_a_seal__named(
    lines: list[AccessLine], owner_url: str, at: datetime
):
    forged = uuid7(at + timedelta(milliseconds=2))
    with as_owner(owner_url) as cursor:
        cursor.execute(
            "CREATE TEMP TABLE forged AS SELECT * FROM identity_accessline WHERE id = %s",
            [str(lines[0].id)],
        )
        cursor.execute("UPDATE forged SET id = %s", [str(forged)])
        cursor.execute("INSERT INTO identity_accessline SELECT * FROM forged")

    assert found() == [f"inserted {forged}"]


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ("UPDATE identity_accessseal SET marks = ''", "broken"),
        ("UPDATE identity_accessseal SET sealed_at = sealed_at + interval '1 day'", "broken"),
        ("UPDATE identity_accessseal SET digest = sha256(digest)", "broken"),
        ("DELETE FROM identity_accessseal WHERE number = 1", "missing"),
    ],
)
def test_verify__seals_tampered_with__found(
    lines: list[AccessLine], phone: city.Phone, kiosk: city.Machine, owner_url: str, at: datetime,
    statement: str, expected: str,
):  # fmt: skip
    access_chain.seal_lines(at=at + LATER + access_chain.QUIET_FOR)
    assert found() == []

    with as_owner(owner_url) as cursor:
        cursor.execute(statement)

    assert expected in {each.split()[0] for each in found()}


def test_verify__end_of_the_chain_cut_off__found_by_the_heads_kept_elsewhere(
    lines: list[AccessLine], owner_url: str, at: datetime, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
):  # fmt: skip
    access_chain.seal_lines(at=at + LATER + access_chain.QUIET_FOR)
    heads = tmp_path / "heads.json"
    call_command("verify_access_log", heads=heads)
    assert "4 lines in 32 seals, 0 findings" in capsys.readouterr().out

    with as_owner(owner_url) as cursor:
        cursor.execute("DELETE FROM identity_accessseal WHERE number = 2")

    assert found() == []  # nothing in the database tells
    with pytest.raises(CommandError):
        call_command("verify_access_log", heads=heads)
    out = capsys.readouterr().out
    assert [line for line in out.splitlines() if line.startswith("lost ")] == [
        f"lost {shard}/2" for shard in range(access_chain.SHARDS)
    ]


def test_seals__as_the_application__cannot_be_changed(lines: list[AccessLine]):
    with connection.cursor() as cursor, pytest.raises(ProgrammingError):
        cursor.execute("DELETE FROM identity_accessseal")


def test_first_of__sorts_before_every_id_of_its_millisecond(at: datetime):
    assert ids.first_uuid7(at) <= uuid7(at)
    assert uuid7(at - timedelta(milliseconds=1)) < ids.first_uuid7(at)
    assert isinstance(ids.first_uuid7(at), uuid.UUID)
