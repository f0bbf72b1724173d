"""No fen is lost or made, and only an int is an amount."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vpass.common import money

AMOUNTS = st.integers(-money.MAX_FEN, money.MAX_FEN)


@pytest.mark.parametrize(
    ("amount", "parts", "shares"),
    [
        (100, 3, [34, 33, 33]),
        (0, 2, [0, 0]),
        (1, 3, [1, 0, 0]),
        (-100, 3, [-34, -33, -33]),
        (100, [1, 1, 1], [34, 33, 33]),
        (10, [7, 2, 1], [7, 2, 1]),
        (5, [1, 3], [1, 4]),
        (100, [0, 1], [0, 100]),
        (7, [0, 1, 1], [0, 4, 3]),
    ],
)
def test_split__exact_shares(amount, parts, shares):
    assert money.split(amount, parts) == shares


@given(AMOUNTS, st.lists(st.integers(0, 10**6), min_size=1, max_size=20).filter(any))
def test_split__any_weights__sums_exactly_and_within_one_fen(amount, weights):
    shares = money.split(amount, weights)

    assert sum(shares) == amount
    for share, weight in zip(shares, weights, strict=True):
        assert abs(share * sum(weights) - amount * weight) < sum(weights)


@pytest.mark.parametrize("parts", [0, -1, [], [0, 0], [1, -1], [2, -1]])
def test_split__no_parts__refused(parts):
    with pytest.raises(ValueError):
        money.split(100, parts)


@pytest.mark.parametrize(
    ("amount", "plain", "grouped"),
    [
        (0, "0.00", "0.00"),
        (5, "0.05", "0.05"),
        (-5, "-0.05", "-0.05"),
        (123456789, "1234567.89", "1,234,567.89"),
        (-100, "-1.00", "-1.00"),
    ],
)
def test_format_fen(amount, plain, grouped):
    assert money.format_fen(amount) == plain
    assert money.format_fen(amount, grouped=True) == grouped


def test_parse_fen__int_within_bounds__itself():
    assert money.parse_fen(1) == 1
    assert money.parse_fen(money.MAX_FEN) == money.MAX_FEN
    assert money.parse_fen(0, minimum=0) == 0


@pytest.mark.parametrize(
    "value",
    [0, -1, money.MAX_FEN + 1, True, 1.0, "1", "１", Decimal(1), None, float("nan"), 10**30, [1]],
)
def test_parse_fen__anything_else__refused(value):
    with pytest.raises(money.AmountInvalid):
        money.parse_fen(value)


@pytest.mark.parametrize(
    ("exact", "fen"),
    [("0.5", 1), ("0.4999", 0), ("1.5", 2), ("2.5", 3), ("-0.5", -1), ("-2.4", -2)],
)
def test_round_fen__half_away_from_zero(exact, fen):
    assert money.round_fen(Decimal(exact)) == fen
