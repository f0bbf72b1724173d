"""Tells the time: the only module that reads the clock."""

from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

CITY_ZONE = ZoneInfo("Asia/Shanghai")


def now() -> datetime:
    """The present moment as an aware UTC datetime, to be read once at the edge and passed down."""
    return datetime.now(tz=UTC)


def city_date(at: datetime) -> date:
    """The business date in the city at the aware moment `at`."""
    if at.utcoffset() is None:
        raise ValueError("a moment needs a time zone")
    return at.astimezone(CITY_ZONE).date()
