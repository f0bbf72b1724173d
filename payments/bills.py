"""Finds bills for those who may see them, and says what is owed of one at a moment."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from django.db import connection, transaction
from django.db.models import OuterRef, Q, QuerySet, Subquery, Sum
from django.db.models.functions import Coalesce

from identity.disclosure import pseudonym
from identity.models import Resident
from payments import history, notice_code, states, surcharge
from payments.models import Bill, BillChange, Biller, BillFollow, BillLine, BillPayment, Order
from vpass.common.callers import Caller, required
from vpass.common.clock import city_date
from vpass.common.errors import DomainError, NotFound
from vpass.common.limits import Limit, remaining, spend
from vpass.common.sealed_fields import lookup_hash

OWED = ("unpaid", "part_paid")
# Orders that have ended without paying, and never will pay.
ENDED = ("failed", "cancelled", "expired", "reversed")
# Orders that only wait for somebody's word: nothing keeps them from ending unpaid.
NOT_BEGUN = ("created", "confirming")

_RELEASE = """
WITH released AS (
    UPDATE payments_billpayment p SET released_at = %(at)s
    FROM payments_order o
    WHERE p.bill_id = %(bill)s AND p.paid_at IS NULL AND p.released_at IS NULL
        AND o.id = p.order_id AND o.state = ANY (%(ended)s)
    RETURNING p.amount_fen
)
SELECT COALESCE((SELECT sum(amount_fen) FROM released), 0), COALESCE((
    SELECT sum(p.amount_fen) FROM payments_billpayment p JOIN payments_order o ON o.id = p.order_id
    WHERE p.bill_id = %(bill)s AND p.paid_at IS NULL AND p.released_at IS NULL
        AND o.state = ANY (%(not_begun)s)
), 0)
"""


class NoticeCodeInvalid(DomainError):
    """This is not a payment notice code: check its digits."""

    code = "bill.notice_code_invalid"
    status = 422
    title_zh = "缴款码有误，请核对数字"


# The random part of a code has 12 digits: trying them costs for ever at this rate.
LOOK_UPS = Limit(name="bill.look_up", maximum=30, per=timedelta(minutes=10))


@dataclass(frozen=True, kw_only=True)
class Standing:
    """What is owed of a bill at a moment, in fen.

    `amount_fen` is all that was asked for, the surcharge up to that day among it; `under_way_fen`
    waits in payments that have not ended, and `open_fen` is what can still be paid.
    """

    amount_fen: int
    surcharge_fen: int
    paid_fen: int
    under_way_fen: int
    open_fen: int
    is_overdue: bool


@dataclass(frozen=True)
class Reckoned:
    """The exact surcharge of a bill at the end of a day, and by how much its line grows to it."""

    accrued: int
    until: date
    grown_fen: int


def holder_hash(biller_id: uuid.UUID, holder: str) -> bytes:
    """What a bill for a resident's pairwise pseudonym is found by."""
    return lookup_hash("bill.holder", f"{biller_id}:{holder}")


def id_number_hash(id_number: str) -> bytes:
    """What a bill for an ID number is found by."""
    return lookup_hash("bill.id_number", id_number)


def customer_hash(biller_id: uuid.UUID, number: str) -> bytes:
    """What a bill for a biller's customer number is found by."""
    return lookup_hash("bill.customer", f"{biller_id}:{number}")


def payer_hashes(resident_id: uuid.UUID) -> list[bytes]:
    """Everything that bills for this resident are found by; three statements."""
    resident = Resident.objects.get(id=resident_id)
    followed = BillFollow.objects.filter(resident_id=resident_id)
    hashes = [bytes(found) for found in followed.values_list("payer_hash", flat=True)]
    if resident.id_number is not None:
        hashes.append(id_number_hash(resident.id_number))
    for biller_id, organisation_id in Biller.objects.values_list("pk", "merchant__organisation_id"):
        holder = pseudonym(resident_id=resident_id, organisation_id=organisation_id)
        hashes.append(holder_hash(biller_id, holder))
    return hashes


