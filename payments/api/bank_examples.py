"""Worked examples of what banks, finance staff and withdrawing residents send and get."""

from drf_spectacular.utils import OpenApiExample

_AT = "2026-03-02T01:30:00Z"
_NOTICE = "5b0d7c52-8f43-4d0e-9a55-0c8e5e0d7a11"
_PAYOUT = "019cac46-1500-7c1e-9f6b-2d4e8a1b3c4d"
_DEBIT = "019cac80-2a00-7b33-8c11-5e6f708192a3"
_CARD = "018f2f6e-0000-7000-8000-000000000015"
_BANK = {"zh": "潍坊沙盒银行", "en": "Weifang Sandbox Bank"}
_WINDOW = {
    "id": 17,
    "business_date": "2026-03-02",
    "state": "netted",
    "opened_at": "2026-03-01T15:00:00Z",
    "closed_at": "2026-03-02T15:00:00Z",
    "history": [{"state": "open", "event": "open", "actor": "settlement", "at": _AT}],
}
_LINE = {
    "id": 2201,
    "merchant": {
        "id": "018f2f6e-0000-7000-8000-000000000011",
        "zh": "白浪河书店",
        "en": "Bookshop",
    },
    "gross_fen": 120000,
    "refunded_fen": 5000,
    "fee_fen": 0,
    "carried_fen": 0,
    "net_fen": 115000,
    "payout": {"id": _PAYOUT, "state": "booked", "reason": None},
}
_POSTING = {
    "transaction_id": 880123,
    "kind": "payment",
    "order_id": "018f2f6e-0000-7000-8000-000000000012",
    "merchant_reference": "A-1001",
    "amount_fen": 8800,
    "at": _AT,
}
_PROPOSAL = {
    "id": "018f2f6e-0000-7000-8000-000000000013",
    "action": "settlement.approve",
    "subject": "17",
    "reference": None,
    "detail": None,
    "reason": None,
    "amount_fen": None,
    "state": "proposed",
    "proposed_by": "finance-a",
    "proposed_at": _AT,
    "decided_by": None,
    "decided_at": None,
}
_DECIDED = {"id": _PROPOSAL["id"], "state": "approved"}
_WITHDRAWAL = {
    "id": _PAYOUT,
    "amount_fen": 25000,
    "state": "booked",
    "reason": None,
    "bank": _BANK,
    "account_last4": "6217",
    "reference": "V PASS W-20260302-8A1B3C4D",
    "bank_reference": "SB2026030200000017",
    "created_at": _AT,
    "history": [{"state": "prepared", "at": _AT}, {"state": "booked", "at": _AT}],
}
_BEGUN = {"id": _PAYOUT, "amount_fen": 25000, "state": "prepared", "created_at": _AT}
_TOP_UP = {
    "id": _DEBIT,
    "amount_fen": 30000,
    "state": "booked",
    "reason": None,
    "bank": _BANK,
    "card_id": _CARD,
    "card_last4": "1234",
    "reference": "V PASS T-20260302-708192A3",
    "created_at": _AT,
    "history": [{"state": "prepared", "at": _AT}, {"state": "booked", "at": _AT}],
}
_CHOSEN = {"card_id": _CARD, "last4": "1234", "version": 3, "order": ["bank_card"]}
_SOURCE = {
    "id": "018f2f6e-0000-7000-8000-000000000014",
    "bank": _BANK,
    "account_last4": "6217",
}


def _asked(value: object) -> OpenApiExample:
    return OpenApiExample("Request", value=value, request_only=True)


def _answered(value: object, status: int = 200) -> OpenApiExample:
    return OpenApiExample("Answer", value=value, response_only=True, status_codes=[str(status)])


def _page(item: object) -> OpenApiExample:
    return _answered({"items": [item], "next": None})


CREDIT_NOTICE = [
    _asked(
        {
            "notice_id": _NOTICE,
            "top_up_number": "880012345678",
            "amount_fen": 50000,
            "currency": "CNY",
            "payer_account_token": "tok_7Qm2xV9dKc4hZs6b",
            "payer_last4": "6217",
            "booked_at": "2026-03-02T01:29:58Z",
        }
    ),
    _answered({"notice_id": _NOTICE, "status": "returned", "reason": "number_unknown"}),
]
PAYOUT_NOTICE = [
    _asked(
        {
            "payout_id": _PAYOUT,
            "status": "booked",
            "bank_reference": "SB2026030200000017",
            "booked_at": "2026-03-02T02:00:03Z",
        }
    ),
    _answered({"payout_id": _PAYOUT, "status": "booked"}),
]
DEBIT_NOTICE = [
    _asked({"debit_id": _DEBIT, "status": "rejected", "reason": "insufficient_funds"}),
    _answered({"debit_id": _DEBIT, "status": "rejected"}),
]
WINDOWS = [_page(_WINDOW)]
WINDOW = [_answered(_WINDOW)]
LINES = [_page(_LINE)]
POSTINGS = [_page(_POSTING)]
PROPOSALS = [_page(_PROPOSAL)]
PROPOSE = [
    _asked({"action": "settlement.approve", "subject": "17"}),
    OpenApiExample(
        "A balance of the older Cloud Pay",
        value={"action": "wallet.open", "subject": "CP-0042", "amount_fen": 12345},
        request_only=True,
    ),
    _answered(_DECIDED | {"state": "proposed"}, 201),
]
DECIDE = [_asked({}), _answered(_DECIDED)]
WITHDRAW = [_asked({"amount_fen": 25000, "source_id": _SOURCE["id"]}), _answered(_BEGUN, 201)]
WITHDRAWAL = [_answered(_WITHDRAWAL)]
WITHDRAWALS = [_page(_WITHDRAWAL)]
SOURCES = [_page(_SOURCE)]
TOP_UP = [
    _asked({"card_id": _CARD, "amount_fen": 30000}),
    _answered({"id": _DEBIT, "amount_fen": 30000, "state": "prepared", "created_at": _AT}, 201),
]
TOP_UP_SHOWN = [_answered(_TOP_UP)]
TOP_UPS = [_page(_TOP_UP)]
PAYMENT_SOURCE = [_answered(_CHOSEN)]
CHOOSE_SOURCE = [_asked({"card_id": _CARD, "version": 2}), _answered(_CHOSEN)]
