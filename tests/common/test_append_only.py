"""Append-only tables refuse the application's role and everyone else."""

import psycopg2
import pytest
from django.conf import settings
from django.db import ProgrammingError, connection

from vpass.common.append_only import append_only

CHANGES = [
    "UPDATE common_audit SET actor = 'x'",
    "DELETE FROM common_audit",
    "TRUNCATE common_audit",
]
INSERT = (
    "INSERT INTO common_audit (id, at, actor, action, subject, detail, request_id) VALUES"
    " (gen_random_uuid(), '2026-06-01 04:00+00', 'staff:1', 'desk.suspend', 'desk:1', '{}', '')"
)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("change", CHANGES)
def test_append_only__application_role__has_no_right(change):
    with connection.cursor() as cursor:
        cursor.execute(INSERT)
        with pytest.raises(ProgrammingError, match="permission denied") as caught:
            cursor.execute(change)
        assert caught.value.__cause__.pgcode == "42501"

        cursor.execute("SELECT count(*), min(actor) FROM common_audit")
        assert cursor.fetchone() == (1, "staff:1")


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("change", CHANGES)
def test_append_only__owner__refused_by_trigger(change):
    owner = psycopg2.connect(settings.DATABASE_OWNER_URL)
    try:
        with owner.cursor() as cursor:
            cursor.execute(INSERT)
            with pytest.raises(psycopg2.Error, match="append-only") as caught:
                cursor.execute(change)
            assert caught.value.pgcode == "42501"
    finally:
        owner.rollback()
        owner.close()


def test_append_only__odd_table_name__refused():
    with pytest.raises(ValueError, match="not a table name"):
        append_only("a; DROP TABLE b")
