"""Reads what the paths of money need, each answer in one statement, with the locks it needs.

Beside `payments.ledger` and `payments.proof`, only this module names the tables of postings.
"""

import uuid
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from django.db import connection
from django.db.models import OuterRef, QuerySet, Subquery

from identity.queries import Look
from payments import facts
from payments.facts import FACTS, MERCHANT_STATE, PAYER_STATE, Facts
from payments.models import Account, Order, Refund, Transaction
from payments.models import AccountLine as AccountLine  # what `postings_of` gives
from vpass.common import prepared

# What the payer's wallet `ra` has to spend, where several sources `s` pay together.
AVAILABLE = """CASE WHEN cardinality(s.kinds) > 1 THEN (
        SELECT sum(b.posted_fen - b.held_fen - COALESCE(b.floor_fen, 0))::bigint
        FROM payments_balance b WHERE b.account_id = ra.id) END"""

# Shared locks: whoever suspends one of them waits for the payment, or the payment sees it.
_LOCK_PARTIES = f"""
SELECT m.id, {MERCHANT_STATE}, {PAYER_STATE}, ma.id, ra.id, s.card_id, COALESCE(s.kinds, '{{}}'),
    {AVAILABLE}
FROM payments_merchant m
    JOIN identity_resident r ON r.id = %(payer)s
    LEFT JOIN payments_account ma ON ma.kind = 'merchant' AND ma.currency = 'CNY'
        AND ma.owner = m.organisation_id::text
    LEFT JOIN payments_account ra ON ra.kind = 'resident' AND ra.currency = 'CNY'
        AND ra.owner = r.id::text
    LEFT JOIN payments_paymentsource s ON s.resident_id = r.id
WHERE m.organisation_id = %(organisation)s
FOR SHARE OF m, r
"""  # noqa: S608  our own text

# The same for a resident alone.
_LOCK_RESIDENT = f"SELECT {PAYER_STATE} FROM identity_resident r WHERE id = %s FOR SHARE"  # noqa: S608

# What is known of the payer, together with the parties or alone. Here a till calls: it was let in
# because its organisation is open.
_LOCK_AND_LOOK = _LOCK_PARTIES.replace(MERCHANT_STATE, "m.state").replace(
    "\nFROM payments_merchant m", f",\n{FACTS}\nFROM payments_merchant m"
)
# The same again as JSON, of the holder of a grant whose code is used.
_LOOK_AT_PARTIES = (
    "("
    + _LOCK_AND_LOOK.replace("SELECT m.id", "SELECT json_build_array(m.id", 1)
    .replace("\nFROM payments_merchant m", ")\nFROM payments_merchant m", 1)
    .replace("%(payer)s", "identity_grant.resident_id")
    .replace("%(", "%(look_")
    + ")"
)
_LOOK = f"""
SELECT {FACTS} FROM payments_merchant m, identity_resident r
WHERE m.id = %(merchant)s AND r.id = %(payer)s
"""  # noqa: S608  our own text

_LOCK_ORDER = f"""
SELECT o.*, {MERCHANT_STATE} AS merchant_state, {PAYER_STATE} AS payer_state,
    m.organisation_id AS organisation_id, ma.id AS merchant_account, ra.id AS payer_account,
    s.card_id AS card_id, COALESCE(s.kinds, '{{}}') AS kinds, {AVAILABLE} AS available_fen,
    (SELECT d.amount_fen FROM payments_debit d WHERE d.order_id = o.id) AS by_card_fen,
    m.refund_alone_fen AS refund_alone_fen
FROM payments_order o
    JOIN payments_merchant m ON m.id = o.merchant_id
    JOIN identity_resident r ON r.id = o.payer_id
    LEFT JOIN payments_account ma ON ma.kind = 'merchant' AND ma.currency = 'CNY'
        AND ma.owner = m.organisation_id::text
    LEFT JOIN payments_account ra ON ra.kind = 'resident' AND ra.currency = 'CNY'
        AND ra.owner = r.id::text
    LEFT JOIN payments_paymentsource s ON s.resident_id = r.id
WHERE o.id = %(order)s
FOR UPDATE OF o FOR SHARE OF m, r
"""  # noqa: S608  our own text

