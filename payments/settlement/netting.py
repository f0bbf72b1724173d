"""Adds up what each merchant gets of a closed window, to the fen, from the ledger's postings."""

from datetime import datetime

from django.db import transaction
from django.db.models import QuerySet

from payments import queries
from payments.models import SettlementLine, Window
from payments.queries import AccountLine
from payments.settlement import windows
from vpass.common.errors import NotFound
from vpass.common.observability import log

ACTOR = "settlement"


class NettingMismatch(Exception):
    """Ledger and orders do not tell the same sums; nothing is netted until somebody has looked."""


def net_next(*, at: datetime) -> int | None:
    """Net the oldest closed window that has not been; return its id, or None.

    Safe to run twice and at once: one of them does it. Raises NettingMismatch.
    """
    waiting = Window.objects.filter(state="closing").order_by("id").values_list("id", flat=True)
    window_id = waiting.first()
    if window_id is None:
        return None
    with transaction.atomic():
        window = Window.objects.select_for_update(skip_locked=True).filter(id=window_id).first()
        if window is None or window.state != "closing":
            return None
        queries.write_settlement_lines(window_id)
        unequal = queries.count_unequal_lines(window_id)
        if unequal:
            log.error("netting_mismatch", count=unequal)
            raise NettingMismatch(f"window {window_id}: {unequal} merchants")
        windows.move(window, "netted", actor=ACTOR, at=at)
    return window_id


def lines_of(*, window_id: int) -> QuerySet[SettlementLine]:
    """The lines of a window with merchant and payout; order them by id. Raises NotFound."""
    if not Window.objects.filter(id=window_id).exists():
        raise NotFound
    return SettlementLine.objects.select_related("merchant__organisation", "payout").filter(
        window_id=window_id
    )


def line(*, window_id: int, line_id: int) -> SettlementLine:
    """Return one line. Raises NotFound, also for a line of another window."""
    found = lines_of(window_id=window_id).filter(id=line_id).first()
    if found is None:
        raise NotFound
    return found


def postings_of(line: SettlementLine) -> QuerySet[AccountLine]:
    """The single payments, refunds and fees a line is made of; order them by id.

    See queries.postings_of for what each of them has.
    """
    account = queries.account_of(kind="merchant", owner=str(line.merchant.organisation_id))
    return (
        queries.postings_of(account)
        .filter(transaction__window_id=line.window_id)
        .exclude(transaction__kind="payout")
    )
