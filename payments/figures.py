"""Counts for the operations page: payments and refunds of today, and what waits for money."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime

from django.db import connection

from vpass.common.clock import CITY_ZONE
from vpass.common.figures import Figure, by_hour, day_begins
from vpass.common.ids import first_uuid7

# Orders and refunds are found by the time in their ids; what waits, by the index of what is due.
_COUNT = """
SELECT 'paid' AS name, extract(hour FROM created_at AT TIME ZONE %(zone)s)::integer AS hour,
    count(*), sum(captured_fen)::bigint
    FROM payments_order WHERE id >= %(first)s AND captured_fen > 0 GROUP BY 2
UNION ALL
SELECT 'refunded', 0, count(*), COALESCE(sum(amount_fen), 0)::bigint FROM payments_refund
    WHERE id >= %(first)s
UNION ALL
SELECT 'confirming', 0, count(*), 0 FROM payments_order WHERE state = 'confirming'
UNION ALL
SELECT 'windows', 0, count(*), 0 FROM payments_window
    WHERE state IN ('closing', 'netted', 'approved', 'filed', 'sent', 'part_rejected', 'exception')
UNION ALL
SELECT 'payouts', 0, count(*), 0 FROM payments_payout
    WHERE state = 'unknown' AND next_inquiry_at IS NOT NULL
UNION ALL
SELECT 'debits', 0, count(*), 0 FROM payments_debit
    WHERE state = 'unknown' AND next_inquiry_at IS NOT NULL
"""


def figures(*, at: datetime) -> Sequence[Figure]:
    """What was paid and given back today, and what is still under way. One statement."""
    counts: dict[str, dict[int, int]] = defaultdict(dict)
    sums: dict[str, dict[int, int]] = defaultdict(dict)
    with connection.cursor() as cursor:
        cursor.execute(_COUNT, {"zone": CITY_ZONE.key, "first": first_uuid7(day_begins(at))})
        for name, hour, count, fen in cursor.fetchall():
            counts[name][hour], sums[name][hour] = count, fen

    def waiting(name: str, label_zh: str, label_en: str, *, of: str) -> Figure:
        return Figure(name, label_zh, label_en, counts[of][0], "count", "waits")

    paid, fen = by_hour(counts["paid"]), by_hour(sums["paid"])
    refunds, given_back = counts["refunded"][0], sums["refunded"][0]
    return [
        waiting("confirming", "待居民确认", "Waiting for confirmation", of="confirming"),
        waiting("windows_unsettled", "未结清的窗口", "Unsettled windows", of="windows"),
        waiting("payouts_unknown", "结果未知的付款", "Payouts not known of", of="payouts"),
        waiting("debits_unknown", "结果未知的扣款", "Debits not known of", of="debits"),
        Figure("payments", "付款笔数", "Payments", sum(paid), "count", "today", paid),
        Figure("payments_fen", "付款金额", "Amount paid", sum(fen), "fen", "today", fen),
        Figure("refunds", "退款笔数", "Refunds", refunds, "count", "today"),
        Figure("refunds_fen", "退款金额", "Amount refunded", given_back, "fen", "today"),
    ]