# One statement. `moved`: what the window's postings did to merchants' accounts, payouts left out.
# `before`: what earlier windows have left: everything their lines are made of, less what was paid,
# is on its way or waits for approval. It is negative after more refunds than payments, and positive
# after a payout that failed or could not be covered.
_WRITE_LINES = """
WITH moved AS (
    SELECT side.account_id,
        sum(side.gross) AS gross, sum(side.refunded) AS refunded, sum(side.fee) AS fee
    FROM (
        SELECT p.credit_id AS account_id, p.amount_fen AS gross, 0 AS refunded, 0 AS fee
        FROM payments_transaction t JOIN payments_posting p ON p.transaction_id = t.id
        WHERE t.window_id = %(window)s AND t.kind <> 'payout'
        UNION ALL
        SELECT p.debit_id, 0,
            CASE WHEN c.kind = 'fee' THEN 0 ELSE p.amount_fen END,
            CASE WHEN c.kind = 'fee' THEN p.amount_fen ELSE 0 END
        FROM payments_transaction t JOIN payments_posting p ON p.transaction_id = t.id
            JOIN payments_account c ON c.id = p.credit_id
        WHERE t.window_id = %(window)s AND t.kind <> 'payout'
    ) side
    GROUP BY side.account_id
), of_merchant AS (
    SELECT m.id AS merchant_id, v.gross, v.refunded, v.fee
    FROM moved v JOIN payments_account a ON a.id = v.account_id AND a.kind = 'merchant'
        JOIN payments_merchant m ON m.organisation_id::text = a.owner
), before AS (
    SELECT l.merchant_id,
        sum(l.gross_fen - l.refunded_fen - l.fee_fen) - COALESCE(sum(l.net_fen) FILTER (
            WHERE l.net_fen > 0 AND CASE
                WHEN o.id IS NULL THEN w.state IN ('netted', 'approved')
                ELSE o.state NOT IN ('rejected', 'never_arrived') END), 0) AS carried
    FROM payments_settlementline l JOIN payments_window w ON w.id = l.window_id
        LEFT JOIN payments_payout o ON o.id = l.payout_id
    WHERE l.window_id < %(window)s
    GROUP BY l.merchant_id
)
INSERT INTO payments_settlementline
    (window_id, merchant_id, gross_fen, refunded_fen, fee_fen, carried_fen, net_fen)
SELECT %(window)s, merchant_id, COALESCE(gross, 0), COALESCE(refunded, 0), COALESCE(fee, 0),
    COALESCE(carried, 0),
    COALESCE(gross, 0) - COALESCE(refunded, 0) - COALESCE(fee, 0) + COALESCE(carried, 0)
FROM of_merchant FULL JOIN before USING (merchant_id)
WHERE gross IS NOT NULL OR carried <> 0
"""

# The same sums from the other side: orders paid and refunds made in the window.
_COUNT_UNEQUAL = """
SELECT count(*) FROM (
    SELECT o.merchant_id, sum(t.paid) AS paid, sum(t.refunded) AS refunded FROM (
        SELECT t.order_id, o.captured_fen AS paid, 0 AS refunded
        FROM payments_transaction t JOIN payments_order o ON o.id = t.order_id
        WHERE t.window_id = %(window)s AND t.kind = 'payment'
        UNION ALL
        SELECT t.order_id, 0, r.amount_fen
        FROM payments_transaction t JOIN payments_refund r
            ON r.order_id = t.order_id AND r.id::text = t.key
        WHERE t.window_id = %(window)s AND t.kind = 'refund'
    ) t JOIN payments_order o ON o.id = t.order_id
    GROUP BY o.merchant_id
) told FULL JOIN (
    SELECT merchant_id, gross_fen, refunded_fen FROM payments_settlementline
    WHERE window_id = %(window)s
) line USING (merchant_id)
WHERE COALESCE(told.paid, 0) <> COALESCE(line.gross_fen, 0)
    OR COALESCE(told.refunded, 0) <> COALESCE(line.refunded_fen, 0)
"""

