"""One long-running program of the stack: starts it, sees it die, ends it with all its children."""

import contextlib
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from vpass import processes

ROOT = Path(__file__).resolve().parent.parent
STOP_WITHIN_S = 20.0
SETTLED_AFTER_S = 60.0
LONGEST_PAUSE_S = 30.0


@dataclass(kw_only=True)
class Program:
    """One long-running program, started again with growing pauses when it dies."""

    name: str
    command: Sequence[str]
    environ: Mapping[str, str]
    log: Path
    answers: Callable[[], bool] = lambda: True
    process: subprocess.Popen[bytes] | None = None
    deaths: int = 0
    started: float = 0.0
    start_after: float = 0.0
    asked_to_end: bool = False

    def start(self) -> None:
        """Starts it in a process group of its own; it ends with this program."""
        self.process = processes.spawn(
            self.command,
            log=self.log,
            end_signal=signal.SIGTERM,
            environ=self.environ,
            folder=ROOT,
        )
        self.started = time.monotonic()
        self.asked_to_end = False

    def is_running(self) -> bool:
        """Whether it has been started and has not ended."""
        return self.process is not None and self.process.poll() is None

    def bury(self) -> float:
        """After its death: ends what it left behind, and says after how many seconds to restart."""
        if self.process is not None:
            processes.signal_group(self.process, signal.SIGKILL)
        if time.monotonic() - self.started > SETTLED_AFTER_S:
            self.deaths = 0
        pause = min(0.5 * 2.0**self.deaths, LONGEST_PAUSE_S)
        self.deaths += 1
        self.start_after = time.monotonic() + pause
        return pause

    def ask_to_end(self) -> None:
        """Sends SIGTERM, which all our programs take as: finish what is in hand, then end.

        Once only: Celery takes a second one as an order to drop what is in hand.
        """
        if self.process is not None and self.is_running() and not self.asked_to_end:
            self.asked_to_end = True
            self.process.send_signal(signal.SIGTERM)

    def end(self) -> bool:
        """Ends it together with its children; answers whether it went without force."""
        if self.process is None:
            return True
        self.ask_to_end()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(STOP_WITHIN_S)
        went_by_itself = self.process.poll() is not None
        processes.signal_group(self.process, signal.SIGKILL)
        self.process.wait()
        return went_by_itself
