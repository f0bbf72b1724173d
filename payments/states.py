"""The edge tables of Cloud Pay, from orders and charges to proposals and cases of risk."""

from vpass.common.states import EdgeTable

ORDER = EdgeTable(
    name="order",
    initial="created",
    edges={
        "created": {
            "confirming": "ask_holder",
            "authorised": "authorise",
            "captured": "capture_at_once",
            "failed": "refuse",
            "cancelled": "cancel",
            "expired": "expire",
        },
        "confirming": {
            "authorised": "authorise",
            "captured": "confirm",
            "failed": "refuse",
            "cancelled": "cancel",
            "expired": "expire",
        },
        "authorised": {"capturing": "begin_capture", "cancelled": "void", "expired": "expire"},
        "capturing": {"captured": "capture", "unknown": "lose_answer", "failed": "refuse"},
        "captured": {"part_refunded": "refund_part", "refunded": "refund"},
        "part_refunded": {"part_refunded": "refund_part", "refunded": "refund"},
        "unknown": {"resolved": "resolve", "reversed": "reverse"},
        "resolved": {"part_refunded": "refund_part", "refunded": "refund"},
        "refunded": {},
        "reversed": {},
        "failed": {},
        "cancelled": {},
        "expired": {},
    },
    final={"refunded", "reversed", "failed", "cancelled", "expired"},
)

CHARGE = EdgeTable(
    name="charge",
    initial="due",
    edges={"due": {"paid": "collect", "cancelled": "cancel"}, "paid": {}, "cancelled": {}},
    final={"paid", "cancelled"},
)

BILL = EdgeTable(
    name="bill",
    initial="unpaid",
    edges={
        "unpaid": {"part_paid": "pay_part", "paid": "pay", "cancelled": "cancel"},
        "part_paid": {"part_paid": "move", "paid": "pay", "unpaid": "give_back"},
        "paid": {"part_paid": "owe_again", "unpaid": "give_back"},
        "cancelled": {},
    },
    final={"cancelled"},
)

# How what a bank was asked to do stands with us (docs/bank-protocol.md section 8).
_AT_BANK: dict[str, dict[str, str]] = {
    "prepared": {
        "accepted": "bank_accepts",
        "booked": "bank_books",
        "rejected": "bank_rejects",
        "unknown": "lose_answer",
    },
    "unknown": {
        "accepted": "bank_accepts",
        "booked": "bank_books",
        "rejected": "bank_rejects",
        "never_arrived": "bank_never_had_it",
    },
    "accepted": {"booked": "bank_books", "rejected": "bank_rejects"},
    "booked": {},
    "rejected": {},
    "never_arrived": {},
}
_ENDED_AT_BANK = {"booked", "rejected", "never_arrived"}

PAYOUT = EdgeTable(name="payout", initial="prepared", edges=_AT_BANK, final=_ENDED_AT_BANK)

DEBIT = EdgeTable(name="debit", initial="prepared", edges=_AT_BANK, final=_ENDED_AT_BANK)

WINDOW = EdgeTable(
    name="window",
    initial="open",
    edges={
        "open": {"closing": "close"},
        "closing": {"netted": "net"},
        "netted": {"approved": "approve"},
        "approved": {"filed": "file"},
        "filed": {"sent": "send"},
        "sent": {"acked": "acknowledge", "part_rejected": "reject_lines", "exception": "raise"},
        "acked": {"reconciled": "reconcile", "exception": "raise"},
        "part_rejected": {"reconciled": "reconcile", "exception": "raise"},
        "exception": {"reconciled": "settle_by_hand"},
        "reconciled": {},
    },
    final={"reconciled"},
)

HOLD = EdgeTable(
    name="hold",
    initial="open",
    edges={
        "open": {"captured": "capture", "voided": "void", "expired": "expire"},
        "captured": {},
        "voided": {},
        "expired": {},
    },
    final={"captured", "voided", "expired"},
)

# Who has been let into an unmanned shop.
VISIT = EdgeTable(
    name="visit",
    initial="inside",
    edges={
        "inside": {"paid": "leave_with_goods", "left": "leave_with_nothing", "expired": "expire"},
        "paid": {},
        "left": {},
        "expired": {},
    },
    final={"paid", "left", "expired"},
)

PROPOSAL = EdgeTable(
    name="proposal",
    initial="proposed",
    edges={
        "proposed": {"approved": "approve", "rejected": "reject", "expired": "expire"},
        "approved": {},
        "rejected": {},
        "expired": {},
    },
    final={"approved", "rejected", "expired"},
)

REFUND_REQUEST = EdgeTable(
    name="refund_request",
    initial="asked",
    edges={
        "asked": {"approved": "approve", "rejected": "reject", "expired": "expire"},
        "approved": {},
        "rejected": {},
        "expired": {},
    },
    final={"approved", "rejected", "expired"},
)

MERCHANT = EdgeTable(
    name="merchant",
    initial="active",
    edges={"active": {"suspended": "suspend"}, "suspended": {"active": "lift"}},
    final=set(),
)

SHOP_DOOR = EdgeTable(
    name="shop_door",
    initial="open",
    edges={"open": {"closed": "close"}, "closed": {"open": "open_again"}},
    final=set(),
)

RISK_CASE = EdgeTable(
    name="risk_case",
    initial="open",
    edges={"open": {"cleared": "clear", "upheld": "uphold"}, "cleared": {}, "upheld": {}},
    final={"cleared", "upheld"},
)
