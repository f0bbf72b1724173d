"""Every kind of damage that the judges of the kills must see: rule, name, and the owner's SQL."""

from typing import Any

# What stands in the way of damage: triggers of these tables, and these constraints.
TABLES = (
    "payments_account",
    "payments_balance",
    "payments_transaction",
    "payments_posting",
    "payments_hold",
    "payments_order",
    "payments_orderchange",
    "payments_refund",
    "payments_creditnotice",
    "payments_payout",
    "payments_payoutchange",
    "payments_debit",
    "payments_debitchange",
    "payments_window",
    "payments_windowchange",
    "payments_settlementline",
    "identity_accessline",
    "identity_redemption",
    "iot_event",
)
CONSTRAINTS = {
    "payments_posting": ["posting_amount", "posting_two_sides", "posting_once"],
    "payments_balance": ["balance_floor", "balance_held"],
    "payments_transaction": ["transaction_once"],
    "payments_order": ["order_refunded", "order_reference_once"],
    "payments_refund": ["refund_once"],
    "payments_creditnotice": ["credit_notice_once"],
    "payments_settlementline": ["settlement_line_adds_up", "settlement_line_once"],
    "common_outbox": ["common_outbox_once"],
    "identity_redemption": ["identity_redemption_pkey"],
}

# One of a single leg: a payment by bank card has two.
_PAYMENT = (
    "(SELECT min(t.id) FROM payments_transaction t WHERE t.kind = 'payment' AND NOT EXISTS"
    " (SELECT FROM payments_posting p WHERE p.transaction_id = t.id AND p.seq > 1))"
)
_PAID_ORDER = f"(SELECT order_id FROM payments_transaction WHERE id = {_PAYMENT})"
_REFUND = "(SELECT min(id::text)::uuid FROM payments_refund)"
_BOOKED = "(SELECT min(id::text)::uuid FROM payments_payout WHERE state = 'booked')"
_DEBITED = "(SELECT min(id::text)::uuid FROM payments_debit WHERE state = 'booked')"
_LINE = "(SELECT min(id) FROM payments_settlementline WHERE payout_id IS NOT NULL)"
_CLOSED = "(SELECT min(id) FROM payments_window WHERE state = 'acked' OR state = 'part_rejected')"
# Stands for a window whose approval this run's clients were told of.
APPROVED = "/* the approved window */"
_SOMEBODY = (
    "(SELECT min(b.id) FROM payments_balance b JOIN payments_account a ON a.id = b.account_id"
    " WHERE a.kind = 'resident')"
)
_NO_ID = "'00000000-0000-4000-8000-000000000000'"


def copy(table: str, where: str, **changes: str) -> str:
    """The statement that writes a row a second time, with changes, under a new id."""
    new = {"id": "gen_random_uuid()", **changes}
    members = ", ".join(f"'{name}', {value}" for name, value in new.items())
    return (
        f"INSERT INTO {table} OVERRIDING SYSTEM VALUE SELECT (jsonb_populate_record(t,"
        f" jsonb_build_object({members}))).* FROM {table} t WHERE {where}"
    )


def copy_numbered(table: str, where: str, **changes: str) -> str:
    return copy(table, where, id=f"(SELECT max(id) + 1 FROM {table})", **changes)


def book(state: str) -> str:
    """The statement that writes somebody's booking of a slot, and gives it no seat."""
    return (
        "INSERT INTO services_booking (id, resident_id, service_id, slot_id, day, state,"
        " held_until, created_at) SELECT gen_random_uuid(), r.id, s.service_id, s.id, s.day,"
        f" '{state}', s.starts_at, s.starts_at FROM services_slot s, identity_resident r"
        " WHERE NOT EXISTS (SELECT FROM services_booking b WHERE b.resident_id = r.id) LIMIT 1"
    )


