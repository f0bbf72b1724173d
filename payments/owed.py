"""Lists everything that a resident owes: bills, charges, and what the floors above know of."""

import uuid
from dataclasses import dataclass
from datetime import date, datetime

from payments import bills, charges
from payments.models import Bill, Charge
from vpass.common import contributions
from vpass.common.callers import Caller, required
from vpass.common.clock import city_date

# Asked with `resident_id` and `at`; an answer is a list of Owed, at most MOST of them.
QUESTION = "payments.owed"
MOST = 200


@dataclass(frozen=True, kw_only=True)
class Owed:
    """Something a resident owes. `kind` is "bill", "charge" or a contributor's own word, `id` names
    the thing there; `payee_id` is the merchant, if it is one. `notice_code` is a bill's."""

    kind: str
    id: str
    payee_id: uuid.UUID | None
    payee_zh: str
    payee_en: str
    title: str
    amount_fen: int
    due_date: date
    is_overdue: bool
    notice_code: str | None = None


@dataclass(frozen=True)
class Debts:
    """All a resident owes, the earliest due first; `is_whole` unless more than is shown."""

    items: list[Owed]
    total_fen: int
    is_whole: bool


def everything_owed(*, caller: Caller, at: datetime) -> Debts:
    """What the caller owes by every account, in fen: what waits in a payment under way is left out.

    Of each kind at most MOST.
    """
    unpaid = bills.bills_of(caller=caller).filter(state__in=bills.OWED)
    fetched = list(unpaid.order_by("due_date", "id")[: MOST + 1])
    shown = [_bill(bill, at=at) for bill in fetched[:MOST]]
    found = [[owed for owed in shown if owed.amount_fen > 0], _charges(caller)]
    answers = contributions.ask(QUESTION, resident_id=required(caller.resident_id), at=at)
    found += [list(answer) for _, answer in answers]
    items = sorted(
        (item for kind in found for item in kind[:MOST]),
        key=lambda item: (item.due_date, item.kind, item.id),
    )
    return Debts(
        items=items,
        total_fen=sum(item.amount_fen for item in items),
        is_whole=len(fetched) <= MOST and all(len(kind) <= MOST for kind in found),
    )


def _bill(bill: Bill, *, at: datetime) -> Owed:
    standing = bills.standing(bill, at=at)
    organisation = bill.biller.merchant.organisation
    return Owed(
        kind="bill",
        id=str(bill.id),
        payee_id=bill.biller_id,
        payee_zh=organisation.name_zh,
        payee_en=organisation.name_en,
        title=bill.title,
        amount_fen=standing.open_fen,
        due_date=bill.due_date,
        is_overdue=standing.is_overdue,
        notice_code=bill.notice_code,
    )


def _charges(caller: Caller) -> list[Owed]:
    return [_charge(due) for due in charges.charges_of(caller=caller).order_by("id")[: MOST + 1]]


def _charge(due: Charge) -> Owed:
    """A charge is due when it is made, and is collected as soon as there is money."""
    organisation = due.merchant.organisation
    return Owed(
        kind="charge",
        id=str(due.id),
        payee_id=due.merchant_id,
        payee_zh=organisation.name_zh,
        payee_en=organisation.name_en,
        title=due.title,
        amount_fen=due.amount_fen,
        due_date=city_date(due.created_at),
        is_overdue=True,
    )
