"""What a pushed message says, in our own words, whatever platform it came from. Pure Python."""

import hashlib
from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple

import orjson

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

    Of a member that stands twice the last counts, and an integer beyond 64 bits is read as a
    double. A NUL, half a character, or a number beyond a double is refused: none can be stored.
    """
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise Unreadable("not_json") from error
    if type(value) is not dict:
        raise Unreadable("not_object")
    if b"\\u0000" in body:
        raise Unreadable("control_character")
    return value


def canonical(value: Any) -> bytes:
    """What `read_body` read, as JSON in one spelling: sorted members, no spaces, UTF-8; raises
    Unreadable for what is nested more than 250 deep."""
    try:
        return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    except orjson.JSONEncodeError as error:
        raise Unreadable("not_storable") from error


def key_of(source: str, reading: Reading, props: bytes) -> bytes:
    """The SHA-256 by which a redelivered event is known; `props` is canonical.

    Over source, device, service, event time in microseconds, request id or "", and props, with
    NULs between, which none of them can contain.
    """
    device, service, event_time, request_id, _ = reading
    text = f"{source}\0{device}\0{service}\0{microseconds(event_time)}\0{request_id}\0"
    return hashlib.sha256(text.encode() + props).digest()


def microseconds(moment: datetime) -> int:
    """Whole microseconds since 1970."""
    return round(moment.timestamp() * 1_000_000)


def identifier(value: Any, what: str) -> str:
    """A name from a message: text of 1 to 256 characters; raises Unreadable."""
    if not isinstance(value, str) or not 1 <= len(value) <= MAX_ID_CHARS:
        raise Unreadable(what)
    return value
