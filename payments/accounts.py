"""The ledger accounts of banks and residents, and the one way in which a wallet gets money."""

import uuid
from datetime import datetime

from identity.residents import AccountSuspended
from payments import ledger, queries
from payments.ledger import Leg
from payments.models import Bank
from vpass.common import outbox
from vpass.common.errors import DomainError

WALLET_CREDITED = "payments.wallet_credited"


class PayingSuspended(DomainError):
    """Paying is suspended for this account."""

    code = "account.pay_suspended"
    status = 403
    title_zh = "该账户的付款功能已暂停"


def bank_account(bank: Bank) -> int:
    """The ledger account of what a bank holds for us: negative by that much, without a floor."""
    return ledger.open_account(kind="bank", owner=str(bank.organisation_id), floor_fen=None)


def resident_account(resident_id: uuid.UUID) -> int:
    """The ledger account of a resident's wallet; it never falls below zero."""
    return ledger.open_account(kind="resident", owner=str(resident_id), floor_fen=0)


def refuse_suspended(resident_id: uuid.UUID) -> None:
    """Return when a resident may move money; nobody suspends them before we commit.

    Raises AccountSuspended, PayingSuspended.
    """
    refuse_state(queries.lock_resident(resident_id))


def refuse_state(payer_state: str) -> None:
    """Return when a payer in this state (queries.Parties) may pay; raises as refuse_suspended."""
    if payer_state == "pay_suspended":
        raise PayingSuspended
    if payer_state != "active":
        raise AccountSuspended


def credit_wallet(
    *,
    resident_id: uuid.UUID,
    bank: Bank,
    amount_fen: int,
    caller: str,
    key: str,
    event_at: datetime,
    at: datetime,
) -> None:
    """Put money that a bank holds for us into a wallet and tell of it, in the caller's transaction.

    `caller` and `key` name the posting for ever, `event_at` is when the bank booked.
    """
    leg = Leg(debit=bank_account(bank), credit=resident_account(resident_id), amount_fen=amount_fen)
    ledger.post(kind="top_up", caller=caller, key=key, legs=[leg], event_at=event_at, at=at)
    outbox.publish(WALLET_CREDITED, {"resident": resident_id, "amount_fen": amount_fen}, at=at)