# Whoever charges a payer or collects from one waits for the other; the number is this lock's own.
_LOCK_CHARGES = "SELECT pg_advisory_xact_lock(22097, hashtext(%s))"

# Whoever owes something that could be paid now: both parties active, and the money there.
_PAYERS_TO_COLLECT_FROM = f"""
SELECT DISTINCT c.payer_id
FROM payments_charge c
    JOIN payments_merchant m ON m.id = c.merchant_id AND {MERCHANT_STATE} = 'active'
    JOIN identity_resident r ON r.id = c.payer_id AND {PAYER_STATE} = 'active'
    JOIN payments_account a ON a.kind = 'resident' AND a.currency = 'CNY' AND a.owner = r.id::text
WHERE c.state = 'due' AND c.amount_fen <= (
    SELECT sum(b.posted_fen - b.held_fen - COALESCE(b.floor_fen, 0))
    FROM payments_balance b WHERE b.account_id = a.id)
LIMIT %s
"""  # noqa: S608  our own text


@dataclass(frozen=True)
class Parties:
    """Who pays whom, with their states and ledger accounts (None: never had money).

    `card_id` is the bank card the payer has chosen to pay with, if any, and `kinds` the order of
    several sources; `available_fen` is what the wallet has, told only where there are several.
    """

    merchant_id: uuid.UUID
    merchant_state: str
    payer_state: str
    merchant_account: int | None
    payer_account: int | None
    card_id: uuid.UUID | None
    kinds: list[str]
    available_fen: int | None


@dataclass(frozen=True)
class LockedOrder:
    """An order that nobody else changes before we commit, and its parties.

    `by_card_fen` is what a bank was asked to pay of it, None without one; `refund_alone_fen` how
    much of it one till may give back alone, None for all.
    """

    order: Order
    organisation_id: uuid.UUID
    parties: Parties
    by_card_fen: int | None
    refund_alone_fen: int | None


def lock_parties(*, organisation_id: uuid.UUID, payer_id: uuid.UUID) -> Parties | None:
    """Return payee and payer, neither of whom can be suspended before we commit; None when the
    organisation is no merchant."""
    with connection.cursor() as cursor:
        cursor.execute(_LOCK_PARTIES, {"organisation": organisation_id, "payer": payer_id})
        row = cursor.fetchone()
    return None if row is None else Parties(*row)


def lock_and_look(
    *, organisation_id: uuid.UUID, payer_id: uuid.UUID, amount_fen: int, at: datetime
) -> tuple[Parties, Facts] | None:
    """The same with what is known of the payer, in the same statement."""
    values = {"organisation": organisation_id, "payer": payer_id}
    values |= facts.values_at(at, amount_fen=amount_fen)
    with connection.cursor() as cursor:
        prepared.execute(cursor, "lock_and_look", _LOCK_AND_LOOK, values)
        row = cursor.fetchone()
    return None if row is None else (Parties(*row[:-1]), facts.read(row[-1]))


def look_at_parties(*, organisation_id: uuid.UUID, amount_fen: int, at: datetime) -> Look:
    """The same in the statement that finds the grant of a code; for `read_parties`."""
    values = {"organisation": organisation_id, **facts.values_at(at, amount_fen=amount_fen)}
    return Look(_LOOK_AT_PARTIES, {f"look_{name}": value for name, value in values.items()})


def read_parties(looked: list[Any] | None) -> tuple[Parties, Facts] | None:
    """Read what `look_at_parties` has found; None when the organisation is no merchant."""
    if looked is None:
        return None
    merchant_id, *of_both, card_id, kinds, available_fen, known = looked
    merchant_state, payer_state, payee, payer = of_both
    parties = Parties(
        merchant_id=uuid.UUID(merchant_id),
        merchant_state=merchant_state,
        payer_state=payer_state,
        merchant_account=payee,
        payer_account=payer,
        card_id=None if card_id is None else uuid.UUID(card_id),
        kinds=kinds,
        available_fen=available_fen,
    )
    return parties, facts.read(known)


