"""Counts for the operations page: what is in service, and how codes were used today."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime

from django.db import connection

from identity.enrolment import ENROLMENT_LIFE
from vpass.common.clock import CITY_ZONE
from vpass.common.figures import Figure, by_hour, day_begins
from vpass.common.ids import first_uuid7

# Lines are found by the time in their ids, enrolments by when they end: today's only, by index. A
# use under a delegation stands in two logs and counts once; what needed no code is no scan.
_COUNT = """
SELECT outcome AS name, extract(hour FROM at AT TIME ZONE %(zone)s)::integer AS hour, count(*)
    FROM identity_accessline line
    WHERE id >= %(first)s AND scene NOT IN ('own', 'remote', 'register') AND NOT EXISTS (
        SELECT FROM identity_delegation d WHERE d.id = line.delegation_id
            AND d.principal_id IS NOT NULL AND d.delegate_id = line.resident_id)
    GROUP BY 1, 2
UNION ALL
SELECT 'enrolled', 0, count(*) FROM identity_enrolment
    WHERE state = 'phone_proven' AND expires_at >= %(ends)s
UNION ALL
SELECT 'desks', 0, count(*) FROM identity_desk WHERE state = 'active' AND key_point IS NOT NULL
UNION ALL
SELECT 'terminals', 0, count(*) FROM identity_terminal WHERE state = 'active'
UNION ALL
SELECT 'reviews', 0, count(*) FROM identity_registerchange WHERE state = 'review'
"""


def figures(*, at: datetime) -> Sequence[Figure]:
    """Desks and terminals in service; scans and enrolments of today. One statement."""
    begun = day_begins(at)
    counts: dict[str, dict[int, int]] = defaultdict(dict)
    with connection.cursor() as cursor:
        cursor.execute(
            _COUNT,
            {
                "zone": CITY_ZONE.key,
                "first": first_uuid7(begun),
                "ends": begun + ENROLMENT_LIFE,
            },
        )
        for name, hour, count in cursor.fetchall():
            counts[name][hour] = count

    def figure(name: str, label_zh: str, label_en: str, *, of: str) -> Figure:
        hours = by_hour(counts[of])
        return Figure(name, label_zh, label_en, sum(hours), "count", "today", hours)

    return [
        Figure("desks", "在用窗口", "Desks in service", counts["desks"][0], "count", "runs"),
        Figure(
            "terminals", "在用终端", "Terminals in service", counts["terminals"][0], "count", "runs"
        ),
        figure("scans_accepted", "通过的扫码", "Scans accepted", of="accepted"),
        figure("scans_refused", "拒绝的扫码", "Scans refused", of="refused"),
        Figure("enrolments", "新注册", "Enrolments", counts["enrolled"][0], "count", "today"),
        Figure(
            "register_reviews",
            "待人工核实的登记变更",
            "Register events waiting for people",
            counts["reviews"][0],
            "count",
            "waits",
        ),
    ]
