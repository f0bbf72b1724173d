"""Days of events: made ahead and dropped whole, by functions of the schema's owner."""

from datetime import UTC, date, datetime, timedelta

from django.db import connection

# An event's time may lie this far before and after the moment at which we were told.
PAST = timedelta(days=30)
FUTURE = timedelta(minutes=10)
# So long a message may wait in the inbox and still find all the days of which it may tell.
KEPT_LONGER = timedelta(days=1)

AHEAD = timedelta(days=3)


class _Made:
    """The last day up to which this process knows that there are partitions."""

    through = date.min


def ensure(*, at: datetime) -> None:
    """Make what is missing of the days an event may fall on; one statement a day and process."""
    today = at.astimezone(UTC).date()
    if _Made.through < today + timedelta(days=1):
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT iot_make_days_v1(%s, %s)", [today - PAST - KEPT_LONGER, today + AHEAD]
            )
        _Made.through = today + AHEAD


def has_day(at: datetime) -> bool:
    """Whether there is a partition for what happens now."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT to_regclass(%s) IS NOT NULL", [f"public.iot_event_{at.astimezone(UTC):%Y%m%d}"]
        )
        return bool(cursor.fetchone()[0])


def drop_old(*, at: datetime) -> int:
    """Drop the days that no event may fall on any more; returns how many."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT iot_drop_days_v1(%s)", [(at - PAST - KEPT_LONGER).astimezone(UTC).date()]
        )
        return int(cursor.fetchone()[0])
