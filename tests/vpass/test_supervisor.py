"""The supervisor: everything up, what dies comes back, and nothing stays behind."""

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.engines import remove_state, site_free_environment
from vpass import processes, secrets, supervisor
from vpass.programs import ROOT, Program

PROGRAMS = ["sandbox", "web", "worker", "beat", "redis", "postgres"]


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """The state folder of this module's stack."""
    made = Path(tempfile.mkdtemp(prefix="vpass-stack-"))
    secrets.make_private_folder(made)
    yield made
    remove_state(made)


@pytest.fixture(scope="module")
def run(folder: Path) -> Iterator[supervisor.Run]:
    """A stack of this module's own, for it is going to suffer."""
    with supervisor.stack(state_dir=folder, environ=site_free_environment(folder)) as found:
        yield found


def up(folder: Path) -> subprocess.Popen[bytes]:
    return processes.spawn(
        [sys.executable, str(ROOT / "manage.py"), "up", "--port", "0", "--without-day"],
        log=folder / "log" / "up.log",
        end_signal=signal.SIGKILL,
        environ=site_free_environment(folder),
        folder=ROOT,
    )


def wait_for_run(folder: Path, process: subprocess.Popen[bytes]) -> supervisor.Run:
    def is_up() -> bool:
        found = supervisor.read_run(folder)
        return process.poll() is not None or (found is not None and found.pid == process.pid)

    assert processes.wait_until(is_up, within_s=60)
    found = supervisor.read_run(folder)
    assert found is not None, (folder / "log" / "up.log").read_text()
    return found


def nothing_left_of(run: supervisor.Run) -> Callable[[], bool]:
    return lambda: (
        not processes.marked(supervisor.MARK, run.mark)
        and not any(processes.is_alive(pid) for pid in run.processes.values())
    )


@pytest.mark.stack
def test_stack__up__every_program_runs_and_both_doors_answer(run: supervisor.Run) -> None:
    assert sorted(run.processes) == sorted(PROGRAMS)
    assert all(processes.is_alive(pid) for pid in run.processes.values())
    for url in (f"{run.web_url}/health/live", f"{run.sandbox_url}/register/demo-people"):
        with urllib.request.urlopen(url, timeout=10) as answer:
            assert answer.status == 200


@pytest.mark.stack
def test_stack__bank__knows_where_v_pass_is(run: supervisor.Run) -> None:
    url = f"{run.sandbox_url}/bank/control/settings"
    with urllib.request.urlopen(url, timeout=10) as answer:
        assert json.loads(answer.read())["vpass_url"] == run.public_url


@pytest.mark.stack
def test_stack__asked_again__the_one_that_is_up(folder: Path, run: supervisor.Run) -> None:
    with supervisor.stack(state_dir=folder) as again:
        assert again.pid == run.pid

    assert processes.is_alive(run.pid)


@pytest.mark.stack
def test_up__second_time__refused(folder: Path, run: supervisor.Run) -> None:
    second = subprocess.run(
        [sys.executable, "manage.py", "up"],
        cwd=ROOT,
        env=site_free_environment(folder),
        capture_output=True,
        text=True,
        check=False,
    )

    assert second.returncode == 1
    assert f"already up at {run.web_url}" in second.stderr
    assert processes.is_alive(run.pid)


@pytest.mark.stack
@pytest.mark.parametrize("name", PROGRAMS)
def test_up__program_killed__comes_back(folder: Path, run: supervisor.Run, name: str) -> None:
    before = supervisor.read_run(folder)
    assert before is not None

    os.kill(before.processes[name], signal.SIGKILL)

    def is_back() -> bool:
        found = supervisor.read_run(folder)
        return found is not None and found.processes[name] != before.processes[name]

    assert processes.wait_until(is_back, within_s=20)


@pytest.mark.stack
def test_up__killed_then_up_again_then_terminated__leaves_nothing(state_dir: Path) -> None:
    process = up(state_dir)
    killed = wait_for_run(state_dir, process)

    process.kill()
    process.wait()

    assert processes.wait_until(nothing_left_of(killed), within_s=30)
    assert supervisor.read_run(state_dir) is None

    process = up(state_dir)
    ended = wait_for_run(state_dir, process)
    process.terminate()

    assert process.wait(60) == 0
    assert nothing_left_of(ended)()
    assert not (state_dir / "run.json").exists()


def test_choose_addresses__port_taken__the_next_free_one(tmp_path: Path) -> None:
    secrets.load({}, tmp_path)
    chosen = supervisor.Supervisor(state_dir=tmp_path, queues=(), say=lambda text: None, port=0)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        one = supervisor.Supervisor(state_dir=tmp_path, queues=(), say=lambda text: None, port=port)
        other = supervisor.Supervisor(
            state_dir=tmp_path, queues=(), say=lambda text: None, port=port
        )
        for each in (one, other, chosen):
            each.choose_addresses()

    ports = {each.web_url.rpartition(":")[2] for each in (one, other, chosen)}
    assert len(ports) == 3
    assert str(port) not in ports
    for each in (one, other, chosen):
        each.stop()


def test_program__dies_again_and_again__pauses_grow_to_a_bound(tmp_path: Path) -> None:
    program = Program(
        name="ill", command=["/bin/false"], environ=dict(os.environ), log=tmp_path / "ill.log"
    )

    pauses = []
    for _ in range(8):
        program.start()
        processes.wait_until(lambda: not program.is_running(), within_s=5)
        pauses.append(program.bury())

    assert pauses == [0.5, 1, 2, 4, 8, 16, 30, 30]


def test_program__ends__takes_a_deaf_child_with_it(tmp_path: Path) -> None:
    note = tmp_path / "child"
    script = f"(trap '' TERM; echo started >>{note}; exec sleep 600) & echo $! >>{note}; wait"
    program = Program(
        name="parent",
        command=["/bin/sh", "-c", script],
        environ=dict(os.environ),
        log=tmp_path / "parent.log",
    )
    program.start()
    assert processes.wait_until(
        lambda: note.exists() and len(note.read_text().split()) == 2, within_s=5
    )
    child = next(int(word) for word in note.read_text().split() if word.isdigit())

    begun = time.monotonic()
    program.end()

    assert not program.is_running()
    assert processes.wait_until(lambda: not processes.is_alive(child), within_s=5)
    assert time.monotonic() - begun < 10
