"""Says where the embedded engines answer and with which passwords, running or not."""

import hashlib
import json
import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote

from vpass.secrets import make_private_folder, write_once

DATABASE = "vpass"
ADMIN_ROLE = "vpass_admin"
OWNER_ROLE = "vpass_owner"
APP_ROLE = "vpass_app"


def database_url(state_dir: Path) -> str:
    """The embedded PostgreSQL for the application's role."""
    return postgres_url(state_dir, role=APP_ROLE, database=DATABASE)


def owner_url(state_dir: Path) -> str:
    """The embedded PostgreSQL for the owner of the schema, who migrates."""
    return postgres_url(state_dir, role=OWNER_ROLE, database=DATABASE)


def admin_url(state_dir: Path, *, database: str = DATABASE) -> str:
    """The embedded PostgreSQL for its superuser: set-up, tests and repairs only."""
    return postgres_url(state_dir, role=ADMIN_ROLE, database=database)


def redis_url(state_dir: Path) -> str:
    """The embedded Redis as redis-py reads it; Celery wants `redis+socket:` for `unix:`."""
    socket = socket_folder(state_dir) / "redis" / "redis.sock"
    return f"unix://:{passwords(state_dir)['redis']}@{socket}"


def socket_folder(state_dir: Path) -> Path:
    """A short folder of this state folder's own: a Unix socket's path ends at 107 bytes."""
    return Path("/tmp") / f"vpass-{os.geteuid()}-{digest(state_dir)}"  # noqa: S108 - make_socket_folder checks


def postgres_url(state_dir: Path, *, role: str, database: str) -> str:
    """The embedded PostgreSQL for one of its roles."""
    folder = quote(str(socket_folder(state_dir) / "postgres"), safe="")
    return f"postgresql://{role}:{passwords(state_dir)[role]}@/{database}?host={folder}"


def passwords(state_dir: Path) -> Mapping[str, str]:
    """The engines' passwords by role, and `redis`; made at first use."""
    path = Path(state_dir) / "engines.json"
    if not path.exists():
        make_private_folder(path.parent)
        names = (ADMIN_ROLE, OWNER_ROLE, APP_ROLE, "redis")
        write_once(path, json.dumps({name: secrets.token_hex(24) for name in names}))
    found: dict[str, str] = json.loads(path.read_text("utf-8"))
    return found


def digest(state_dir: Path) -> str:
    """A short name for a state folder, the same at every start."""
    return hashlib.sha256(str(Path(state_dir).resolve()).encode()).hexdigest()[:12]
