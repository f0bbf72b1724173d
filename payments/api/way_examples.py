"""Worked examples of payments followed to the bank, and of settlements explained."""

from drf_spectacular.utils import OpenApiExample

_ID = "018f2f6e-0000-7000-8000-000000000021"
_PAYOUT = "018f2f6e-0000-7000-8000-000000000031"


def _answered(value: object) -> OpenApiExample:
    return OpenApiExample("Answer", value=value, response_only=True, status_codes=["200"])


def _stage(stage: str, at: str, reference: str | None = None) -> dict[str, str | None]:
    return {"stage": stage, "state": "done", "at": at, "reference": reference}


WAY = [
    _answered(
        {
            "payment_id": _ID,
            "state": "captured",
            "stages": [
                _stage("ordered", "2026-11-20T02:00:00Z"),
                _stage("paid", "2026-11-20T02:00:00Z", "48213"),
                _stage("settled", "2026-11-20T15:05:00Z", "S-20261120"),
                _stage("paid_out", "2026-11-20T15:20:00Z", _PAYOUT),
                _stage("acknowledged", "2026-11-20T15:20:03Z", "SB1-20261120-000417"),
            ],
        }
    )
]
SETTLEMENTS = [
    _answered(
        {
            "items": [
                {
                    "id": 311,
                    "business_date": "2026-11-20",
                    "gross_fen": 861040,
                    "refunded_fen": 3580,
                    "fee_fen": 0,
                    "carried_fen": 0,
                    "net_fen": 857460,
                    "window_state": "acked",
                    "payout_id": _PAYOUT,
                    "payout_state": "booked",
                    "bank_reference": "SB1-20261120-000417",
                }
            ],
            "next": None,
        }
    )
]
SETTLED_PAYMENTS = [
    _answered(
        {
            "items": [
                {
                    "id": 90211,
                    "at": "2026-11-20T02:00:00Z",
                    "kind": "payment",
                    "payment_id": _ID,
                    "merchant_reference": "T1-20261120-0042",
                    "amount_fen": 3580,
                }
            ],
            "next": None,
        }
    )
]
