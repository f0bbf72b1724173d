"""Works out what a ride costs, from the line's flat fare and the holder's concession alone."""

# What the holder pays of a flat fare, in hundredths.
_SHARES = {"none": 100, "student": 50, "senior": 0, "disabled": 0}


def flat_fare(*, flat_fare_fen: int, concession: str) -> int:
    """Return the fare in fen, parts of a fen in the holder's favour.

    `concession` is none, student, senior or disabled; raises KeyError for another.
    """
    return flat_fare_fen * _SHARES[concession] // 100
