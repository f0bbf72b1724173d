"""Worked examples of stores and their doors, of suspended merchants, and of rules that change."""

from drf_spectacular.utils import OpenApiExample

_STORE = {
    "id": "018f2f6e-0000-7000-8000-000000000071",
    "code": "S01",
    "zh": "惠民超市胜利东街店",
    "en": "Huimin Supermarket, Shengli East Street",
    "address": "潍坊市奎文区胜利东街118号",
    "longitude": 119.1438,
    "latitude": 36.7093,
    "state": "active",
}


def _asked(value: object) -> OpenApiExample:
    return OpenApiExample("Request", value=value, request_only=True)


def _answered(value: object, status: int = 200) -> OpenApiExample:
    return OpenApiExample("Answer", value=value, response_only=True, status_codes=[str(status)])


MERCHANT_STORES = [_answered({"items": [_STORE], "next": None})]

_PROPOSED = {"id": "018f2f6e-0000-7000-8000-000000000081", "state": "proposed"}
_MERCHANT = "018f2f6e-0000-7000-8000-000000000062"
SUSPEND_MERCHANT = [
    _asked({"reason": "fraud-reported"}),
    _answered({"id": _MERCHANT, "state": "suspended"}),
]
REINSTATE_MERCHANT = [
    _asked({"reason": "The report was a mistake of another shop's."}),
    _answered(_PROPOSED, 201),
]
CHANGE_REFUND_ALONE = [
    _asked({"refund_alone_fen": 20000, "reason": "Agreed with the shop's owner."}),
    _answered(_PROPOSED, 201),
]
CHANGE_LIMIT = [
    _asked(
        {
            "means": "code",
            "device": "software",
            "level": 2,
            "single_fen": 50000,
            "daily_fen": 80000,
            "reason": "Codes of lost phones were used up to the limit.",
        }
    ),
    _answered(_PROPOSED, 201),
]
_RULE = {
    "kind": "hour_count",
    "threshold": 20,
    "from_fen": 0,
    "outcome": "confirm",
    "is_active": True,
    "words_zh": "一小时内付款超过 20 笔",
    "words_en": "More than 20 payments in an hour",
}
CHANGE_RULE = [
    _asked({"name": "burst", **_RULE, "reason": "Three cases in one week below thirty."}),
    _answered(_PROPOSED, 201),
]
SETTING_CHANGES = [
    _answered(
        {
            "items": [
                {
                    "id": "018f2f6e-0000-7000-8000-000000000082",
                    "action": "risk_rule.set",
                    "subject": "burst",
                    "before": {
                        **_RULE,
                        "threshold": 30,
                        "words_zh": "一小时内付款超过 30 笔",
                        "words_en": "More than 30 payments in an hour",
                    },
                    "after": _RULE,
                    "reason": "Three cases in one week below thirty.",
                    "proposed_by": "finance-a",
                    "approved_by": "finance-b",
                    "at": "2026-11-21T02:00:00Z",
                }
            ],
            "next": None,
        }
    )
]
_TERMS = {"hold_fen": 20000, "stay_minutes": 60}
_DOOR = {
    "terminal_id": "018f2f6e-0000-7000-8000-000000000083",
    "shop": {"zh": "鸢都无人店", "en": "Kite City Store"},
    "store": {"zh": "鸢都无人店鸢飞路店", "en": "Kite City Store, Yuanfei Road"},
    **_TERMS,
    "state": "open",
}
OPEN_DOOR = [
    _asked({"terminal_id": _DOOR["terminal_id"], **_TERMS, "reason": "The shop opens on Monday."}),
    _answered(_PROPOSED, 201),
]
SHOP_DOORS = [_answered({"items": [_DOOR], "next": None})]
CLOSE_DOOR = [_asked({"reason": "broken-lock"}), _answered({**_DOOR, "state": "closed"})]
