"""Identifiers that sort by time, so that new rows go to the end of an index."""

import secrets
import threading
import uuid
from datetime import datetime

_lock = threading.Lock()
_last = 0  # milliseconds and random bits of this process's latest id, as one number


def uuid7(at: datetime) -> uuid.UUID:
    """Return a UUID version 7: 48 bits of Unix milliseconds of `at`, then 74 random bits.

    Ids that one process makes for the same millisecond one after the other also sort in that order:
    the later one's random bits are those of the one before plus a random step.

    Source: RFC 9562 section 5.7, and section 6.2 method 2 for the order.
    """
    global _last
    milliseconds = int(at.timestamp() * 1000) & (2**48 - 1)
    with _lock:
        if _last >> 74 == milliseconds:
            _last += 1 + secrets.randbits(32)
        else:
            # The top bit is left free, so that steps don't run over into the next millisecond.
            _last = milliseconds << 74 | secrets.randbits(73)
        sortable = _last
    random_a, random_b = sortable >> 62 & (2**12 - 1), sortable & (2**62 - 1)
    return uuid.UUID(
        int=milliseconds << 80 | 0x7 << 76 | random_a << 64 | 0b10 << 62 | random_b,
    )


def first_of(at: datetime) -> uuid.UUID:
    """Return the number before which every id of an earlier millisecond sorts, as a UUID."""
    return uuid.UUID(int=(int(at.timestamp() * 1000) & (2**48 - 1)) << 80)
