"""Takes billers on, and lets them amend and cancel their bills."""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime

from django.db import transaction

from payments import bills, states, surcharge
from payments.merchants import MerchantSuspended
from payments.models import Bill, Biller, BillHead, BillLine, BillVersion, Merchant
from vpass.common.callers import Caller, required
from vpass.common.clock import city_date
from vpass.common.errors import Conflict, DomainError, NotAllowed, NotFound
from vpass.common.idempotency import IdempotencyKey, once

MAX_LINES = 10
MAX_LINE_FEN = 1_000_000_000  # ten million yuan

# What a bill asks for, by head and first day of the period.
Wanted = dict[tuple[str, date], tuple[BillHead, int]]


class NoBiller(NotAllowed):
    """This merchant does not issue bills."""

    code = "biller.unknown"
    title_zh = "该商户不是账单发行单位"


class BillVersionStale(Conflict):
    """The bill has been amended since; read it again."""

    code = "bill.version_stale"
    title_zh = "账单已被更改，请重新读取"


class BillPaidAlready(Conflict):
    """What is paid of a bill stays: refund first, or ask for no less than that."""

    code = "bill.paid_already"
    title_zh = "账单已有缴款，请先退款"


class BillUnderWay(Conflict):
    """A payment of this bill is under way; try again when it has ended."""

    code = "bill.under_way"
    title_zh = "该账单正在支付中，请稍后再试"


class BillLinesRefused(DomainError):
    """The lines of this bill name a head twice, or one that its biller does not have."""

    code = "bill.lines_refused"
    status = 422
    title_zh = "账单明细的收费项目有误"


@dataclass(frozen=True, kw_only=True)
class Head:
    """A head to open: priority 1 is paid first."""

    code: str
    zh: str
    en: str
    priority: int
    is_surcharge: bool = False


@dataclass(frozen=True, kw_only=True)
class AskedLine:
    """An amount for a head; `period_from` where it is of another period than the bill."""

    head: str
    amount_fen: int
    period_from: date | None = None


def open_biller(
    *, merchant: Merchant, kind: str, number: int, heads: Sequence[Head], surcharge_ppm: int = 0
) -> Biller:
    """Let a merchant issue bills. One that asks for a surcharge has a head for it."""
    if bool(surcharge_ppm) != any(head.is_surcharge for head in heads):
        raise ValueError("a surcharge and its head come together")
    with transaction.atomic():
        biller = Biller.objects.create(
            merchant=merchant, kind=kind, number=number, surcharge_ppm=surcharge_ppm
        )
        BillHead.objects.bulk_create(
            BillHead(
                biller=biller,
                code=head.code,
                name_zh=head.zh,
                name_en=head.en,
                priority=head.priority,
                is_surcharge=head.is_surcharge,
            )
            for head in heads
        )
    return biller


def amend_bill(
    *,
    caller: Caller,
    bill_id: uuid.UUID,
    version: int,
    title: str,
    due_date: date,
    lines: Sequence[AskedLine],
    idempotency_key: IdempotencyKey,
    at: datetime,
) -> int:
    """Put a new version of a bill in the place of `version`; returns the new one's number.

    What is paid stays on its lines; payments that wait for their payer's word are called off. A
    later due date lets go the surcharge that is not paid; an
    earlier one asks for none for days that are over. A paid bill may ask for more. Raises NotFound,
    BillVersionStale, BillPaidAlready, BillUnderWay, BillLinesRefused, states.IllegalTransition for
    a cancelled one, and what `once` raises.
    """
    with once(idempotency_key, at=at) as claim:
        if claim.answer is None:
            bill = _locked(bill_id, caller=caller)
            if bill.state == "cancelled":
                states.BILL.check(bill.state, "unpaid")
            if bill.version != version:
                raise BillVersionStale(version=bill.version)
            bills.displace(bill, actor=caller.scope, at=at)
            held = bills.bring_up_to_date(bill, at=at)
            heads = {head.code: head for head in bill.biller.heads.all()}
            wanted = wanted_lines(lines, heads, period_from=bill.period_from)
            if wanted is None:
                raise BillLinesRefused
            if due_date > bill.due_date:
                _forgive(bill, held)
            _replace_lines(bill, held, wanted)
            bill.title, bill.due_date, bill.version = title, due_date, version + 1
            bill.accrued_until = max(due_date, city_date(at))
            bills.change(
                bill,
                _state_as_paid(bill),
                fields=["title", "due_date", "version", "accrued", "accrued_until", "amount_fen"],
                actor=caller.scope,
                at=at,
            )
            version_of(bill, wanted, actor=caller.scope, at=at).save()
            claim.answer = {"version": bill.version}
        return int(claim.answer["version"])


