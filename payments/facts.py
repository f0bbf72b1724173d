"""What has to be known of a payer at the moment of paying: limits, what is used of them, habits.

One SQL expression, so that other statements bring it along; of bounded cost.
"""

import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from identity.code_claims import SCENES
from vpass.common.clock import city_date
from vpass.common.ids import first_uuid7

# The state of a resident `r` as payments see it: an open case that freezes counts at once, before
# identity has heard of it.
PAYER_STATE = f"""CASE
    WHEN r.state <> 'active' THEN r.state
    WHEN r.suspended_scenes & {SCENES["pay"]} <> 0 OR EXISTS (
        SELECT FROM payments_riskcase k
        WHERE k.resident_id = r.id AND k.state = 'open' AND k.outcome = 'freeze'
    ) THEN 'pay_suspended' ELSE 'active' END"""

# The state of a merchant `m` as payments see it: suspended by the city's accountants, or because
# its organisation, or one above that, is.
MERCHANT_STATE = """CASE
    WHEN m.state = 'active' AND NOT organisation_is_open_v1(m.organisation_id) THEN 'suspended'
    ELSE m.state END"""

# Of the resident `r` and the merchant `m`, by payments/sql/facts_v1.sql; `values_at` gives its
# parameters.
FACTS = (
    "payer_facts_v1(r.id, r.level, m.organisation_id,"
    " %(today)s::date, %(hour)s::uuid, %(day)s::uuid, %(this)s::uuid, %(amount_fen)s::bigint)"
)


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
    """What `FACTS` gives. `spent_fen` is today's, by grade; `rules` are those which the amount
    reaches, and without one that asks for them `recent` and `places` are nothing."""

    limits: tuple[Limit, ...]
    spent_fen: dict[str, int]
    rules: tuple[Rule, ...]
    recent: Recent
    places: Places


def values_at(at: datetime, *, amount_fen: int, this: uuid.UUID | None = None) -> dict[str, Any]:
    """The parameters of `FACTS` for a payment of so much; `this`, its order, is not counted."""
    return {
        "today": city_date(at),
        "hour": first_uuid7(at - timedelta(hours=1)),
        "day": first_uuid7(at - timedelta(days=1)),
        "this": this,
        "amount_fen": amount_fen,
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
