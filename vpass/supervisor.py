"""Keeps the whole program up: engines, sandbox, web, worker and beat, and ends them together.

`manage.py up` runs a Supervisor. Everybody else (the citizen's day, browser tests, benches) asks
for a `stack`: the one that is up for the state folder, or a new one for the length of a block.
"""

import contextlib
import fcntl
import http.client
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from vpass import embedded, processes
from vpass.programs import ROOT, STOP_WITHIN_S, Program
from vpass.secrets import make_private_folder, of_sandbox

WEB_PORT = 8000
SANDBOX_PORT = 8100
WEB_WORKERS = 2
WEB_THREADS = 4
WEB_BACKPRESSURE = 64  # requests in hand per worker; what comes above waits in the backlog
WORKER_PROCESSES = 2
READY_WITHIN_S = 60.0
UP_WITHIN_S = 180.0
MARK = "VPASS_RUN"


class AlreadyUp(Exception):
    """A supervisor runs for this state folder."""


class StackFailure(Exception):
    """The stack could not be brought up; the message names the log."""


@dataclass(frozen=True, kw_only=True)
class Run:
    """A running stack: its supervisor, where its web and sandbox answer, its processes by name.

    `public_url` is the web's name for itself, which signed requests must name.
    """

    pid: int
    started_at: str
    mark: str
    web_url: str
    public_url: str
    sandbox_url: str
    processes: Mapping[str, int]


