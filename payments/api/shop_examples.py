"""Worked examples of shops: unmanned ones, refunds by two, and merchants taken on by two."""

from drf_spectacular.utils import OpenApiExample

_ID = "018f2f6e-0000-7000-8000-000000000041"
_INSIDE = {
    "id": _ID,
    "state": "inside",
    "merchant_reference": "DOOR1-20261121-0007",
    "held_fen": 20000,
    "paid_fen": 0,
    "payment_id": None,
    "entered_at": "2026-11-21T02:00:00Z",
    "leave_by": "2026-11-21T03:00:00Z",
    "left_at": None,
}
_PAID = {
    **_INSIDE,
    "state": "paid",
    "paid_fen": 3580,
    "payment_id": "018f2f6e-0000-7000-8000-000000000042",
    "left_at": "2026-11-21T02:09:00Z",
}
_SHOP = {"id": "018f2f6e-0000-7000-8000-000000000043", "zh": "鸢都无人店", "en": "Kite City Store"}
_MINE = {name: value for name, value in _PAID.items() if name != "merchant_reference"}


def _asked(value: object) -> OpenApiExample:
    return OpenApiExample("Request", value=value, request_only=True)


def _answered(value: object, status: int = 200) -> OpenApiExample:
    return OpenApiExample("Answer", value=value, response_only=True, status_codes=[str(status)])


ENTRY = [
    _asked({"code": "VP1:6BFOXN…", "merchant_reference": "DOOR1-20261121-0007"}),
    _answered(_INSIDE, 201),
]
VISITS = [_answered({"items": [_PAID], "next": None})]
VISIT = [_answered(_INSIDE)]
LEAVING = [_asked({"amount_fen": 3580, "title": "饮料两瓶 Two drinks"}), _answered(_PAID)]
MY_VISITS = [_answered({"items": [{**_MINE, "shop": _SHOP}], "next": None})]

_ASKED = {
    "id": "018f2f6e-0000-7000-8000-000000000051",
    "payment_id": "018f2f6e-0000-7000-8000-000000000021",
    "reference": "R-20261121-0003",
    "amount_fen": 88000,
    "state": "asked",
    "asked_by": "018f2f6e-0000-7000-8000-000000000052",
    "asked_at": "2026-11-21T02:30:00Z",
    "decided_by": None,
    "decided_at": None,
    "refund_id": None,
}
_DECIDED = {
    **_ASKED,
    "decided_by": "018f2f6e-0000-7000-8000-000000000053",
    "decided_at": "2026-11-21T02:32:00Z",
}
_APPROVED = {
    **_DECIDED,
    "state": "approved",
    "refund_id": "018f2f6e-0000-7000-8000-000000000054",
}
ASK_REFUND = [
    _asked({"amount_fen": 88000, "reference": "R-20261121-0003"}),
    _answered(_ASKED, 201),
]
ASKED_REFUNDS = [_answered({"items": [_ASKED], "next": None})]
APPROVE_REFUND = [_asked({}), _answered(_APPROVED)]
REJECT_REFUND = [_asked({}), _answered({**_DECIDED, "state": "rejected"})]
_FIRM = {
    "credit_code": "91370700MA3C0QF16K",
    "bank_code": "sandbox",
    "refund_alone_fen": 50000,
}
APPLY = [
    _asked(
        {
            **_FIRM,
            "name_zh": "白浪河书店",
            "name_en": "Bailang River Books",
            "payout_account": "tok_bailang_books_3391",
        }
    ),
    _answered({"id": "018f2f6e-0000-7000-8000-000000000061", "state": "proposed"}, 201),
]
MERCHANTS = [
    _answered(
        {
            "items": [
                {
                    **_FIRM,
                    "id": "018f2f6e-0000-7000-8000-000000000062",
                    "organisation_id": "018f2f6e-0000-7000-8000-000000000063",
                    "zh": "白浪河书店",
                    "en": "Bailang River Books",
                    "state": "active",
                }
            ],
            "next": None,
        }
    )
]