def cancel_bill(
    *, caller: Caller, bill_id: uuid.UUID, idempotency_key: IdempotencyKey, at: datetime
) -> None:
    """Ask for a bill no more, while nothing is paid of it; a cancelled one stays so. Payments that
    wait for their payer's word are called off.

    Raises NotFound, BillPaidAlready, BillUnderWay, states.IllegalTransition, and what `once`
    raises.
    """
    with once(idempotency_key, at=at) as claim:
        if claim.answer is None:
            bill = _locked(bill_id, caller=caller)
            bills.displace(bill, actor=caller.scope, at=at)
            bills.bring_up_to_date(bill, at=at)
            if bill.paid_fen:
                raise BillPaidAlready
            if bill.reserved_fen:
                raise BillUnderWay
            states.BILL.check(bill.state, "cancelled")
            bills.change(bill, "cancelled", fields=[], actor=caller.scope, at=at)
            claim.answer = {}


def lock_biller(*, caller: Caller) -> Biller:
    """The caller's biller, of which nobody else takes a batch before we commit.

    Raises NoBiller, MerchantSuspended.
    """
    biller = (
        Biller.objects.select_related("merchant")
        .select_for_update(of=("self",), no_key=True)
        .filter(merchant__organisation_id=required(caller.organisation_id))
        .first()
    )
    if biller is None:
        raise NoBiller
    if biller.merchant.state != "active":
        raise MerchantSuspended
    return biller


def wanted_lines(
    lines: Sequence[AskedLine], heads: Mapping[str, BillHead], *, period_from: date
) -> Wanted | None:
    """What the lines ask for; None when one names a head twice for a period, or one that the biller
    does not have: the surcharge's is ours to ask for."""
    wanted: Wanted = {}
    for line in lines:
        head = heads.get(line.head)
        key = (line.head, line.period_from or period_from)
        if head is None or head.is_surcharge or key in wanted:
            return None
        wanted[key] = (head, line.amount_fen)
    return wanted


def version_of(bill: Bill, wanted: Wanted, *, actor: str, at: datetime) -> BillVersion:
    """What is written down of a bill's present version."""
    return BillVersion(
        bill=bill,
        version=bill.version,
        title=bill.title,
        due_date=bill.due_date,
        lines=told(wanted),
        actor=actor,
        at=at,
    )


def told(wanted: Wanted) -> list[dict[str, object]]:
    """What lines ask for, as a version keeps it."""
    return [
        {"head": code, "period_from": period_from.isoformat(), "amount_fen": fen}
        for (code, period_from), (_, fen) in sorted(
            wanted.items(), key=lambda item: (item[0][1], item[1][0].priority)
        )
    ]


def _locked(bill_id: uuid.UUID, *, caller: Caller) -> Bill:
    bill = bills.lock_bill(
        id=bill_id, biller__merchant__organisation_id=required(caller.organisation_id)
    )
    if bill is None:
        raise NotFound
    return bill


def _forgive(bill: Bill, held: Sequence[BillLine]) -> None:
    """Let go what of the surcharge is not paid."""
    for line in held:
        if line.head.is_surcharge and line.amount_fen > line.paid_fen:
            line.amount_fen = line.paid_fen
            line.save(update_fields=["amount_fen"])
    bill.accrued = surcharge.MILLION * sum(line.paid_fen for line in held if line.head.is_surcharge)


def _replace_lines(bill: Bill, held: Sequence[BillLine], wanted: Wanted) -> None:
    """Set the bill's lines to what is wanted; one that is not any more stays with nothing on it,
    since payments may have gone to it."""
    left = dict(wanted)
    for line in held:
        if line.head.is_surcharge:
            continue
        _, line.amount_fen = left.pop((line.head.code, line.period_from), (line.head, 0))
        if line.amount_fen < line.paid_fen:
            raise BillPaidAlready
    made = [
        BillLine(bill=bill, head=head, period_from=period_from, amount_fen=fen)
        for (_, period_from), (head, fen) in left.items()
    ]
    bill.amount_fen = sum(line.amount_fen for line in [*held, *made])
    if bill.amount_fen < bill.paid_fen + bill.reserved_fen:
        raise BillUnderWay
    BillLine.objects.bulk_update(held, ["amount_fen"])
    BillLine.objects.bulk_create(made)


def _state_as_paid(bill: Bill) -> str:
    if not bill.paid_fen:
        return "unpaid"
    return "paid" if bill.paid_fen == bill.amount_fen else "part_paid"
