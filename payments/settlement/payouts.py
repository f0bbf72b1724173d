"""Pays each merchant its net of an approved window, and follows the payouts to their end."""

from datetime import datetime
from uuid import UUID

from django.db import transaction

from identity import organisations
from payments import ledger, payouts, states
from payments.merchants import merchant_account
from payments.models import Payout, SettlementLine, Window
from payments.payouts import Destination, Payee
from payments.settlement import netting, windows
from vpass.common import clock
from vpass.common.observability import log
from vpass.common.outbox import Event

APPROVED = "payments.settlement_approved"
ACTOR = "settlement"


def settle_on(event: Event) -> None:
    """Take every step that is due, when a window was closed, approved or paid."""
    settle_due(at=clock.now())


def follow_payout(event: Event) -> None:
    """See whether the window of a payout that has changed is complete."""
    payout_id = UUID(event.payload["payout"])
    window_id = (
        SettlementLine.objects.filter(payout_id=payout_id)
        .values_list("window_id", flat=True)
        .first()
    )
    if window_id is not None:
        follow(window_id=window_id, at=clock.now())


def settle_due(*, at: datetime) -> None:
    """Take every step that needs no person: net closed windows, file and follow approved ones.

    Safe to run twice and at once.
    """
    while netting.net_next(at=at) is not None:
        pass
    under_way = Window.objects.filter(state__in=("approved", "filed", "sent")).order_by("id")
    for window_id in under_way.values_list("id", flat=True):
        file(window_id=window_id, at=at)
        follow(window_id=window_id, at=at)


def file(*, window_id: int, at: datetime) -> None:
    """Prepare a payout for every line of an approved window with something to pay.

    Each is a transaction of its own, so that a crash leaves nothing half and the next run goes on.
    A merchant who is suspended, or whose money went into refunds since, is not paid now; what it is
    owed is carried to the next window.
    """
    if Window.objects.get(id=window_id).state != "approved":
        return
    payable = SettlementLine.objects.filter(window_id=window_id, net_fen__gt=0, payout=None)
    for line_id in payable.order_by("id").values_list("id", flat=True):
        try:
            _prepare(line_id, at=at)
        except ledger.InsufficientFunds:
            log.warning("settlement_line_uncovered", event_id=str(line_id))
    with transaction.atomic():
        window = windows.lock(window_id)
        if window.state == "approved":
            windows.move(window, "filed", actor=ACTOR, at=at)


def follow(*, window_id: int, at: datetime) -> None:
    """Move a window on as its payouts allow: sent, then acknowledged or rejected in part."""
    with transaction.atomic():
        window = windows.lock(window_id)
        if window.state not in ("filed", "sent"):
            return
        reached = set(
            Payout.objects.filter(settlementline__window_id=window_id)
            .values_list("state", flat=True)
            .distinct()
        )
        if window.state == "filed":
            if states.PAYOUT.initial in reached:
                return
            windows.move(window, "sent", actor=ACTOR, at=at)
        if reached - states.PAYOUT.final:
            return
        end = "acked" if reached <= {"booked"} else "part_rejected"
        windows.move(window, end, actor=ACTOR, at=at)


def _prepare(line_id: int, *, at: datetime) -> None:
    with transaction.atomic():
        line = (
            SettlementLine.objects.select_related(
                "merchant__bank__organisation", "merchant__organisation", "window"
            )
            .annotate(is_open=organisations.is_open("merchant__organisation"))
            # Waited for, not skipped: a second run must not call the window filed before the first.
            .select_for_update(of=("self",))
            .filter(id=line_id, payout=None, window__state="approved")
            .first()
        )
        if line is None or line.merchant.state != "active" or not line.is_open:
            return
        merchant = line.merchant
        account = merchant.payout_account
        line.payout = payouts.prepare(
            payee=Payee(
                account=merchant_account(merchant),
                merchant_id=merchant.id,
            ),
            destination=Destination(bank=merchant.bank, account_token=account, last4=account[-4:]),
            amount_fen=line.net_fen,
            reference=f"V PASS S-{line.window.business_date:%Y%m%d}",
            business_date=line.window.business_date,
            at=at,
        )
        line.save(update_fields=["payout"])
