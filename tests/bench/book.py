"""Measures `book`: forty clients claim the last seats of one slot after another, through Python.

The other side is the bare claim, over the same connections and in the same processes: one statement
in autocommit which takes a seat and writes the booking, once more with a plain lock before it calls
the slot full, and nothing that makes it safe to repeat, fair or answerable. Every client tries
every slot once, so most find it full. A round measures one side after the other, the next round in
the other order.
"""

import multiprocessing
import statistics
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from multiprocessing.connection import Connection
from pathlib import Path

from django.db import connection

from services import booking
from services.models import Booking, Seat
from tests import city, hall
from tests.bench import frame
from tests.bench.figures import Figure
from vpass.common import clock
from vpass.common.callers import Caller
from vpass.supervisor import Run

CLIENTS = 40
PROCESSES = 2
SEATS = 5
ROUNDS = 6
SLOTS_A_ROUND = 12  # of each side
PATIENCE_S = 60.0

_BARE = """
WITH seat AS (
    UPDATE services_seat SET booking_id = %(id)s, free_from = %(until)s
    WHERE id = (SELECT id FROM services_seat WHERE slot_id = %(slot)s AND free_from <= %(at)s
        ORDER BY n LIMIT 1 FOR UPDATE SKIP LOCKED) RETURNING id
)
INSERT INTO services_booking (id, resident_id, service_id, slot_id, day, state, held_until,
    created_at)
SELECT %(id)s, %(resident)s, %(service)s, %(slot)s, %(day)s, 'held', %(until)s, %(at)s FROM seat
"""
_BARE_WAITING = _BARE.replace(" SKIP LOCKED", "")


@dataclass(frozen=True)
class Task:
    """Slots to claim in, one after the other, by one way or the other."""

    is_ours: bool
    service: uuid.UUID
    slots: tuple[tuple[uuid.UUID, date], ...]


def measure(run: Run, *, state_dir: Path) -> Figure:
    """Claims a second, and the ratio to the bare claims (the median of the rounds)."""
    frame.require_durable()
    at = clock.now()
    place = hall.open_hall("测速大厅")
    residents = [city.make_phone(index, at=at).caller for index in range(CLIENTS)]
    rates: dict[bool, list[float]] = {True: [], False: []}
    days = iter(range(1, 10_000))
    with _claimers(residents) as claimers:
        for number in range(ROUNDS + 1):
            for is_ours in (True, False) if number % 2 else (False, True):
                made = [
                    place.slot(starts_at=at + timedelta(days=next(days)), seats=SEATS)
                    for _ in range(SLOTS_A_ROUND)
                ]
                slots = tuple((each.id, each.day) for each in made)
                frame.let_rest()
                seconds = _together(claimers, Task(is_ours, place.service.id, slots))
                rates[is_ours].append(CLIENTS * SLOTS_A_ROUND / seconds)
    oversold, unsold = _judge(place)
    if oversold or unsold:
        raise RuntimeError(f"{oversold} slots are oversold, {unsold} have seats left")
    ours, theirs = rates[True][1:], rates[False][1:]  # the first round warms both up
    ratios = [mine / other for mine, other in zip(ours, theirs, strict=True)]
    return Figure(
        name="book",
        value=statistics.mean(ours),
        unit="claims/s",
        ratio=statistics.median(ratios),
        against="bare SQL claims",
        goal=0.40,
        details={
            "baseline_rate": round(statistics.mean(theirs), 1),
            "ratios": [round(ratio, 3) for ratio in ratios],
            "clients": CLIENTS,
            "seats_a_slot": SEATS,
            "slots": (ROUNDS + 1) * SLOTS_A_ROUND * 2,
            "oversold": oversold,
        },
    )


@contextmanager
def _claimers(residents: list[Caller]) -> Iterator[list[Connection]]:
    """Processes of as many threads each, which claim as they are told."""
    context = multiprocessing.get_context("fork")
    connection.close()  # none of the processes may go on with it
    pipes = [context.Pipe() for _ in range(PROCESSES)]
    processes = [
        context.Process(target=_work, args=(theirs, residents[n::PROCESSES]), daemon=True)
        for n, (_, theirs) in enumerate(pipes)
    ]
    for process in processes:
        process.start()
    try:
        for ours, _ in pipes:
            _receive(ours)  # it is ready
        yield [ours for ours, _ in pipes]
        for ours, _ in pipes:
            ours.send(None)
    finally:
        for process in processes:
            process.join(PATIENCE_S)
            process.terminate()


def _work(pipe: Connection, residents: list[Caller]) -> None:
    gate = threading.Barrier(len(residents) + 1)
    told: list[Task | None] = [None]

    def claim_all(caller: Caller) -> None:
        connection.ensure_connection()
        while True:
            gate.wait(PATIENCE_S)
            task = told[0]
            if task is None:
                connection.close()
                return
            for slot, day in task.slots:
                if task.is_ours:
                    _claim(caller, slot, at=clock.now())
                else:
                    _claim_bare(caller, task.service, slot, day, at=clock.now())
            gate.wait(PATIENCE_S)

    threads = [threading.Thread(target=claim_all, args=(each,)) for each in residents]
    for thread in threads:
        thread.start()
    pipe.send(0.0)
    while True:
        told[0] = pipe.recv()
        started = time.perf_counter()
        gate.wait(PATIENCE_S)
        if told[0] is None:
            break
        gate.wait(PATIENCE_S)
        pipe.send(time.perf_counter() - started)
    for thread in threads:
        thread.join()


def _claim(caller: Caller, slot: uuid.UUID, *, at: datetime) -> None:
    try:
        booking.hold_seat(
            caller=caller, slot_id=slot, idempotency_key=city.idempotency(caller.scope), at=at
        )
    except booking.SlotFull:
        return


def _claim_bare(
    caller: Caller, service: uuid.UUID, slot: uuid.UUID, day: date, *, at: datetime
) -> None:
    values = {
        "id": uuid.uuid4(),
        "resident": caller.resident_id,
        "service": service,
        "slot": slot,
        "day": day,
        "until": at + booking.HOLD_LIFE,
        "at": at,
    }
    with connection.cursor() as cursor:
        cursor.execute(_BARE, values)
        if not cursor.rowcount:
            cursor.execute(_BARE_WAITING, values)


def _together(claimers: list[Connection], task: Task) -> float:
    for pipe in claimers:
        pipe.send(task)
    return max(_receive(pipe) for pipe in claimers)


def _receive(pipe: Connection) -> float:
    if not pipe.poll(PATIENCE_S):
        raise RuntimeError("a claiming process does not answer")
    return float(pipe.recv())


# What is measured has to be the real thing


def _judge(place: hall.Hall) -> tuple[int, int]:
    """How many slots have more bookings than seats, and how many seats without a booking."""
    slots = place.service.slot_set.values_list("id", flat=True)
    sold = [Booking.objects.filter(slot=each, state="held").count() for each in slots]
    free = Seat.objects.filter(slot__in=slots, booking=None).values("slot").distinct().count()
    return sum(count > SEATS for count in sold), free