def bills_of(*, caller: Caller) -> QuerySet[Bill]:
    """The caller's bills that are not cancelled, to be ordered by `-id`."""
    hashes = payer_hashes(required(caller.resident_id))
    return shown_bills().filter(payer_hash__in=hashes).exclude(state="cancelled")


def bill_of(*, caller: Caller, bill_id: uuid.UUID) -> Bill:
    """A bill for the caller, or one the caller has paid of. Raises NotFound."""
    resident_id = required(caller.resident_id)
    paid = BillPayment.objects.filter(payer_id=resident_id).values("bill")
    mine = Q(payer_hash__in=payer_hashes(resident_id)) | Q(id__in=paid)
    return one_of(shown_bills().filter(mine, id=bill_id))


def look_up(*, caller: Caller, code: str, at: datetime) -> Bill:
    """The bill with a notice code, whoever it is for.

    Raises NoticeCodeInvalid, NotFound, and limits.LimitReached after 30 looks in ten minutes.
    """
    digits = code_digits(code)
    spend(LOOK_UPS, caller.scope, at=at)
    return one_of(shown_bills().filter(notice_code=digits).exclude(state="cancelled"))


def follow(*, caller: Caller, code: str, at: datetime) -> Bill:
    """Count the bills of a customer number among the caller's own from now on; the notice code of
    one of them shows that the caller has it. The same again changes nothing.

    Raises what `look_up` raises, and NotFound for a bill that is for no customer number.
    """
    bill = look_up(caller=caller, code=code, at=at)
    if bill.payer_kind != Bill.PayerKind.CUSTOMER:
        raise NotFound
    BillFollow.objects.bulk_create(
        [
            BillFollow(
                resident_id=required(caller.resident_id), payer_hash=bytes(bill.payer_hash), at=at
            )
        ],
        ignore_conflicts=True,
    )
    return bill


def unfollow(*, caller: Caller, bill_id: uuid.UUID) -> None:
    """Count the bills of the customer number that this bill is for among the caller's own no more.

    Raises NotFound for a bill of a customer number that the caller does not follow.
    """
    resident_id = required(caller.resident_id)
    hashes = Bill.objects.filter(id=bill_id).values("payer_hash")
    ended, _ = BillFollow.objects.filter(resident_id=resident_id, payer_hash__in=hashes).delete()
    if not ended:
        raise NotFound


def refuse_guessing(*, caller: Caller, digits: str, at: datetime) -> None:
    """Let nobody ask by more codes than LOOK_UPS allows, hit or not; those of the caller's own
    bills are no guesses. Raises limits.LimitReached."""
    if remaining(LOOK_UPS, caller.scope, at=at):
        return
    if not bills_of(caller=caller).filter(notice_code=digits).exists():
        spend(LOOK_UPS, caller.scope, at=at)


def code_digits(code: str) -> str:
    """The 20 digits of a notice code as typed. Raises NoticeCodeInvalid."""
    read = notice_code.read(code)
    if read is None:
        raise NoticeCodeInvalid
    return read.text


def bills_of_biller(*, caller: Caller) -> QuerySet[Bill]:
    """The bills that the caller's organisation has issued, to be ordered by `-id`."""
    organisation_id = required(caller.organisation_id)
    return shown_bills().filter(biller__merchant__organisation_id=organisation_id)


def shown_bills() -> QuerySet[Bill]:
    """Bills with all that `standing` needs; `ended_fen` is reserved in payments that came to
    nothing, `waiting_fen` in those that nobody has confirmed. Two statements."""
    return (
        Bill.objects.select_related("biller__merchant__organisation")
        .prefetch_related("lines__head")
        .annotate(ended_fen=_reserved_in(ENDED), waiting_fen=_reserved_in(NOT_BEGUN))
    )


