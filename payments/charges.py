"""Charges a resident for what was used without paying at a till, now or when money comes in."""

import uuid
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, cast

from django.db import transaction
from django.db.models import QuerySet

from payments import history, queries
from payments.captures import capture_order
from payments.ledger import InsufficientFunds
from payments.models import Charge, Order, Payout
from payments.queries import Parties
from vpass.common import clock, outbox
from vpass.common.callers import Caller, required
from vpass.common.errors import Conflict, NotFound
from vpass.common.ids import uuid7
from vpass.common.outbox import Event
from vpass.common.transactions import require_autocommit, require_transaction

CHARGE_DUE = "payments.charge_due"
CHARGE_PAID = "payments.charge_paid"
CHARGE_CANCELLED = "payments.charge_cancelled"

ACTOR = "charges"
FIRST = uuid.UUID(int=0)  # before every charge


class ChargePartyUnknown(NotFound):
    """There is no such merchant, or no such payer."""

    code = "charge.party_unknown"
    title_zh = "收款商户或付款人不存在"


class ChargeReferenceTaken(Conflict):
    """Another charge of this merchant has this reference."""

    code = "charge.reference_taken"
    title_zh = "该收费单号已用于另一笔收费"


class ChargeNotDue(Conflict):
    """This charge has been paid or cancelled already."""

    code = "charge.not_due"
    title_zh = "该笔收费已付或已取消"


@dataclass(frozen=True)
class Charged:
    """How a charge stands; `order_id` is the payment of a paid one."""

    id: str
    state: Literal["paid", "due", "cancelled"]
    order_id: str | None


def charge(
    *,
    payer_id: uuid.UUID,
    organisation_id: uuid.UUID,
    amount_fen: int,
    title: str,
    reference: str,
    at: datetime,
) -> Charged:
    """Take what a resident owes to an organisation, within the caller's transaction.

    `reference` is "<kind>:<uuid>" in at most 64 characters, once for ever for the organisation: the
    same again is the same charge. The money comes from the resident's wallet; where there is too
    little, or one of the two is suspended, the charge stays due and is collected when money comes
    in. Raises ChargePartyUnknown, ChargeReferenceTaken.
    """
    require_transaction("a charge")
    queries.lock_charges(payer_id)
    parties = queries.lock_parties(organisation_id=organisation_id, payer_id=payer_id)
    if parties is None:
        raise ChargePartyUnknown
    asked = Charge(
        id=uuid7(at),
        merchant_id=parties.merchant_id,
        payer_id=payer_id,
        amount_fen=amount_fen,
        title=title,
        reference=reference,
        created_at=at,
    )
    if not history.write_charge(asked, actor=ACTOR, at=at):
        return _known(asked)
    if not _take(asked, parties, organisation_id=organisation_id, at=at):
        _tell(CHARGE_DUE, asked, organisation_id=organisation_id, at=at)
    return _show(asked)


def collect(*, payer_id: uuid.UUID, at: datetime) -> int:
    """Take what a resident still owes, the oldest first, as far as the money goes; returns how
    many charges were paid. One that is too large waits, and lets smaller ones pass.

    Safe to run twice and at once: each charge is paid once. Each has a transaction of its own, so
    that collections never wait for each other in a ring of merchants.
    """
    require_autocommit("a collection")
    paid, last = 0, FIRST
    while (found := _collect_next(payer_id, after=last, at=at)) is not None:
        last, is_paid = found
        paid += is_paid
    return paid


def collect_due(*, at: datetime, limit: int = 100) -> int:
    """Collect from those who could pay by now, as when a merchant or a resident is suspended no
    more, of which nobody tells; returns how many charges were paid. Safe to run twice."""
    payers = queries.payers_to_collect_from(limit=limit)
    return sum(collect(payer_id=payer_id, at=at) for payer_id in payers)


