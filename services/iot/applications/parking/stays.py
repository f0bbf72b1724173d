"""The rules of parking, without a row to lock or a clock: what was a stay, whose, and its fee."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from services.iot.models import ParkingClaim, ParkingTariff

SERVICE = "ParkingSensor"
OCCUPIED = "occupied"
# What `read_occupied` says, of the column `props` of an event.
OCCUPIED_SQL = f"""
CASE (props->'{OCCUPIED}')::text WHEN 'true' THEN true WHEN '1' THEN true
    WHEN 'false' THEN false WHEN '0' THEN false END
""".strip()

_HALF_HOUR, _DAY = timedelta(minutes=30), timedelta(days=1)


class Stay(NamedTuple):
    """One car in the bay, from the first word of it to the first that the bay is free."""

    started_at: datetime
    ended_at: datetime | None

    def overlaps(self, other: "Stay") -> bool:
        """Whether both have a moment in common; a stay of no length has its own."""
        is_before = self.ended_at is not None and self.ended_at <= other.started_at
        is_after = other.ended_at is not None and other.ended_at <= self.started_at
        return self == other or not (is_before or is_after)


def read_occupied(props: Mapping[str, Any]) -> bool | None:
    """What a reading says of its bay: true, false, 1 or 0; anything else says nothing."""
    value = props.get(OCCUPIED)
    return bool(value) if type(value) in (bool, int) and value in (0, 1) else None


def stays_in(said: Sequence[tuple[datetime, bool]]) -> list[Stay]:
    """The stays that a bay's events tell of, in order; (when, is it occupied?) in any order.

    Of one moment "free" counts before "occupied": one has left and another has come.
    """
    found: list[Stay] = []
    since: datetime | None = None
    for moment, is_occupied in sorted(said):
        if is_occupied:
            since = since or moment
        elif since is not None:
            found.append(Stay(since, moment))
            since = None
    return found if since is None else [*found, Stay(since, None)]


def claims_by_stay(
    stays: Sequence[Stay], claims: Sequence[ParkingClaim]
) -> list[ParkingClaim | None]:
    """Whose each of the stays is: a claim is of the stay that had begun last at its moment.

    Of several claims of one stay the first stands.
    """
    found: list[ParkingClaim | None] = [None] * len(stays)
    for claim in sorted(claims, key=lambda each: (each.moment, each.claimed_at, each.id)):
        begun = [number for number, stay in enumerate(stays) if stay.started_at <= claim.moment]
        if begun and found[begun[-1]] is None:
            found[begun[-1]] = claim
    return found


def fee_fen(length: timedelta, tariff: ParkingTariff) -> int:
    """What a stay of this length costs: each half hour begun after the free minutes, and at most
    the cap for each 24 hours begun."""
    charged = length - timedelta(minutes=tariff.free_minutes)
    if charged <= timedelta():
        return 0
    days, rest = divmod(charged, _DAY)
    half_hours = -(-rest // _HALF_HOUR)
    return days * tariff.day_cap_fen + min(tariff.day_cap_fen, half_hours * tariff.half_hour_fen)
