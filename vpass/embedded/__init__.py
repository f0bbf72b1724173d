"""Starts and stops the pip-installed PostgreSQL and Redis, unless a site's own are named by URL.

Both listen on Unix sockets only, in a short folder under /tmp that nobody else may enter, and ask
for passwords made at first start. PostgreSQL refuses to run as root, so root's runs as the system
user `vpass`; where that user cannot reach the checkout, its data lies under /var/lib instead.
"""

import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from vpass.embedded import postgres, redis
from vpass.embedded.addresses import admin_url as admin_url
from vpass.embedded.addresses import database_url as database_url
from vpass.embedded.addresses import owner_url as owner_url
from vpass.embedded.addresses import redis_url as redis_url
from vpass.embedded.addresses import socket_folder as socket_folder
from vpass.embedded.engine import Engine as Engine
from vpass.embedded.engine import EngineFailure as EngineFailure
from vpass.embedded.engine import one_starter


@dataclass(kw_only=True)
class Engines:
    """Where the engines answer; `postgres` or `redis` is None when the site brings its own."""

    database_url: str
    owner_url: str
    redis_url: str
    postgres: Engine | None = None
    redis: Engine | None = None

    def stop(self) -> None:
        """Stops what this program started, and nothing else."""
        for engine in (self.redis, self.postgres):
            if engine is not None and engine.process is not None:
                engine.stop()


def start(state_dir: Path, *, environ: Mapping[str, str] | None = None) -> Engines:
    """Starts what is not running yet and no URL names; attaches to what runs already.

    `environ` (the program's own if None) is read for DATABASE_URL, DATABASE_OWNER_URL, REDIS_URL
    and BROKER_URL. What is started here ends with this program, even when that is killed.
    Raises EngineFailure.
    """
    environ = os.environ if environ is None else environ
    site_database = environ.get("DATABASE_URL")
    site_redis = environ.get("REDIS_URL") or environ.get("BROKER_URL")
    engines = Engines(
        database_url=site_database or database_url(state_dir),
        owner_url=environ.get("DATABASE_OWNER_URL", "") if site_database else owner_url(state_dir),
        redis_url=site_redis or redis_url(state_dir),
    )
    try:
        if not site_database:
            engines.postgres = postgres.start(state_dir)
        if not site_redis:
            engines.redis = redis.start(state_dir)
    except BaseException:
        engines.stop()
        raise
    return engines


def stop(state_dir: Path) -> None:
    """Stops the engines of this state folder, whoever started them."""
    with one_starter(state_dir):
        for engine in (redis.find_running(state_dir), postgres.find_running(state_dir)):
            if engine is not None:
                engine.stop()


def remove(state_dir: Path) -> None:
    """Stops the engines and removes their data, wherever it lies, and their passwords."""
    stop(state_dir)
    folders = [Path(state_dir) / "postgres", Path(state_dir) / "redis", socket_folder(state_dir)]
    for folder in (*folders, postgres.folder_elsewhere(state_dir)):
        if folder.exists():
            shutil.rmtree(folder)
    (Path(state_dir) / "engines.json").unlink(missing_ok=True)


@contextmanager
def running(state_dir: Path, *, environ: Mapping[str, str] | None = None) -> Iterator[Engines]:
    """The engines for the length of a block; stops at its end those which it started."""
    engines = start(state_dir, environ=environ)
    try:
        yield engines
    finally:
        engines.stop()
