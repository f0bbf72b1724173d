"""Worked examples of payments, as tills and phones send and get them."""

from drf_spectacular.utils import OpenApiExample

_AT = "2026-11-21T02:00:00Z"
_JWS = "eyJ0eXAiOiJ2cGFzcy1jb25maXJtK2p3dCIsImFsZyI6IkVTMjU2In0.eyJhdWQiOiIuLi4ifQ.c2lnbmF0dXJl"
_ID = "018f2f6e-0000-7000-8000-000000000021"
_SHOP = {"zh": "惠民超市", "en": "Huimin Supermarket"}
_PAYEE = {"id": "018f2f6e-0000-7000-8000-000000000022", **_SHOP}
_PAID = {
    "id": _ID,
    "state": "captured",
    "amount_fen": 3580,
    "captured_fen": 3580,
    "refunded_fen": 0,
    "title": "惠民超市 1号收银台",
    "merchant_reference": "T1-20261121-0042",
    "reason": None,
    "confirm_by": None,
    "created_at": _AT,
}
_RESIDENTS = {
    "id": _ID,
    "payee": _PAYEE,
    "store": {
        "zh": "惠民超市胜利东街店",
        "en": "Huimin Supermarket, Shengli East Street",
        "address": "潍坊市奎文区胜利东街118号",
    },
    "title": _PAID["title"],
    "amount_fen": 150000,
    "refunded_fen": 0,
    "state": "confirming",
    "reason": None,
    "card_last4": None,
    "card_fen": 0,
    "needs_pin": False,
    "confirm_by": "2026-11-21T02:02:00Z",
    "created_at": _AT,
}


def _asked(value: object) -> OpenApiExample:
    return OpenApiExample("Request", value=value, request_only=True)


def _answered(value: object, status: int = 200) -> OpenApiExample:
    return OpenApiExample("Answer", value=value, response_only=True, status_codes=[str(status)])


PAYMENT = [
    _asked(
        {
            "code": "VP1:.Q6...",
            "amount_fen": 3580,
            "title": "惠民超市 1号收银台",
            "merchant_reference": "T1-20261121-0042",
            "cashier": "0017",
        }
    ),
    _answered(_PAID, 201),
]
PAYMENTS = [_answered({"items": [_PAID], "next": None})]
PAYMENT_SHOWN = [_answered(_PAID)]
CANCELLATION = [_asked({}), _answered({**_PAID, "state": "cancelled", "captured_fen": 0})]
REFUND = [
    _asked({"amount_fen": 580, "reference": "R-0001"}),
    _answered(
        {
            "id": "018f2f6e-0000-7000-8000-000000000024",
            "payment_id": _ID,
            "reference": "R-0001",
            "amount_fen": 580,
            "payment_state": "part_refunded",
            "refunded_fen": 580,
            "refundable_fen": 3000,
        },
        201,
    ),
]
MERCHANT_STATEMENT = [
    _answered(
        {
            "items": [
                {
                    "id": 90210,
                    "at": _AT,
                    "kind": "payment",
                    "payment_id": _ID,
                    "merchant_reference": "T1-20261121-0042",
                    "cashier": "0017",
                    "store": "S01",
                    "amount_fen": 3580,
                }
            ],
            "next": None,
        }
    )
]
WALLET = [
    _answered({"balance_fen": 25000, "available_fen": 25000, "top_up_number": "880123456787"})
]
RESIDENT_PAYMENTS = [_answered({"items": [_RESIDENTS], "next": None})]
RESIDENT_PAYMENT = [_answered(_RESIDENTS)]
CONFIRMATION = [_asked({"confirmation": _JWS}), _answered({"id": _ID, "state": "captured"})]
REFUSAL = [_asked({}), _answered({"id": _ID, "state": "failed"})]
WALLET_STATEMENT = [
    _answered(
        {
            "items": [
                {
                    "id": 90210,
                    "at": _AT,
                    "kind": "payment",
                    "payment_id": _ID,
                    "title": _PAID["title"],
                    "payee": _SHOP,
                    "amount_fen": -3580,
                }
            ],
            "next": None,
        }
    )
]
CHARGES = [
    _answered(
        {
            "items": [
                {
                    "id": "018f2f6e-0000-7000-8000-000000000025",
                    "payee": {**_SHOP, "id": "018f2f6e-0000-7000-8000-000000000026"},
                    "title": "公交 Bus",
                    "amount_fen": 200,
                    "created_at": _AT,
                }
            ],
            "next": None,
        }
    )
]