class Supervisor:
    """Brings the stack of one state folder up, tends it until told to stop, and ends it."""

    def __init__(
        self, *, state_dir: Path, queues: Sequence[str], say: Callable[[str], None], port: int
    ) -> None:
        """`queues` are the worker's; `say` shows one line of text.

        The web takes `port`, or the next free one; 0 stands for any, for the sandbox too.
        """
        self.state_dir = Path(state_dir)
        self.stopping = False
        self.programs: list[Program] = []
        self.engines: embedded.Engines | None = None
        self._queues = queues
        self._say = say
        self._port = port
        self._mark = secrets.token_hex(16)
        self._plays_outside_world = not os.environ.get("REGISTER_URL")
        self._open: list[IO[str] | socket.socket] = []
        self.web_url = ""
        self.sandbox_url = ""
        self.environ: dict[str, str] = {}

    # Up

    def claim(self) -> None:
        """Makes this the only supervisor of the state folder; raises AlreadyUp."""
        make_private_folder(self.state_dir)
        if not self._hold(self.state_dir / "up.lock"):
            raise AlreadyUp
        self._end_leftovers()

    def start_engines(self) -> None:
        """PostgreSQL and Redis; raises EngineFailure."""
        self.engines = embedded.start(self.state_dir)
        for engine in (self.engines.postgres, self.engines.redis):
            if engine is not None:
                self._say_state(engine.name, f"running  pid {engine.pid}  data {engine.data}")

    def choose_addresses(self) -> None:
        """Finds free ports and sets `environ`, which every program and command gets."""
        port = self._free_port(self._port)
        sandbox_port = self._free_port(SANDBOX_PORT if self._port else 0)
        self.web_url = f"http://127.0.0.1:{port}"
        self.sandbox_url = f"http://127.0.0.1:{sandbox_port}"
        self.environ = {
            "PUBLIC_URL": self.web_url,
            "SMS_URL": f"{self.sandbox_url}/sms",
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "vpass.settings",
            "PYTHONUNBUFFERED": "1",
            "VPASS_STATE_DIR": str(self.state_dir),
            MARK: self._mark,
        }
        if self._plays_outside_world:
            for site in ("register", "bank", "issuers"):
                if os.environ.get(f"{site.upper()}_URL"):
                    continue
                public_key = self.state_dir / "sandbox" / f"{site}_public.pem"
                self.environ[f"{site.upper()}_URL"] = f"{self.sandbox_url}/{site}"
                self.environ[f"{site.upper()}_PUBLIC_KEY"] = public_key.read_text("utf-8")
            self.environ = {**of_sandbox(self.state_dir, url=self.sandbox_url), **self.environ}

    def run_command(self, *arguments: str, as_owner: bool = False, show: bool = False) -> bool:
        """Runs a management command to its end; its output goes to a log, or is shown.

        Answers whether it ended well; False also when we were told to stop meanwhile.
        """
        log = self.state_dir / "log" / f"{arguments[0]}.log"
        process = processes.spawn(
            [sys.executable, str(ROOT / "manage.py"), *arguments],
            log=None if show else log,
            end_signal=signal.SIGTERM,
            environ={**self.environ, **({"VPASS_ROLE": "owner"} if as_owner else {})},
            folder=ROOT,
        )
        try:
            while process.poll() is None and not self.stopping:
                self.tend()
                time.sleep(0.1)
        finally:
            if process.poll() is None:
                process.terminate()
            processes.wait_until(lambda: process.poll() is not None, within_s=5.0)
            processes.signal_group(process, signal.SIGKILL)
        return process.wait() == 0 and not self.stopping

    def start_programs(self) -> None:
        """Sandbox, web, worker and beat; waits until they answer. Raises StackFailure."""
        self.programs = self._make_programs()
        for program in self.programs:
            program.start()
        end = time.monotonic() + READY_WITHIN_S
        for program in self.programs:
            while not program.answers():
                if self.stopping:
                    return
                if time.monotonic() > end or not program.is_running():
                    raise StackFailure(f"{program.name} does not start; see {program.log}")
                time.sleep(0.1)
            self._say_running(program)
        self.write_run()

    def tend(self) -> None:
        """Restarts what has died; call it a few times a second."""
        changed = self._tend_engines()
        for program in self.programs:
            if program.is_running():
                continue
            if program.start_after <= program.started:
                code = program.process.returncode if program.process else None
                pause = program.bury()
                self._say_state(program.name, f"died (exit {code}), starts again in {pause:g} s")
            elif time.monotonic() >= program.start_after:
                program.start()
                self._say_running(program)
                changed = True
        if changed:
            self.write_run()

    def tend_until_stopped(self) -> None:
        """Stays until `stopping` is set, by a signal's handler say."""
        while not self.stopping:
            self.tend()
            time.sleep(0.3)

    def write_run(self) -> None:
        """Notes in `run.json` what runs, for `stack` and for the next start."""
        numbers = {
            program.name: program.process.pid for program in self.programs if program.process
        }
        if self.engines is not None:
            for engine in (self.engines.postgres, self.engines.redis):
                if engine is not None:
                    numbers[engine.name] = engine.pid
        note = {
            "pid": os.getpid(),
            "started_at": processes.started_at(os.getpid()),
            "mark": self._mark,
            "web_url": self.web_url,
            "public_url": self.environ["PUBLIC_URL"].rstrip("/"),
            "sandbox_url": self.sandbox_url,
            "processes": numbers,
        }
        unfinished = self.state_dir / "run.json.new"
        unfinished.write_text(json.dumps(note, indent=1), "utf-8")
        unfinished.replace(self.state_dir / "run.json")

    # Down

    def stop(self) -> None:
        """Ends everything this supervisor started: doors first, engines last."""
        for program in self.programs:
            if program.name != "sandbox":  # requests in hand may still need it
                program.ask_to_end()
        for program in sorted(self.programs, key=lambda each: each.name == "sandbox"):
            if not program.end():
                self._say_state(program.name, f"did not end in {STOP_WITHIN_S:g} s and was killed")
        if self.engines is not None:
            self.engines.stop()
        (self.state_dir / "run.json").unlink(missing_ok=True)
        for file in self._open:
            file.close()

    # Parts

    def _make_programs(self) -> list[Program]:
        metrics = self.state_dir / "metrics"
        shutil.rmtree(metrics, ignore_errors=True)
        for folder in (metrics, self.state_dir / "static"):
            folder.mkdir(exist_ok=True)
        python = sys.executable
        web_port = self.web_url.rpartition(":")[2]
        sandbox_port = self.sandbox_url.rpartition(":")[2]
        celery = [python, "-m", "celery", "-A", "vpass.celery"]
        web = web_command("vpass.wsgi:application", port=web_port)
        worker = [*celery, "worker", "--queues", ",".join(self._queues), "--loglevel", "INFO"]
        worker += ["--concurrency", str(WORKER_PROCESSES), "--hostname", "worker@%h"]
        worker += ["--without-gossip", "--without-mingle", "--without-heartbeat"]
        beat = [*celery, "beat", "--loglevel", "INFO", "--pidfile", ""]
        beat += ["--schedule", str(self.state_dir / "beat-schedule")]
        sandbox_environ = {
            "VPASS_SANDBOX_DIR": str(self.state_dir / "sandbox"),
            "VPASS_SANDBOX_PORT": sandbox_port,
            "VPASS_URL": self.environ["PUBLIC_URL"],
        }
        programs = [
            self._program("web", web, PROMETHEUS_MULTIPROC_DIR=str(metrics)),
            self._program("worker", worker),
            self._program("beat", beat),
        ]
        programs[0].answers = lambda: _answers(int(web_port), "/health/live", statuses={200})
        if self._plays_outside_world:
            sandbox = self._program("sandbox", [python, "-m", "vpass.sandbox"], **sandbox_environ)
            sandbox.answers = lambda: _answers(int(sandbox_port), "/", statuses=range(500))
            programs.insert(0, sandbox)
        return programs

    def _program(self, name: str, command: Sequence[str], **environ: str) -> Program:
        log = self.state_dir / "log" / f"{name}.log"
        return Program(name=name, command=command, environ={**self.environ, **environ}, log=log)

    def _tend_engines(self) -> bool:
        engines, changed = self.engines, False
        if engines is None or self.stopping:
            return False
        if engines.postgres is not None and not engines.postgres.is_running():
            self._say_state("postgres", "died, starts again")
            engines.postgres = embedded.postgres.start(self.state_dir)
            changed = True
        if engines.redis is not None and not engines.redis.is_running():
            self._say_state("redis", "died, starts again")
            engines.redis = embedded.redis.start(self.state_dir)
            changed = True
        return changed

    def _end_leftovers(self) -> None:
        """Ends what a killed supervisor of this folder left, known by the mark it gave them."""
        try:
            mark = str(json.loads((self.state_dir / "run.json").read_text("utf-8"))["mark"])
        except (OSError, ValueError, KeyError):
            return
        for number in (signal.SIGTERM, signal.SIGKILL):
            for pid in processes.marked(MARK, mark):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, number)
            if processes.wait_until(lambda: not processes.marked(MARK, mark), within_s=10.0):
                break

    def _free_port(self, wanted: int) -> int:
        """The first free port from `wanted` on, kept from other supervisors while we run."""
        for port in range(wanted, wanted + 200) if wanted else [0] * 200:
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    probe.bind(("127.0.0.1", port))
                except OSError:
                    continue
                found = int(probe.getsockname()[1])
            # A name in the kernel's list of sockets is a lock without a file; it goes when we go.
            claim = socket.socket(socket.AF_UNIX)
            try:
                claim.bind(f"\0vpass-port-{found}")
            except OSError:
                claim.close()
                continue
            self._open.append(claim)
            return found
        raise StackFailure(f"no free port from {wanted} on")

    def _hold(self, path: Path) -> bool:
        file = path.open("w")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            return False
        self._open.append(file)
        return True

    def _say_running(self, program: Program) -> None:
        url = {"web": self.web_url, "sandbox": self.sandbox_url}.get(program.name, "")
        pid = program.process.pid if program.process else 0
        self._say_state(program.name, f"running  pid {pid}  {url}".rstrip())

    def _say_state(self, name: str, state: str) -> None:
        self._say(f"  {name:<9}{state}")


