"""What several threads bring at once is written together, each exactly once, and none waits."""

import contextlib
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from services.iot.gathering import Gatherer
from tests.together import together

WAIT_S = 10


class Writes:
    """Writes into a list; the first time it goes on when it is let."""

    def __init__(self, judge: Callable[[Sequence[int]], None] = lambda values: None) -> None:
        self.written: list[list[int]] = []
        self.all: list[int] = []
        self.begun, self.let = threading.Event(), threading.Event()
        self._judge = judge

    def __call__(self, values: Sequence[int]) -> None:
        if not self.begun.is_set():
            self.begun.set()
            assert self.let.wait(WAIT_S)
        self._judge(values)
        self.all += values
        self.written.append(sorted(values))


def bring(writes: Writes, gatherer: Gatherer[int], values: int) -> list[BaseException | None]:
    """One comes, and while it is written the others; what each met."""

    def one(value: int) -> None:
        if value:
            assert writes.begun.wait(WAIT_S)
            if value == values - 1:
                while len(gatherer._waiting) < values - 2:
                    pass
                writes.let.set()
        gatherer.write(value)

    return together(values, one)


def test_write__alone__written_when_it_returns():
    writes = Writes()
    writes.let.set()
    gatherer = Gatherer(writes)

    for value in range(3):
        gatherer.write(value)
        assert writes.written[-1] == [value]


def test_write__while_another_writes__all_of_them_in_the_next_go():
    writes = Writes()

    assert bring(writes, Gatherer(writes), 6) == [None] * 6

    assert writes.written[0] == [0]
    assert sorted(writes.all) == list(range(6))
    assert len(writes.written) <= 3, "the last one may have come after the others were taken"


def test_write__one_of_several_cannot_be_written__it_alone_hears_of_it():
    def judge(values: Sequence[int]) -> None:
        if 3 in values:
            raise ValueError(sorted(values))

    writes = Writes(judge)

    met = bring(writes, Gatherer(writes), 6)

    assert [each for each in met if each is not None] == [met[3]]
    assert isinstance(met[3], ValueError) and met[3].args == ([3],)
    assert sorted(writes.all) == [0, 1, 2, 4, 5]


def test_write__after_a_failure__goes_on():
    def judge(values: Sequence[int]) -> None:
        if 0 in values:
            raise ValueError

    writes = Writes(judge)
    writes.let.set()
    gatherer = Gatherer(writes)

    with pytest.raises(ValueError):
        gatherer.write(0)
    gatherer.write(1)

    assert writes.written == [[1]]


def test_write__eight_threads_for_long__each_value_once():
    writes, slow = Writes(), threading.Lock()
    writes.let.set()

    def write_all(values: Sequence[int]) -> None:
        with slow:
            writes(values)

    gatherer = Gatherer(write_all)

    def many(index: int) -> None:
        for number in range(500):
            gatherer.write(index * 500 + number)

    assert together(8, many) == [None] * 8
    assert sorted(writes.all) == list(range(4_000))


# One who comes at the very moment when the one who writes looks whether anybody waits


class SlowToLook(list[Any]):
    """A list that takes a while to be looked at."""

    def __init__(self, looked: threading.Event) -> None:
        super().__init__()
        self._looked = looked

    def __bool__(self) -> bool:
        found = len(self) > 0
        self._looked.set()
        time.sleep(0.2)
        return found


def is_left_waiting(*, guard: bool) -> bool:
    """Whether the one who comes then is never called."""
    written: list[int] = []
    gatherer, looked = Gatherer(written.extend), threading.Event()

    def write_all(values: Sequence[int]) -> None:
        written.extend(values)
        gatherer._waiting = SlowToLook(looked)

    gatherer._write_all = write_all
    if not guard:
        gatherer._lock = contextlib.nullcontext()  # type: ignore[assignment]

    def late() -> None:
        assert looked.wait(WAIT_S)
        gatherer.write(2)

    coming = threading.Thread(target=late)
    coming.start()
    gatherer.write(1)
    coming.join(0.5)
    is_waiting = coming.is_alive()
    if is_waiting:
        gatherer._hand_over()
        coming.join(WAIT_S)
    assert written == [1, 2]
    return is_waiting


def test_write__another_comes_as_the_last_one_ends__called():
    assert not is_left_waiting(guard=True)


def test_write__guard_off__waits_for_ever():
    assert is_left_waiting(guard=False)