def _reserved_in(order_states: Sequence[str]) -> Coalesce:
    found = (
        BillPayment.objects.filter(
            bill=OuterRef("id"), paid_at=None, released_at=None, order__state__in=order_states
        )
        .order_by()
        .values("bill")
        .annotate(fen=Sum("amount_fen"))
        .values("fen")
    )
    return Coalesce(Subquery(found), 0)


def standing(bill: Bill, *, at: datetime) -> Standing:
    """What is owed of one of `shown_bills` at a moment, to which the surcharge is counted."""
    under_way_fen = bill.reserved_fen - int(getattr(bill, "ended_fen", 0))
    lines = list(bill.lines.all())
    being_paid_fen = under_way_fen - int(getattr(bill, "waiting_fen", 0))
    reckoned = reckon(bill, lines, being_paid_fen=being_paid_fen, at=at)
    amount_fen = bill.amount_fen + reckoned.grown_fen
    is_owed = bill.state in OWED
    return Standing(
        amount_fen=amount_fen,
        surcharge_fen=_surcharge_fen(lines) + reckoned.grown_fen,
        paid_fen=bill.paid_fen,
        under_way_fen=under_way_fen,
        open_fen=amount_fen - bill.paid_fen - under_way_fen if is_owed else 0,
        is_overdue=is_owed and city_date(at) > bill.due_date,
    )


def reckon(bill: Bill, lines: Sequence[BillLine], *, being_paid_fen: int, at: datetime) -> Reckoned:
    """Count a bill's surcharge up to a moment's day in the city.

    What a bank is paying counts as paid, so that nobody pays for its delay; a payment that its
    payer has only opened does not.
    """
    today = city_date(at)
    own = [line for line in lines if not line.head.is_surcharge]
    unpaid_fen = sum(line.amount_fen - line.paid_fen for line in own) - being_paid_fen
    if bill.state == "cancelled" or today <= bill.accrued_until:
        return Reckoned(bill.accrued, bill.accrued_until, 0)
    accrued = surcharge.accrue(
        bill.accrued,
        unpaid_fen=max(0, unpaid_fen),
        ppm=bill.biller.surcharge_ppm,
        until=bill.accrued_until,
        today=today,
        most_fen=sum(line.amount_fen for line in own),
    )
    grown_fen = surcharge.in_fen(accrued) - _surcharge_fen(lines)
    return Reckoned(accrued, today, max(0, grown_fen))


def in_order(lines: Sequence[BillLine]) -> list[BillLine]:
    """Lines as they are paid: the oldest period first, in it the highest head."""
    return sorted(lines, key=lambda line: (line.period_from, line.head.priority))


def lock_bill(**by: object) -> Bill | None:
    """A bill that nobody else changes before we commit, with its biller; one statement."""
    return (
        Bill.objects.select_related("biller__merchant__organisation")
        .select_for_update(of=("self",), no_key=True)
        .filter(**by)
        .first()
    )


def bring_up_to_date(bill: Bill, *, at: datetime) -> list[BillLine]:
    """Give back what a locked bill's ended payments had reserved, and write its surcharge up to
    today; returns its lines in the order in which they are paid.

    One statement, with reserved money two, and where something changes two or three more.
    """
    released_fen, waiting_fen = _release(bill, at=at) if bill.reserved_fen else (0, 0)
    bill.reserved_fen -= released_fen
    lines = list(BillLine.objects.select_related("head").filter(bill=bill))
    reckoned = reckon(bill, lines, being_paid_fen=bill.reserved_fen - waiting_fen, at=at)
    is_later = reckoned.until != bill.accrued_until
    bill.accrued, bill.accrued_until = reckoned.accrued, reckoned.until
    bill.amount_fen += reckoned.grown_fen
    if released_fen or is_later:
        bill.save(update_fields=["reserved_fen", "accrued", "accrued_until", "amount_fen"])
    if reckoned.grown_fen:
        lines = _grown(bill, lines, fen=reckoned.grown_fen)
    return in_order(lines)


