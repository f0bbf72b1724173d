"""Judges the database under us: reachable, and set so that a commit is really kept."""

from dataclasses import dataclass

from django.db import connection

NEEDED_ON = ("fsync", "synchronous_commit", "full_page_writes")

# Commits which wait at least for the local disk. `remote_write` and `remote_apply` do that too,
# and then for a standby; only `off` answers before anything is safe.
_SAFE_COMMIT = frozenset({"on", "local", "remote_write", "remote_apply"})


class UnsafeDatabase(RuntimeError):
    """The database may forget what it has confirmed, so the program must not run on it."""


@dataclass(frozen=True, kw_only=True)
class Durability:
    """How the database keeps what it confirms: each needed setting with its value.

    `has_checksums` tells whether silent damage on disk would be noticed (data_checksums).
    """

    settings: dict[str, str]
    has_checksums: bool

    @property
    def unsafe(self) -> dict[str, str]:
        """The needed settings that are off, with their values."""
        return {name: value for name, value in self.settings.items() if not _is_safe(name, value)}


def read_durability() -> Durability:
    """The durability settings as this connection sees them, in one statement.

    Raises django.db.OperationalError when the database cannot be reached.
    """
    names = [*NEEDED_ON, "data_checksums"]
    with connection.cursor() as cursor:
        cursor.execute("SELECT name, setting FROM pg_settings WHERE name = ANY(%s)", [names])
        found = dict(cursor.fetchall())
    has_checksums = found.pop("data_checksums", "off") == "on"
    return Durability(
        settings={name: found.get(name, "missing") for name in NEEDED_ON},
        has_checksums=has_checksums,
    )


def refuse_unsafe_database() -> None:
    """Raise UnsafeDatabase unless every commit is kept through a power cut.

    Called at program start, and closes the connection it used, so that forked workers never
    share one. A missing checksum only warns, in the readiness answer.
    """
    try:
        unsafe = read_durability().unsafe
    finally:
        connection.close()
    if unsafe:
        listed = ", ".join(f"{name}={value}" for name, value in sorted(unsafe.items()))
        raise UnsafeDatabase(f"the database may lose confirmed commits: {listed}")


def _is_safe(name: str, value: str) -> bool:
    return value in _SAFE_COMMIT if name == "synchronous_commit" else value == "on"