def look(order: Order, *, at: datetime) -> Facts:
    """What is known of an order's payer, this order left out."""
    values = {"merchant": order.merchant_id, "payer": order.payer_id}
    with connection.cursor() as cursor:
        known = facts.values_at(at, amount_fen=order.amount_fen, this=order.id)
        cursor.execute(_LOOK, values | known)
        return facts.read(cursor.fetchone()[0])


def lock_resident(resident_id: uuid.UUID) -> str:
    """Return the state of a resident, who cannot be suspended before we commit; "pay_suspended"
    when only paying is."""
    with connection.cursor() as cursor:
        cursor.execute(_LOCK_RESIDENT, [resident_id])
        return str(cursor.fetchone()[0])


def lock_order(order_id: uuid.UUID) -> LockedOrder | None:
    """Return an order with its parties, all locked as a change of the order needs them."""
    found = list(Order.objects.raw(_LOCK_ORDER, {"order": order_id}))
    if not found:
        return None
    row = vars(found[0])
    parties = Parties(
        merchant_id=found[0].merchant_id,
        merchant_state=row["merchant_state"],
        payer_state=row["payer_state"],
        merchant_account=row["merchant_account"],
        payer_account=row["payer_account"],
        card_id=row["card_id"],
        kinds=row["kinds"],
        available_fen=row["available_fen"],
    )
    return LockedOrder(
        order=found[0],
        organisation_id=row["organisation_id"],
        parties=parties,
        by_card_fen=row["by_card_fen"],
        refund_alone_fen=row["refund_alone_fen"],
    )


def lock_charges(payer_id: uuid.UUID) -> None:
    """Let nobody else charge this payer, or collect from them, before we commit."""
    with connection.cursor() as cursor:
        cursor.execute(_LOCK_CHARGES, [str(payer_id)])


def payers_to_collect_from(*, limit: int) -> list[uuid.UUID]:
    """Return residents who owe a charge that could be paid now."""
    with connection.cursor() as cursor:
        cursor.execute(_PAYERS_TO_COLLECT_FROM, [limit])
        return [row[0] for row in cursor.fetchall()]


def refund_of(*, order_id: uuid.UUID, reference: str) -> Refund | None:
    """Return the refund that a merchant has given this reference."""
    return Refund.objects.filter(order_id=order_id, reference=reference).first()


def account_of(*, kind: str, owner: str) -> int | None:
    """Return the id of an owner's ledger account, or None while there is none."""
    return Account.objects.filter(kind=kind, owner=owner).values_list("id", flat=True).first()


def postings_of(account: int | None, *, business_date: date | None = None) -> QuerySet[AccountLine]:
    """Return an account's postings, to be ordered by `-id`, each with `signed_fen` (in +, out -).

    Those of an order have its title, its merchant's names and its reference as well.
    """
    if account is None:
        return AccountLine.objects.none()
    orders = Order.objects.filter(id=OuterRef("transaction__order_id"))
    found = (
        AccountLine.objects.filter(account_id=account)
        .select_related("transaction")
        .annotate(
            title=Subquery(orders.values("title")[:1]),
            merchant_reference=Subquery(orders.values("merchant_reference")[:1]),
            cashier=Subquery(orders.values("cashier")[:1]),
            merchant_zh=Subquery(orders.values("merchant__organisation__name_zh")[:1]),
            merchant_en=Subquery(orders.values("merchant__organisation__name_en")[:1]),
        )
    )
    if business_date is not None:
        found = found.filter(transaction__business_date=business_date)
    return found


def payment_posted(order_id: uuid.UUID) -> Transaction:
    """Return the transaction of a payment that was paid."""
    return Transaction.objects.get(order_id=order_id, kind="payment")


def write_settlement_lines(window_id: int) -> None:
    """Write what each merchant gets of a closed window, to the fen: a line each."""
    with connection.cursor() as cursor:
        cursor.execute(_WRITE_LINES, {"window": window_id})


def count_unequal_lines(window_id: int) -> int:
    """Return of how many merchants the window's line and its orders and refunds tell otherwise."""
    with connection.cursor() as cursor:
        cursor.execute(_COUNT_UNEQUAL, {"window": window_id})
        return int(cursor.fetchone()[0])
