"""Worked examples of ways to pay, as tills, servers, phones and accountants send and get them."""

from payments.api.examples import _PAID, _PAYEE, _SHOP, _answered, _asked

_AT = "2026-11-21T02:00:00Z"
_ID = "018f2f6e-0000-7000-8000-000000000031"
_REFERENCE = "T1-20261121-0042"
_WORD = "eyJ0eXAiOiJ2cGFzcy1waW4rand0IiwiYWxnIjoiRVMyNTYifQ.eyJhdWQiOiIuLi4ifQ.c2lnbmF0dXJl"
_HANDLE = "mM0nJXSZDcT5CjM1Q2pN1mX0Vd9uV6wq1x8b3QyI2aE"
_QR_TEXT = (
    "00020101021226760016CN.WEIFANG.VPASS0132018F2F6E00007000800000000000002A02160123456789ABCDEF"
    "520400005303156540512.345802CN5918HUIMIN SUPERMARKET6007WEIFANG62200116T1-20261121-0042"
    "6304E4E6"
)
_QR = {
    "id": "018f2f6e-0000-7000-8000-00000000002a",
    "form": "dynamic",
    "text": _QR_TEXT,
    "title": "惠民超市 1号收银台",
    "amount_fen": 1234,
    "merchant_reference": _REFERENCE,
    "expires_at": "2026-11-21T02:02:00Z",
}
_MERCHANT = {"id": _PAYEE["id"], **_SHOP}
_PIN = {"is_set": True, "is_locked": False}

PAY_CODE = [
    _asked({}),
    _answered(
        {"code": "861234567890123452", "expires_at": "2026-11-21T02:01:00Z", "server_time": _AT},
        201,
    ),
]
SCANNED_PAYMENT = [
    _asked({"text": _QR_TEXT}),
    _answered(
        {
            "id": _ID,
            "payee": _PAYEE,
            "title": _QR["title"],
            "amount_fen": 1234,
            "state": "confirming",
            "confirm_by": "2026-11-21T02:02:00Z",
        },
        201,
    ),
]
PAYER_HANDLE = [
    _asked({"merchant_id": _PAYEE["id"]}),
    _answered({"merchant_id": _PAYEE["id"], "handle": _HANDLE}, 201),
]
PAYER_HANDLES = [_answered({"items": [{"merchant": _MERCHANT, "created_at": _AT}], "next": None})]
PAYER_HANDLE_STANDING = [_answered({"merchant": _MERCHANT, "is_given": False})]
PAYMENT_PIN = [_answered(_PIN)]
SET_PAYMENT_PIN = [_asked({"pin": "482915", "word": _WORD}), _answered(_PIN)]
MERCHANT_QR = [
    _asked(
        {
            "form": "dynamic",
            "title": _QR["title"],
            "amount_fen": 1234,
            "merchant_reference": _REFERENCE,
        }
    ),
    _answered(_QR, 201),
]
QR_STANDING = [
    _answered(
        {
            "id": _QR["id"],
            "form": "dynamic",
            "is_over": False,
            "picture_png": "iVBORw0KGgo=",
            "payment": _PAID,
        }
    )
]
QR_WITHDRAWN = [_asked({}), _answered(_QR)]
APP_ORDER = [
    _asked(
        {
            "payer": _HANDLE,
            "amount_fen": 3580,
            "title": "网上订单 Online order",
            "merchant_reference": "WEB-0042",
        }
    ),
    _answered(
        {
            **_PAID,
            "state": "confirming",
            "captured_fen": 0,
            "title": "网上订单 Online order",
            "merchant_reference": "WEB-0042",
            "confirm_by": "2026-11-21T02:15:00Z",
        },
        201,
    ),
]
RISK_CASES = [
    _answered(
        {
            "items": [
                {
                    "id": _ID,
                    "outcome": "confirm",
                    "reasons": ["new-phone"],
                    "payment": {
                        "id": _PAID["id"],
                        "merchant": _MERCHANT,
                        "amount_fen": 68000,
                        "state": "captured",
                        "way": "code",
                    },
                    "state": "open",
                    "opened_at": _AT,
                    "decided_at": None,
                    "decided_by": None,
                }
            ],
            "next": None,
        }
    )
]
RISK_DECISION = [_asked({"is_fraud": False}), _answered({"id": _ID, "state": "cleared"})]
RISK_RULES = [
    _answered(
        {
            "items": [
                {
                    "name": "new-phone",
                    "kind": "new_device_hours",
                    "threshold": 24,
                    "from_fen": 50000,
                    "outcome": "confirm",
                    "is_active": True,
                    "words_zh": "新手机绑定未满 24 小时",
                    "words_en": "A phone bound for less than 24 hours",
                }
            ],
            "next": None,
        }
    )
]
PAYMENT_LIMITS = [
    _answered(
        {
            "items": [
                {
                    "means": "code",
                    "device": "software",
                    "level": 2,
                    "grade": "C",
                    "single_fen": 100000,
                    "daily_fen": 100000,
                }
            ],
            "next": None,
        }
    )
]
