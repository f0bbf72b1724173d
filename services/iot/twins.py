"""What each device reported last: moves forward in event time only, in whatever order it hears."""

import json
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

import orjson
from django.db import connection
from prometheus_client import Counter

from services.iot.city_application import Heard

# {service: {property: [value, Unix ms of the event]}}
Reported = dict[str, dict[str, list[Any]]]

# Of one service of a device; a device that makes up names does not fill its twin.
MOST_PROPERTIES = 500

_IGNORED = Counter(
    "vpass_iot_properties_ignored", "New properties of services which have too many already."
)

_LOCK = "SELECT device_id, reported FROM iot_twin WHERE device_id = ANY(%s) ORDER BY 1 FOR UPDATE"
_WRITE = """
UPDATE iot_twin t SET reported = n.e->1, version = t.version + (n.e->>2)::bigint
FROM jsonb_array_elements(%s::jsonb) AS n (e) WHERE t.device_id = (n.e->>0)::bigint
"""


def advance(heard: Sequence[Heard]) -> None:
    """Take new events into the twins of their devices, in two statements and the caller's
    transaction."""
    by_device: dict[int, list[Heard]] = {}
    for each in heard:
        by_device.setdefault(each.device_id, []).append(each)
    with connection.cursor() as cursor:
        cursor.execute(_LOCK, [sorted(by_device)])
        written = []
        for device_id, text in cursor.fetchall():
            reported = orjson.loads(text)
            if ignored := merge(reported, by_device[device_id]):
                _IGNORED.inc(ignored)
            written.append([device_id, reported, len(by_device[device_id])])
        cursor.execute(_WRITE, [orjson.dumps(written).decode()])


def merge(reported: Reported, heard: Iterable[Heard]) -> int:
    """Take events into what was reported: of each property the value of the latest event stays.

    Of two values of the same moment the greater stays, compared as JSON text, so that the result
    is the same in every order. A service keeps its first MOST_PROPERTIES; returns how many further
    ones were ignored.
    """
    ignored = 0
    for each in heard:
        moment = milliseconds(each.event_time)
        known = reported.setdefault(each.service, {})
        for name, value in each.props.items():
            before = known.get(name)
            if before is None and len(known) >= MOST_PROPERTIES:
                ignored += 1
            elif (
                before is None
                or before[1] < moment
                or (before[1] == moment and _spelt(before[0]) < _spelt(value))
            ):
                known[name] = [value, moment]
    return ignored


def milliseconds(moment: datetime) -> int:
    """Whole milliseconds since 1970."""
    return round(moment.timestamp() * 1_000)


def _spelt(value: Any) -> str:
    return json.dumps(value, sort_keys=True)
