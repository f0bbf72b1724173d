"""Runs the same work in many threads at the same moment, each on a connection of its own."""

import queue
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from django.db import connections

WAIT_S = 20

_Job = Callable[[], None]


class _Hand:
    """A thread that does one job after the other, and keeps its connection meanwhile."""

    def __init__(self) -> None:
        self.jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self.thread = threading.Thread(target=self._work, daemon=True)
        self.thread.start()

    def _work(self) -> None:
        try:
            while (job := self.jobs.get()) is not None:
                job()
        finally:
            connections.close_all()


class Crew:
    """Threads that stay from round to round: a round costs no new threads and no log-ins."""

    def __init__(self) -> None:
        self.busy = threading.Lock()
        self._hands: list[_Hand] = []

    def run(self, count: int, work: Callable[[int], Any]) -> list[Any]:
        """See together."""
        results: list[Any] = [None] * count
        start, done = threading.Barrier(count), threading.Semaphore(0)

        def job(index: int) -> None:
            try:
                start.wait(WAIT_S)
                results[index] = work(index)
            except Exception as error:  # noqa: BLE001  the test judges it
                results[index] = error
            finally:
                for connection in connections.all(initialized_only=True):
                    if connection.errors_occurred:
                        connection.close_if_unusable_or_obsolete()
                done.release()

        while len(self._hands) < count:
            self._hands.append(_Hand())
        for index, hand in enumerate(self._hands[:count]):
            hand.jobs.put(lambda index=index: job(index))
        for _ in range(count):
            assert done.acquire(timeout=WAIT_S * 2), "a thread still waits"
        return results

    def leave(self) -> None:
        """Ends the threads and their connections."""
        for hand in self._hands:
            hand.jobs.put(None)
        for hand in self._hands:
            hand.thread.join(WAIT_S)
        self._hands.clear()


_standing: list[Crew] = []


@contextmanager
def standing_crew() -> Iterator[None]:
    """Within the block the threads of `together` stay for the next round."""
    crew = Crew()
    _standing.append(crew)
    try:
        yield
    finally:
        _standing.remove(crew)
        crew.leave()


def together(count: int, work: Callable[[int], Any]) -> list[Any]:
    """What `work(0)` … `work(count - 1)` returned, or the exception each raised, in that order."""
    # A race within a race has a crew of its own: the hands of the other are at work.
    if _standing and _standing[-1].busy.acquire(blocking=False):
        try:
            return _standing[-1].run(count, work)
        finally:
            _standing[-1].busy.release()
    crew = Crew()
    try:
        return crew.run(count, work)
    finally:
        crew.leave()


def was_waited_for(
    work: Callable[[], Any],
    change: Callable[[], Any],
    *,
    stopped_at: tuple[Any, str],
    stands: Callable[[], bool],
) -> tuple[bool, Any]:
    """Whether what `work` writes stood when `change` had ended, and what `work` came to.

    `work` is stopped where it calls a function, named by its module and its name, until `change`
    has ended, or has waited for a second. Neither thread's own clock has a say in it.
    """
    reached, opened = threading.Event(), threading.Event()
    module, name = stopped_at
    go_on = getattr(module, name)

    def stopped(*given: Any, **named: Any) -> Any:
        reached.set()
        assert opened.wait(WAIT_S)
        return go_on(*given, **named)

    def overtake() -> bool:
        assert reached.wait(WAIT_S)
        waiting = threading.Timer(1.0, opened.set)
        waiting.start()
        try:
            change()
            return stands()
        finally:
            waiting.cancel()
            opened.set()

    setattr(module, name, stopped)
    try:
        found, stood = together(2, lambda index: [work, overtake][index]())
    finally:
        setattr(module, name, go_on)
    if isinstance(stood, Exception):
        raise stood
    return stood, found
