"""Starts other programs so that they never outlive this one, and watches them by their number."""

import ctypes
import os
import pwd
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext, suppress
from pathlib import Path

LOG_KEPT_BYTES = 16 * 1024 * 1024
_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(
    None, use_errno=True
)  # found before the fork: after it, only simple calls are safe


def spawn(
    command: Sequence[str],
    *,
    log: Path | None,
    end_signal: signal.Signals,
    user: pwd.struct_passwd | None = None,
    environ: Mapping[str, str] | None = None,
    folder: Path | None = None,
) -> subprocess.Popen[bytes]:
    """A program in a process group of its own, its output added to `log` (None: shown as ours).

    The kernel sends it `end_signal` when the calling thread ends, however that ends, so call this
    from a thread that stays (the main one). `user` drops root's rights to that user's.
    """
    if log is not None:
        make_room(log)
    parent = os.getpid()

    def end_with_parent() -> None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, int(end_signal), 0, 0, 0)
        if os.getppid() != parent:
            os._exit(1)

    with log.open("ab") if log is not None else nullcontext() as output:
        return subprocess.Popen(  # noqa: S603 - our own programs, no shell
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=None if output is None else subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=end_with_parent,
            cwd=folder or "/",
            env=dict(environ) if environ is not None else None,
            user=None if user is None else user.pw_uid,
            group=None if user is None else user.pw_gid,
            extra_groups=None if user is None else [],
            umask=0o077,
        )


def make_room(log: Path) -> None:
    """Makes a log's folder, and sets the log aside when it has grown large."""
    log.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if log.exists() and log.stat().st_size > LOG_KEPT_BYTES:
        log.replace(log.with_name(f"{log.name}.1"))


def is_alive(pid: int) -> bool:
    """Whether a process with this number runs; one ended but not yet reaped does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in "ZX"


def started_at(pid: int) -> str:
    """When the process started, in the kernel's ticks: with the number it names a process for good.

    Empty when there is none.
    """
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (FileNotFoundError, ProcessLookupError):
        return ""


def working_in(folder: Path) -> set[int]:
    """The processes, among those we may look at, whose working folder is this one."""
    found = set()
    wanted = str(folder.resolve())
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if str((entry / "cwd").readlink()) == wanted:
                    found.add(int(entry.name))
            except OSError:
                continue
    return found


def marked(name: str, value: str) -> set[int]:
    """The processes, among those we may look at, started with this environment variable."""
    found = set()
    wanted = f"{name}={value}".encode()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if wanted in (entry / "environ").read_bytes().split(b"\0"):
                    found.add(int(entry.name))
            except OSError:
                continue
    return found


def signal_group(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    """Sends a signal to a program started by `spawn` and to every child still in its group."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, number)


def wait_until(condition: Callable[[], bool], *, within_s: float, every_s: float = 0.05) -> bool:
    """Whether the condition came true in time."""
    end = time.monotonic() + within_s
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(every_s)
    return True


def becomes_ready(
    process: subprocess.Popen[bytes], answers: Callable[[], bool], *, within_s: float
) -> bool:
    """Whether a newly started server answers in time; False at once when it has ended."""
    wait_until(lambda: process.poll() is not None or answers(), within_s=within_s)
    return process.poll() is None and answers()
