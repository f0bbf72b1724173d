"""Pytest plugin: gives each test run engines of its own, empty at first and gone afterwards.

Loaded before Django's settings (`-p tests.engines`), so that these find the run's own state folder.
PostgreSQL and Redis start with the first test that wants a database. With DATABASE_URL set (and
DATABASE_OWNER_URL), that database is used instead; its name has to contain `test`, for every row in
it is deleted, and its owner needs `GRANT SET ON PARAMETER session_replication_role`.
"""

import os
import re
import shutil
import signal
import sys
import tempfile
from collections.abc import Generator
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

import psycopg2
import psycopg2.extensions
import pytest

from tests import template
from vpass import embedded, processes, secrets

FOLDER_NAME = re.compile(r"vpass-test-(\d+)-\w+")

_BASELINE = """
CREATE SCHEMA vpass_tests;

CREATE FUNCTION vpass_tests.tables() RETURNS TABLE (name regclass, kept regclass, columns text)
LANGUAGE sql AS $$
    SELECT c.oid, to_regclass('vpass_tests.' || quote_ident(c.relname)),
        (SELECT string_agg(quote_ident(attname), ', ' ORDER BY attnum) FROM pg_attribute
         WHERE attrelid = c.oid AND attnum > 0 AND NOT attisdropped AND attgenerated = '')
    FROM pg_class c
    WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p')
        AND NOT c.relispartition AND c.relname <> 'django_migrations'
$$;

DO $$
DECLARE t record; filled boolean;
BEGIN
    FOR t IN SELECT * FROM vpass_tests.tables() LOOP
        EXECUTE format('SELECT EXISTS (SELECT FROM %s)', t.name) INTO filled;
        IF filled THEN
            EXECUTE format('CREATE TABLE vpass_tests.%I AS TABLE %s',
                (SELECT relname FROM pg_class WHERE oid = t.name), t.name);
        END IF;
    END LOOP;
END $$;

-- Brings every table back to what the migrations left; returns how many it had to change.
CREATE FUNCTION vpass_tests.restore() RETURNS integer LANGUAGE plpgsql AS $$
DECLARE t record; touched boolean; changed integer := 0;
BEGIN
    SET LOCAL session_replication_role = replica;  -- no trigger, no foreign key
    SET LOCAL lock_timeout = '10s';
    FOR t IN SELECT * FROM vpass_tests.tables() LOOP
        IF t.kept IS NULL THEN
            EXECUTE format('SELECT EXISTS (SELECT FROM %s)', t.name) INTO touched;
        ELSE
            EXECUTE format(
                'SELECT EXISTS ((SELECT a::text FROM %1$s a EXCEPT ALL SELECT b::text FROM %2$s b)'
                ' UNION ALL (SELECT b::text FROM %2$s b EXCEPT ALL SELECT a::text FROM %1$s a))',
                t.name, t.kept) INTO touched;
        END IF;
        IF touched THEN
            changed := changed + 1;
            EXECUTE format('DELETE FROM %s', t.name);
            IF t.kept IS NOT NULL THEN
                EXECUTE format('INSERT INTO %s (%s) OVERRIDING SYSTEM VALUE SELECT %s FROM %s',
                    t.name, t.columns, t.columns, t.kept);
            END IF;
        END IF;
    END LOOP;
    RETURN changed;
END $$;
"""


class TestDatabase:
    """The migrated database of this run, and the way back to what the migrations left in it."""

    __test__ = False

    def __init__(self, *, url: str, owner_url: str, cleaner_url: str) -> None:
        self.url = url
        self.owner_url = owner_url
        self._connection: psycopg2.extensions.connection | None = None
        self._cleaner_url = cleaner_url

    def migrate(self) -> None:
        """Migrates what was not laid out migrated."""
        template.migrate(dict(os.environ))

    def forget_risk_rules(self) -> None:
        """Takes away the default rules: a test lays down those it is about."""
        connection = psycopg2.connect(self._cleaner_url)
        try:
            with connection, connection.cursor() as cursor:
                cursor.execute("DELETE FROM payments_riskrule")
        finally:
            connection.close()

    def keep_baseline(self) -> None:
        """Keeps what the migrations left."""
        self._connection = psycopg2.connect(self._cleaner_url)
        self._connection.autocommit = True
        with self._connection.cursor() as cursor:
            cursor.execute("DROP SCHEMA IF EXISTS vpass_tests CASCADE")
            cursor.execute(_BASELINE)

    def restore(self) -> None:
        """Brings every table back to what the migrations left, however a test filled them."""
        assert self._connection is not None
        with self._connection.cursor() as cursor:
            cursor.execute("SELECT vpass_tests.restore()")

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()


