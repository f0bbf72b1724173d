"""The fault switch: which requests go wrong, and how the wrong answers are made."""

import asyncio
import json
import socket
import struct
import uuid
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from aiohttp import web

HUGE_BYTES = 10 * 1024 * 1024
MAX_SECONDS = 60.0
MAX_COUNT = 1_000_000

# Every mode with its variants; the first is the usual one.
MODES: Mapping[str, tuple[str, ...]] = {
    "delay": ("",),
    "reset": ("",),
    "lost_reply": ("",),
    "truncated": ("",),
    "http_500": ("",),
    "nonsense": (
        "garbage",
        "not_json",
        "not_object",
        "repeated_member",
        "wrong_shape",
        "extra_member",
        "wrong_id",
        "other_name",
    ),
    "bad_signature": ("flipped", "digest", "old", "early", "key_id", "not_tied", "two"),
    "unsigned": ("",),
    "replayed": ("",),
    "redirect": ("",),
    "duplicate": ("",),
    "trickle": ("",),
    "huge": ("length", "chunked"),
    "too_many": ("",),
}
# What can go wrong with a message that a site sends by itself.
NOTICE_MODES = frozenset({"delay", "duplicate", "replayed", "lost_reply", "reset", "bad_signature"})
DEFAULT_SECONDS = {"delay": 5.0, "trickle": 0.5, "too_many": 7.0}


@dataclass
class Fault:
    """One entry of the switch; `left` requests of the site are still to be spoiled."""

    site: str
    mode: str
    left: int
    seconds: float
    variant: str | None

    def as_json(self) -> dict[str, Any]:
        return {
            "site": self.site,
            "mode": self.mode,
            "left": self.left,
            "seconds": self.seconds,
            "variant": self.variant,
        }


class Switch:
    """The faults that are still to come, each site's in the order they were asked for."""

    def __init__(
        self, *, sites: frozenset[str], modes_of: Mapping[str, frozenset[str]] | None = None
    ) -> None:
        """`modes_of` names the modes of those sites that do not know all."""
        self._sites = sites
        self._modes_of = modes_of or {}
        self._waiting: deque[Fault] = deque()
        self._turn = 0

    def add(self, order: Mapping[str, Any]) -> Fault:
        """Adds what the JSON of `POST /faults` asks for; raises ValueError when it cannot."""
        if order.keys() - {"site", "mode", "count", "seconds", "variant"}:
            raise ValueError("unknown member")
        site, mode, variant = order.get("site"), order.get("mode"), order.get("variant")
        if not isinstance(mode, str) or site not in self._sites or mode not in MODES:
            raise ValueError("no such site or mode")
        if mode not in self._modes_of.get(site, MODES):
            raise ValueError("no such mode of this site")
        if variant is not None and variant not in MODES[mode]:
            raise ValueError("no such variant")
        count = order.get("count", 1)
        seconds = order.get("seconds", DEFAULT_SECONDS.get(mode, 0.0))
        if type(count) is not int or not 1 <= count <= MAX_COUNT:
            raise ValueError("count")
        if type(seconds) not in (int, float) or not 0 <= seconds <= MAX_SECONDS:
            raise ValueError("seconds")
        fault = Fault(site=site, mode=mode, left=count, seconds=float(seconds), variant=variant)
        self._waiting.append(fault)
        return fault

    def take(self, site: str) -> Fault | None:
        """The fault the next request of `site` meets, used once; its variant is settled."""
        for fault in self._waiting:
            if fault.site != site:
                continue
            fault.left -= 1
            if fault.left == 0:
                self._waiting.remove(fault)
            variants = MODES[fault.mode] if fault.mode == "nonsense" else MODES[fault.mode][:1]
            variant = fault.variant or variants[self._turn % len(variants)]
            self._turn += fault.mode == "nonsense"
            return Fault(fault.site, fault.mode, 0, fault.seconds, variant)
        return None

    def clear(self) -> None:
        self._waiting.clear()

    def waiting(self) -> list[dict[str, Any]]:
        return [fault.as_json() for fault in self._waiting]


def nonsense(variant: str, members: Mapping[str, Any]) -> bytes:
    """A body that the protocol does not know, in place of the right `members`."""
    if variant == "garbage":
        return bytes(range(256)) * 4
    if variant == "not_json":
        return b'{"request_id":'
    if variant == "not_object":
        return json_bytes([dict(members)])
    if variant == "repeated_member":
        name, value = next(iter(members.items()))
        return b"{" + json_bytes({name: value})[1:-1] + b"," + json_bytes(dict(members))[1:]
    if variant == "wrong_shape":
        return json_bytes({name: [value] for name, value in members.items()})
    if variant == "extra_member":
        return json_bytes({**members, "surprise": True})
    if variant == "wrong_id":
        first = next(iter(members))
        return json_bytes({**members, first: str(uuid.uuid4())})
    return json_bytes({**members, "real_name": str(members.get("real_name", "")) + "某"})


def json_bytes(value: Any) -> bytes:
    """Compact UTF-8 JSON, the form of every body of the sandbox."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def raw_message(status: int, headers: Mapping[str, str], body: bytes) -> bytes:
    """The bytes of a whole answer, for the faults that no web framework would send."""
    lines = [f"HTTP/1.1 {status} Fault"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    lines += [f"Content-Length: {len(body)}", "Connection: close", "", ""]
    return "\r\n".join(lines).encode("latin-1") + body


def reset(request: web.Request) -> None:
    """Ends the connection with a TCP reset instead of a proper close."""
    if request.transport is not None:
        reset_transport(request.transport)


def reset_transport(transport: asyncio.WriteTransport) -> None:
    """The same for any connection."""
    connection = transport.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()


async def send_raw(request: web.Request, data: bytes, *, seconds_a_byte: float = 0.0) -> None:
    """Writes `data` on the connection, all at once or a byte at a time, and closes it."""
    transport = request.transport
    if transport is None:
        return
    if seconds_a_byte:
        for byte in data:
            if transport.is_closing():
                return
            transport.write(bytes([byte]))
            await asyncio.sleep(seconds_a_byte)
    else:
        transport.write(data)
    transport.close()
