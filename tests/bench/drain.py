"""Measures `drain`: readings from the inbox to events and twins, against COPY of the same number of
events into the same indexed partition.

Each side has one connection. The messages lie in the inbox before a round, and what is copied is
written out beforehand. A round measures one side after the other, the next round in the other
order. The worker is kept away by the shards' own lock.
"""

import io
import json
import secrets
import statistics
import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import psycopg2
import psycopg2.extensions
from django.conf import settings
from django.db import connection

from services.iot import drain, intake
from services.iot.models import DeadLetter, Device, Event, Twin
from tests import sensors
from tests.bench import frame
from tests.bench.figures import Figure
from vpass import embedded
from vpass.common import clock
from vpass.supervisor import Run

ROUNDS = 5
MESSAGES = 10_000
DEVICES = 1_000
COPY = "COPY iot_event (event_time, key, device_id, service, props, received_at) FROM STDIN"


def measure(run: Run, *, state_dir: Path) -> Figure:
    """Readings a second, and the ratio to the baseline (the median of the rounds)."""
    frame.require_durable()
    ours: list[float] = []
    theirs: list[float] = []
    owner = psycopg2.connect(embedded.owner_url(state_dir))
    with connection.cursor() as cursor:
        for shard in range(settings.IOT_SHARDS):  # re-entrant for us, closed to the worker
            cursor.execute("SELECT pg_advisory_lock(%s, %s)", [drain.LOCK_CLASS, shard])
        sensors.drain_all(at=clock.now())
        before = Event.objects.count()
        for number in range(ROUNDS + 1):
            _fill(owner, number)
            lines = _lines(number)
            sides = [
                lambda: ours.append(MESSAGES / _seconds_of_drain()),
                lambda lines=lines: theirs.append(MESSAGES / _seconds_of_copy(owner, lines)),
            ]
            for side in sides if number % 2 else reversed(sides):
                side()
        _require_taken_in(before)
        cursor.execute("SELECT pg_advisory_unlock_all()")
    owner.close()
    ours, theirs = ours[1:], theirs[1:]  # the first round warms both up
    ratios = [mine / other for mine, other in zip(ours, theirs, strict=True)]
    return Figure(
        name="drain",
        value=statistics.mean(ours),
        unit="readings/s",
        ratio=statistics.median(ratios),
        against="COPY into the same indexed partition",
        goal=0.25,
        details={
            "baseline_rate": round(statistics.mean(theirs), 1),
            "ratios": [round(ratio, 3) for ratio in ratios],
            "devices": DEVICES,
            "readings": MESSAGES * ROUNDS,
        },
    )


def _moments(number: int) -> Iterator[tuple[int, datetime]]:
    """Which device speaks, and when: a round is a quarter of an hour, all on one day."""
    day = clock.now().replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=1)
    for n in range(MESSAGES):
        yield n % DEVICES, day + timedelta(minutes=15 * number, seconds=n // DEVICES)


def _fill(owner: psycopg2.extensions.connection, number: int) -> None:
    at, lines = clock.now(), io.StringIO()
    for device, moment in _moments(number):
        data = {"temperature": 20 + number, "humidity": device % 100, "battery": 87}
        body = json.dumps(sensors.said(f"bench-{device}", data, moment, service="Air")).encode()
        lines.write(
            f"{intake.shard_of(body)}\t{sensors.SOURCE}\t{at.isoformat()}\t\\\\x{body.hex()}\n"
        )
    lines.seek(0)
    with owner, owner.cursor() as cursor:
        cursor.copy_expert("COPY iot_inbox (shard, source, received_at, body) FROM STDIN", lines)


def _lines(number: int) -> io.StringIO:
    at, lines = clock.now().isoformat(), io.StringIO()
    props = json.dumps({"battery": 87, "humidity": 50, "temperature": 20 + number})
    for device, moment in _moments(number):
        key = secrets.token_hex(32)
        lines.write(f"{moment.isoformat()}\t\\\\x{key}\t{device + 1}\tAir\t{props}\t{at}\n")
    return lines


def _seconds_of_drain() -> float:
    at, started = clock.now(), time.perf_counter()
    if sensors.drain_all(at=at) != MESSAGES:
        raise RuntimeError("somebody else has drained")
    return time.perf_counter() - started


def _seconds_of_copy(owner: psycopg2.extensions.connection, lines: io.StringIO) -> float:
    lines.seek(0)
    started = time.perf_counter()
    with owner, owner.cursor() as cursor:
        cursor.copy_expert(COPY, lines)
    return time.perf_counter() - started


# What is measured has to be the real thing


def _require_taken_in(before: int) -> None:
    sent = MESSAGES * (ROUNDS + 1)
    events = Event.objects.count() - before
    in_twins = sum(
        Twin.objects.filter(device__external_id__startswith="bench-").values_list(
            "version", flat=True
        )
    )
    devices = Device.objects.filter(external_id__startswith="bench-").count()
    found = (events, in_twins, devices, DeadLetter.objects.count())
    if found != (2 * sent, sent, DEVICES, 0):
        raise RuntimeError(f"sent {sent}; events, in twins, devices, dead letters: {found}")
