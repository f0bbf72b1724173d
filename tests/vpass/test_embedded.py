"""The embedded engines: found again, killed, far away, side by side, and never left behind."""

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import psycopg2
import pytest
import redis

from tests.engines import remove_state
from vpass import embedded, processes
from vpass.secrets import make_private_folder

NO_URLS: dict[str, str] = {}
AS_ROOT = os.geteuid() == 0


def run_sql(url: str, statement: str) -> Sequence[tuple[object, ...]]:
    connection = psycopg2.connect(url)
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute(statement)
            return cursor.fetchall() if cursor.description else []
    finally:
        connection.close()


@pytest.fixture(scope="module")
def roles() -> Iterator[embedded.Engines]:
    """Engines with a table of the owner's, for tests which leave it as it was."""
    folder = Path(tempfile.mkdtemp(prefix="vpass-roles-"))
    make_private_folder(folder)
    with embedded.running(folder, environ=NO_URLS) as engines:
        run_sql(engines.owner_url, "CREATE TABLE theirs (id bigserial PRIMARY KEY, number int)")
        yield engines
    remove_state(folder)


def test_start__second_time__finds_its_data(state_dir: Path) -> None:
    with embedded.running(state_dir, environ=NO_URLS) as engines:
        run_sql(engines.owner_url, "CREATE TABLE kept AS SELECT 7 AS number")
        redis.Redis.from_url(engines.redis_url).set("bell", "rung")

    with embedded.running(state_dir, environ=NO_URLS) as engines:
        assert run_sql(engines.owner_url, "SELECT number FROM kept") == [(7,)]
        assert redis.Redis.from_url(engines.redis_url).get("bell") == b"rung"


def test_start__runs_already__attaches_and_leaves_it_running(state_dir: Path) -> None:
    with embedded.running(state_dir, environ=NO_URLS) as first:
        with embedded.running(state_dir, environ=NO_URLS) as second:
            assert first.postgres is not None and second.postgres is not None
            assert second.postgres.pid == first.postgres.pid
            assert second.postgres.process is None

        assert run_sql(first.database_url, "SELECT 1") == [(1,)]


def test_start__after_both_were_killed__committed_data_is_there(state_dir: Path) -> None:
    with embedded.running(state_dir, environ=NO_URLS) as engines:
        run_sql(engines.owner_url, "CREATE TABLE kept (number int)")
        for number in range(3):
            assert engines.postgres is not None and engines.redis is not None
            run_sql(engines.owner_url, f"INSERT INTO kept VALUES ({number})")
            os.kill(engines.postgres.pid, signal.SIGKILL)
            os.kill(engines.redis.pid, signal.SIGKILL)
            engines.postgres.stop()
            engines.redis.stop()
            restarted = embedded.start(state_dir, environ=NO_URLS)
            engines.postgres, engines.redis = restarted.postgres, restarted.redis

        assert run_sql(engines.owner_url, "SELECT count(*) FROM kept") == [(3,)]


def test_start__lock_file_names_another_living_program__starts(state_dir: Path) -> None:
    with embedded.running(state_dir, environ=NO_URLS) as engines:
        assert engines.postgres is not None
        data = engines.postgres.data
        left = (data / "postmaster.pid").read_text().split("\n")
    (data / "postmaster.pid").write_text("\n".join([str(os.getpid()), *left[1:]]))

    with embedded.running(state_dir, environ=NO_URLS) as engines:
        assert run_sql(engines.database_url, "SELECT 1") == [(1,)]


def test_start__first_attempt_broke_off__starts(state_dir: Path) -> None:
    (state_dir / "postgres.new").mkdir()
    (state_dir / "postgres.new" / "PG_VERSION").write_text("half")

    with embedded.running(state_dir, environ=NO_URLS) as engines:
        assert run_sql(engines.database_url, "SELECT 1") == [(1,)]


