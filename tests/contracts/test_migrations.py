"""The migrations say what the models say, and the program's role may not change the schema."""

import io
from collections.abc import Iterator

import psycopg2
import pytest
from django.apps import apps
from django.core.management import call_command
from django.db import connection, models
from django.db.utils import ProgrammingError

from cards import states as cards_states
from identity import states as identity_states
from payments import states as payments_states
from services import states as services_states
from services.iot import states as iot_states
from vpass.common import states
from vpass.common.states import EdgeTable

OUR_APPS = ("common", "identity", "cards", "payments", "services", "iot", "vpass")
APPEND_ONLY = ("common_audit", "identity_accessline", "identity_statechange", "cards_tap")

pytestmark = pytest.mark.django_db


def our_models() -> Iterator[type[models.Model]]:
    for label in OUR_APPS:
        yield from apps.get_app_config(label).get_models()


def test_makemigrations__nothing_to_make():
    said = io.StringIO()

    call_command("makemigrations", check=True, dry_run=True, stdout=said, stderr=said)

    assert "No changes detected" in said.getvalue()


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TABLE public.stray (id int)",
        "ALTER TABLE identity_resident ADD COLUMN stray int",
        "DROP TABLE identity_resident",
        "CREATE FUNCTION public.stray() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "ALTER TABLE identity_accessline DISABLE TRIGGER ALL",
        "SET session_replication_role = replica",
        "DROP TRIGGER identity_accessline_keep_rows ON identity_accessline",
    ],
)
def test_application_role__no_ddl(statement: str):
    with connection.cursor() as cursor, pytest.raises(ProgrammingError) as caught:
        cursor.execute(statement)

    assert caught.value.__cause__.pgcode == "42501"


@pytest.mark.parametrize("table", APPEND_ONLY)
@pytest.mark.parametrize(
    "statement",
    ["UPDATE {} SET id = id", "DELETE FROM {}", "TRUNCATE {}", "TRUNCATE {} CASCADE"],
)
def test_append_only__application_role__every_change_refused(table: str, statement: str):
    with connection.cursor() as cursor, pytest.raises(ProgrammingError) as caught:
        cursor.execute(statement.format(table))

    assert caught.value.__cause__.pgcode == "42501"


@pytest.mark.parametrize("table", APPEND_ONLY)
def test_append_only__owner__truncate_refused_too(owner_url: str, table: str):
    owner = psycopg2.connect(owner_url)
    try:
        with owner.cursor() as cursor, pytest.raises(psycopg2.Error) as caught:
            cursor.execute(f"TRUNCATE {table} CASCADE")
        assert caught.value.pgcode == "42501"
    finally:
        owner.close()


def edge_tables() -> dict[str, EdgeTable]:
    found = {}
    modules = (
        states, identity_states, cards_states, payments_states, services_states, iot_states,
    )  # fmt: skip
    for module in modules:
        found |= {
            value.name: value for value in vars(module).values() if isinstance(value, EdgeTable)
        }
    return found


@pytest.mark.parametrize("name", sorted(edge_tables()))
def test_edge_table__every_state_reached_and_left(name: str):
    table = edge_tables()[name]

    assert table.unreachable() == set()
    assert table.dead_ends() == set()
    assert table.initial in table.diagram()


def test_state_fields__each_has_an_edge_table_and_a_check_of_the_same_states():
    by_states = {frozenset(table.states): table for table in edge_tables().values()}
    found = []

    with connection.cursor() as cursor:
        for model in our_models():
            if "state" not in {field.name for field in model._meta.get_fields()}:
                continue
            cursor.execute(
                "SELECT pg_get_constraintdef(oid) FROM pg_constraint"
                " WHERE conrelid = %s::regclass AND contype = 'c'"
                " AND pg_get_constraintdef(oid) LIKE '%%(state = ANY%%'",
                [model._meta.db_table],
            )
            checks = [row[0] for row in cursor.fetchall()]
            assert len(checks) == 1, model
            mirrored = frozenset(part for part in checks[0].split("'")[1::2])
            assert mirrored in by_states, (model, mirrored)
            assert model._meta.get_field("state").default == by_states[mirrored].initial
            found.append(model.__name__)

    assert len(found) >= 10
