"""Worked examples of bills, as billers, phones and those who check receipts send and get them."""

from drf_spectacular.utils import OpenApiExample

_BILL = "018f2f6e-0000-7000-8000-000000000031"
_PAYMENT = "018f2f6e-0000-7000-8000-000000000032"
_BILLER = {
    "id": "018f2f6e-0000-7000-8000-000000000033",
    "zh": "潍坊市自来水公司",
    "en": "Weifang Water",
    "kind": "utility",
}
_CODE = "00012612345678901278"
_RECEIPT = "7KQ2M9XWPT4RHD6C"
_SHOWN = {
    "id": _BILL,
    "notice_code": _CODE,
    "biller": _BILLER,
    "title": "水费 2026年10月",
    "period_from": "2026-10-01",
    "period_to": "2026-11-01",
    "due_date": "2026-11-20",
    "version": 1,
    "state": "part_paid",
    "amount_fen": 8600,
    "surcharge_fen": 100,
    "paid_fen": 3000,
    "under_way_fen": 0,
    "open_fen": 5600,
    "is_overdue": True,
    "lines": [
        {
            "head": "water",
            "zh": "水费",
            "en": "Water",
            "period_from": "2026-10-01",
            "amount_fen": 6000,
            "paid_fen": 3000,
        },
        {
            "head": "sewage",
            "zh": "污水处理费",
            "en": "Sewage",
            "period_from": "2026-10-01",
            "amount_fen": 2500,
            "paid_fen": 0,
        },
    ],
}
_PAID = {
    "id": _PAYMENT,
    "state": "captured",
    "amount_fen": 3000,
    "refunded_fen": 0,
    "paid_at": "2026-11-18T02:00:07Z",
}
_DETAIL = {**_SHOWN, "payments": [_PAID]}
_ISSUED = {**_DETAIL, "reference": "W-202610-000017"}
_CHECKED = {
    "receipt_code": _RECEIPT,
    "amount_fen": 3000,
    "refunded_fen": 0,
    "biller": {"zh": _BILLER["zh"], "en": _BILLER["en"]},
    "paid_on": "2026-11-18",
}
_CONTENT = '{"amount_fen":3000,"biller":{"en":"Weifang Water", …'
_SIGNATURE = "eyJ0eXAiOiJ2cGFzcy1iaWxsLXJlY2VpcHQrand0In0..c2lnbmF0dXJl"


def _asked(value: object) -> OpenApiExample:
    return OpenApiExample("Request", value=value, request_only=True)


def _answered(value: object, status: int = 200) -> OpenApiExample:
    return OpenApiExample("Answer", value=value, response_only=True, status_codes=[str(status)])


BILLS = [_answered({"items": [_SHOWN], "next": None})]
BILL = [_answered(_DETAIL)]
LOOK_UP = [_asked({"notice_code": _CODE}), _answered(_DETAIL)]
PAYMENT = [
    _asked({"notice_code": _CODE, "amount_fen": 5600}),
    _answered(
        {
            "payment_id": _PAYMENT,
            "payee_id": _BILLER["id"],
            "amount_fen": 5600,
            "confirm_by": "2026-11-21T02:15:00Z",
        },
        201,
    ),
]
RECEIPT = [
    _answered(
        {
            "receipt_code": _RECEIPT,
            "content": _CONTENT,
            "signature": _SIGNATURE,
            "refunded_fen": 0,
            "pdf": "JVBERi0xLjQKJZOMi54gUmVwb3J0TGFi…",
        }
    )
]
OWED = [
    _answered(
        {
            "items": [
                {
                    "kind": "bill",
                    "id": _BILL,
                    "payee": {"id": _BILLER["id"], "zh": _BILLER["zh"], "en": _BILLER["en"]},
                    "title": _SHOWN["title"],
                    "amount_fen": 5600,
                    "due_date": "2026-11-20",
                    "is_overdue": True,
                    "notice_code": _CODE,
                }
            ],
            "total_fen": 5600,
            "is_whole": True,
        }
    )
]
BATCH = [
    _asked(
        {
            "bills": [
                {
                    "reference": "W-202610-000017",
                    "payer": {"kind": "customer", "value": "0370017"},
                    "title": "水费 2026年10月",
                    "period_from": "2026-10-01",
                    "period_to": "2026-11-01",
                    "due_date": "2026-11-20",
                    "lines": [
                        {"head": "water", "amount_fen": 6000},
                        {"head": "sewage", "amount_fen": 2500},
                    ],
                },
                {"reference": "W-202610-000018"},
            ]
        }
    ),
    _answered(
        {
            "accepted": 1,
            "known": 0,
            "refused": 1,
            "lines": [
                {
                    "line": 1,
                    "reference": "W-202610-000017",
                    "outcome": "accepted",
                    "code": None,
                    "errors": [],
                    "bill_id": _BILL,
                    "notice_code": _CODE,
                },
                {
                    "line": 2,
                    "reference": "W-202610-000018",
                    "outcome": "refused",
                    "code": "request.invalid",
                    "errors": [{"field": "payer", "code": "required"}],
                    "bill_id": None,
                    "notice_code": None,
                },
            ],
        },
        201,
    ),
]
ISSUED_BILLS = [_answered({"items": [{**_SHOWN, "reference": "W-202610-000017"}], "next": None})]
ISSUED_BILL = [_answered(_ISSUED)]
AMENDMENT = [
    _asked(
        {
            "version": 1,
            "title": "水费 2026年10月（更正）",
            "due_date": "2026-11-25",
            "lines": [
                {"head": "water", "amount_fen": 5500},
                {"head": "sewage", "amount_fen": 2500},
            ],
        }
    ),
    _answered({"version": 2}),
]
CANCELLATION = [_asked({}), _answered({"state": "cancelled"})]
CHECKED = [_answered(_CHECKED)]
CHECK = [_asked({"content": _CONTENT, "signature": _SIGNATURE}), _answered(_CHECKED)]
