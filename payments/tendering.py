"""Judges a payment that is offered at a till, and has it written with the use of its code."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from cards.paying import CardNotUsable
from identity import codes
from identity.access_log import Deed
from identity.queries import GrantFound, Look
from payments import captures, grades, history, queries, risk, sources
from payments.facts import Facts
from payments.grades import Spend
from payments.merchants import MerchantSuspended
from payments.models import Order, PaymentLimit
from payments.pay_codes import Shown
from payments.queries import Parties
from payments.sources import Funding
from vpass.common.callers import Caller, required
from vpass.common.errors import NotAllowed
from vpass.common.ids import uuid7

CONFIRM_WITHIN = timedelta(minutes=2)


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What a till asks for."""

    code: str
    amount_fen: int
    title: str
    merchant_reference: str
    cashier: str | None


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What becomes of a new order beside its state: what pays, what is counted, what refuses it."""

    told: dict[str, str] = field(default_factory=dict)
    funding: Funding | None = None
    spend: Spend | None = None

    @property
    def via(self) -> tuple[str, ...]:
        """The states which the order passes on its way to the one it is written in."""
        is_by_card = self.funding is not None and self.funding.card is not None
        return ("authorised",) if is_by_card else ()


@dataclass(kw_only=True)
class Tendered:
    """A payment as it was judged, with the order to be written; `refusal` is a problem's code."""

    order: Order
    parties: Parties
    verdict: risk.Verdict
    refusal: str | None
    plan: Plan

    @property
    def is_captured(self) -> bool:
        """Whether the balance pays it at once."""
        return self.order.state == "captured"


class Tender:
    """A payment in the making: the codes.Occasion of a code shown at a till.

    With a `refusal` it becomes a failed order, whatever else would have come of it.
    """

    tendered: Tendered

    def __init__(self, asked: Asked, *, caller: Caller, refusal: str | None, at: datetime) -> None:
        self._asked, self._caller, self._refusal, self._at = asked, caller, refusal, at

    def looks_at(self) -> Look:
        """See codes.Occasion: both parties, locked, and what is known of the payer."""
        organisation_id = required(self._caller.organisation_id)
        return queries.look_at_parties(
            organisation_id=organisation_id, amount_fen=self._asked.amount_fen, at=self._at
        )

    def refusal(self, found: GrantFound) -> str | None:
        """See codes.Occasion: None, since a refused payment leaves a failed order.

        Raises NotAllowed for an organisation that is no merchant.
        """
        looked = queries.read_parties(found.looked)
        if looked is None:
            raise NotAllowed
        shown = Shown(
            way=Order.Way.CODE,
            payer_id=found.resident.id,
            device=found.phone.grade,
            bound_at=found.phone.bound_at,
        )
        self.tendered = judge(
            self._asked,
            caller=self._caller,
            shown=shown,
            parties=looked[0],
            facts=looked[1],
            refusal=self._refusal,
            at=self._at,
        )
        return None

    def deed(self) -> Deed:
        """See codes.Occasion: the order with its history, counted, and posted if it is captured.

        Raises InsufficientFunds for a wallet into which nothing was ever put.
        """
        tendered = self.tendered
        posting = None
        if tendered.is_captured:
            posting = captures.posting_of(tendered.order, tendered.parties, at=self._at)
        return history.order_deed(
            tendered.order,
            tendered.plan.spend,
            via=tendered.plan.via,
            actor=self._caller.scope,
            then=posting,
            at=self._at,
        )


def judge(
    asked: Asked,
    *,
    caller: Caller,
    shown: Shown,
    parties: Parties,
    facts: Facts,
    refusal: str | None,
    at: datetime,
) -> Tendered:
    """Judge a payment by a code that its payer has shown: the new order has the state in which it
    is to be written. A `refusal` that is known beforehand comes first."""
    order = Order(
        id=uuid7(at),
        merchant_id=parties.merchant_id,
        till_id=caller.id,
        payer_id=required(shown.payer_id),
        amount_fen=asked.amount_fen,
        title=asked.title,
        merchant_reference=asked.merchant_reference,
        created_at=at,
        way=shown.way,
        cashier=asked.cashier,
        store_id=caller.store_id,
    )
    verdict = risk.judge(facts, amount_fen=order.amount_fen, bound_at=shown.bound_at, at=at)
    refusal = refusal or refusal_of(parties) or (risk.RiskRefused.code if verdict.freezes else None)
    limit = grades.limit_of(facts, means=PaymentLimit.Means.CODE, device=shown.device)
    spend = grades.spend_within(facts, limit, amount_fen=order.amount_fen, at=at)
    plan = decide(
        order, parties, refusal=refusal, spend=None if verdict.needs_word else spend, at=at
    )
    order.needs_pin = order.state == "confirming" and verdict.needs_pin
    return Tendered(order=order, parties=parties, verdict=verdict, refusal=refusal, plan=plan)


def decide(
    order: Order, parties: Parties, *, refusal: str | None, spend: Spend | None, at: datetime
) -> Plan:
    """Set the state in which a new order is written; without `spend` the payer's word is needed."""
    order.reason, order.confirm_by, order.captured_fen = refusal, None, 0
    if refusal is not None:
        order.state = "failed"
        return Plan(told={"refusal": refusal})
    if spend is None:
        order.state, order.confirm_by = "confirming", at + CONFIRM_WITHIN
        return Plan()
    try:
        funding = sources.funding_of(order.amount_fen, parties, payer_id=order.payer_id, at=at)
    except CardNotUsable as error:
        order.state, order.reason = "failed", error.members["reason"]
        return Plan(told={"refusal": error.code, "reason": error.members["reason"]})
    if funding.card is None:
        order.state, order.captured_fen = "captured", order.amount_fen
    else:
        order.state = "capturing"
    return Plan(funding=funding, spend=spend)


def refusal_of(parties: Parties) -> str | None:
    """The problem code by which these parties cannot pay and be paid, if any."""
    if parties.merchant_state != "active":
        return MerchantSuspended.code
    if parties.payer_state == "pay_suspended":
        return codes.PaySuspended.code
    return None if parties.payer_state == "active" else codes.HolderSuspended.code
