"""Pays money out through a partner bank, and knows at every moment where it is.

The money is held from the start; it leaves the account when the bank has booked the payout, and is
free again when the bank will certainly not pay. `payments.pursuit` does the asking.
"""

import uuid
from dataclasses import dataclass
from datetime import date, datetime

from payments import ledger, states
from payments.accounts import bank_account
from payments.banks import BankStanding, PartnerBank, PayoutOrder
from payments.ledger import Leg
from payments.models import Bank, Hold, Payout, PayoutChange
from payments.pursuit import Pursuit
from vpass.common import clock, ids, outbox
from vpass.common.callers import Caller
from vpass.common.errors import Conflict
from vpass.common.idempotency import IdempotencyKey
from vpass.common.outbox import Event

PAYOUT_PREPARED = "payments.payout_prepared"
PAYOUT_CHANGED = "payments.payout_changed"


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


class PayoutPursuit(Pursuit[Payout]):
    """Payouts: the money held for one is captured when it is booked, and freed when it fails."""

    rows = Payout
    changes = PayoutChange
    table = states.PAYOUT
    contradicted = PayoutContradicted
    actor = "payouts"

    def order(self, bank: PartnerBank, work: Payout, *, at: datetime) -> BankStanding:
        """See Pursuit."""
        is_refund = work.purpose == Payout.Purpose.REFUND
        order = PayoutOrder(
            payout_id=work.id,
            account_token=work.account_token,
            amount_fen=work.amount_fen,
            # To the bank it is a resident's own money to the resident's own account.
            purpose=Payout.Purpose.WITHDRAWAL if is_refund else work.purpose,
            reference=work.reference,
            business_date=work.business_date,
        )
        return bank.order(order, at=at)

    def inquire(self, bank: PartnerBank, work: Payout, *, at: datetime) -> BankStanding:
        """See Pursuit."""
        return bank.inquire(work.id, at=at)

    def follow(self, work: Payout, *, booked_at: datetime | None, actor: str, at: datetime) -> None:
        """See Pursuit."""
        if work.state == "unknown":
            return
        if work.state == "booked":
            _post(work, booked_at=booked_at or at, at=at)
        elif work.state in self.table.final:
            ledger.void(hold_id=work.id, at=at)
        outbox.publish(PAYOUT_CHANGED, {"payout": work.id, "state": work.state}, at=at)


PURSUIT = PayoutPursuit()


def prepare(
    *,
    payee: Payee,
    destination: Destination,
    amount_fen: int,
    reference: str,
    business_date: date,
    purpose: str | None = None,
    at: datetime,
) -> Payout:
    """Hold the money and write the payout down, in the caller's transaction; it is sent afterwards.

    `reference` is what the receiver reads, completed with the payout's own end to at most 35
    characters; `purpose` is the payee's usual one when left out. Raises ledger.InsufficientFunds.
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
    payout = Payout(
        id=payout_id,
        bank=destination.bank,
        purpose=purpose
        or (Payout.Purpose.WITHDRAWAL if payee.merchant_id is None else Payout.Purpose.SETTLEMENT),
        resident_id=payee.resident_id,
        merchant_id=payee.merchant_id,
        account_token=destination.account_token,
        account_last4=destination.last4,
        amount_fen=amount_fen,
        reference=f"{reference}-{payout_id.hex[-8:].upper()}",
        business_date=business_date,
        created_at=at,
    )
    PURSUIT.write(payout, at=at)
    outbox.publish(PAYOUT_PREPARED, {"payout": payout_id}, at=at)
    return payout


def send_prepared(event: Event) -> None:
    """Order the payout of an event from its bank, outside of any transaction."""
    pursue(payout_id=uuid.UUID(event.payload["payout"]), at=clock.now())


def pursue_due(*, at: datetime, limit: int = 50) -> int:
    """Send what is unsent and inquire about what is open, where it is time; returns how many."""
    return PURSUIT.pursue_due(at=at, limit=limit)


def pursue(*, payout_id: uuid.UUID, at: datetime) -> None:
    """Take the next step with a payout at its bank: order it, or ask how it stands."""
    PURSUIT.pursue(work_id=payout_id, at=at)


def take_notice(
    *,
    caller: Caller,
    payout_id: uuid.UUID,
    standing: BankStanding,
    idempotency_key: IdempotencyKey,
    at: datetime,
) -> None:
    """Take a bank's word that one of its payouts is booked or rejected; a repeat changes nothing.

    Raises NotFound for a payout of another bank, PayoutContradicted when it has ended otherwise,
    and what `once` raises.
    """
    PURSUIT.take_notice(
        caller=caller,
        work_id=payout_id,
        standing=standing,
        idempotency_key=idempotency_key,
        at=at,
    )


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
