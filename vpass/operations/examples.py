"""Worked examples of the operations' part of the API."""

from drf_spectacular.utils import OpenApiExample

_AT = "2026-11-21T02:00:00Z"
_TODAY = {
    "name": "payments",
    "zh": "付款笔数",
    "en": "Payments",
    "value": 1287,
    "unit": "count",
    "group": "today",
    "hours": [0, 0, 0, 0, 0, 12, 85, 240, 310, 402, 238, 0, *[0] * 12],
}
_WAITING = {
    "name": "outbox_oldest",
    "zh": "最久的等待",
    "en": "Longest wait of an event",
    "value": 2,
    "unit": "seconds",
    "group": "waits",
    "hours": [],
}
_LETTER = {
    "id": 90211,
    "event": "payments.payout_prepared",
    "consumer": "payments.bank",
    "attempts": 10,
    "error": "Unavailable",
    "published_at": _AT,
}


def _asked(value: object) -> OpenApiExample:
    return OpenApiExample("Request", value=value, request_only=True)


def _answered(value: object, status: int = 200) -> OpenApiExample:
    return OpenApiExample("Answer", value=value, response_only=True, status_codes=[str(status)])


STATE = [
    _answered(
        {
            "at": _AT,
            "business_date": "2026-11-21",
            "engines": [{"name": "database", "zh": "数据库", "en": "Database", "is_up": True}],
            "warnings": ["the outbox holds dead letters"],
            "figures": [_WAITING, _TODAY],
        }
    )
]
CITY = [_answered({"at": _AT, "business_date": "2026-11-21", "figures": [_TODAY]})]
LETTERS = [_answered({"items": [_LETTER], "next": None})]
REDELIVER = [_asked({}), _answered({"id": _LETTER["id"], "state": "pending"})]