def cancel_charge(*, organisation_id: uuid.UUID, reference: str, actor: str, at: datetime) -> None:
    """Let a merchant's due charge go, as of a fare that should not have been asked for.

    A paid one is refunded instead, as any payment. Raises NotFound, ChargeNotDue.
    """
    with transaction.atomic():
        due = (
            Charge.objects.select_for_update(of=("self",), no_key=True)
            .filter(merchant__organisation_id=organisation_id, reference=reference)
            .first()
        )
        if due is None:
            raise NotFound
        if due.state != "due":
            raise ChargeNotDue(state=due.state)
        history.change_charge(due, "cancelled", actor=actor, at=at)
        _tell(CHARGE_CANCELLED, due, organisation_id=organisation_id, at=at)


def collect_on_credit(event: Event) -> None:
    """Collect from a resident whose wallet has got money."""
    collect(payer_id=uuid.UUID(event.payload["resident"]), at=clock.now())


def collect_on_refund(event: Event) -> None:
    """Collect from a resident who has got a payment back."""
    collect(payer_id=uuid.UUID(event.payload["payer_id"]), at=clock.now())


def collect_on_payout(event: Event) -> None:
    """Collect from a resident whose withdrawal has come to nothing, so that its money is free."""
    if event.payload["state"] not in ("rejected", "never_arrived"):
        return
    payout = Payout.objects.get(id=event.payload["payout"])
    if payout.resident_id is not None:
        collect(payer_id=payout.resident_id, at=clock.now())


def charges_of(*, caller: Caller) -> QuerySet[Charge]:
    """What the caller owes, with the merchants; to be ordered by `id`, the oldest first."""
    return Charge.objects.select_related("merchant__organisation").filter(
        payer_id=required(caller.resident_id), state="due"
    )


def _collect_next(
    payer_id: uuid.UUID, *, after: uuid.UUID, at: datetime
) -> tuple[uuid.UUID, bool] | None:
    """Try the payer's next due charge; its id and whether it is paid now, None without another."""
    with transaction.atomic():
        queries.lock_charges(payer_id)
        due = (
            Charge.objects.select_related("merchant")
            .select_for_update(of=("self",), no_key=True)
            .filter(payer_id=payer_id, state="due", id__gt=after)
            .order_by("id")
            .first()
        )
        if due is None:
            return None
        organisation_id = due.merchant.organisation_id
        parties = queries.lock_parties(organisation_id=organisation_id, payer_id=payer_id)
        if parties is None:
            raise ChargePartyUnknown
        return due.id, _take(due, parties, organisation_id=organisation_id, at=at)


def _take(asked: Charge, parties: Parties, *, organisation_id: uuid.UUID, at: datetime) -> bool:
    """Pay a due charge with an order of its own; False when that cannot be now."""
    if parties.merchant_state != "active" or parties.payer_state != "active":
        return False
    order = Order(
        id=uuid7(at),
        merchant_id=asked.merchant_id,
        payer_id=asked.payer_id,
        amount_fen=asked.amount_fen,
        captured_fen=asked.amount_fen,
        title=asked.title,
        merchant_reference=asked.reference,
        state="captured",
        created_at=at,
    )
    try:
        with transaction.atomic():  # so that too little money undoes no more than this
            if not history.write_order(order, actor=ACTOR, at=at):
                raise ChargeReferenceTaken
            capture_order(order, parties, at=at)
    except InsufficientFunds:
        return False
    if not history.change_charge(asked, "paid", order_id=order.id, actor=ACTOR, at=at):
        raise RuntimeError("a charge is collected under its lock only")
    _tell(CHARGE_PAID, asked, organisation_id=organisation_id, at=at)
    return True


def _known(asked: Charge) -> Charged:
    known = Charge.objects.get(merchant_id=asked.merchant_id, reference=asked.reference)
    if (known.payer_id, known.amount_fen) != (asked.payer_id, asked.amount_fen):
        raise ChargeReferenceTaken
    return _show(known)


def _show(asked: Charge) -> Charged:
    return Charged(
        id=str(asked.id),
        state=cast(Literal["paid", "due", "cancelled"], asked.state),
        order_id=None if asked.order_id is None else str(asked.order_id),
    )


def _tell(name: str, asked: Charge, *, organisation_id: uuid.UUID, at: datetime) -> None:
    told = {
        "charge": asked.id,
        "resident": asked.payer_id,
        "organisation": organisation_id,
        "reference": asked.reference,
        "amount_fen": asked.amount_fen,
    }
    outbox.publish(name, told, at=at)
