"""Moments are aware UTC; business dates are the city's."""

from datetime import UTC, date, datetime, timedelta

import pytest

from vpass.common import clock


def test_now__is_aware_utc():
    assert clock.now().utcoffset() == timedelta(0)


@pytest.mark.parametrize(
    ("moment", "day"),
    [
        (datetime(2026, 2, 28, 15, 59, 59, 999999, tzinfo=UTC), date(2026, 2, 28)),
        (datetime(2026, 2, 28, 16, 0, 0, tzinfo=UTC), date(2026, 3, 1)),
        (datetime(2028, 2, 28, 16, 0, 0, tzinfo=UTC), date(2028, 2, 29)),
        (datetime(2026, 12, 31, 16, 0, 0, tzinfo=UTC), date(2027, 1, 1)),
    ],
)
def test_city_date__around_midnight__shanghai_day(moment, day):
    assert clock.city_date(moment) == day


def test_city_date__naive_moment__refused():
    with pytest.raises(ValueError, match="time zone"):
        clock.city_date(datetime(2026, 1, 1))