def move(bill: Bill, *, actor: str, at: datetime) -> None:
    """Set a locked bill's state to what is paid of it, with a line of history, and save the sums.

    Raises states.IllegalTransition.
    """
    is_all = bill.paid_fen == bill.amount_fen
    change(
        bill,
        "paid" if is_all else "part_paid" if bill.paid_fen else "unpaid",
        fields=["amount_fen", "paid_fen", "reserved_fen"],
        actor=actor,
        at=at,
    )


def change(bill: Bill, to_state: str, *, fields: list[str], actor: str, at: datetime) -> None:
    """Move a locked bill on and save `fields` with it; two statements, without a move one.

    Raises states.IllegalTransition.
    """
    from_state, bill.state = bill.state, to_state
    is_move = from_state != to_state or to_state == "part_paid"
    event = states.BILL.event(from_state, to_state) if is_move else ""
    bill.save(update_fields=["state", *fields])
    if is_move:
        BillChange.objects.create(
            bill=bill, from_state=from_state, to_state=to_state, event=event, actor=actor, at=at
        )


def release_ended(*, at: datetime, limit: int = 500) -> int:
    """Give back what ended payments had reserved, of every bill; returns of how many bills.

    A payment does the same for its bill at once; this is for those that nobody looks at again.
    """
    waiting = BillPayment.objects.filter(
        paid_at=None, released_at=None, order__state__in=ENDED
    ).values_list("bill_id", flat=True)
    return sum(_release_of(bill_id, at=at) for bill_id in sorted(set(waiting[:limit])))


def _release_of(bill_id: uuid.UUID, *, at: datetime) -> int:
    with transaction.atomic():
        bill = lock_bill(id=bill_id)
        if bill is None or not bill.reserved_fen:
            return 0
        bring_up_to_date(bill, at=at)
    return 1


def _release(bill: Bill, *, at: datetime) -> tuple[int, int]:
    """What is given back, and what waits for somebody's word."""
    values: dict[str, Any] = {
        "bill": bill.id, "ended": list(ENDED), "not_begun": list(NOT_BEGUN), "at": at,
    }  # fmt: skip
    with connection.cursor() as cursor:
        cursor.execute(_RELEASE, values)
        released_fen, waiting_fen = cursor.fetchone()
    return int(released_fen), int(waiting_fen)


def displace(bill: Bill, *, payer_id: uuid.UUID | None = None, actor: str, at: datetime) -> None:
    """Call off the payments of a locked bill that wait for their payer's word, all or those of one
    payer; `bring_up_to_date` then gives back what they had reserved. One statement if there are
    none."""
    waiting = Order.objects.filter(billpayment__bill=bill, state="confirming")
    if payer_id is not None:
        waiting = waiting.filter(payer_id=payer_id)
    locked = waiting.order_by("id").select_for_update(of=("self",), no_key=True)
    for order in locked:
        history.change_order(order, "cancelled", actor=actor, at=at)


def _grown(bill: Bill, lines: list[BillLine], *, fen: int) -> list[BillLine]:
    """The lines with so much more surcharge, which is the youngest of them."""
    line = next((line for line in lines if line.head.is_surcharge), None)
    if line is not None:
        line.amount_fen += fen
        line.save(update_fields=["amount_fen"])
        return lines
    head = bill.biller.heads.get(is_surcharge=True)
    youngest = max([bill.due_date, *(line.period_from for line in lines)])
    made = BillLine.objects.create(bill=bill, head=head, period_from=youngest, amount_fen=fen)
    return [*lines, made]


def _surcharge_fen(lines: Sequence[BillLine]) -> int:
    return sum(line.amount_fen for line in lines if line.head.is_surcharge)


def one_of(bills: QuerySet[Bill]) -> Bill:
    """The one of these bills that there is. Raises NotFound."""
    bill = bills.first()
    if bill is None:
        raise NotFound
    return bill
