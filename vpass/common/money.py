"""Counts in fen: splits without losing one, reads and writes amounts, rounds once."""

from collections.abc import Sequence
from decimal import ROUND_HALF_UP, Decimal

from vpass.common.errors import DomainError

# Ten trillion yuan: far above any real sum, and a thousand of them still fit a bigint.
MAX_FEN = 10**15


class AmountInvalid(DomainError):
    """The amount is not a whole number of fen within its bounds."""

    code = "money.amount_invalid"
    status = 400
    title_zh = "金额无效"


def split(amount_fen: int, parts: int | Sequence[int]) -> list[int]:
    """`amount_fen` in equal parts, or in parts as the weights, summing exactly to it.

    `parts` is how many, or a weight >= 0 for each, not all zero. Every part is within one fen of
    its exact share; the fen left over go to the largest remainders, the earlier part first. A
    negative amount splits as its positive one does. Raises ValueError for no parts at all.
    """
    weights = [1] * parts if isinstance(parts, int) else list(parts)
    total = sum(weights)
    if total <= 0 or min(weights) < 0:
        raise ValueError("an amount needs parts of some weight")
    if amount_fen < 0:
        return [-share for share in split(-amount_fen, weights)]
    shares = [amount_fen * weight // total for weight in weights]
    remainders = [amount_fen * weight % total for weight in weights]
    order = sorted(range(len(weights)), key=lambda index: -remainders[index])
    for index in order[: amount_fen - sum(shares)]:
        shares[index] += 1
    return shares


def format_fen(amount_fen: int, *, grouped: bool = False) -> str:
    """The amount in yuan with two decimals: "-1234.05", or "-1,234.05" when `grouped`."""
    sign = "-" if amount_fen < 0 else ""
    yuan, fen = divmod(abs(amount_fen), 100)
    return f"{sign}{yuan:{',' if grouped else ''}d}.{fen:02d}"


def parse_fen(value: object, *, minimum: int = 1, maximum: int = MAX_FEN) -> int:
    """`value` when it is an int between `minimum` and `maximum`; raises AmountInvalid.

    A bool, float, Decimal or text is refused even when it looks whole: each has another reading.
    """
    if type(value) is not int or not minimum <= value <= maximum:
        raise AmountInvalid(minimum_fen=minimum, maximum_fen=maximum)
    return value


def round_fen(amount: Decimal) -> int:
    """The exact amount in fen, rounded half away from zero; money is rounded nowhere else."""
    return int(amount.quantize(Decimal(1), rounding=ROUND_HALF_UP))
