"""Identifiers sort by time, and within one millisecond by the order in which they were made."""

from datetime import UTC, datetime, timedelta

from vpass.common.ids import uuid7

AT = datetime(2026, 11, 25, 4, 0, 0, 123_456, tzinfo=UTC)


def test_uuid7__the_moment__stands_in_its_first_48_bits():
    made = uuid7(AT)

    assert (made.version, made.variant) == (7, "specified in RFC 4122")
    assert made.int >> 80 == 1_795_579_200_123


def test_uuid7__of_one_millisecond__sort_as_they_were_made():
    made = [uuid7(AT) for _ in range(10_000)]

    assert made == sorted(set(made))
    assert {each.int >> 80 for each in made} == {made[0].int >> 80}


def test_uuid7__of_a_later_millisecond__sorts_later():
    made = [uuid7(AT), uuid7(AT), uuid7(AT + timedelta(milliseconds=1))]

    assert made == sorted(made)


def test_uuid7__of_an_earlier_moment__sorts_earlier():
    later, earlier = uuid7(AT), uuid7(AT - timedelta(milliseconds=1))

    assert earlier < later


def test_uuid7__its_random_bits__differ_from_id_to_id():
    tails = {uuid7(AT + timedelta(milliseconds=each)).int & (2**62 - 1) for each in range(1000)}

    assert len(tails) == 1000
