"""Worked examples of what platforms push and what residents see of it."""

from drf_spectacular.utils import OpenApiExample

_STAY = {
    "id": "018f2f6e-0000-7000-8000-000000000051",
    "state": "open",
    "bay_code": "A-017",
    "location": {"zh": "胜利东街北侧", "en": "Shengli East Street, north side"},
    "operator": {"zh": "潍坊市停车服务中心", "en": "Weifang Parking Services"},
    "started_at": "2026-11-21T02:00:00Z",
    "ended_at": None,
    "fee_fen": 400,
    "is_settled": False,
}
_PAID = {
    **_STAY,
    "state": "paid",
    "ended_at": "2026-11-21T03:05:00Z",
    "fee_fen": 600,
    "is_settled": True,
}


def _asked(value: object) -> OpenApiExample:
    return OpenApiExample("Request", value=value, request_only=True)


def _answered(value: object, status: int = 200) -> OpenApiExample:
    return OpenApiExample("Answer", value=value, response_only=True, status_codes=[str(status)])


PUSH = [
    _asked(
        {
            "notifyType": "deviceDataChanged",
            "requestId": None,
            "deviceId": "92d3f8da-0f11-4c3c-9d3e-7f1a2b3c4d5e",
            "gatewayId": "92d3f8da-0f11-4c3c-9d3e-7f1a2b3c4d5e",
            "service": {
                "serviceId": "ParkingSensor",
                "serviceType": "ParkingSensor",
                "data": {"occupied": 1, "battery": 87},
                "eventTime": "20261121T020000Z",
            },
        }
    ),
    _answered({"stored": True}),
]
PARKING_CLAIM = [_asked({"bay_code": "A-017"}), _answered(_STAY, 201)]
PARKING_SESSION = [_answered(_PAID)]
PARKING_SESSIONS = [_answered({"items": [_PAID], "next": None})]
