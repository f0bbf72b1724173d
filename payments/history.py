"""Writes orders and charges, and each change of their state with its line of history, in one
statement."""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from django.db import connection

from identity.access_log import Deed
from payments import grades, states
from payments.grades import Spend
from payments.models import Charge, Order
from vpass.common import prepared
from vpass.common.ids import uuid7

# A new order, counted, with its lines of history; `_IF` says when.
_MADE = """counted AS (_COUNT), made AS (
    INSERT INTO payments_order (id, merchant_id, till_id, payer_id, amount_fen, title,
        merchant_reference, state, reason, captured_fen, refunded_fen, confirm_by, created_at,
        way, grade, counted_on, needs_pin, cashier, store_id)
    SELECT %(id)s, %(merchant_id)s, %(till_id)s, %(payer_id)s, %(amount_fen)s, %(title)s,
        %(merchant_reference)s, %(state)s, %(reason)s, %(captured_fen)s, 0, %(confirm_by)s,
        %(created_at)s, %(way)s, %(grade)s, %(counted_on)s, %(needs_pin)s, %(cashier)s,
        %(store_id)s
    WHERE _IF AND (NOT %(is_counted)s OR EXISTS (SELECT FROM counted))
    ON CONFLICT (merchant_id, merchant_reference) DO NOTHING RETURNING id
), change AS (
    INSERT INTO payments_orderchange (order_id, from_state, to_state, event, actor, at)
    SELECT made.id, step.from_state, step.to_state, step.event, %(actor)s, %(at)s
    FROM made, unnest(%(from_states)s::text[], %(to_states)s::text[], %(events)s::text[])
        WITH ORDINALITY AS step (from_state, to_state, event, number)
    ORDER BY step.number RETURNING 1
)""".replace("_COUNT", grades.COUNT)
_WRITE = "WITH _MADE SELECT (SELECT count(*) FROM made), (SELECT count(*) FROM counted)".replace(
    "_MADE", _MADE.replace("_IF", "true")
)
# The same as an access_log.Deed: what is not accepted is neither written nor counted.
_ACCEPTED = "(SELECT reason FROM verdict) IS NULL"
_DEED = ", " + (
    _MADE.replace("_IF", _ACCEPTED)
    .replace("WHERE %(is_counted)s", f"WHERE {_ACCEPTED} AND %(is_counted)s")
    .replace("%(", "%(deed_")
)

_CHANGE = """
WITH changed AS (
    UPDATE payments_order SET state = %(to_state)s, reason = %(reason)s,
        captured_fen = %(captured_fen)s, grade = %(grade)s, counted_on = %(counted_on)s
    WHERE id = %(id)s AND state = %(from_state)s RETURNING id
), line AS (
    INSERT INTO payments_orderchange (order_id, from_state, to_state, event, actor, at)
    SELECT id, %(from_state)s, %(to_state)s, %(event)s, %(actor)s, %(at)s FROM changed RETURNING 1
)
SELECT count(*) FROM changed
"""

# The sum is bounded where it is made, whatever was read before.
_REFUND = """
WITH changed AS (
    UPDATE payments_order SET state = %(to_state)s, refunded_fen = refunded_fen + %(amount_fen)s
    WHERE id = %(id)s AND state = %(from_state)s
        AND refunded_fen + %(amount_fen)s <= captured_fen
    RETURNING id
), line AS (
    INSERT INTO payments_orderchange (order_id, from_state, to_state, event, actor, at)
    SELECT id, %(from_state)s, %(to_state)s, %(event)s, %(actor)s, %(at)s FROM changed RETURNING 1
), refund AS (
    INSERT INTO payments_refund (id, order_id, reference, amount_fen, at)
    SELECT %(refund_id)s, id, %(reference)s, %(amount_fen)s, %(at)s FROM changed RETURNING 1
)
SELECT count(*) FROM changed
"""

_WRITE_CHARGE = """
WITH made AS (
    INSERT INTO payments_charge
        (id, merchant_id, payer_id, amount_fen, title, reference, state, created_at)
    VALUES (%(id)s, %(merchant_id)s, %(payer_id)s, %(amount_fen)s, %(title)s, %(reference)s,
        %(state)s, %(created_at)s)
    ON CONFLICT (merchant_id, reference) DO NOTHING RETURNING id
), line AS (
    INSERT INTO payments_chargechange (charge_id, from_state, to_state, event, actor, at)
    SELECT id, '', %(state)s, 'charge', %(actor)s, %(at)s FROM made RETURNING 1
)
SELECT count(*) FROM made
"""

_CHANGE_CHARGE = """
WITH changed AS (
    UPDATE payments_charge SET state = %(to_state)s, order_id = %(order_id)s
    WHERE id = %(id)s AND state = %(from_state)s RETURNING id
), line AS (
    INSERT INTO payments_chargechange (charge_id, from_state, to_state, event, actor, at)
    SELECT id, %(from_state)s, %(to_state)s, %(event)s, %(actor)s, %(at)s FROM changed RETURNING 1
)
SELECT count(*) FROM changed
"""


def write_order(order: Order, *, via: tuple[str, ...] = (), actor: str, at: datetime) -> bool:
    """Write a new order, which has left its initial state already, perhaps `via` others; False when
    the merchant has used its reference before, and nothing is written."""
    return _write_order(order, None, via=via, actor=actor, at=at) == "written"


