"""Money into a wallet and out of it: top-up numbers, banks' credit notices, withdrawals."""

import secrets
import uuid
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal

from django.db import IntegrityError
from django.db.models import Prefetch, QuerySet

from payments import payouts
from payments.accounts import credit_wallet, refuse_suspended, resident_account
from payments.models import Bank, CreditNotice, FundingSource, Payout, PayoutChange, TopUpNumber
from payments.payouts import Destination, Payee
from vpass.common import clock, ids
from vpass.common.callers import Caller, required
from vpass.common.errors import DomainError, NotAllowed, NotFound
from vpass.common.idempotency import IdempotencyKey, KeyReused, once
from vpass.common.sealed_fields import lookup_hash

MAX_AMOUNT_FEN = 999_999_999_999


class SourceUnknown(DomainError):
    """There is no bank account to pay to: money has to come from it first."""

    code = "withdrawal.source_unknown"
    status = 422
    title_zh = "没有可提现的银行账户，请先从该账户转入"


@dataclass(frozen=True, kw_only=True)
class Credit:
    """What a bank says came in: `amount_fen` for the resident who has this top-up number.

    `payer_account_token` is the bank's name of the payer's account, `payer_last4` is for showing.
    """

    notice_id: uuid.UUID
    top_up_number: str
    amount_fen: int
    payer_account_token: str
    payer_last4: str
    booked_at: datetime


@dataclass(frozen=True, kw_only=True)
class CreditOutcome:
    """What became of a credit notice; of a returned one the bank sends the money back."""

    status: Literal["credited", "returned"]
    reason: str | None = None


@dataclass(frozen=True, kw_only=True)
class WithdrawalBegun:
    """A withdrawal that is on its way from now on; `created_at` is RFC 3339 in UTC."""

    id: str
    amount_fen: int
    state: str
    created_at: str


def top_up_number(*, resident_id: uuid.UUID) -> str:
    """Return the 12 digits by which a bank names this wallet, made the first time they are wanted.

    The last digit is a check digit (Luhn), so that a bank refuses a mistyped number itself.
    """
    for _ in range(5):
        found = TopUpNumber.objects.filter(resident_id=resident_id).first()
        if found is not None:
            return found.number
        digits = f"88{secrets.randbelow(10**9):09d}"
        TopUpNumber.objects.bulk_create(
            [TopUpNumber(number=digits + _check_digit(digits), resident_id=resident_id)],
            ignore_conflicts=True,
        )
    raise IntegrityError("no free top-up number in five tries")


def take_credit_notice(
    *, caller: Caller, credit: Credit, idempotency_key: IdempotencyKey, at: datetime
) -> CreditOutcome:
    """Put what a bank has received into the wallet it is for, once for each notice.

    A repeat gets the answer of the first time; an unknown number or a closed wallet is returned and
    nothing is posted. Raises NotAllowed for a caller that is no bank, idempotency.KeyReused for a
    known notice with other content, and what `once` raises.
    """
    bank = _bank_of(caller)
    with once(replace(idempotency_key, caller=f"bank:{bank.id}"), at=at) as claim:
        if claim.answer is not None:
            return CreditOutcome(**claim.answer)
        outcome = _known_outcome(bank, credit) or _book(bank, credit, at=at)
        claim.answer = vars(outcome)
    return outcome


def withdraw(
    *,
    caller: Caller,
    amount_fen: int,
    source_id: uuid.UUID | None,
    idempotency_key: IdempotencyKey,
    at: datetime,
) -> WithdrawalBegun:
    """Send money of the caller's wallet to a bank account from which money has come before.

    Without `source_id` it goes to the newest one. The amount is held now and leaves the wallet when
    the bank has booked it. Raises AccountSuspended, SourceUnknown, ledger.InsufficientFunds, and
    what `once` raises.
    """
    resident_id = required(caller.resident_id)
    with once(idempotency_key, at=at) as claim:
        if claim.answer is None:
            refuse_suspended(resident_id)
            source = _source(resident_id, source_id)
            payout = payouts.prepare(
                payee=Payee(account=resident_account(resident_id), resident_id=resident_id),
                destination=Destination(
                    bank=source.bank, account_token=source.account_token, last4=source.last4
                ),
                amount_fen=amount_fen,
                reference=f"V PASS W-{clock.city_date(at):%Y%m%d}",
                business_date=clock.city_date(at),
                at=at,
            )
            begun = WithdrawalBegun(
                id=str(payout.id),
                amount_fen=amount_fen,
                state=payout.state,
                created_at=at.isoformat(),
            )
            claim.answer = vars(begun)
        return WithdrawalBegun(**claim.answer)


