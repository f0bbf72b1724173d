"""Makes the slots and seats of the coming days from each service's weekly template."""

from datetime import datetime, timedelta

from django.db import connection

from vpass.common.clock import CITY_ZONE, city_date

DAYS_AHEAD = 7

_MAKE = """
WITH made AS (
    INSERT INTO services_slot (id, service_id, day, starts_at, ends_at)
    SELECT gen_random_uuid(), t.service_id, day::date, starts_at,
        starts_at + s.minutes * interval '1 minute'
    FROM services_slottemplate t JOIN services_service s ON s.id = t.service_id
        CROSS JOIN generate_series(%(first)s::timestamp, %(last)s::timestamp, interval '1 day') day
        CROSS JOIN generate_series(
            t.from_minute::int, t.to_minute - s.minutes::int, s.minutes::int) AS minute
        CROSS JOIN LATERAL (
            SELECT (day + minute * interval '1 minute') AT TIME ZONE %(zone)s AS starts_at) AS m
    WHERE extract(isodow FROM day) = t.weekday AND starts_at > %(at)s
    ON CONFLICT (service_id, starts_at) DO NOTHING
    RETURNING id, service_id, day, starts_at
), seat AS (
    INSERT INTO services_seat (slot_id, n, free_from)
    SELECT made.id, n, %(at)s
    FROM made JOIN services_slottemplate t ON t.service_id = made.service_id
            AND t.weekday = extract(isodow FROM made.day)
            AND extract(epoch FROM (made.starts_at AT TIME ZONE %(zone)s) - made.day) / 60
                BETWEEN t.from_minute AND t.to_minute - 1
        CROSS JOIN generate_series(1, t.seats) AS n
    ON CONFLICT (slot_id, n) DO NOTHING RETURNING 1
)
SELECT count(*) FROM made
"""


def make_slots(*, at: datetime, days_ahead: int = DAYS_AHEAD) -> int:
    """Make what is missing from `at` until `days_ahead` days after today; returns how many slots.

    A slot that was made stays as it is when its template changes. Safe to run twice, and at once.
    """
    first = city_date(at)
    with connection.cursor() as cursor:
        cursor.execute(
            _MAKE,
            {
                "first": first,
                "last": first + timedelta(days=days_ahead),
                "zone": str(CITY_ZONE),
                "at": at,
            },
        )
        return int(cursor.fetchone()[0])
