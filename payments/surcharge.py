"""Counts the surcharge of a bill that is paid late, exactly, and rounds it once.

A day after the due date costs `ppm` millionths of what is unpaid of the bill's own heads on that
day, simple, never more than these heads (Administrative Compulsion Law of the PRC, article 45).
The running sum is kept in millionths of a fen, so that no payment on the way changes it by
rounding; the surcharge is this sum in fen, half a fen upwards.
"""

from datetime import date
from decimal import Decimal

from vpass.common.money import round_fen

MILLION = 1_000_000


def accrue(
    accrued: int, *, unpaid_fen: int, ppm: int, until: date, today: date, most_fen: int
) -> int:
    """The running sum, in millionths of a fen, at the end of `today`; `accrued` is that of the day
    `until`. At most `most_fen` fen, unless it was more before."""
    days = max(0, (today - until).days)
    return max(accrued, min(accrued + unpaid_fen * ppm * days, most_fen * MILLION))


def in_fen(accrued: int) -> int:
    """The surcharge in whole fen, half a fen upwards."""
    return round_fen(Decimal(accrued) / MILLION)
