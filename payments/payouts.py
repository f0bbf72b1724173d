"""Pays money out through a partner bank, and knows at every moment where it is.

The money is held from the start; it leaves the account when the bank has booked the payout, and is
free again when the bank will certainly not pay. An order is sent as often as it takes, always the
same, until there is an answer; when one may have been lost, only inquiries follow
(docs/bank-protocol.md sections 8 and 9). Nobody is waited for within a transaction.
"""

import time
import uuid
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from django.db import connection, transaction
from prometheus_client import Counter

from payments import ledger, states
from payments.banks import (
    BankAnswerLost,
    BankNotAsked,
    PartnerBank,
    PayoutOrder,
    PayoutStanding,
)
from payments.banks.http import partner_bank
from payments.ledger import Leg
from payments.models import Bank, Hold, Payout, PayoutChange
from vpass.common import clock, ids, outbox
from vpass.common.callers import Caller
from vpass.common.errors import Conflict, NotFound
from vpass.common.idempotency import IdempotencyKey, once
from vpass.common.observability import log
from vpass.common.outbox import Event

PAYOUT_PREPARED = "payments.payout_prepared"
PAYOUT_CHANGED = "payments.payout_changed"

# After a lost answer: 5 s, 10 s, 30 s, then each minute for ten minutes, then each ten minutes.
UNKNOWN_WAITS_S = (5, 10, 30, *[60] * 10)
LATER_WAIT = timedelta(minutes=10)
ACCEPTED_INQUIRIES_PER_DAY = 24 * 6
# A prepared payout that the outbox has not sent by then is sent by the sweep.
UNSENT_AFTER = timedelta(seconds=60)
# Longer than a call to a bank can last.
TAKEN_FOR = timedelta(seconds=30)
SWEEP_FOR_S = 20.0

_UNRESOLVED = Counter("vpass_payouts_unresolved", "Inquiries about payouts open for too long.")
_CONTRADICTED = Counter("vpass_payouts_contradicted", "Words of banks against a final state.")


class PayoutContradicted(Conflict):
    """The payout has ended otherwise, for good."""

    code = "payout.contradicted"
    title_zh = "该笔付款已有不同的最终结果"


@dataclass(frozen=True, kw_only=True)
class Payee:
    """Whose money goes out: a resident's or a merchant's, from the ledger account `account`."""

    account: int
    resident_id: uuid.UUID | None = None
    merchant_id: uuid.UUID | None = None


@dataclass(frozen=True, kw_only=True)
class Destination:
    """The bank account it goes to, by the bank's token of it; `last4` is for showing."""

    bank: Bank
    account_token: str
    last4: str


def bank_account(bank: Bank) -> int:
    """The ledger account of what a bank holds for us: negative by that much, without a floor."""
    return ledger.open_account(kind="bank", owner=str(bank.organisation_id), floor_fen=None)


def prepare(
    *,
    payee: Payee,
    destination: Destination,
    amount_fen: int,
    reference: str,
    business_date: date,
    at: datetime,
) -> Payout:
    """Hold the money and write the payout down, in the caller's transaction; it is sent afterwards.

    `reference` is what the receiver reads, completed with the payout's own end to at most 35
    characters. Raises ledger.InsufficientFunds.
    """
    payout_id = ids.uuid7(at)
    ledger.hold(
        hold_id=payout_id,
        account=payee.account,
        amount_fen=amount_fen,
        purpose="payout",
        reference=payout_id,
        expires_at=None,
        at=at,
    )
    payout = Payout.objects.create(
        id=payout_id,
        bank=destination.bank,
        purpose=(
            Payout.Purpose.WITHDRAWAL if payee.merchant_id is None else Payout.Purpose.SETTLEMENT
        ),
        resident_id=payee.resident_id,
        merchant_id=payee.merchant_id,
        account_token=destination.account_token,
        account_last4=destination.last4,
        amount_fen=amount_fen,
        reference=f"{reference}-{payout_id.hex[-8:].upper()}",
        business_date=business_date,
        next_inquiry_at=at + UNSENT_AFTER,
        created_at=at,
    )
    _write_change(payout, from_state="", event="prepare", actor="payouts", at=at)
    outbox.publish(PAYOUT_PREPARED, {"payout": payout_id}, at=at)
    return payout


