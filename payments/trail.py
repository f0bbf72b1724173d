"""Answers "where is my money": the way of one payment, from the order to the bank's word that the
merchant has it, and what each settlement of a merchant is made of."""

import uuid
from dataclasses import dataclass
from datetime import datetime

from django.db.models import QuerySet

from payments import queries
from payments.models import Order, OrderChange, Payout, PayoutChange, SettlementLine, WindowChange
from payments.queries import AccountLine
from payments.settlement import netting
from vpass.common.errors import NotFound

PAID = ("captured", "resolved")
OVER = ("failed", "cancelled", "expired", "reversed")
NOT_PAID_OUT = ("rejected", "never_arrived")
# What a window in one of these states has no payout for, it will not pay out any more.
FILED = ("filed", "sent", "acked", "part_rejected", "reconciled", "exception")
_LATER = ("settled", "paid_out", "acknowledged")


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One step on the way: `ordered`, `paid`, `settled`, `paid_out`, `acknowledged`.

    `state` is done, waiting (for what comes before it, or for the bank) or stopped (the payment
    ended otherwise, and no money moved). `reference` is our transaction's number when paid, the
    settlement day's when settled, the payout's id when paid out, and the bank's own when it has
    acknowledged.
    """

    stage: str
    state: str
    at: datetime | None = None
    reference: str | None = None


_WAITING = [Stage(stage=name, state="waiting") for name in _LATER]


@dataclass(frozen=True, kw_only=True)
class Way:
    """The stages of a payment in their order."""

    payment_id: uuid.UUID
    state: str
    stages: list[Stage]


def way_of(order: Order) -> Way:
    """Return how far a payment has come.

    Money which a window could not pay out (the bank refused, or refunds ate it up) goes on with the
    merchant's next window, and so does the way. At most seven statements.
    """
    ordered = Stage(stage="ordered", state="done", at=order.created_at)
    paid_at = _reached(order)
    if paid_at is None:
        state = "stopped" if order.state in OVER else "waiting"
        later = [Stage(stage=name, state=state) for name in ("paid", *_LATER)]
        return Way(payment_id=order.id, state=order.state, stages=[ordered, *later])
    posted = queries.payment_posted(order.id)
    paid = Stage(stage="paid", state="done", at=paid_at, reference=str(posted.id))
    line = _standing_line(order.merchant_id, since=posted.window_id)
    stages = [ordered, paid, *(_settlement(line) if line is not None else _WAITING)]
    return Way(payment_id=order.id, state=order.state, stages=stages)


def settlements(*, organisation_id: uuid.UUID) -> QuerySet[SettlementLine]:
    """Return a merchant's settlements with window and payout, to be ordered by `-id`."""
    return SettlementLine.objects.select_related("window", "payout", "merchant").filter(
        merchant__organisation_id=organisation_id
    )


def payments_of(*, organisation_id: uuid.UUID, line_id: int) -> QuerySet[AccountLine]:
    """Return the single payments, refunds and fees of a merchant's settlement, to be ordered by id.

    Raises NotFound, also for another merchant's.
    """
    line = settlements(organisation_id=organisation_id).filter(id=line_id).first()
    if line is None:
        raise NotFound
    return netting.postings_of(line)


def _reached(order: Order) -> datetime | None:
    """When a payment was paid, if it was."""
    changes = OrderChange.objects.filter(order=order, to_state__in=PAID)
    return changes.order_by("id").values_list("at", flat=True).first()


def _standing_line(merchant_id: uuid.UUID, *, since: int) -> SettlementLine | None:
    """The first settlement from a window on whose money goes, or may still go, to the bank."""
    lines = (
        SettlementLine.objects.select_related("window", "payout")
        .filter(merchant_id=merchant_id, window_id__gte=since)
        .exclude(net_fen__lte=0)
        .exclude(payout__state__in=NOT_PAID_OUT)
        .exclude(payout=None, window__state__in=FILED)
    )
    return lines.order_by("window_id").first()


def _settlement(line: SettlementLine) -> list[Stage]:
    netted = WindowChange.objects.filter(window=line.window, to_state="netted")
    settled = Stage(
        stage="settled",
        state="done",
        at=netted.values_list("at", flat=True).first(),
        reference=f"S-{line.window.business_date:%Y%m%d}",
    )
    if line.payout is None:
        return [settled, *_WAITING[1:]]
    paid_out = Stage(
        stage="paid_out",
        state="done",
        at=line.payout.created_at,
        reference=str(line.payout.id),
    )
    return [settled, paid_out, _acknowledgement(line.payout)]


def _acknowledgement(payout: Payout) -> Stage:
    if payout.state != "booked":
        return _WAITING[2]
    booked = PayoutChange.objects.filter(payout=payout, to_state="booked")
    return Stage(
        stage="acknowledged",
        state="done",
        at=booked.values_list("at", flat=True).first(),
        reference=payout.bank_reference,
    )
