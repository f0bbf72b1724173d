"""Measures `intake`: IoT posts over HTTP, each durable before its answer, against pgbench inserting
the same message alone into the same table.

Both sides have as many connections. A round measures one side after the other, the next round in
the other order. Nobody drains meanwhile: what is measured is taking in.
"""

import json
import statistics
import uuid
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import psycopg2
from django.conf import settings
from django.db import connection

from services.iot.drain import LOCK_CLASS
from tests.bench import frame, load
from tests.bench.figures import Figure
from tests.bench.pgbench import pgbench_rate
from tests.sensors import address, said
from vpass import embedded
from vpass.common import clock
from vpass.supervisor import Run

CLIENTS = 8
ROUNDS = 6
POSTS_A_ROUND = 2_000
ROUND_S = 2.0
SCRIPT = Path(__file__).resolve().parent / "baselines" / "intake.sql"


def measure(run: Run, *, state_dir: Path) -> Figure:
    """Posts a second, and the ratio to the baseline (the median of the rounds)."""
    frame.require_durable()
    owner_url = embedded.owner_url(state_dir)
    ours: list[load.Measured] = []
    theirs: list[float] = []
    holder = psycopg2.connect(owner_url)
    holder.autocommit = True
    with closing(holder), holder.cursor() as cursor:
        for shard in range(settings.IOT_SHARDS):  # so the worker finds each shard taken
            cursor.execute("SELECT pg_advisory_lock(%s, %s)", [LOCK_CLASS, shard])
        before = _count()
        for number in range(ROUNDS + 1):
            batches = _posts(run.web_url)
            sides = [
                lambda batches=batches: ours.append(
                    load.send(run.web_url, batches, expected=b"stored")
                ),
                lambda: theirs.append(
                    pgbench_rate(SCRIPT, owner_url, clients=CLIENTS, seconds=ROUND_S, variables={})
                ),
            ]
            for side in sides if number % 2 else reversed(sides):
                side()
        stored = _count() - before
        cursor.execute("DELETE FROM iot_inbox")  # nobody wants to read it
    _require_stored(ours, stored)
    ours, theirs = ours[1:], theirs[1:]  # the first round warms both up
    ratios = [mine.rate / other for mine, other in zip(ours, theirs, strict=True)]
    return Figure(
        name="intake",
        value=frame.rate(ours),
        unit="posts/s",
        ratio=statistics.median(ratios),
        against="pgbench single-row insert",
        goal=0.30,
        details={
            "baseline_rate": round(statistics.mean(theirs), 1),
            "ratios": [round(ratio, 3) for ratio in ratios],
            "posts": sum(each.requests for each in ours),
            "connections": CLIENTS,
        },
    )


def _posts(url: str) -> list[list[bytes]]:
    """Readings of many sensors, dealt to the clients."""
    at = clock.now() - timedelta(minutes=1)
    body = [
        json.dumps(said(str(uuid.uuid4()), {"occupied": number % 2, "battery": 87}, at)).encode()
        for number in range(POSTS_A_ROUND)
    ]
    written = [load.written(url + address(), headers={}, body=each) for each in body]
    return [written[client::CLIENTS] for client in range(CLIENTS)]


def _count() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM iot_inbox WHERE source <> 'pgbench'")
        return int(cursor.fetchone()[0])


def _require_stored(ours: list[load.Measured], stored: int) -> None:
    sent, good = sum(each.requests for each in ours), sum(each.good for each in ours)
    if not sent == good == stored:
        raise RuntimeError(f"sent {sent}, answered well {good}, stored {stored}")