def test_start__very_long_and_odd_path__starts(state_dir: Path) -> None:
    long = state_dir.joinpath(*["a long 'checkout' \"path\" 长路径" * 3] * 4, ".local")

    with embedded.running(long, environ=NO_URLS) as engines:
        assert len(str(long)) > 300
        assert run_sql(engines.database_url, "SELECT 1") == [(1,)]
        assert redis.Redis.from_url(engines.redis_url).ping()
    embedded.remove(long)


def test_start__two_folders__side_by_side(state_dir: Path) -> None:
    one, other = state_dir / "one", state_dir / "other"

    with (
        embedded.running(one, environ=NO_URLS) as first,
        embedded.running(other, environ=NO_URLS) as second,
    ):
        run_sql(first.owner_url, "CREATE TABLE only_here (number int)")
        redis.Redis.from_url(first.redis_url).set("bell", "first")

        assert run_sql(second.owner_url, "SELECT to_regclass('only_here')") == [(None,)]
        assert redis.Redis.from_url(second.redis_url).get("bell") is None
    embedded.remove(one)
    embedded.remove(other)


def test_start__site_names_both_by_url__starts_nothing(state_dir: Path) -> None:
    environ = {
        "DATABASE_URL": "postgresql://app@site/vpass",
        "DATABASE_OWNER_URL": "postgresql://owner@site/vpass",
        "REDIS_URL": "redis://site/0",
    }

    engines = embedded.start(state_dir, environ=environ)

    assert (engines.postgres, engines.redis) == (None, None)
    assert engines.database_url == environ["DATABASE_URL"]
    assert engines.owner_url == environ["DATABASE_OWNER_URL"]
    assert engines.redis_url == environ["REDIS_URL"]
    assert list(state_dir.iterdir()) == []


def test_start__site_names_rabbitmq__no_redis(state_dir: Path) -> None:
    with embedded.running(state_dir, environ={"BROKER_URL": "amqp://site"}) as engines:
        assert engines.redis is None
        assert engines.postgres is not None


def test_settings__durable_in_utc_and_checked(state_dir: Path) -> None:
    names = ("fsync", "synchronous_commit", "full_page_writes", "data_checksums", "TimeZone")

    with embedded.running(state_dir, environ=NO_URLS) as engines:
        found = [run_sql(engines.database_url, f"SHOW {name}")[0][0] for name in names]
        client = redis.Redis.from_url(engines.redis_url)

        assert found == ["on", "on", "on", "on", "UTC"]
        assert client.config_get("append*")["appendonly"] == "yes"
        assert client.config_get("maxmemory-policy")["maxmemory-policy"] == "noeviction"


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TABLE mine (number int)",
        "CREATE TEMPORARY TABLE mine (number int)",
        "CREATE SCHEMA mine",
        "ALTER TABLE theirs ADD COLUMN other int",
        "DROP TABLE theirs",
        "TRUNCATE theirs",
        "SET ROLE vpass_owner",
        "SET session_replication_role = replica",
    ],
)
def test_app_role__definition_of_data__refused(roles: embedded.Engines, statement: str) -> None:
    with pytest.raises(psycopg2.errors.InsufficientPrivilege):
        run_sql(roles.database_url, statement)

    assert run_sql(roles.owner_url, "SELECT count(*) FROM theirs") == [(0,)]


def test_app_role__rows_of_the_owners_table__may_be_worked_on(roles: embedded.Engines) -> None:
    run_sql(roles.database_url, "INSERT INTO theirs (number) VALUES (1)")
    run_sql(roles.database_url, "UPDATE theirs SET number = 2")

    assert run_sql(roles.database_url, "SELECT id, number FROM theirs") == [(1, 2)]
    run_sql(roles.database_url, "DELETE FROM theirs")


def test_app_role__waits__within_bounds(roles: embedded.Engines) -> None:
    names = ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout")

    found = [run_sql(roles.database_url, f"SHOW {name}")[0][0] for name in names]

    assert found == ["5s", "2s", "10s"]


