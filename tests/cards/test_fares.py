"""A flat fare: what each concession pays of it, and never a part of a fen."""

import pytest

from cards import fares


@pytest.mark.parametrize(
    ("flat", "concession", "fare"),
    [
        (200, "none", 200),
        (200, "student", 100),
        (201, "student", 100),
        (1, "student", 0),
        (200, "senior", 0),
        (200, "disabled", 0),
        (0, "none", 0),
    ],
)
def test_flat_fare__concession__its_share(flat: int, concession: str, fare: int):
    assert fares.flat_fare(flat_fare_fen=flat, concession=concession) == fare


def test_flat_fare__unknown_concession__raises():
    with pytest.raises(KeyError):
        fares.flat_fare(flat_fare_fen=200, concession="vip")
