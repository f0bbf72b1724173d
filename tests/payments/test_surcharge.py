"""The surcharge of a bill: exact by the day, rounded once, bounded."""

from datetime import date, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from payments import surcharge

DAY = date(2026, 11, 20)


def test_accrue__before_and_on_the_day__nothing():
    for days in (-3, 0):
        found = surcharge.accrue(
            7, unpaid_fen=100, ppm=500, until=DAY, today=DAY + timedelta(days), most_fen=100
        )
        assert found == 7


def test_in_fen__half_a_fen__upwards():
    assert [surcharge.in_fen(each) for each in (0, 499_999, 500_000, 1_499_999, 1_500_000)] == [
        0, 0, 1, 1, 2,
    ]  # fmt: skip


def test_accrue__more_before_than_may_be__stays():
    assert surcharge.accrue(
        9_000_000, unpaid_fen=100, ppm=500, until=DAY, today=DAY + timedelta(1), most_fen=5
    ) == 9_000_000  # fmt: skip


@settings(max_examples=200, deadline=None, database=None, derandomize=True)
@given(
    unpaid_fen=st.integers(0, 10**10),
    ppm=st.integers(0, 30_000),
    steps=st.lists(st.integers(0, 400), max_size=6),
)
def test_accrue__in_however_many_steps__the_same_and_never_above_the_bill(
    unpaid_fen: int, ppm: int, steps: list[int]
):
    sums, today = 0, DAY
    for days in steps:
        later = today + timedelta(days)
        sums = surcharge.accrue(
            sums, unpaid_fen=unpaid_fen, ppm=ppm, until=today, today=later, most_fen=unpaid_fen
        )
        today = later

    at_once = surcharge.accrue(
        0, unpaid_fen=unpaid_fen, ppm=ppm, until=DAY, today=today, most_fen=unpaid_fen
    )
    assert sums == at_once < 2**63
    assert 0 <= surcharge.in_fen(sums) <= unpaid_fen
