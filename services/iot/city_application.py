"""What a city application is: one file that hears the readings of some services."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple


class Heard(NamedTuple):
    """A new event of a known device: never a repetition, never of an impossible time.

    Events come in any order; only `event_time` tells what was first.
    """

    device_id: int
    service: str
    event_time: datetime
    props: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class CityApplication:
    """One application: of which `services` it wants to hear, and what it does then.

    `on_readings(heard, at)` runs in the transaction that takes the events in, for many at once. It
    does little: whoever is affected is told through the outbox, and works on from the events.
    """

    services: frozenset[str]
    on_readings: Callable[[Sequence[Heard], datetime], None]
