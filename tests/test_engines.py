"""The test database itself: whatever a test leaves, the next one finds what the migrations made."""

import psycopg2
import pytest

from tests.engines import TestDatabase, TestEngines


@pytest.fixture
def tables(django_db_setup: TestDatabase) -> TestDatabase:
    """The test database with two tables of this module's, one of them append-only."""
    run_as_owner(
        django_db_setup,
        "CREATE TABLE IF NOT EXISTS t_parent (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY)",
        "CREATE TABLE IF NOT EXISTS t_child (parent bigint REFERENCES t_parent, note json)",
        "CREATE OR REPLACE FUNCTION t_refuse() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN RAISE EXCEPTION 'append only'; END $$",
        "CREATE OR REPLACE TRIGGER t_refuse BEFORE DELETE ON t_child"
        " FOR EACH ROW EXECUTE FUNCTION t_refuse()",
    )
    yield django_db_setup
    run_as_owner(django_db_setup, "DROP TABLE t_child, t_parent", "DROP FUNCTION t_refuse")


def run_as_owner(database: TestDatabase, *statements: str) -> None:
    connection = psycopg2.connect(database.owner_url)
    with connection, connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)
    connection.close()


def count(database: TestDatabase, table: str) -> int:
    connection = psycopg2.connect(database.url)
    with connection, connection.cursor() as cursor:
        cursor.execute(f"SELECT count(*) FROM {table}")
        found = cursor.fetchone()[0]
    connection.close()
    return found


def test_restore__append_only_rows_with_references__gone(tables: TestDatabase) -> None:
    run_as_owner(
        tables,
        "INSERT INTO t_parent DEFAULT VALUES",
        "INSERT INTO t_child SELECT id, '{}' FROM t_parent",
    )

    tables.restore()

    assert (count(tables, "t_parent"), count(tables, "t_child")) == (0, 0)


def test_restore__rows_of_the_migrations_changed__as_they_were(tables: TestDatabase) -> None:
    before = count(tables, "django_content_type")
    run_as_owner(
        tables,
        "UPDATE django_content_type SET model = model || '-changed' WHERE id % 2 = 0",
        "DELETE FROM auth_permission WHERE id % 3 = 0",
        "INSERT INTO django_content_type (app_label, model) VALUES ('stray', 'stray')",
    )

    tables.restore()

    assert count(tables, "django_content_type") == before > 0
    assert count(tables, "django_content_type WHERE model LIKE '%-changed'") == 0


def test_plugin__started_twice__same_engines(engines: TestEngines) -> None:
    assert engines.start() is engines.start()
    assert engines.database() is engines.database()