DAMAGE: list[tuple[str, str, str]] = [
    (
        "I1",
        "a currency changed",
        "UPDATE payments_account SET currency = 'USD' WHERE kind = 'bank'",
    ),
    ("I1", "a posting gone", f"DELETE FROM payments_posting WHERE transaction_id = {_PAYMENT}"),
    (
        "I1",
        "a transaction gone",
        f"DELETE FROM payments_transaction WHERE id = {_PAYMENT}",
    ),
    (
        "I1",
        "a posting of nothing",
        f"UPDATE payments_posting SET amount_fen = 0 WHERE transaction_id = {_PAYMENT}",
    ),
    (
        "I1",
        "a posting from an account to itself",
        f"UPDATE payments_posting SET debit_id = credit_id WHERE transaction_id = {_PAYMENT}",
    ),
    (
        "I1",
        "a gap in the legs",
        f"UPDATE payments_posting SET seq = 2 WHERE transaction_id = {_PAYMENT}",
    ),
    (
        "I1",
        "balances that do not sum to nothing",
        f"UPDATE payments_balance SET posted_fen = posted_fen + 1 WHERE id = {_SOMEBODY}",
    ),
    (
        "I2",
        "a fen more on a balance",
        f"UPDATE payments_balance SET posted_fen = posted_fen + 1 WHERE id = {_SOMEBODY}",
    ),
    (
        "I2",
        "a fen more held",
        f"UPDATE payments_balance SET held_fen = held_fen + 1 WHERE id = {_SOMEBODY}",
    ),
    ("I2", "a balance gone", f"DELETE FROM payments_balance WHERE id = {_SOMEBODY}"),
    (
        "I2",
        "a hold opened again",
        f"UPDATE payments_hold SET state = 'open' WHERE id = {_BOOKED}",
    ),
    (
        "I3",
        "more held than there is",
        f"UPDATE payments_balance SET held_fen = posted_fen + 1 WHERE id = {_SOMEBODY}",
    ),
    (
        "I3",
        "below nothing without a floor",
        f"UPDATE payments_balance SET posted_fen = -1, floor_fen = NULL WHERE id = {_SOMEBODY}",
    ),
    (
        "I3",
        "less than nothing held",
        f"UPDATE payments_balance SET held_fen = -1 WHERE id = {_SOMEBODY}",
    ),
    (
        "I4",
        "a paid order forgotten",
        f"DELETE FROM payments_order WHERE id = {_PAID_ORDER}",
    ),
    (
        "I4",
        "a payment of another amount",
        "UPDATE payments_posting SET amount_fen = amount_fen + 1"
        f" WHERE transaction_id = {_PAYMENT}",
    ),
    (
        "I4",
        "a payment to another merchant",
        "UPDATE payments_posting SET credit_id = (SELECT id FROM payments_account a"
        " WHERE a.kind = 'merchant' AND a.id <> credit_id LIMIT 1)"
        f" WHERE transaction_id = {_PAYMENT}",
    ),
    (
        "I4",
        "a captured order that is said to have failed",
        f"UPDATE payments_order SET state = 'failed' WHERE id = {_PAID_ORDER}",
    ),
    ("I4", "a refund forgotten", f"DELETE FROM payments_refund WHERE id = {_REFUND}"),
    (
        "I4",
        "a withdrawal forgotten",
        "DELETE FROM payments_payout WHERE id = (SELECT min(id::text)::uuid FROM payments_payout"
        " WHERE purpose = 'withdrawal')",
    ),
    (
        "I4",
        "an approved settlement that is not",
        f"UPDATE payments_window SET state = 'netted' WHERE id = {APPROVED}",
    ),
    (
        "I5",
        "a key with two transactions",
        copy_numbered("payments_transaction", f"id = {_PAYMENT}"),
    ),
    (
        "I5",
        "an order paid twice",
        copy_numbered("payments_transaction", f"id = {_PAYMENT}", key="'again'"),
    ),
    ("I5", "a reference with two orders", copy("payments_order", f"id = {_PAID_ORDER}")),
    ("I5", "a refund made twice", copy("payments_refund", f"id = {_REFUND}")),
    (
        "I5",
        "a payout posted twice",
        copy_numbered(
            "payments_transaction",
            "id = (SELECT min(id) FROM payments_transaction WHERE kind = 'payout')",
            caller="'another'",
        ),
    ),
    (
        "I5",
        "a bank reference of two payouts",
        "UPDATE payments_payout SET bank_reference = 'SAME' WHERE state = 'booked'",
    ),
    (
        "I5",
        "a bank reference of a payout and a debit",
        "UPDATE payments_debit SET bank_reference = (SELECT bank_reference FROM payments_payout"
        f" WHERE id = {_BOOKED}) WHERE id = {_DEBITED}",
    ),
    (
        "I5",
        "a notice taken twice",
        copy(
            "payments_creditnotice", "id = (SELECT min(id::text)::uuid FROM payments_creditnotice)"
        ),
    ),
    (
        "I6",
        "more refunded than captured",
        "UPDATE payments_order SET refunded_fen = captured_fen + 1 WHERE id ="
        f" (SELECT order_id FROM payments_refund WHERE id = {_REFUND})",
    ),
    (
        "I6",
        "a refund without money",
        copy("payments_refund", f"id = {_REFUND}", reference="'again'"),
    ),
    (
        "I6",
        "more captured than asked",
        f"UPDATE payments_order SET captured_fen = amount_fen + 1 WHERE id = {_PAID_ORDER}",
    ),
    (
        "I6",
        "a refund's money without a refund",
        f"DELETE FROM payments_refund WHERE id = {_REFUND}",
    ),
    (
        "I7",
        "an event gone",
        "DELETE FROM common_outbox WHERE name = 'payments.payout_prepared'"
        f" AND payload ->> 'payout' = {_BOOKED}::text",
    ),
    (
        "I7",
        "an event of a window gone",
        f"DELETE FROM common_outbox WHERE payload ->> 'window' = {_CLOSED}::text",
    ),
    (
        "I7",
        "a dead letter",
        "UPDATE common_outbox SET state = 'dead' WHERE id = (SELECT min(id) FROM common_outbox)",
    ),
    (
        "I7",
        "an event still waiting",
        "UPDATE common_outbox SET state = 'pending', due_at = 'infinity'"
        " WHERE id = (SELECT min(id) FROM common_outbox)",
    ),
    (
        "I7",
        "an event written twice",
        copy_numbered("common_outbox", "id = (SELECT min(id) FROM common_outbox)"),
    ),
    (
        "I7",
        "an outcome applied twice",
        copy_numbered(
            "payments_payoutchange",
            "id = (SELECT min(id) FROM payments_payoutchange WHERE to_state = 'booked')",
        ),
    ),
    (
        "I7",
        "a window netted twice",
        copy_numbered(
            "payments_windowchange",
            "id = (SELECT min(id) FROM payments_windowchange WHERE to_state = 'netted')",
        ),
    ),
    (
        "I7",
        "a merchant with two lines",
        copy_numbered("payments_settlementline", f"id = {_LINE}", payout_id="NULL::uuid"),
    ),
    (
        "I7",
        "a payout still unknown",
        f"UPDATE payments_payout SET state = 'unknown' WHERE id = {_BOOKED}",
    ),
    (
        "I7",
        "a debit's event gone",
        "DELETE FROM common_outbox WHERE name = 'payments.debit_prepared'"
        f" AND payload ->> 'debit' = {_DEBITED}::text",
    ),
    (
        "I7",
        "a debit booked twice",
        copy_numbered(
            "payments_debitchange",
            "id = (SELECT min(id) FROM payments_debitchange WHERE to_state = 'booked')",
        ),
    ),
    (
        "I7",
        "a debit still unknown",
        f"UPDATE payments_debit SET state = 'unknown' WHERE id = {_DEBITED}",
    ),
    (
        "I7",
        "an order still capturing",
        f"UPDATE payments_order SET state = 'capturing' WHERE id = {_PAID_ORDER}",
    ),
    (
        "I8",
        "a debit of a fen more",
        f"UPDATE payments_debit SET amount_fen = amount_fen + 1 WHERE id = {_DEBITED}",
    ),
    (
        "I8",
        "a debit booked that the bank does not know",
        "UPDATE payments_debit SET state = 'booked' WHERE id = (SELECT min(id::text)::uuid"
        " FROM payments_debit WHERE state = 'rejected')",
    ),
    (
        "I8",
        "a booked debit whose money did not come",
        "DELETE FROM payments_transaction WHERE id = (SELECT min(t.id) FROM payments_transaction t"
        " JOIN payments_debit d ON t.key = d.id::text OR t.order_id = d.order_id)",
    ),
    (
        "I8",
        "a line of a fen more",
        "UPDATE payments_settlementline SET net_fen = net_fen + 1, gross_fen = gross_fen + 1"
        f" WHERE id = {_LINE}",
    ),
    (
        "I8",
        "a line without its payout",
        f"UPDATE payments_settlementline SET payout_id = NULL WHERE id = {_LINE}",
    ),
    (
        "I8",
        "a line gone",
        f"DELETE FROM payments_settlementline WHERE id = {_LINE}",
    ),
    (
        "I8",
        "a payout of a fen more",
        f"UPDATE payments_payout SET amount_fen = amount_fen + 1 WHERE id = {_BOOKED}",
    ),
    (
        "I8",
        "a payout of another day",
        "UPDATE payments_payout SET business_date = business_date + 1 WHERE id ="
        f" (SELECT payout_id FROM payments_settlementline WHERE id = {_LINE})",
    ),
    (
        "I8",
        "a booked payout without its posting",
        f"DELETE FROM payments_transaction WHERE kind = 'payout' AND key = {_BOOKED}::text",
    ),
    (
        "I8",
        "a payout booked that the bank does not know",
        "UPDATE payments_payout SET state = 'booked' WHERE id = (SELECT min(id::text)::uuid"
        " FROM payments_payout WHERE state = 'rejected')",
    ),
    (
        "I8",
        "money held for a payout that is over",
        f"UPDATE payments_hold SET state = 'voided' WHERE id = {_BOOKED}",
    ),
    (
        "I8",
        "a bank account that holds less",
        "UPDATE payments_balance SET posted_fen = posted_fen + 1 WHERE account_id ="
        " (SELECT id FROM payments_account WHERE kind = 'bank')",
    ),
    (
        "I9",
        "a step no table knows",
        "UPDATE payments_orderchange SET to_state = 'resolved' WHERE id ="
        " (SELECT min(id) FROM payments_orderchange)",
    ),
    (
        "I9",
        "a step by another event",
        "UPDATE payments_payoutchange SET event = 'bank_books' WHERE id ="
        " (SELECT min(id) FROM payments_payoutchange WHERE event = 'bank_accepts')",
    ),
    (
        "I9",
        "a step left out",
        "DELETE FROM payments_windowchange WHERE to_state = 'netted'",
    ),
    (
        "I9",
        "a debit's step by another event",
        "UPDATE payments_debitchange SET event = 'bank_rejects' WHERE id ="
        " (SELECT min(id) FROM payments_debitchange WHERE event = 'bank_books')",
    ),
    (
        "I9",
        "a beginning left out",
        "DELETE FROM payments_payoutchange WHERE event = 'prepare'",
    ),
    (
        "I9",
        "a state without a step",
        f"UPDATE payments_order SET state = 'refunded' WHERE id = {_PAID_ORDER}"
        " AND state <> 'refunded' OR id = (SELECT min(id::text)::uuid FROM payments_order"
        " WHERE state = 'captured')",
    ),
    (
        "I9",
        "a life without history",
        f"DELETE FROM payments_orderchange WHERE order_id = {_PAID_ORDER}",
    ),
    (
        "I10",
        "a code used twice",
        "INSERT INTO identity_redemption SELECT * FROM identity_redemption LIMIT 1",
    ),
    (
        "I10",
        "an acceptance without a code",
        # Of somebody of the load, who does nothing else with codes.
        "DELETE FROM identity_redemption WHERE jti = (SELECT r.jti FROM identity_redemption r"
        " JOIN identity_grant g ON g.handle = r.grant_id JOIN payments_order o"
        " ON o.payer_id = g.resident_id AND o.way = 'code' ORDER BY o.created_at DESC LIMIT 1)",
    ),
    (
        "I10",
        "an order without an acceptance",
        "DELETE FROM identity_accessline WHERE case_number = (SELECT merchant_reference"
        f" FROM payments_order WHERE id = {_PAID_ORDER})",
    ),
    (
        "I10",
        "an order without a code, a word or a charge",
        "UPDATE payments_order SET way = 'app' WHERE id = (SELECT o.id FROM payments_order o"
        " WHERE o.state = 'captured' AND o.way = 'code' AND NOT EXISTS ("
        "SELECT FROM payments_orderchange h WHERE h.order_id = o.id AND h.event = 'ask_holder')"
        " ORDER BY o.id LIMIT 1)",
    ),
    ("I12", "an appointment without a seat", book("booked")),
    (
        "I12",
        "a seat taken for a cancelled appointment",
        f"WITH made AS ({book('cancelled')} RETURNING id, slot_id)"
        " UPDATE services_seat s SET free_from = NULL, booking_id = made.id FROM made"
        " WHERE s.slot_id = made.slot_id AND s.n = (SELECT min(n) FROM services_seat"
        " WHERE slot_id = made.slot_id)",
    ),
    ("I13", "an event of an acknowledged push gone", "DELETE FROM iot_event"),
    ("I13", "an impossible event gone", "DELETE FROM iot_quarantined"),
    ("I13", "an unreadable push gone", "DELETE FROM iot_deadletter"),
    (
        "I13",
        "a push that nobody drains",
        "INSERT INTO iot_inbox (shard, source, received_at, body)"
        " SELECT 0, source, received_at, body FROM iot_deadletter LIMIT 1",
    ),
    (
        "I13",
        "an event counted twice",
        "UPDATE iot_twin SET version = version + 1 WHERE device_id ="
        " (SELECT min(device_id) FROM iot_event)",
    ),
]