def test_log__failing_statement__holds_nobodys_data(roles: embedded.Engines) -> None:
    state_dir = roles.postgres.data.parent if roles.postgres else Path()
    for statement in (
        "SELECT '370700199001011234'::int",
        "INSERT INTO theirs (id, number) VALUES (370700199001011234, 1), (370700199001011234, 2)",
    ):
        with pytest.raises(psycopg2.Error):
            run_sql(roles.database_url, statement)

    assert "370700199001011234" not in (state_dir / "log" / "postgres.log").read_text()


def test_sockets__wrong_password_or_none__refused(roles: embedded.Engines) -> None:
    role, _, rest = roles.database_url.partition("://")[2].partition(":")
    address = rest.partition("@")[2]

    for wrong in (f"postgresql://{role}@{address}", f"postgresql://{role}:wrong@{address}"):
        with pytest.raises(psycopg2.OperationalError):
            psycopg2.connect(wrong)
    with pytest.raises(redis.AuthenticationError):
        redis.Redis.from_url("unix://" + roles.redis_url.partition("@")[2]).ping()


def test_sockets__folders__closed_to_others(roles: embedded.Engines) -> None:
    state_dir = roles.postgres.data.parent if roles.postgres else Path()

    for name in ("postgres", "redis"):
        folder = embedded.socket_folder(state_dir) / name
        assert folder.stat().st_mode & 0o077 == 0
    assert (state_dir / "engines.json").stat().st_mode & 0o777 == 0o600
    assert (state_dir / "redis" / "redis.conf").stat().st_mode & 0o777 == 0o600


def test_sockets__folder_laid_by_somebody_else__refused(state_dir: Path) -> None:
    folder = embedded.socket_folder(state_dir)
    folder.symlink_to(state_dir)

    with pytest.raises(embedded.EngineFailure, match="somebody else"):
        embedded.start(state_dir, environ=NO_URLS)

    folder.unlink()


def test_engines__starter_is_killed__end_with_it(state_dir: Path) -> None:
    program = (
        "import os, signal, sys; from pathlib import Path; from vpass import embedded;"
        "found = embedded.start(Path(sys.argv[1]), environ={});"
        "print(found.postgres.pid, found.redis.pid, flush=True);"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )

    killed = subprocess.run(
        [sys.executable, "-c", program, str(state_dir)], stdout=subprocess.PIPE, check=False
    )

    assert killed.returncode == -signal.SIGKILL
    for pid in map(int, killed.stdout.split()):
        assert processes.wait_until(lambda pid=pid: not processes.is_alive(pid), within_s=15)


def test_stop__started_by_another_program__ends_them(state_dir: Path) -> None:
    engines = embedded.start(state_dir, environ=NO_URLS)

    embedded.stop(state_dir)

    assert engines.postgres is not None and engines.redis is not None
    assert not engines.postgres.is_running()
    assert not engines.redis.is_running()


@pytest.mark.skipif(not AS_ROOT, reason="only root's PostgreSQL runs as another user")
def test_start__system_user_cannot_reach_the_checkout__data_lies_elsewhere(
    tmp_path: Path,
) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    state_dir = closed / "checkout" / ".local"
    try:
        with embedded.running(state_dir, environ=NO_URLS) as engines:
            assert engines.postgres is not None
            elsewhere = engines.postgres.data
            run_sql(engines.owner_url, "CREATE TABLE kept AS SELECT 7 AS number")
        with embedded.running(state_dir, environ=NO_URLS) as engines:
            assert run_sql(engines.owner_url, "SELECT number FROM kept") == [(7,)]

        assert not elsewhere.is_relative_to(closed)
        assert (elsewhere.parent / "belongs-to").read_text().strip() == str(state_dir)
    finally:
        embedded.remove(state_dir)
    assert not elsewhere.parent.exists()
