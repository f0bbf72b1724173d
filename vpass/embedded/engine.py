"""One running server, and what both engines need to start one."""

import fcntl
import os
import signal
import stat
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from vpass.embedded.addresses import socket_folder
from vpass.processes import is_alive, wait_until
from vpass.secrets import make_private_folder

STOP_WITHIN_S = 30.0


class EngineFailure(RuntimeError):
    """PostgreSQL or Redis could not be started; the message says why or names the log."""


@dataclass(kw_only=True)
class Engine:
    """One running server; `process` is None when another program started it."""

    name: str
    pid: int
    data: Path
    process: subprocess.Popen[bytes] | None
    stop_signals: Sequence[signal.Signals]

    def is_running(self) -> bool:
        """Whether the server's first process is alive."""
        if self.process is not None:
            return self.process.poll() is None
        return is_alive(self.pid)

    def stop(self) -> None:
        """Ends the server by its number, gently first, and waits for that."""
        for number in (*self.stop_signals, signal.SIGKILL):
            if not self.is_running():
                return
            try:
                os.kill(self.pid, number)
            except ProcessLookupError:
                return
            wait_until(lambda: not self.is_running(), within_s=STOP_WITHIN_S)


@contextmanager
def one_starter(state_dir: Path) -> Iterator[None]:
    """Lets one program at a time start or stop the engines of a state folder."""
    make_private_folder(Path(state_dir))
    with (Path(state_dir) / "engines.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def make_socket_folder(state_dir: Path) -> None:
    """Makes the folder of the sockets; refuses one which somebody else has laid there."""
    folder = socket_folder(state_dir)
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
        raise EngineFailure(f"{folder} belongs to somebody else; remove it")
    make_private_folder(folder)
    for name in ("postgres", "redis"):
        (folder / name).mkdir(mode=0o700, exist_ok=True)
