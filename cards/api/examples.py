"""Worked examples for the API's description; a test sends each of them through its serializer."""

from typing import Any

from drf_spectacular.utils import OpenApiExample

from cards.types import CARD_TYPES

_AT = "2026-11-21T02:00:00Z"
_ID = "018f2f6e-0000-7000-8000-000000000011"
_BUS_COMPANY = {
    "code": "weifang-bus",
    "name": {"zh": "潍坊公交集团", "en": "Weifang Bus Company"},
}
_BUS = CARD_TYPES["bus"]
_CARD: dict[str, Any] = {
    "id": _ID,
    "card_type": _BUS.code,
    "name": {"zh": _BUS.zh, "en": _BUS.en},
    "issuer": _BUS_COMPANY,
    "last4": "0009",
    "facts": dict(_BUS.example.facts),
    "state": "active",
    "fault": None,
    "stops": [],
    "valid_until": "2035-12-31",
    "bound_at": _AT,
}
_FROZEN = _CARD | {
    "fault": "card.frozen",
    "stops": [{"source": "holder", "reason": "holder", "since": _AT}],
}
_LOST = _CARD | {"state": "lost", "fault": "card.lost"}
_NAMED = {"card_type": "bus", "card": "37070020009"}


def _asked(value: object) -> OpenApiExample:
    return OpenApiExample("Request", value=value, request_only=True)


def _answered(value: object, status: int = 200) -> OpenApiExample:
    return OpenApiExample("Answer", value=value, response_only=True, status_codes=[str(status)])


CARD_TYPES_SHOWN = {
    "items": [
        {
            "code": _BUS.code,
            "name": _CARD["name"],
            "max_per_person": _BUS.max_per_person,
            "fields": [
                {
                    "name": "card_number",
                    "words": {"zh": "公交卡号", "en": "Card number"},
                    "form": "[0-9]{8,20}",
                }
            ],
            "issuers": [_BUS_COMPANY],
        }
    ]
}
CARD_TYPES_LISTED = [_answered(CARD_TYPES_SHOWN)]
CARDS = [_answered({"items": [_CARD], "next": None})]
CARD = [_answered(_CARD)]
BINDING = [
    _asked({"card_type": "bus", "issuer": "weifang-bus", "fields": dict(_BUS.example.fields)}),
    _answered(_CARD, 201),
]
FREEZE = [_asked({}), _answered(_FROZEN)]
CHANGE = [_asked({}), _answered(_CARD)]
LOSS = [_asked({}), _answered(_LOST)]
UNBINDING = [_asked({}), _answered({"id": _ID, "state": "unbound"})]

BUS_TAP = [
    _asked({"code": "VP1:.Q6...", "line": "1"}),
    _answered(
        {
            "tap": "018f2f6e-0000-7000-8000-000000000012",
            "line": "1",
            "concession": "none",
            "fare_fen": 200,
            "tapped_at": _AT,
        }
    ),
]

ISSUER_FREEZE = [
    _asked(_NAMED | {"reason": "reported_stolen"}),
    _answered({"card_type": "bus", "state": "active", "is_frozen": True}),
]
ISSUER_CHANGE = [
    _asked(_NAMED),
    _answered({"card_type": "bus", "state": "active", "is_frozen": False}),
]
ISSUER_REPLACEMENT = [
    _asked(
        _NAMED
        | {
            "new_card": "37070020017",
            "facts": {"concession": "student"},
            "valid_until": "2036-12-31",
        }
    ),
    _answered({"card_type": "bus", "state": "active", "is_frozen": False}),
]
ISSUER_EXPIRY = [
    _asked(_NAMED),
    _answered({"card_type": "bus", "state": "expired", "is_frozen": False}),
]