class TestEngines:
    """The engines of this run, started by the first test that asks."""

    __test__ = False

    def __init__(self, state_dir: Path) -> None:
        self.state_dir = state_dir
        self._engines: embedded.Engines | None = None
        self._is_migrated = False
        self._database: TestDatabase | None = None

    def start(self) -> embedded.Engines:
        """PostgreSQL and Redis; a site's own database is without tables until `database`."""
        if self._engines is None:
            if not os.environ.get("DATABASE_URL"):
                self._is_migrated = template.lay(self.state_dir)
            self._engines = embedded.start(self.state_dir)
        return self._engines

    def database(self) -> TestDatabase:
        """The migrated database."""
        if self._database is None:
            engines = self.start()
            self._database = TestDatabase(
                url=engines.database_url,
                owner_url=engines.owner_url,
                cleaner_url=(
                    embedded.admin_url(self.state_dir) if engines.postgres else engines.owner_url
                ),
            )
            if not self._is_migrated:
                self._database.migrate()
            self._database.forget_risk_rules()
            self._database.keep_baseline()
        return self._database

    def remove(self) -> None:
        """Stops the engines and leaves no file."""
        if self._database is not None:
            self._database.close()
        if self._engines is not None:
            self._engines.stop()
        remove_state(self.state_dir)


engines_key = pytest.StashKey[TestEngines]()


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> Generator[None, object, object]:
    """Lays the run's state folder out; as a wrapper it comes before pytest-django's own hook."""
    if os.environ.get("DATABASE_URL"):
        _accept_site_database()
    _remove_leftovers()
    state_dir = Path(tempfile.mkdtemp(prefix=f"vpass-test-{os.getpid()}-"))
    secrets.make_private_folder(state_dir)
    (state_dir / "static").mkdir()
    os.environ["VPASS_STATE_DIR"] = str(state_dir)
    if "PYTEST_XDIST_WORKER" not in os.environ:
        os.environ[template.RUN] = str(state_dir)
    template.share_passwords(state_dir)
    for name in ("VPASS_ROLE", "PUBLIC_URL", "REGISTER_URL", "SMS_URL", "BANK_URL", "ISSUERS_URL"):
        os.environ.pop(name, None)
    early_config.stash[engines_key] = TestEngines(state_dir)
    # A terminated run cleans up like an interrupted one.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    return (yield)


def pytest_unconfigure(config: pytest.Config) -> None:
    engines = config.stash.get(engines_key, None)
    if engines is not None:
        engines.remove()


def site_free_environment(state_dir: Path) -> dict[str, str]:
    """The environment for a program with embedded engines of its own in `state_dir`."""
    environ = {name: value for name, value in os.environ.items() if not name.endswith("_URL")}
    for name in ("VPASS_ROLE", "DJANGO_SETTINGS_MODULE", *secrets.fresh_environment()):
        environ.pop(name, None)
    return {**environ, "VPASS_STATE_DIR": str(state_dir)}


def _accept_site_database() -> None:
    name = urlsplit(os.environ["DATABASE_URL"]).path.lstrip("/")
    if "test" not in name:
        sys.exit(f"DATABASE_URL names {name!r}; the tests only run in a database named *test*")
    if not os.environ.get("DATABASE_OWNER_URL"):
        sys.exit("beside DATABASE_URL the tests need DATABASE_OWNER_URL, to migrate and to clean")
    for variable, value in secrets.fresh_environment().items():
        os.environ.setdefault(variable, value)


def _remove_leftovers() -> None:
    """Removes the folders of runs which were killed."""
    for folder in Path(tempfile.gettempdir()).iterdir():
        match = FOLDER_NAME.fullmatch(folder.name)
        if match and not processes.is_alive(int(match[1])):
            with suppress(OSError):
                if folder.stat().st_uid == os.geteuid():
                    remove_state(folder)


def remove_state(state_dir: Path) -> None:
    """Stops the engines of a state folder and removes the folder."""
    embedded.remove(state_dir)
    shutil.rmtree(state_dir, ignore_errors=True)
