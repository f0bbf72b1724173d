"""Figures for those who keep the city running; each floor contributes its own.

An app contributes when it is ready: `contributions.register(figures.QUESTION, "identity", fn)`,
where `fn(at=...)` answers with a sequence of Figure.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import Literal

from vpass.common import clock, contributions, outbox

QUESTION = "operations.figures"
HOURS = 24
KEPT_FOR = timedelta(seconds=30)

Unit = Literal["count", "fen", "seconds"]
Group = Literal["runs", "waits", "today"]
GROUPS: tuple[Group, ...] = ("runs", "waits", "today")


@dataclass(frozen=True)
class Figure:
    """One number with its name in both languages.

    "runs" is what is in service, "waits" what is not done yet, "today" what the city's business
    date has brought so far; `hours` says how a figure of today spreads over its 24 hours.
    """

    name: str
    label_zh: str
    label_en: str
    value: int
    unit: Unit
    group: Group
    hours: tuple[int, ...] = ()


class _Kept:
    """What the floors contributed last in this process, and as of when."""

    at = datetime.min.replace(tzinfo=UTC)
    found: Sequence[Figure] = ()


def collect(*, at: datetime) -> list[Figure]:
    """Every figure as it stands at `at`: what runs, what waits, then today's."""
    return _ordered([*_of_outbox(at=at), *_contributed(at=at)])


def recent(*, at: datetime) -> list[Figure]:
    """As `collect`, but what the floors contribute may be up to KEPT_FOR old: they count a whole
    day, and many pages ask every few seconds."""
    if not timedelta() <= at - _Kept.at < KEPT_FOR:
        _Kept.found, _Kept.at = _contributed(at=at), at
    return _ordered([*_of_outbox(at=at), *_Kept.found])


def day_begins(at: datetime) -> datetime:
    """The city's midnight before `at`, at which its business date began."""
    return datetime.combine(clock.city_date(at), time(), tzinfo=clock.CITY_ZONE)


def by_hour(values: Mapping[int, int]) -> tuple[int, ...]:
    """The 24 hours of a day, with nothing where `values` has nothing."""
    return tuple(values.get(hour, 0) for hour in range(HOURS))


def _ordered(found: Sequence[Figure]) -> list[Figure]:
    return [figure for group in GROUPS for figure in found if figure.group == group]


def _contributed(*, at: datetime) -> list[Figure]:
    return [each for _, found in contributions.ask(QUESTION, at=at) for each in found]


def _of_outbox(*, at: datetime) -> list[Figure]:
    waiting = outbox.backlog(at=at)
    return [
        Figure(
            "outbox_pending", "待送达事件", "Events to deliver", waiting.pending, "count", "waits"
        ),
        Figure(
            "outbox_oldest",
            "最久的等待",
            "Longest wait of an event",
            int(waiting.oldest_s),
            "seconds",
            "waits",
        ),
        Figure("outbox_dead", "死信", "Dead letters", waiting.dead, "count", "waits"),
    ]
