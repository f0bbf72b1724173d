"""What a pushed message says, in our own words, whatever platform it came from. Pure Python."""

import hashlib
import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple

MAX_ID_CHARS = 256


class Unreadable(Exception):
    """A message that says nothing we understand; `reason` is a word for its dead letter."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Reading(NamedTuple):
    """What one service of a device said of one moment; `device` is the platform's name for it."""

    device: str
    service: str
    event_time: datetime
    request_id: str
    props: dict[str, Any]


class DeviceTold(NamedTuple):
    """What the platform tells of a device itself."""

    device: str
    info: Mapping[str, Any]


Said = Reading | DeviceTold


def read_body(body: bytes) -> dict[str, Any]:
    """The JSON object in a body; raises Unreadable.

    Of a member that stands twice the last counts. A NUL or a number beyond a double is refused,
    since neither can be stored.
    """
    try:
        value = _DECODER.decode(body.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise Unreadable("not_json") from error
    if type(value) is not dict:
        raise Unreadable("not_object")
    if b"\\u0000" in body or b"\0" in body:
        raise Unreadable("control_character")
    return value


def canonical(value: Any) -> str:
    """JSON in one spelling: sorted members, no spaces, ASCII; raises Unreadable."""
    try:
        return _ENCODER.encode(value)
    except (ValueError, RecursionError) as error:
        raise Unreadable("not_storable") from error


def key_of(source: str, reading: Reading, props: str) -> bytes:
    """The SHA-256 by which a redelivered event is known; `props` is canonical.

    Over source, device, service, event time in microseconds, request id or "", and props, with
    NULs between, which none of them can contain.
    """
    moment = round(reading.event_time.timestamp() * 1_000_000)
    text = "\0".join(
        (source, reading.device, reading.service, str(moment), reading.request_id, props)
    )
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()


def identifier(value: Any, what: str) -> str:
    """A name from a message: text of 1 to 256 characters; raises Unreadable."""
    if not isinstance(value, str) or not 1 <= len(value) <= MAX_ID_CHARS:
        raise Unreadable(what)
    return value


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


# Made once: thousands of messages a second are read and written again.
_DECODER = json.JSONDecoder(parse_constant=_no_constant)
_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), allow_nan=False)