def send_prepared(event: Event) -> None:
    """Order the payout of an event from its bank, outside of any transaction."""
    pursue(payout_id=uuid.UUID(event.payload["payout"]), at=clock.now())


def pursue_due(*, at: datetime, limit: int = 50) -> int:
    """Send what is unsent and inquire about what is open, where it is time; returns how many.

    Any number of these may run at once: each payout is taken by one of them at a time.
    """
    end = time.monotonic() + SWEEP_FOR_S
    pursued = 0
    # One by one, so that none is kept from others while a slow bank is waited for.
    while pursued < limit and time.monotonic() < end:
        payout_id = _take_due(at=at)
        if payout_id is None:
            break
        pursue(payout_id=payout_id, at=at)
        pursued += 1
    return pursued


def pursue(*, payout_id: uuid.UUID, at: datetime) -> None:
    """Take the next step with a payout at its bank: order it, or ask how it stands.

    Safe to repeat and to run twice at once: the order is always the same, and the bank pays a
    payout once.
    """
    payout = Payout.objects.select_related("bank").get(id=payout_id)
    if payout.state in states.PAYOUT.final:
        return
    try:
        bank = partner_bank(payout.bank.code)
        if payout.state == states.PAYOUT.initial:
            standing = bank.order(_order(payout), at=at)
        else:
            standing = _inquire(bank, payout, at=at)
    except BankNotAsked as error:
        _wait(payout, seconds=error.retry_after or 10, at=at)
    except BankAnswerLost:
        _note_silence(payout, at=at)
    else:
        _take_answer(payout, standing, at=at)


def take_notice(
    *,
    caller: Caller,
    payout_id: uuid.UUID,
    standing: PayoutStanding,
    idempotency_key: IdempotencyKey,
    at: datetime,
) -> None:
    """Take a bank's word that one of its payouts is booked or rejected; a repeat changes nothing.

    Raises NotFound for a payout of another bank, PayoutContradicted when it has ended otherwise,
    and what `once` raises.
    """
    with once(idempotency_key, at=at) as claim:
        if claim.answer is not None:
            return
        payout = _lock(payout_id, organisation_id=caller.organisation_id)
        if not _apply(payout, standing, actor=caller.scope, at=at):
            raise PayoutContradicted(state=payout.state)
        claim.answer = {}


def _order(payout: Payout) -> PayoutOrder:
    return PayoutOrder(
        payout_id=payout.id,
        account_token=payout.account_token,
        amount_fen=payout.amount_fen,
        purpose=payout.purpose,
        reference=payout.reference,
        business_date=payout.business_date,
    )


def _inquire(bank: PartnerBank, payout: Payout, *, at: datetime) -> PayoutStanding:
    waits = len(UNKNOWN_WAITS_S) if payout.state == "unknown" else ACCEPTED_INQUIRIES_PER_DAY
    if payout.inquiries >= waits:
        _UNRESOLVED.inc()
        log.error("payout_unresolved", state=payout.state, attempts=payout.inquiries)
    return bank.inquire(payout.id, at=at)


def _take_due(*, at: datetime) -> uuid.UUID | None:
    """A payout whose time has come, kept from other sweeps for `TAKEN_FOR`."""
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE payments_payout SET next_inquiry_at = %s WHERE id IN ("
            " SELECT id FROM payments_payout WHERE next_inquiry_at <= %s"
            " ORDER BY next_inquiry_at LIMIT 1 FOR UPDATE SKIP LOCKED) RETURNING id",
            [at + TAKEN_FOR, at],
        )
        row = cursor.fetchone()
        return None if row is None else uuid.UUID(str(row[0]))


def _wait(payout: Payout, *, seconds: int, at: datetime) -> None:
    """The bank has not been asked: the same again later, whether order or inquiry."""
    Payout.objects.filter(id=payout.id, state=payout.state).update(
        next_inquiry_at=at + timedelta(seconds=seconds)
    )


