"""Takes bills by the batch from a biller's server, and reports on each line."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date, datetime

from payments import bills, notice_code
from payments.billers import AskedLine, Wanted, lock_biller, told, version_of, wanted_lines
from payments.models import Bill, BillChange, Biller, BillLine, BillVersion
from vpass.common.callers import Caller
from vpass.common.clock import city_date
from vpass.common.idempotency import IdempotencyKey, once
from vpass.common.ids import uuid7

MAX_BATCH = 500
MALFORMED = "request.invalid"
# The codes of refused lines, beside those of a refused request.
TAKEN, TWICE = "bill.reference_taken", "bill.reference_twice"
PERIOD_WRONG, LINES_REFUSED = "bill.period_wrong", "bill.lines_refused"


@dataclass(frozen=True, kw_only=True)
class AskedBill:
    """A bill as its biller asks for it: for a period [from, to), from a payer."""

    reference: str
    payer_kind: str
    payer: str
    title: str
    period_from: date
    period_to: date
    due_date: date
    lines: tuple[AskedLine, ...]


@dataclass(frozen=True, kw_only=True)
class Malformed:
    """A line of a batch that is no bill; `errors` as in any refused request."""

    reference: str | None
    errors: Sequence[Mapping[str, str]]


@dataclass(frozen=True, kw_only=True)
class Reported:
    """What became of a line of a batch, counted from 1: accepted, known (the same has come before)
    or refused with its code."""

    line: int
    reference: str | None
    outcome: str
    code: str | None = None
    errors: Sequence[Mapping[str, str]] = ()
    bill_id: str | None = None
    notice_code: str | None = None


def upload_bills(
    *,
    caller: Caller,
    asked: Sequence[AskedBill | Malformed],
    idempotency_key: IdempotencyKey,
    at: datetime,
) -> list[Reported]:
    """Take a batch, each line by itself: accepted whole, or refused with its own code.

    A reference that came before with the same content is known, with other content taken. The
    number of statements does not depend on that of lines. Raises NoBiller, MerchantSuspended, and
    what `once` raises.
    """
    with once(idempotency_key, at=at) as claim:
        if claim.answer is None:
            biller = lock_biller(caller=caller)
            report = issue_bills(biller=biller, asked=asked, actor=caller.scope, at=at)
            claim.answer = {"report": [asdict(line) for line in report]}
        return [Reported(**line) for line in claim.answer["report"]]


def issue_bills(
    *, biller: Biller, asked: Sequence[AskedBill | Malformed], actor: str, at: datetime
) -> list[Reported]:
    """The same as `upload_bills`, within the caller's transaction, of a biller that is locked."""
    return _Batch(biller, actor, at).take(asked)


@dataclass
class _Batch:
    """The work on one batch."""

    biller: Biller
    actor: str
    at: datetime

    def take(self, asked: Sequence[AskedBill | Malformed]) -> list[Reported]:
        heads = {head.code: head for head in self.biller.heads.all()}
        known = self._known([each.reference for each in asked if each.reference is not None])
        seen: set[str] = set()
        report: list[Reported] = []
        made: list[tuple[Bill, Wanted]] = []
        for number, each in enumerate(asked, 1):
            if isinstance(each, Malformed):
                report.append(
                    Reported(
                        line=number,
                        reference=each.reference,
                        outcome="refused",
                        code=MALFORMED,
                        errors=each.errors,
                    )
                )
                continue
            wanted = wanted_lines(each.lines, heads, period_from=each.period_from)
            fault = _fault(each, wanted, is_twice=each.reference in seen)
            seen.add(each.reference)
            if fault is not None or wanted is None:
                report.append(_refused(number, each, str(fault)))
            elif each.reference in known:
                report.append(self._again(number, each, wanted, known[each.reference]))
            else:
                bill = self._bill(each, wanted)
                made.append((bill, wanted))
                report.append(_accepted(number, each, bill, "accepted"))
        self._write(made)
        return report

    def _known(self, references: list[str]) -> dict[str, tuple[Bill, BillVersion]]:
        first = BillVersion.objects.select_related("bill").filter(
            bill__biller=self.biller, bill__reference__in=references, version=1
        )
        return {version.bill.reference: (version.bill, version) for version in first}

    def _again(
        self, number: int, asked: AskedBill, wanted: Wanted, known: tuple[Bill, BillVersion]
    ) -> Reported:
        bill, first = known
        is_same = (
            bytes(bill.payer_hash) == self._payer_hash(asked)
            and (bill.payer_kind, bill.period_from, bill.period_to)
            == (asked.payer_kind, asked.period_from, asked.period_to)
            and (first.title, first.due_date) == (asked.title, asked.due_date)
            and first.lines == told(wanted)
        )
        if not is_same:
            return _refused(number, asked, TAKEN)
        return _accepted(number, asked, bill, "known")

    def _bill(self, asked: AskedBill, wanted: Wanted) -> Bill:
        return Bill(
            id=uuid7(self.at),
            biller=self.biller,
            reference=asked.reference,
            notice_code=notice_code.make(biller=self.biller.number, year=city_date(self.at).year),
            payer_kind=asked.payer_kind,
            payer_hash=self._payer_hash(asked),
            title=asked.title,
            period_from=asked.period_from,
            period_to=asked.period_to,
            due_date=asked.due_date,
            amount_fen=sum(fen for _, fen in wanted.values()),
            accrued_until=max(asked.due_date, city_date(self.at)),
            created_at=self.at,
        )

    def _payer_hash(self, asked: AskedBill) -> bytes:
        if asked.payer_kind == Bill.PayerKind.HOLDER:
            return bills.holder_hash(self.biller.pk, asked.payer)
        if asked.payer_kind == Bill.PayerKind.ID_NUMBER:
            return bills.id_number_hash(asked.payer)
        return bills.customer_hash(self.biller.pk, asked.payer)

    def _write(self, made: Sequence[tuple[Bill, Wanted]]) -> None:
        Bill.objects.bulk_create(bill for bill, _ in made)
        BillLine.objects.bulk_create(
            BillLine(bill=bill, head=head, period_from=period_from, amount_fen=fen)
            for bill, wanted in made
            for (_, period_from), (head, fen) in wanted.items()
        )
        BillVersion.objects.bulk_create(
            version_of(bill, wanted, actor=self.actor, at=self.at) for bill, wanted in made
        )
        BillChange.objects.bulk_create(
            BillChange(
                bill=bill,
                from_state="",
                to_state=bill.state,
                event="issue",
                actor=self.actor,
                at=self.at,
            )
            for bill, _ in made
        )


def _fault(asked: AskedBill, wanted: Wanted | None, *, is_twice: bool) -> str | None:
    if is_twice:
        return TWICE
    if asked.period_from >= asked.period_to:
        return PERIOD_WRONG
    return None if wanted is not None else LINES_REFUSED


def _refused(number: int, asked: AskedBill, code: str) -> Reported:
    return Reported(line=number, reference=asked.reference, outcome="refused", code=code)


def _accepted(number: int, asked: AskedBill, bill: Bill, outcome: str) -> Reported:
    return Reported(
        line=number,
        reference=asked.reference,
        outcome=outcome,
        bill_id=str(bill.id),
        notice_code=bill.notice_code,
    )
