"""The edge tables of the IoT city."""

from vpass.common.states import EdgeTable

PARKING_SESSION = EdgeTable(
    name="parking_session",
    initial="open",
    edges={
        "open": {"ended": "leave"},
        "ended": {
            # A late word moved the claim, and its session with it, on to a car that is still there.
            "open": "reopen",
            # From here on what was parked and what it costs stand for good.
            "no_fee": "settle_free",
            "unclaimed": "settle_unclaimed",
            "paid": "settle_paid",
            "due": "settle_due",
        },
        "unclaimed": {"paid": "claim_paid", "due": "claim_due", "lapsed": "lapse"},
        "due": {"paid": "pay", "waived": "waive"},
        "no_fee": {},
        "paid": {},
        "lapsed": {},
        "waived": {},
    },
    final={"no_fee", "paid", "lapsed", "waived"},
)
