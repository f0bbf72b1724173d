"""Takes in what the platforms push: durable before the answer, and read by nobody until later."""

import re
import time
import zlib
from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from django.conf import settings
from django.db import InterfaceError, OperationalError, connection

from services.iot.gathering import Gatherer
from vpass.common import doorbell
from vpass.common.transactions import is_in_transaction

DRAIN_TASK = "services.iot.tasks.drain"
RING_EVERY_S = 1.0

_STORE = "INSERT INTO iot_inbox (shard, source, received_at, body) VALUES "
_OLDEST = """
SELECT min(first.received_at) FROM generate_series(0, %s - 1) AS s (shard), LATERAL (
    SELECT i.received_at FROM iot_inbox i WHERE i.shard = s.shard ORDER BY i.id LIMIT 1
) first
"""
# The platforms' spellings of the device's id. Nothing but the spread over shards rests on it.
_DEVICE = re.compile(rb'"device_?[iI]d"\s*:\s*"([^"]{1,256})"')

_rung: dict[int, float] = {}


class _Row(NamedTuple):
    shard: int
    source: str
    received_at: datetime
    body: bytes


def store(*, source: str, body: bytes, at: datetime) -> None:
    """Keep a pushed message, durable when this returns: one statement for all that come at once.

    Whatever the body is: reading it comes later. Its shard is drained within two seconds, usually
    sooner. A connection that has broken since it was last used is replaced once.
    """
    shard = shard_of(body)
    row = _Row(shard, source, at, body)
    if is_in_transaction():
        _insert([row])
    else:
        _gathered.write(row)
    _ring(shard)


def shard_of(body: bytes) -> int:
    """Which shard a message goes to: the same for all of a device, as far as it can be seen."""
    found = _DEVICE.search(body)
    return zlib.crc32(found[1] if found else body) % settings.IOT_SHARDS


def oldest_waiting() -> datetime | None:
    """When the message came that has waited longest to be drained; None when none waits."""
    with connection.cursor() as cursor:
        cursor.execute(_OLDEST, [settings.IOT_SHARDS])
        found: datetime | None = cursor.fetchone()[0]
    return found


def _insert_freely(rows: Sequence[_Row]) -> None:
    try:
        _insert(rows)
    except (OperationalError, InterfaceError):
        if connection.is_usable():
            raise
        connection.close()
        _insert(rows)


def _insert(rows: Sequence[_Row]) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            _STORE + ", ".join(["(%s, %s, %s, %s)"] * len(rows)),
            [value for row in rows for value in row],
        )


_gathered = Gatherer(_insert_freely)


def _ring(shard: int) -> None:
    """Have the shard drained, unless this process asked for that a moment ago: the clock's own
    bell finds what comes in between."""
    now = time.monotonic()
    if now - _rung.get(shard, 0.0) >= RING_EVERY_S:
        _rung[shard] = now
        doorbell.ring(DRAIN_TASK, shard=shard)
