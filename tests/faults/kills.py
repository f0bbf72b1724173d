"""Kills a program of a running stack with SIGKILL, and sees it come back."""

import os
import signal
from pathlib import Path

from vpass import processes, supervisor

BACK_WITHIN_S = 30.0


def state_dir_of(run: supervisor.Run) -> Path:
    """The state folder of a running stack, as its supervisor was told it."""
    variables = Path(f"/proc/{run.pid}/environ").read_bytes().split(b"\0")
    environ = dict(os.fsdecode(line).partition("=")[::2] for line in variables)
    return Path(environ["VPASS_STATE_DIR"])


def kill(state_dir: Path, name: str) -> int:
    """Sends SIGKILL to the program that `run.json` names; returns the number it had."""
    run = supervisor.read_run(state_dir)
    assert run is not None, "the stack is not up"
    pid = run.processes[name]
    os.kill(pid, signal.SIGKILL)
    return pid


def wait_until_back(state_dir: Path, name: str, *, killed: int) -> bool:
    """Whether the supervisor has started it again in time."""

    def is_back() -> bool:
        run = supervisor.read_run(state_dir)
        return run is not None and run.processes.get(name) not in (None, killed)

    return processes.wait_until(is_back, within_s=BACK_WITHIN_S)
