"""What was a stay, whose, and what it costs: laws that hold whatever the order of arrival."""

import itertools
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.iot.applications.parking.stays import (
    Stay,
    claims_by_stay,
    fee_fen,
    read_occupied,
    stays_in,
)
from services.iot.models import ParkingClaim, ParkingTariff

START = datetime(2026, 11, 21, 2, 0, 0, tzinfo=UTC)
STREET = ParkingTariff(free_minutes=15, half_hour_fen=200, day_cap_fen=2_000)

quick = settings(max_examples=200, deadline=None, database=None, derandomize=True)
lengths = st.integers(0, 10 * 86_400).map(lambda seconds: timedelta(seconds=seconds))
tariffs = st.builds(
    ParkingTariff,
    free_minutes=st.integers(0, 120),
    half_hour_fen=st.integers(0, 1_000),
    day_cap_fen=st.integers(0, 10_000),
)


def minute(number: float) -> datetime:
    return START + timedelta(minutes=number)


@pytest.mark.parametrize(
    ("length", "fee"),
    [
        (timedelta(), 0),
        (timedelta(minutes=15), 0),
        (timedelta(minutes=15, seconds=1), 200),
        (timedelta(minutes=45), 200),
        (timedelta(minutes=45, seconds=1), 400),
        (timedelta(minutes=65), 400),
        (timedelta(hours=5, minutes=15), 2_000),
        (timedelta(hours=24, minutes=15), 2_000),
        (timedelta(hours=24, minutes=16), 2_200),
        (timedelta(days=3), 6_000),
    ],
)
def test_fee__of_the_street(length: timedelta, fee: int):
    assert fee_fen(length, STREET) == fee


@quick
@given(lengths, lengths, tariffs)
def test_fee__longer__never_cheaper(one: timedelta, other: timedelta, tariff: ParkingTariff):
    assert fee_fen(min(one, other), tariff) <= fee_fen(max(one, other), tariff)


@quick
@given(lengths, tariffs)
def test_fee__whole_fen_from_nothing_to_the_cap_of_each_day_begun(
    length: timedelta, tariff: ParkingTariff
):
    fee = fee_fen(length, tariff)

    assert type(fee) is int
    assert 0 <= fee <= (length // timedelta(days=1) + 1) * tariff.day_cap_fen


@pytest.mark.parametrize(
    ("said", "stays"),
    [
        ([], []),
        ([(0, False)], []),
        ([(0, True)], [(0, None)]),
        ([(0, True), (5, True), (9, False), (12, False)], [(0, 9)]),
        ([(0, True), (9, False), (12, True)], [(0, 9), (12, None)]),
        ([(0, True), (9, True), (9, False)], [(0, 9), (9, None)]),
        ([(0, True), (0, False)], [(0, None)]),
    ],
)
def test_stays__as_told(said: list[tuple[int, bool]], stays: list[tuple[int, int | None]]):
    expected = [Stay(minute(a), None if b is None else minute(b)) for a, b in stays]

    for order in itertools.permutations([(minute(when), what) for when, what in said]):
        assert stays_in(order) == expected
        assert stays_in([*order, *order]) == expected


said = st.lists(st.tuples(st.integers(0, 30).map(minute), st.booleans()), max_size=14)


@quick
@given(said)
def test_stays__whatever_is_told__in_order_and_apart(told: list[tuple[datetime, bool]]):
    found = stays_in(told)

    assert not any(one.overlaps(other) for one, other in itertools.combinations(found, 2))
    assert all(stay.ended_at is not None for stay in found[:-1])
    assert found == sorted(found, key=lambda stay: stay.started_at)


@quick
@given(said, st.tuples(st.integers(0, 30).map(minute), st.booleans()))
def test_stays__one_word_more__no_two_stays_become_one(
    told: list[tuple[datetime, bool]], more: tuple[datetime, bool]
):
    before, after = stays_in(told), stays_in([*told, more])

    for stay in after:
        assert sum(stay.overlaps(each) for each in before) <= 1


def claim(number: int, when: float) -> ParkingClaim:
    return ParkingClaim(id=UUID(int=number), moment=minute(when), claimed_at=minute(number))


def test_claims__of_the_stay_begun_last__the_first_claim_stands():
    stays = [Stay(minute(10), minute(20)), Stay(minute(25), None)]
    claims = [claim(1, 12), claim(2, 27), claim(3, 30), claim(4, 5)]

    for order in itertools.permutations(claims):
        owners = [each and each.id.int for each in claims_by_stay(stays, order)]
        assert owners == [1, 2]
    assert claims_by_stay(stays, [claim(1, 22)])[0] is not None  # the word came after the car left


@pytest.mark.parametrize(
    ("props", "found"),
    [
        ({"occupied": True}, True),
        ({"occupied": 1}, True),
        ({"occupied": 0}, False),
        ({"occupied": False}, False),
        ({"occupied": 2}, None),
        ({"occupied": 1.0}, None),
        ({"occupied": "1"}, None),
        ({"occupied": None}, None),
        ({"occupied": [1]}, None),
        ({"battery": 1}, None),
    ],
)
def test_read_occupied__true_false_1_0_and_nothing_else(props: dict[str, object], found: object):
    assert read_occupied(props) is found
