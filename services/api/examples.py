"""Worked examples of appointments and the queue, as phones and desks send and get them."""

from drf_spectacular.utils import OpenApiExample

_AT = "2026-11-21T01:40:00Z"
_STARTS, _ENDS = "2026-11-21T02:00:00Z", "2026-11-21T02:15:00Z"
_BOOKING_ID = "018f2f6e-0000-7000-8000-000000000031"
_SERVICE_ID = "018f2f6e-0000-7000-8000-000000000032"
_SLOT_ID = "018f2f6e-0000-7000-8000-000000000033"
_NAME = {"zh": "办理居住证", "en": "Residence permit"}
_HALL = {"zh": "潍坊市政务服务中心", "en": "Weifang Government Service Hall"}
_DESK = {"zh": "签到台", "en": "Check-in desk"}
_SERVICE = {
    "id": _SERVICE_ID,
    "code": "residence-permit",
    "name": _NAME,
    "description": {
        "zh": "首次申领或签注居住证，请带居住证明。",
        "en": "First issue or yearly endorsement; bring proof of residence.",
    },
    "organisation": _HALL,
    "minutes": 15,
    "level": 2,
    "channel": "counter",
}
_BOOKING = {
    "id": _BOOKING_ID,
    "state": "booked",
    "service": {"id": _SERVICE_ID, "code": "residence-permit", **_NAME},
    "organisation": _HALL,
    "starts_at": _STARTS,
    "ends_at": _ENDS,
    "held_until": None,
    "ticket": None,
}
_TICKET = {
    "id": "018f2f6e-0000-7000-8000-000000000034",
    "label": "A012",
    "state": "waiting",
    "service": {"code": "residence-permit", **_NAME},
    "booked_at": _STARTS,
    "due_at": _STARTS,
    "issued_at": _AT,
    "desk": None,
    "called_at": None,
    "calls": 0,
}
_CALLED = {**_TICKET, "state": "called", "desk": _DESK, "called_at": _STARTS, "calls": 1}


def _asked(value: object) -> OpenApiExample:
    return OpenApiExample("Request", value=value, request_only=True)


def _answered(value: object, status: int = 200) -> OpenApiExample:
    return OpenApiExample("Answer", value=value, response_only=True, status_codes=[str(status)])


SERVICES = [_answered({"items": [_SERVICE], "next": None})]
SERVICE = [_answered(_SERVICE)]
SLOTS = [
    _answered(
        {
            "items": [
                {
                    "id": _SLOT_ID,
                    "day": "2026-11-21",
                    "starts_at": _STARTS,
                    "ends_at": _ENDS,
                    "free": 3,
                }
            ],
            "next": None,
        }
    )
]
HOLD = [
    _asked({"slot_id": _SLOT_ID}),
    _answered({**_BOOKING, "state": "held", "held_until": "2026-11-21T01:45:00Z"}, 201),
]
BOOKINGS = [_answered({"items": [_BOOKING], "next": None})]
BOOKING = [
    _answered(
        {
            **_BOOKING,
            "state": "checked_in",
            "ticket": {"label": "A012", "state": "called", "desk": _DESK},
        }
    )
]
BOOKING_CONFIRMATION = [_asked({}), _answered(_BOOKING)]
BOOKING_CANCELLATION = [_asked({}), _answered({**_BOOKING, "state": "cancelled"})]
CHECK_IN = [
    _asked({"code": "VP1:.Q6...", "walk_in_service": None}),
    _answered(
        {
            "holder": "0yF1cXg3hJq6uV1m3p9XjvC8c7a5Lw2kQ4dR6sT8uV0",
            "level": 2,
            "fields": {"real_name": "王小明"},
            "booking": {
                "id": _BOOKING_ID,
                "service": {"code": "residence-permit", **_NAME},
                "starts_at": _STARTS,
            },
            "ticket": _TICKET,
            "checked_in_at": _AT,
        }
    ),
]
QUEUE = [
    _answered(
        {
            "waiting_count": 1,
            "waiting": [_TICKET],
            "at_desks": [],
            "mine": None,
            "services": [{"code": "residence-permit", **_NAME}],
        }
    )
]
CALL_NEXT = [_asked({}), _answered({"ticket": _CALLED})]
RECALL = [_asked({}), _answered({**_CALLED, "calls": 2})]
SERVE = [_asked({}), _answered({**_CALLED, "state": "serving"})]
FINISH = [_asked({}), _answered({**_CALLED, "state": "served"})]
MISS = [_asked({}), _answered({**_CALLED, "state": "missed"})]
