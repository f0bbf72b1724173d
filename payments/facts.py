"""What has to be known of a payer at the moment of paying: limits, what is used of them, habits.

Text of one SQL expression, so that other statements bring it along; of bounded cost.
"""

import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from identity.code_claims import SCENES
from vpass.common.clock import city_date
from vpass.common.ids import first_uuid7

LOOKED_BACK = 500  # payments of the last day, at most
PLACES_KNOWN = 20  # the last payments, by which a county is usual

# The state of a resident `r` as payments see it: an open case that freezes counts at once, before
# identity has heard of it.
PAYER_STATE = f"""CASE
    WHEN r.state <> 'active' THEN r.state
    WHEN r.suspended_scenes & {SCENES["pay"]} <> 0 OR EXISTS (
        SELECT FROM payments_riskcase k
        WHERE k.resident_id = r.id AND k.state = 'open' AND k.outcome = 'freeze'
    ) THEN 'pay_suspended' ELSE 'active' END"""

# Of the resident `r` and the merchant `m`; `values_at` gives its parameters.
FACTS = f"""(SELECT json_build_object(
    'limits', (
        SELECT json_agg(json_build_array(
            l.means, l.device, l.level, l.grade, l.single_fen, l.daily_fen))
        FROM payments_paymentlimit l WHERE l.level <= r.level),
    'spent', (
        SELECT json_object_agg(p.grade, p.used_fen) FROM payments_spending p
        WHERE p.resident_id = r.id AND p.on_date = %(today)s),
    'rules', (
        SELECT json_agg(json_build_array(u.name, u.kind, u.threshold, u.from_fen, u.outcome)
            ORDER BY u.name)
        FROM payments_riskrule u WHERE u.is_active),
    'recent', (
        SELECT json_build_array(
            count(*) FILTER (WHERE x.id >= %(hour)s),
            COALESCE(sum(x.amount_fen) FILTER (WHERE x.id >= %(hour)s), 0),
            count(*), COALESCE(sum(x.amount_fen), 0))
        FROM (
            SELECT o.id, o.amount_fen FROM payments_order o
            WHERE o.payer_id = r.id AND o.id >= %(day)s AND o.id IS DISTINCT FROM %(this)s
                AND o.state NOT IN ('failed', 'cancelled', 'expired')
                AND EXISTS (SELECT FROM payments_riskrule WHERE is_active AND kind = ANY (
                    ARRAY['hour_count', 'hour_fen', 'day_count', 'day_fen']))
            ORDER BY o.id DESC LIMIT {LOOKED_BACK}
        ) x),
    'places', (
        SELECT json_build_array(count(*) FILTER (WHERE x.county = here.county), count(x.county))
        FROM (
            SELECT CASE 'county' WHEN g.kind THEN g.id WHEN q.kind THEN q.id END AS county
            FROM identity_organisation g LEFT JOIN identity_organisation q ON q.id = g.parent_id
            WHERE g.id = m.organisation_id
        ) here, LATERAL (
            SELECT CASE 'county' WHEN g.kind THEN g.id WHEN q.kind THEN q.id END AS county
            FROM payments_order o JOIN payments_merchant n ON n.id = o.merchant_id
                JOIN identity_organisation g ON g.id = n.organisation_id
                LEFT JOIN identity_organisation q ON q.id = g.parent_id
            WHERE here.county IS NOT NULL AND o.payer_id = r.id AND o.captured_fen > 0
                AND EXISTS (
                    SELECT FROM payments_riskrule WHERE is_active AND kind = 'other_county')
            ORDER BY o.id DESC LIMIT {PLACES_KNOWN}
        ) x)
))"""  # noqa: S608  our own numbers


@dataclass(frozen=True)
class Limit:
    """What one way of verifying a payer opens; see models.PaymentLimit."""

    means: str
    device: str
    level: int
    grade: str
    single_fen: int
    daily_fen: int | None


@dataclass(frozen=True)
class Rule:
    """A rule of risk; see models.RiskRule."""

    name: str
    kind: str
    threshold: int
    from_fen: int
    outcome: str


@dataclass(frozen=True)
class Recent:
    """The payer's other payments of the last hour and of the last day."""

    hour_count: int
    hour_fen: int
    day_count: int
    day_fen: int


@dataclass(frozen=True)
class Places:
    """Of the payer's last payments in a county that is known: those in this one, and all."""

    here: int
    known: int


@dataclass(frozen=True)
class Facts:
    """What `FACTS` gives. `spent_fen` is today's, by grade."""

    limits: tuple[Limit, ...]
    spent_fen: dict[str, int]
    rules: tuple[Rule, ...]
    recent: Recent
    places: Places


def values_at(at: datetime, *, this: uuid.UUID | None = None) -> dict[str, Any]:
    """The parameters of `FACTS`; `this` is the order in hand, which is not counted."""
    return {
        "today": city_date(at),
        "hour": first_uuid7(at - timedelta(hours=1)),
        "day": first_uuid7(at - timedelta(days=1)),
        "this": this,
    }


def read(found: dict[str, Any]) -> Facts:
    """The facts in the JSON that `FACTS` gives."""
    return Facts(
        limits=tuple(Limit(*each) for each in found["limits"] or ()),
        spent_fen=found["spent"] or {},
        rules=tuple(Rule(*each) for each in found["rules"] or ()),
        recent=Recent(*found["recent"]),
        places=Places(*found["places"]),
    )
