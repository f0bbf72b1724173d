"""What benches over HTTP share: the baseline server, rest between the sides, and the checks."""

import contextlib
import os
import signal
import socket
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

from django.db import connection

from tests.bench import load
from vpass import processes
from vpass.programs import ROOT
from vpass.supervisor import StackFailure, web_command


def rate(rounds: list[load.Measured]) -> float:
    """Requests a second over all rounds."""
    return sum(each.requests for each in rounds) / sum(each.seconds for each in rounds)


@contextlib.contextmanager
def baseline(state_dir: Path, *, path: str, environ: Mapping[str, str] = {}) -> Iterator[str]:
    """The URL of the baselines' server, whose view at `path` answers; `environ` adds to ours."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    log = state_dir / "log" / f"baseline-{path.strip('/')}.log"
    metrics = state_dir / f"metrics-baseline-{path.strip('/')}"
    metrics.mkdir()
    process = processes.spawn(
        web_command("tests.bench.baselines.wsgi:application", port=str(port)),
        log=log,
        end_signal=signal.SIGTERM,
        environ={
            **os.environ,
            "PUBLIC_URL": url,
            "DJANGO_SETTINGS_MODULE": "tests.bench.baselines.settings",
            "PROMETHEUS_MULTIPROC_DIR": str(metrics),
            **environ,
        },
        folder=ROOT,
    )
    try:
        if not processes.becomes_ready(process, lambda: _listens(url + path), within_s=20.0):
            tail = log.read_text("utf-8", errors="replace")[-2000:]
            raise StackFailure(f"the baseline does not start:\n{tail}")
        yield url
    finally:
        process.terminate()
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _listens(url: str) -> bool:
    try:
        with load.connect(url) as probe:
            return load.answer_to(probe, load.written(url, headers={}, body=b"{}"))[0] > 0
    except (OSError, ValueError):
        return False


def let_rest() -> None:
    """Waits until the worker has nothing to do, so that no side pays for the other's events."""
    with connection.cursor() as cursor:

        def is_done() -> bool:
            cursor.execute("SELECT NOT EXISTS (SELECT FROM common_outbox WHERE state = 'pending')")
            return bool(cursor.fetchone()[0])

        processes.wait_until(is_done, within_s=5.0)


# What is measured has to be the real thing


def require_durable() -> None:
    """Raises unless the database keeps what it has answered for."""
    with connection.cursor() as cursor:
        for setting in ("fsync", "synchronous_commit", "full_page_writes"):
            cursor.execute(f"SHOW {setting}")
            if cursor.fetchone()[0] != "on":
                raise RuntimeError(f"{setting} is off")


def require_checked(url: str, used: bytes, *, code: bytes) -> None:
    """A request sent before must be refused: its proof or signature is used up."""
    with load.connect(url) as again:
        status, body = load.answer_to(again, used)
    if status != 401 or b'"%s"' % code not in body:
        raise RuntimeError(f"a used proof was answered {status}")
