"""Knows how much a payer may pay by barcode who is verified so and so, and counts it up by day.

The grades A to D and their limits are those of 银发〔2017〕296号, as rows (models.PaymentLimit).
What is counted stays counted: a refund does not give the day's limit back, only a payment does that
was never paid.
"""

import uuid
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from django.db import connection
from django.db.models import QuerySet

from payments.facts import Facts, Limit
from payments.models import Order, PaymentLimit
from vpass.common.clock import city_date
from vpass.common.errors import Conflict

# One statement decides who comes in under the limit: the sum is bounded where it is made. Without
# `is_counted` it does nothing.
COUNT = """
    INSERT INTO payments_spending AS s (resident_id, on_date, grade, used_fen)
    SELECT %(payer_id)s, %(on_date)s, %(counted_grade)s, %(amount_fen)s
    WHERE %(is_counted)s AND (%(daily_fen)s::bigint IS NULL OR %(amount_fen)s <= %(daily_fen)s)
    ON CONFLICT (resident_id, on_date, grade)
        DO UPDATE SET used_fen = s.used_fen + EXCLUDED.used_fen
        WHERE %(daily_fen)s::bigint IS NULL OR s.used_fen + EXCLUDED.used_fen <= %(daily_fen)s
    RETURNING 1
"""


class LimitExceeded(Conflict):
    """This payment is above what may be paid in this way, or above what is left of today's."""

    code = "payment.limit_exceeded"
    title_zh = "超出该付款方式的单笔或当日限额"


class PinNeeded(Conflict):
    """This payment needs the payment PIN beside the phone's signature."""

    code = "payment.pin_needed"
    title_zh = "该笔付款还需要输入支付密码"


@dataclass(frozen=True, kw_only=True)
class Spend:
    """What is counted of a payment: under which grade, and how much of it a day may have."""

    grade: str
    daily_fen: int | None
    on_date: date


def limit_of(facts: Facts, *, means: str, device: str | None) -> Limit | None:
    """The row that holds for a payer: of those of the level reached, the highest; None for none.

    A phone that is not known counts as one whose key is in software.
    """
    found = [
        limit
        for limit in facts.limits
        if (limit.means, limit.device) == (means, device or "software")
    ]
    return max(found, key=lambda limit: limit.level, default=None)


def spend_within(
    facts: Facts, limit: Limit | None, *, amount_fen: int, at: datetime
) -> Spend | None:
    """What to count for a payment under a limit; None when it is above, by what was read.

    Whether it really comes in is decided where it is counted.
    """
    if limit is None or amount_fen > limit.single_fen:
        return None
    used_fen = facts.spent_fen.get(limit.grade, 0)
    if limit.daily_fen is not None and used_fen + amount_fen > limit.daily_fen:
        return None
    return Spend(grade=limit.grade, daily_fen=limit.daily_fen, on_date=city_date(at))


def values_of(spend: Spend | None, *, payer_id: uuid.UUID, amount_fen: int) -> dict[str, Any]:
    """The parameters of `COUNT`."""
    return {
        "is_counted": spend is not None,
        "counted_grade": "" if spend is None else spend.grade,
        "daily_fen": None if spend is None else spend.daily_fen,
        "on_date": date.min if spend is None else spend.on_date,
        "payer_id": payer_id,
        "amount_fen": amount_fen,
    }


def count(spend: Spend, *, payer_id: uuid.UUID, amount_fen: int) -> bool:
    """Count a payment within the caller's transaction; False when the day's limit has no room."""
    with connection.cursor() as cursor:
        cursor.execute(COUNT, values_of(spend, payer_id=payer_id, amount_fen=amount_fen))
        return cursor.fetchone() is not None


def uncount(spend: Spend, *, payer_id: uuid.UUID, amount_fen: int) -> None:
    """Take back what was counted for a payment that was not made after all."""
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE payments_spending SET used_fen = used_fen - %(amount_fen)s WHERE"
            " resident_id = %(payer_id)s AND on_date = %(on_date)s AND grade = %(counted_grade)s",
            values_of(spend, payer_id=payer_id, amount_fen=amount_fen),
        )


def give_back(order: Order) -> None:
    """Take off its day what was counted for a locked order that has not been paid."""
    if order.grade is not None and order.counted_on is not None:
        spend = Spend(grade=order.grade, daily_fen=None, on_date=order.counted_on)
        uncount(spend, payer_id=order.payer_id, amount_fen=order.amount_fen)


def limits() -> QuerySet[PaymentLimit]:
    """The limits as they are configured, to be ordered by id."""
    return PaymentLimit.objects.all()
