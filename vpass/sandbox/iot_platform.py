"""The city's IoT platform: pushes in OceanConnect's published form, as docs/iot-protocol.md says.

It has no devices of its own; a demonstration tells it what one of them reports.
"""

import asyncio
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import aiohttp
from yarl import URL

from vpass.sandbox.faults import json_bytes
from vpass.sandbox.signatures import time_now

ANSWER_WITHIN_S = 15.0
PAUSES_S = (0.2, 0.5, 1.0)  # before each further attempt; after the last the message is dropped
MAX_COPIES = 10
ROUTE = "/api/platform/v1/push/sandbox/"

_TIME = re.compile(r"[0-9]{8}T[0-9]{6}Z", re.ASCII)


class IotPlatform:
    """Pushes to V Pass; without its address or the secret it can push nothing."""

    def __init__(self, *, vpass_url: str, secret: str) -> None:
        self._address = f"{vpass_url}{ROUTE}{secret}" if vpass_url and secret else ""

    async def control(self, what: str, members: Mapping[str, Any]) -> dict[str, Any]:
        """Section 6 of the page. Raises LookupError and ValueError."""
        if not self._address:
            raise LookupError("this platform has not been told where V Pass answers")
        if what == "readings":
            message = _reading(members)
        elif what == "devices":
            message = _device_added(members)
        else:
            raise LookupError(what)
        copies = members.get("copies", 1)
        if type(copies) is not int or not 1 <= copies <= MAX_COPIES:
            raise ValueError("copies")
        body = json_bytes(message)
        pushes = [await self._push(body) for _ in range(copies)]
        return {"message": message, "pushes": pushes}

    async def _push(self, body: bytes) -> dict[str, int]:
        """Pushes one message until it is answered 200 or dropped; its last status (0: none)."""
        attempts = 0
        while True:
            status = await self._post(body)
            attempts += 1
            if status == 200 or attempts > len(PAUSES_S):
                return {"status": status, "attempts": attempts}
            await asyncio.sleep(PAUSES_S[attempts - 1])

    async def _post(self, body: bytes) -> int:
        limits = aiohttp.ClientTimeout(total=ANSWER_WITHIN_S)
        try:
            async with (
                aiohttp.ClientSession(timeout=limits) as session,
                session.post(
                    URL(self._address, encoded=True),
                    data=body,
                    headers={"Content-Type": "application/json"},
                    allow_redirects=False,
                ) as answer,
            ):
                return answer.status
        except (aiohttp.ClientError, TimeoutError, OSError):
            return 0


def _reading(members: Mapping[str, Any]) -> dict[str, Any]:
    """deviceDataChanged, with the published quirks: no request id, its own id as gateway."""
    if members.keys() - {"device_id", "service", "data", "event_time", "copies"}:
        raise ValueError("unknown member")
    device_id, service, data = (members.get(name) for name in ("device_id", "service", "data"))
    if not isinstance(device_id, str) or not isinstance(service, str):
        raise ValueError("device_id, service")
    if not isinstance(data, dict):
        raise ValueError("data")
    now = datetime.fromtimestamp(time_now(), tz=UTC).strftime("%Y%m%dT%H%M%SZ")
    event_time = members.get("event_time", now)
    if not isinstance(event_time, str) or not _TIME.fullmatch(event_time):
        raise ValueError("event_time")
    return {
        "notifyType": "deviceDataChanged",
        "requestId": None,
        "deviceId": device_id,
        "gatewayId": device_id,
        "service": {
            "serviceId": service,
            "serviceType": service,
            "data": data,
            "eventTime": event_time,
        },
    }


def _device_added(members: Mapping[str, Any]) -> dict[str, Any]:
    """deviceAdded, whose members that are not told are null, as published."""
    if members.keys() - {"device_id", "info", "copies"}:
        raise ValueError("unknown member")
    device_id, info = members.get("device_id"), members.get("info", {})
    if not isinstance(device_id, str) or not isinstance(info, dict):
        raise ValueError("device_id, info")
    names = (
        "nodeId name manufacturerId manufacturerName mac location deviceType model swVersion"
        " fwVersion hwVersion protocolType bridgeId mute signalStrength serialNumber batteryLevel"
    )
    unknown = dict.fromkeys(names.split())
    return {
        "notifyType": "deviceAdded",
        "deviceId": device_id,
        "gatewayId": device_id,
        "nodeType": "GATEWAY",
        "deviceInfo": {**unknown, "status": "OFFLINE", "statusDetail": "NOT_ACTIVE", **info},
    }