def _note_silence(asked: Payout, *, at: datetime) -> None:
    """There was no answer: an order becomes unknown, an inquiry is repeated by the schedule."""
    with transaction.atomic():
        payout = _lock(asked.id)
        if payout.state != asked.state:
            return  # somebody else has learned more meanwhile
        if payout.state == states.PAYOUT.initial:
            _move(payout, "unknown", actor="payouts", at=at)
            payout.inquiries = 0
        else:
            payout.inquiries += 1
        payout.next_inquiry_at = at + _wait_before(payout)
        payout.save(update_fields=["inquiries", "next_inquiry_at"])


def _take_answer(asked: Payout, standing: PayoutStanding, *, at: datetime) -> None:
    with transaction.atomic():
        payout = _lock(asked.id)
        is_applied = _apply(payout, standing, actor=f"bank:{payout.bank_id}", at=at)
        if is_applied and standing.status == "accepted" == payout.state == asked.state:
            payout.inquiries += 1
            payout.next_inquiry_at = at + _wait_before(payout)
            payout.save(update_fields=["inquiries", "next_inquiry_at"])


def _apply(payout: Payout, standing: PayoutStanding, *, actor: str, at: datetime) -> bool:
    """Move a locked payout to where its bank says it stands; False when that contradicts its end.

    What comes late about a payout that stands further changes nothing.
    """
    told = standing.status
    if told == payout.state:
        return True
    if payout.state in states.PAYOUT.final or (
        told == "never_arrived" and payout.state == "accepted"
    ):
        if told == "accepted":
            return True
        _CONTRADICTED.inc()
        log.error("payout_contradicted", state=payout.state, reason=told)
        return False
    if told == "never_arrived" and payout.state == states.PAYOUT.initial:
        _move(payout, "unknown", actor=actor, at=at)
    _move(payout, told, actor=actor, at=at)
    payout.inquiries = 0
    payout.bank_reference = standing.bank_reference or payout.bank_reference
    payout.reason = standing.reason
    payout.next_inquiry_at = at + LATER_WAIT if told == "accepted" else None
    payout.save(update_fields=["inquiries", "bank_reference", "reason", "next_inquiry_at"])
    if told == "booked":
        _post(payout, booked_at=standing.booked_at or at, at=at)
    elif told != "accepted":
        ledger.void(hold_id=payout.id, at=at)
    outbox.publish(PAYOUT_CHANGED, {"payout": payout.id, "state": told}, at=at)
    return True


def _post(payout: Payout, *, booked_at: datetime, at: datetime) -> None:
    held = Hold.objects.values_list("account_id", flat=True).get(id=payout.id)
    leg = Leg(debit=held, credit=bank_account(payout.bank), amount_fen=payout.amount_fen)
    ledger.capture(
        hold_id=payout.id,
        kind="payout",
        caller="payouts",
        key=str(payout.id),
        legs=[leg],
        event_at=booked_at,
        at=at,
    )


def _lock(payout_id: uuid.UUID, *, organisation_id: uuid.UUID | None = None) -> Payout:
    rows = Payout.objects.select_related("bank", "merchant").select_for_update(of=("self",))
    if organisation_id is not None:
        rows = rows.filter(bank__organisation_id=organisation_id)
    payout = rows.filter(id=payout_id).first()
    if payout is None:
        raise NotFound
    return payout


def _move(payout: Payout, to_state: str, *, actor: str, at: datetime) -> None:
    from_state = payout.state
    event = states.PAYOUT.event(from_state, to_state)
    payout.state = to_state
    payout.save(update_fields=["state"])
    _write_change(payout, from_state=from_state, event=event, actor=actor, at=at)


def _write_change(payout: Payout, *, from_state: str, event: str, actor: str, at: datetime) -> None:
    PayoutChange.objects.create(
        payout=payout,
        from_state=from_state,
        to_state=payout.state,
        event=event,
        actor=actor,
        at=at,
    )


def _wait_before(payout: Payout) -> timedelta:
    if payout.state == "unknown" and payout.inquiries < len(UNKNOWN_WAITS_S):
        return timedelta(seconds=UNKNOWN_WAITS_S[payout.inquiries])
    return LATER_WAIT