def web_command(application: str, *, port: str) -> list[str]:
    """The command that serves a WSGI application as the web program is served."""
    command = [sys.executable, "-m", "granian", "--interface", "wsgi", application]
    command += ["--host", "127.0.0.1", "--port", port, "--no-ws", "--respawn-failed-workers"]
    command += ["--workers", str(WEB_WORKERS), "--blocking-threads", str(WEB_THREADS)]
    command += ["--backpressure", str(WEB_BACKPRESSURE), "--log-level", "warning"]
    return [*command, "--workers-kill-timeout", "5"]


def _answers(port: int, path: str, *, statuses: Container[int]) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", path)
        return connection.getresponse().status in statuses
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


# For those who need a running stack


def read_run(state_dir: Path) -> Run | None:
    """The stack that is up for this state folder, if one is."""
    try:
        run = Run(**json.loads((Path(state_dir) / "run.json").read_text("utf-8")))
    except (OSError, ValueError, TypeError):
        return None
    return run if run.started_at and processes.started_at(run.pid) == run.started_at else None


@contextmanager
def stack(*, state_dir: Path, environ: Mapping[str, str] | None = None) -> Iterator[Run]:
    """The stack of this state folder: the one that is up, or one for the length of the block.

    A new one takes free ports and does not play the day. Raises StackFailure.
    """
    found = read_run(state_dir)
    if found is not None:
        yield found
        return
    environ = os.environ if environ is None else environ
    log = Path(state_dir) / "log" / "up.log"
    process = processes.spawn(
        [sys.executable, str(ROOT / "manage.py"), "up", "--port", "0", "--without-day"],
        log=log,
        end_signal=signal.SIGTERM,
        environ={**environ, "VPASS_STATE_DIR": str(state_dir)},
        folder=ROOT,
    )
    try:
        processes.wait_until(
            lambda: process.poll() is not None or read_run(state_dir) is not None,
            within_s=UP_WITHIN_S,
        )
        run = read_run(state_dir)
        if run is None or run.pid != process.pid:
            raise StackFailure(f"the stack does not come up; see {log}")
        yield run
    finally:
        process.terminate()
        try:
            process.wait(4 * STOP_WITHIN_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