def withdrawal(*, resident_id: uuid.UUID, withdrawal_id: uuid.UUID) -> Payout:
    """Return a withdrawal with its bank and its history (`changes`), oldest first.

    Raises NotFound, also for another resident's.
    """
    found = withdrawals_of(resident_id=resident_id).filter(id=withdrawal_id).first()
    if found is None:
        raise NotFound
    return found


def withdrawals_of(*, resident_id: uuid.UUID) -> QuerySet[Payout]:
    """The resident's withdrawals with bank and history; order them by falling id."""
    history = Prefetch("changes", PayoutChange.objects.order_by("id"))
    return (
        Payout.objects.select_related("bank__organisation")
        .prefetch_related(history)
        .filter(resident_id=resident_id, purpose=Payout.Purpose.WITHDRAWAL)
    )


def sources_of(*, resident_id: uuid.UUID) -> QuerySet[FundingSource]:
    """The bank accounts from which the resident has put money in."""
    return FundingSource.objects.select_related("bank__organisation").filter(
        resident_id=resident_id
    )


def _bank_of(caller: Caller) -> Bank:
    bank = Bank.objects.filter(organisation_id=required(caller.organisation_id)).first()
    if bank is None:
        raise NotAllowed
    return bank


def _known_outcome(bank: Bank, credit: Credit) -> CreditOutcome | None:
    """What became of this notice before, however long ago. Raises KeyReused for another content."""
    known = CreditNotice.objects.filter(bank=bank, notice_id=str(credit.notice_id)).first()
    if known is None:
        return None
    if (known.amount_fen, known.booked_at) != (credit.amount_fen, credit.booked_at):
        raise KeyReused
    return CreditOutcome(
        status="credited" if known.outcome == CreditNotice.Outcome.CREDITED else "returned",
        reason=known.reason,
    )


def _book(bank: Bank, credit: Credit, *, at: datetime) -> CreditOutcome:
    named = (
        TopUpNumber.objects.select_related("resident").filter(number=credit.top_up_number).first()
    )
    if named is None:
        outcome = CreditOutcome(status="returned", reason="number_unknown")
    elif named.resident.state == "closed":
        outcome = CreditOutcome(status="returned", reason="wallet_closed")
    else:
        outcome = CreditOutcome(status="credited")
    is_credited = named is not None and outcome.status == "credited"
    CreditNotice.objects.create(
        id=ids.uuid7(at),
        bank=bank,
        notice_id=str(credit.notice_id),
        resident_id=named.resident_id if named is not None and is_credited else None,
        amount_fen=credit.amount_fen,
        outcome=outcome.status,
        reason=outcome.reason,
        booked_at=credit.booked_at,
        at=at,
    )
    if named is not None and is_credited:
        _remember_source(bank, credit, resident_id=named.resident_id, at=at)
        credit_wallet(
            resident_id=named.resident_id,
            bank=bank,
            amount_fen=credit.amount_fen,
            caller=f"bank:{bank.id}",
            key=str(credit.notice_id),
            event_at=credit.booked_at,
            at=at,
        )
    return outcome


def _remember_source(bank: Bank, credit: Credit, *, resident_id: uuid.UUID, at: datetime) -> None:
    token_hash = lookup_hash(f"funding-source:{bank.id}", credit.payer_account_token)
    FundingSource.objects.bulk_create(
        [
            FundingSource(
                resident_id=resident_id,
                bank=bank,
                account_token=credit.payer_account_token,
                token_hash=token_hash,
                last4=credit.payer_last4,
                created_at=at,
            )
        ],
        ignore_conflicts=True,
    )


def _source(resident_id: uuid.UUID, source_id: uuid.UUID | None) -> FundingSource:
    sources = sources_of(resident_id=resident_id).order_by("-created_at", "-id")
    if source_id is not None:
        sources = sources.filter(id=source_id)
    source = sources.first()
    if source is None:
        raise SourceUnknown
    return source


def _check_digit(digits: str) -> str:
    weighed = [int(digit) * (2 - place % 2) for place, digit in enumerate(reversed(digits))]
    return str(-sum(value // 10 + value % 10 for value in weighed) % 10)
