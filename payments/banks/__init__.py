"""Partner banks: what V Pass asks of one, in whatever protocol it speaks."""

from dataclasses import dataclass
from datetime import date, datetime
from typing import Literal, Protocol
from uuid import UUID

from vpass.common.errors import DomainError

Status = Literal["accepted", "booked", "rejected", "never_arrived"]


class BankNotAsked(DomainError):
    """The bank cannot take the message now, and has done nothing about it."""

    code = "bank.not_asked"
    status = 503
    title_zh = "银行系统暂时无法接收请求"


class BankAnswerLost(DomainError):
    """The bank has perhaps done it, but there is no answer that can be believed."""

    code = "bank.answer_lost"
    status = 503
    title_zh = "未收到银行的有效答复"


@dataclass(frozen=True, kw_only=True)
class PayoutOrder:
    """Money in fen to be paid to the bank account which the bank itself calls `account_token`.

    `reference` is what the receiver reads: 1 to 35 ASCII characters.
    """

    payout_id: UUID
    account_token: str
    amount_fen: int
    purpose: str
    reference: str
    business_date: date


@dataclass(frozen=True, kw_only=True)
class DebitOrder:
    """Money in fen to be taken from the bank account which the bank itself calls `account_token`.

    `reference` is what the cardholder reads: 1 to 35 ASCII characters.
    """

    debit_id: UUID
    account_token: str
    amount_fen: int
    purpose: str
    reference: str
    business_date: date


@dataclass(frozen=True, kw_only=True)
class BankStanding:
    """How a payout or a debit stands at its bank.

    `bank_reference` comes with accepted and booked, `booked_at` with booked, `reason` with
    rejected.
    """

    status: Status
    reason: str | None = None
    bank_reference: str | None = None
    booked_at: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class StatementEntry:
    """One movement on our account at the bank; it names a payout, a debit or a credit notice."""

    entry_id: str
    kind: Literal["credit", "debit"]
    amount_fen: int
    payout_id: UUID | None
    debit_id: UUID | None
    notice_id: UUID | None
    booked_at: datetime


@dataclass(frozen=True, kw_only=True)
class StatementPage:
    """A page of the bank's statement of one day; nothing is added any more when `is_closed`."""

    pages: int
    is_closed: bool
    opening_fen: int
    closing_fen: int
    entries: list[StatementEntry]


class PartnerBank(Protocol):
    """The contract of every adapter to a bank. All of it is asked outside any transaction."""

    def order(self, order: PayoutOrder, *, at: datetime) -> BankStanding:
        """Order a payout, or order it again: the same `payout_id` is paid once at most.

        Raises BankNotAsked, after which the same order may be sent again, and BankAnswerLost, after
        which only `inquire` tells.
        """

    def inquire(self, payout_id: UUID, *, at: datetime) -> BankStanding:
        """Ask how a payout stands; one that the bank never had will then never be paid.

        Raises BankNotAsked and BankAnswerLost: ask again later.
        """

    def debit(self, order: DebitOrder, *, at: datetime) -> BankStanding:
        """Order a debit, or order it again: the same `debit_id` is taken once at most.

        Raises BankNotAsked and BankAnswerLost as `order` does.
        """

    def inquire_debit(self, debit_id: UUID, *, at: datetime) -> BankStanding:
        """Ask how a debit stands; one that the bank never had will then never be taken.

        Raises BankNotAsked and BankAnswerLost: ask again later.
        """

    def statement(self, business_date: date, *, page: int, at: datetime) -> StatementPage:
        """Read a page, from 1, of what was booked on a day. Raises BankNotAsked, BankAnswerLost."""
