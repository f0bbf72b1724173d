"""Identifiers that sort by time, so that new rows go to the end of an index."""

import secrets
import uuid
from datetime import datetime


def uuid7(at: datetime) -> uuid.UUID:
    """Return a UUID version 7: 48 bits of Unix milliseconds of `at`, then 74 random bits.

    Source: RFC 9562 section 5.7.
    """
    milliseconds = int(at.timestamp() * 1000) & (2**48 - 1)
    random_a, random_b = secrets.randbits(12), secrets.randbits(62)
    return uuid.UUID(
        int=milliseconds << 80 | 0x7 << 76 | random_a << 64 | 0b10 << 62 | random_b,
    )
