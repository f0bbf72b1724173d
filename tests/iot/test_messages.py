"""What a push says, and by what its repetitions are known."""

from datetime import UTC, datetime
from typing import Any

import pytest

from services.iot.dialects import oceanconnect
from services.iot.messages import DeviceTold, Reading, Unreadable, canonical, key_of, read_body

# As published, pages iot_06_0034 to _0040.
DATA_CHANGED: dict[str, Any] = {
    "notifyType": "deviceDataChanged", "requestId": None, "deviceId": "d1", "gatewayId": "d1",
    "service": {"serviceId": "Brightness", "serviceType": "Brightness",
                "data": {"brightness": 80}, "eventTime": "20170311T163657Z"},
}  # fmt: skip
DATAS_CHANGED: dict[str, Any] = {
    "notifyType": "deviceDatasChanged", "requestId": None, "deviceId": "d1", "gatewayId": "d1",
    "services": [
        {"serviceId": "Header", "serviceType": "Header", "data": {},
         "eventTime": "20170214T170220Z"},
        {"serviceId": "Brightness", "serviceType": "Brightness", "data": {"brightness": 1},
         "eventTime": "20170214T170221Z"},
    ],
}  # fmt: skip
ADDED: dict[str, Any] = {
    "notifyType": "deviceAdded", "deviceId": "d1", "gatewayId": "d1", "nodeType": "GATEWAY",
    "deviceInfo": {"nodeId": None, "status": "OFFLINE", "statusDetail": "NOT_ACTIVE"},
}  # fmt: skip
GOLDEN = "8b60be04af43d8bff96b5f42c950bccada7f91238c822d4914aded882cf12feb"
READING = Reading(
    "d1", "Brightness", datetime(2017, 3, 11, 16, 36, 57, tzinfo=UTC), "", {"brightness": 80}
)


def test_said__published_data_changed__one_reading():
    assert oceanconnect.said(DATA_CHANGED) == [READING]


def test_said__published_datas_changed__a_reading_for_each_service():
    found = oceanconnect.said(DATAS_CHANGED)

    assert [(each.device, each.service, each.props) for each in found] == [
        ("d1", "Header", {}),
        ("d1", "Brightness", {"brightness": 1}),
    ]


@pytest.mark.parametrize("kind", ["deviceAdded", "deviceInfoChanged"])
def test_said__published_device_added__told_of_the_device(kind: str):
    assert oceanconnect.said({**ADDED, "notifyType": kind}) == [
        DeviceTold("d1", ADDED["deviceInfo"])
    ]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"notifyType": "commandRsp"}, "notify_type"),
        ({"notifyType": None}, "notify_type"),
        ({"notifyType": ["deviceDataChanged"]}, "notify_type"),
        ({"deviceId": None}, "device_id"),
        ({"deviceId": 7}, "device_id"),
        ({"deviceId": ""}, "device_id"),
        ({"deviceId": "d" * 257}, "device_id"),
        ({"requestId": 7}, "request_id"),
        ({"requestId": "r" * 257}, "request_id"),
        ({"service": None}, "service"),
        ({"service": []}, "service"),
    ],
)
def test_said__member_missing_or_wrong__unreadable(changes: dict[str, Any], reason: str):
    with pytest.raises(Unreadable) as caught:
        oceanconnect.said(DATA_CHANGED | changes)

    assert caught.value.reason == reason


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"data": None}, "data"),
        ({"data": [1]}, "data"),
        ({"data": "x"}, "data"),
        ({"serviceId": None}, "service_id"),
        ({"eventTime": None}, "event_time"),
        ({"eventTime": 20170311163657}, "event_time"),
        ({"eventTime": "20170311T163657"}, "event_time"),
        ({"eventTime": "20170311T163657+0800"}, "event_time"),
        ({"eventTime": "２0170311T163657Z"}, "event_time"),
        ({"eventTime": "20171311T163657Z"}, "event_time"),
        ({"eventTime": "20170230T163657Z"}, "event_time"),
        ({"eventTime": "20170311T246061Z"}, "event_time"),
        ({"eventTime": "00000311T163657Z"}, "event_time"),
    ],
)
def test_said__service_wrong__unreadable(changes: dict[str, Any], reason: str):
    with pytest.raises(Unreadable) as caught:
        oceanconnect.said({**DATA_CHANGED, "service": DATA_CHANGED["service"] | changes})

    assert caught.value.reason == reason


@pytest.mark.parametrize("services", [None, {}, [], [None], [[]]])
def test_said__services_wrong__unreadable(services: Any):
    with pytest.raises(Unreadable):
        oceanconnect.said({**DATAS_CHANGED, "services": services})


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "not_json"),
        (b"{", "not_json"),
        (b"\xff", "not_json"),
        (b'{"a":NaN}', "not_json"),
        (b'{"a":-Infinity}', "not_json"),
        (b'{"a":1e400}', "not_json"),
        (b'{"a":"\\ud800"}', "not_json"),
        (b'{"a":"\0"}', "not_json"),
        (b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "not_json"),
        (b'{"a":' + b"9" * 5_000 + b"}", "not_json"),
        (b'\xef\xbb\xbf{"a":1}', "not_json"),
        (b"[]", "not_object"),
        (b"null", "not_object"),
        (b'"text"', "not_object"),
        (b'{"a":"\\u0000"}', "control_character"),
    ],
)
def test_read_body__no_json_object_that_can_be_kept__unreadable(body: bytes, reason: str):
    with pytest.raises(Unreadable) as caught:
        read_body(body)

    assert caught.value.reason == reason


def test_read_body__integer_beyond_64_bits__a_double():
    assert read_body(b'{"a":18446744073709551616,"b":18446744073709551615}') == {
        "a": 18446744073709551616.0,
        "b": 18446744073709551615,
    }


def test_canonical__nested_too_deep__unreadable():
    with pytest.raises(Unreadable):
        canonical(read_body(b'{"a":' + b"[" * 300 + b"]" * 300 + b"}"))


def test_key__the_same_in_another_spelling__same_key():
    one = canonical(read_body(b'{"b": 1, "a": [1.0, "\\u6f4d"]}'))
    other = canonical(read_body('{"a":[1.0,"潍"],"b":1}'.encode()))

    assert key_of("s", READING, one) == key_of("s", READING, other)


@pytest.mark.parametrize(
    "other",
    [
        READING._replace(device="d2"),
        READING._replace(service="Header"),
        READING._replace(event_time=datetime(2017, 3, 11, 16, 36, 58, tzinfo=UTC)),
        READING._replace(request_id="r"),
    ],
)
def test_key__another_event__another_key(other: Reading):
    assert key_of("s", other, b"{}") != key_of("s", READING, b"{}")
    assert key_of("s", READING, b"{}") != key_of("t", READING, b"{}")
    assert key_of("s", READING, b"{}") != key_of("s", READING, b'{"a":1}')


def test_key__golden_vector():
    # sha256 of "sandbox", "d1", "Brightness", 1489250217000000, "" and the props, NULs between.
    assert key_of("sandbox", READING, b'{"brightness":80}').hex() == GOLDEN
