"""Huawei OceanConnect's northbound pushes, as published (pages iot_06_0034 to _0040).

deviceDataChanged: {notifyType, requestId | null, deviceId, gatewayId, service: {serviceId,
serviceType, data: {…}, eventTime}}; deviceDatasChanged has `services`, a list of the same.
deviceAdded, deviceInfoChanged: {notifyType, deviceId, gatewayId, nodeType?, deviceInfo: {…}},
without a time. `eventTime` is yyyyMMdd'T'HHmmss'Z', UTC. `gatewayId` of a direct device is its own
`deviceId`, so it says nothing of ours. Members beyond these are ignored.
"""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from services.iot.messages import DeviceTold, Reading, Said, Unreadable, identifier

MAX_SERVICES = 1_000

_TIME = re.compile(r"[0-9]{8}T(?:[01][0-9]|2[0-3])[0-9]{4}Z", re.ASCII)


def said(message: Mapping[str, Any]) -> list[Said]:
    """What a push says; raises Unreadable, for the known kinds that nobody here hears too."""
    kind = message.get("notifyType")
    if kind == "deviceDataChanged":
        return [_reading(message, message.get("service"))]
    if kind == "deviceDatasChanged":
        services = message.get("services")
        if not isinstance(services, list) or not 1 <= len(services) <= MAX_SERVICES:
            raise Unreadable("services")
        return [_reading(message, service) for service in services]
    if kind in ("deviceAdded", "deviceInfoChanged"):
        info = message.get("deviceInfo")
        if not isinstance(info, dict):
            raise Unreadable("device_info")
        return [DeviceTold(identifier(message.get("deviceId"), "device_id"), info)]
    raise Unreadable("notify_type")


def _reading(message: Mapping[str, Any], service: Any) -> Reading:
    if not isinstance(service, dict):
        raise Unreadable("service")
    data = service.get("data")
    if not isinstance(data, dict):
        raise Unreadable("data")
    request_id = message.get("requestId")
    if request_id is None:
        request_id = ""
    elif not isinstance(request_id, str) or len(request_id) > 256:
        raise Unreadable("request_id")
    return Reading(
        device=identifier(message.get("deviceId"), "device_id"),
        service=identifier(service.get("serviceId"), "service_id"),
        event_time=_event_time(service.get("eventTime")),
        request_id=request_id,
        props=data,
    )


def _event_time(text: Any) -> datetime:
    if not isinstance(text, str) or not _TIME.fullmatch(text):
        raise Unreadable("event_time")
    try:
        return datetime.fromisoformat(text)
    except ValueError as error:
        raise Unreadable("event_time") from error
