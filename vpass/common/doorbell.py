"""Wakes a task at once, whose schedule would find the same work a little later.

PostgreSQL holds every truth and the broker is only a doorbell, so a ring that is lost costs time
and nothing else.
"""

import threading
import time

from celery import current_app
from kombu import pools
from kombu.exceptions import LimitExceeded, OperationalError
from redis.exceptions import RedisError

from vpass.common.observability import as_request, log, request_id

# By then the schedule has rung itself: bells that nobody could hear do not pile up.
BELL_LASTS_S = 5.0
RING_TIMEOUT_S = 0.2
SILENT_FOR_S = 5.0
# Rings in the background: what is wanted within it is rung for once, after it.
PAUSE_S = 0.02

_IMPATIENT = {
    "socket_timeout": RING_TIMEOUT_S,
    "socket_connect_timeout": RING_TIMEOUT_S,
    "max_retries": 0,
}

# A task and its arguments.
_Bell = tuple[str, tuple[tuple[str, int], ...]]


class _Circuit:
    """Whether the broker is worth trying, for this process."""

    silent_until = 0.0


class Ringer:
    """Rings from a thread of its own, each bell once for all who want it at the same time.

    After every wish there is a ring; so whoever hears it finds what was written before the wish.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._wanted = threading.Event()
        self._bells: dict[_Bell, str] = {}
        self._thread: threading.Thread | None = None

    def want(self, bell: _Bell) -> None:
        """Has the bell rung soon; returns at once."""
        with self._lock:
            self._bells.setdefault(bell, request_id())
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="doorbell", daemon=True)
                self._thread.start()
        self._wanted.set()

    def ring_wanted(self) -> None:
        """Rings each bell that was wanted until now, under the id of whoever wanted it first."""
        self._wanted.clear()
        with self._lock:
            bells, self._bells = self._bells, {}
        for bell, identifier in bells.items():
            try:
                with as_request(identifier):
                    _ring(bell)
            except Exception as error:  # noqa: BLE001  nobody else would ring from then on
                log.error("doorbell_broken", exc_info=error)

    def _run(self) -> None:
        while True:
            self._wanted.wait()
            self.ring_wanted()
            time.sleep(PAUSE_S)


class _Program:
    """How this process rings."""

    ringer: Ringer | None = None


def ring_in_background() -> None:
    """Has this process ring from a thread from now on: for programs that serve many at once, and
    where nobody should wait for the broker."""
    _Program.ringer = _Program.ringer or Ringer()


def ring(task: str, **arguments: int) -> None:
    """Wakes a task, if the broker can be reached quickly.

    Never raises for a broker that is away, and then does not try again for five seconds.
    """
    bell = (task, tuple(arguments.items()))
    if _Program.ringer is None:
        _ring(bell)
    else:
        _Program.ringer.want(bell)


def _ring(bell: _Bell) -> None:
    if time.monotonic() < _Circuit.silent_until:
        return
    task, arguments = bell
    broker = current_app.connection_for_write(
        connect_timeout=RING_TIMEOUT_S, transport_options=_IMPATIENT
    )
    try:
        with pools.producers[broker].acquire(block=True, timeout=RING_TIMEOUT_S) as producer:
            current_app.send_task(
                task, kwargs=dict(arguments), producer=producer, retry=False, expires=BELL_LASTS_S
            )
    except (OperationalError, LimitExceeded, RedisError, OSError) as error:
        _Circuit.silent_until = time.monotonic() + SILENT_FOR_S
        log.warning("doorbell_silent", exception=type(error).__name__, seconds=SILENT_FOR_S)
