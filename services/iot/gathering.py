"""Has what several threads write at the same moment written by one of them, in one go."""

from collections.abc import Callable, Sequence
from threading import Lock
from typing import Generic, TypeVar

T = TypeVar("T")


class _Item(Generic[T]):
    """What one thread brings, and how it hears what became of it."""

    def __init__(self, value: T) -> None:
        self.value = value
        self.is_written = False
        self.leads = False
        self._called = Lock()
        self._called.acquire()

    def wait(self) -> None:
        self._called.acquire()

    def call(self) -> None:
        self._called.release()


class Gatherer(Generic[T]):
    """Writes by `write_all` what threads bring: what comes while one is writing is written next.

    A commit is waited for anyway; those who wait for it share the next one. Nobody waits who comes
    alone, and nobody writes for the others more than once.
    """

    def __init__(self, write_all: Callable[[Sequence[T]], None]) -> None:
        self._write_all = write_all
        self._lock = Lock()
        self._waiting: list[_Item[T]] = []
        self._is_writing = False

    def write(self, value: T) -> None:
        """Returns once the value is written, alone or among others, in whichever thread.

        When writing several fails, each of them is written alone, and whoever brought the one that
        cannot be written hears of it. So `write_all` may see a value twice, when it fails late.
        """
        item = _Item(value)
        with self._lock:
            self._waiting.append(item)
            item.leads = not self._is_writing
            self._is_writing = True
        if not item.leads:
            item.wait()
        if item.leads:
            self._lead(item)
        if not item.is_written:
            self._write_all([value])

    def _lead(self, own: _Item[T]) -> None:
        with self._lock:
            items, self._waiting = self._waiting, []
        try:
            self._write_all([each.value for each in items])
            for each in items:
                each.is_written = True
        except Exception:
            if len(items) == 1:
                raise
        finally:
            self._hand_over()
            for each in items:
                if each is not own:
                    each.call()

    def _hand_over(self) -> None:
        with self._lock:
            self._is_writing = bool(self._waiting)
            if self._is_writing:
                self._waiting[0].leads = True
                self._waiting[0].call()