# Of the access log, whose chain another program reads: what it says, the damage, and its undoing.
# `line` is a sealed line, kept in a table with one forged after it; `seal` the last of its shard.
SEALED = """
CREATE TEMP TABLE line AS SELECT l.* FROM identity_accessline l JOIN identity_accessseal s
    ON s.shard = get_byte(uuid_send(l.resident_id), 15) % 16
        AND l.id > s.after_id AND l.id < s.upto_id
    WHERE NOT EXISTS (SELECT FROM identity_dispute d WHERE d.line_id = l.id)
    ORDER BY l.id LIMIT 1;
CREATE TEMP TABLE seal AS SELECT s.* FROM identity_accessseal s, line l
    WHERE s.shard = get_byte(uuid_send(l.resident_id), 15) % 16 ORDER BY s.number DESC LIMIT 1;
CREATE TEMP TABLE forged AS TABLE line;
UPDATE forged SET id = encode(set_bit(uuid_send(id), 120, 1 - get_bit(uuid_send(id), 120)), 'hex')
    ::uuid;
SELECT pg_advisory_lock(hashtext('identity.access_chain'), shard) FROM seal;
"""
_THE_LINE = "WHERE id = (SELECT id FROM line)"
_PUT_BACK = "INSERT INTO identity_accessline TABLE line"
LOG_DAMAGE: list[tuple[str, str, str]] = [
    (
        "changed",
        f"UPDATE identity_accessline SET purpose = purpose || '!' {_THE_LINE}",
        f"UPDATE identity_accessline SET purpose = (SELECT purpose FROM line) {_THE_LINE}",
    ),
    ("removed", f"DELETE FROM identity_accessline {_THE_LINE}", _PUT_BACK),
    (
        "inserted",
        "INSERT INTO identity_accessline TABLE forged",
        "DELETE FROM identity_accessline WHERE id = (SELECT id FROM forged)",
    ),
    (
        "lost",
        "DELETE FROM identity_accessseal WHERE id = (SELECT id FROM seal)",
        "INSERT INTO identity_accessseal OVERRIDING SYSTEM VALUE TABLE seal",
    ),
]

FALSE_WORDS: list[tuple[str, dict[str, Any]]] = [
    ("I4", {"work": "payment", "id": _NO_ID, "amount_fen": 1, "state": "captured"}),
    ("I4", {"work": "confirmation", "id": _NO_ID, "amount_fen": 1, "state": "captured"}),
    ("I4", {"work": "refund", "id": _NO_ID, "of": _NO_ID, "amount_fen": 1}),
    ("I4", {"work": "withdrawal", "id": _NO_ID, "amount_fen": 1}),
    ("I4", {"work": "top_up", "id": _NO_ID, "amount_fen": 1}),
    ("I4", {"work": "top_up_by_card", "id": _NO_ID, "amount_fen": 1}),
    ("I4", {"work": "window.close", "id": "999999999"}),
    ("I4", {"work": "settlement.approve", "id": "999999999"}),
    ("I13", {"work": "push", "device": "of-nobody", "moment": "2026-01-01T00:00:00Z"}),
]