def write_counted_order(
    order: Order, spend: Spend | None, *, via: tuple[str, ...] = (), actor: str, at: datetime
) -> Literal["written", "full", "taken"]:
    """The same, counted against the payer's limit of the day: "full" when that has no room, "taken"
    when the merchant's reference is; nothing is written or counted then."""
    return _write_order(order, spend, via=via, actor=actor, at=at)


@dataclass(frozen=True)
class Then:
    """What follows a new order in the statement that writes it: a query that reads its row `made`.

    `values` are its parameters, beside the columns of the order and `at`.
    """

    sql: str
    values: Mapping[str, Any]


def order_deed(
    order: Order,
    spend: Spend | None,
    *,
    via: tuple[str, ...] = (),
    then: Then | None = None,
    actor: str,
    at: datetime,
) -> Deed:
    """The same as a part of the statement that uses a code up, with what follows from it.

    It is undone when the day's limit has no room or the merchant's reference is taken.
    """
    then = then or Then("SELECT FROM made", {})
    sql = f"{_DEED}, deed AS ({then.sql.replace('%(', '%(deed_')})"
    values = {**_values_of(order, spend, via=via, actor=actor, at=at), **then.values}
    return Deed(sql=sql, values={f"deed_{name}": value for name, value in values.items()})


def change_order(
    order: Order,
    to_state: str,
    *,
    actor: str,
    at: datetime,
    reason: str | None = None,
    captured_fen: int = 0,
) -> None:
    """Move a locked order on; the row in hand is changed too.

    Raises states.IllegalTransition when the table has no such edge.
    """
    event = states.ORDER.event(order.state, to_state)
    changes = {
        "id": order.id,
        "from_state": order.state,
        "to_state": to_state,
        "event": event,
        "reason": reason,
        "captured_fen": captured_fen,
        "grade": order.grade,
        "counted_on": order.counted_on,
        "actor": actor,
        "at": at,
    }
    if not _write(_CHANGE, changes):
        raise RuntimeError("an order is changed under its lock only")
    order.state, order.reason, order.captured_fen = to_state, reason, captured_fen


def write_refund(
    order: Order, *, amount_fen: int, reference: str, actor: str, at: datetime
) -> uuid.UUID | None:
    """Write a refund of a locked order and return its id; None when so much is not left to refund.

    Raises states.IllegalTransition for an order that cannot be refunded in its state.
    """
    is_whole = order.refunded_fen + amount_fen == order.captured_fen
    to_state = "refunded" if is_whole else "part_refunded"
    refund_id = uuid7(at)
    changes = {
        "id": order.id,
        "refund_id": refund_id,
        "from_state": order.state,
        "to_state": to_state,
        "event": states.ORDER.event(order.state, to_state),
        "amount_fen": amount_fen,
        "reference": reference,
        "actor": actor,
        "at": at,
    }
    if not _write(_REFUND, changes):
        return None
    order.state, order.refunded_fen = to_state, order.refunded_fen + amount_fen
    return refund_id


def write_charge(charge: Charge, *, actor: str, at: datetime) -> bool:
    """Write a new charge; False when its merchant has used the reference before, and nothing is
    written."""
    return _write(
        _WRITE_CHARGE,
        {
            **{
                field.attname: getattr(charge, field.attname)
                for field in Charge._meta.concrete_fields
            },
            "actor": actor,
            "at": at,
        },
    )


def change_charge(
    charge: Charge, to_state: str, *, order_id: uuid.UUID | None = None, actor: str, at: datetime
) -> bool:
    """Move a charge on, the row in hand too; False when somebody else has moved it meanwhile.

    Raises states.IllegalTransition when the table has no such edge.
    """
    changes = {
        "id": charge.id,
        "from_state": charge.state,
        "to_state": to_state,
        "event": states.CHARGE.event(charge.state, to_state),
        "order_id": order_id,
        "actor": actor,
        "at": at,
    }
    if not _write(_CHANGE_CHARGE, changes):
        return False
    charge.state, charge.order_id = to_state, order_id
    return True


def _write(statement: str, values: dict[str, Any]) -> bool:
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
        return bool(cursor.fetchone()[0])


def _write_order(
    order: Order, spend: Spend | None, *, via: tuple[str, ...], actor: str, at: datetime
) -> Literal["written", "full", "taken"]:
    values = _values_of(order, spend, via=via, actor=actor, at=at)
    with connection.cursor() as cursor:
        prepared.execute(cursor, "write_order", _WRITE, values)
        made, counted = cursor.fetchone()
    if made:
        return "written"
    if spend is None:
        return "taken"
    if not counted:
        return "full"
    grades.uncount(spend, payer_id=order.payer_id, amount_fen=order.amount_fen)
    return "taken"


def _values_of(
    order: Order, spend: Spend | None, *, via: tuple[str, ...], actor: str, at: datetime
) -> dict[str, Any]:
    """The parameters of `_MADE`; the order in hand is marked with what is counted."""
    order.grade = None if spend is None else spend.grade
    order.counted_on = None if spend is None else spend.on_date
    reached = (*via, order.state)
    left = (states.ORDER.initial, *via)
    return {
        **grades.values_of(spend, payer_id=order.payer_id, amount_fen=order.amount_fen),
        **{field.attname: getattr(order, field.attname) for field in Order._meta.concrete_fields},
        "from_states": list(left),
        "to_states": list(reached),
        "events": [states.ORDER.event(*step) for step in zip(left, reached, strict=True)],
        "actor": actor,
        "at": at,
    }
