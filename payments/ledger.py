"""Moves money: accounts, postings, holds and windows, through the owner's SQL functions only.

Every function is one statement. Inside a transaction of the caller it is part of that, and an error
ends it; outside, it is a transaction of its own, tried up to five times when the database broke it
off for a deadlock. All take the locks in one order: window, hold, then balances (post_v1.sql).
"""

import random
import re
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from django.db import DatabaseError, connection

from vpass.common import clock
from vpass.common.errors import Conflict, DomainError, NotFound, Unavailable
from vpass.common.money import parse_fen

MAX_LEGS = 10_000
HOT_SHARDS = 16  # rows for the balance of a payee whom everybody pays
TRIES = 5

_HEALS = frozenset({"40001", "40P01"})  # serialization_failure, deadlock_detected
_LOCK_NOT_AVAILABLE = "55P03"
_WAITS_SHORT = re.compile("close_window|spread_account")  # what gives up after a second
_FIRST_WAIT_S = 0.005


class InsufficientFunds(Conflict):
    """There is not enough money on the account."""

    code = "ledger.insufficient_funds"
    title_zh = "余额不足"


class KeyTaken(DomainError):
    """This key belongs to another transaction."""

    code = "ledger.key_reused"
    status = 422
    title_zh = "该幂等键已用于另一笔交易"


class PostingInvalid(DomainError):
    """The transaction has no legs, too many, or one between an account and itself."""

    code = "ledger.posting_invalid"
    status = 422
    title_zh = "记账分录无效"


class CurrencyMismatch(DomainError):
    """The accounts have different currencies."""

    code = "ledger.currency_mismatch"
    status = 422
    title_zh = "账户币种不一致"


class AccountUnknown(NotFound):
    """There is no such account."""

    code = "ledger.account_unknown"
    title_zh = "账户不存在"


class AlreadyReversed(Conflict):
    """The transaction has been reversed already."""

    code = "ledger.already_reversed"
    title_zh = "该笔交易已冲正"


class HoldNotOpen(Conflict):
    """The hold has been captured, voided or is past its time."""

    code = "hold.not_open"
    title_zh = "预授权已结束"


class HoldExceeded(DomainError):
    """A capture takes at least one fen and at most what is held."""

    code = "hold.exceeded"
    status = 422
    title_zh = "扣款金额超出预授权"


class NoOpenWindow(Unavailable):
    """No settlement window is open."""

    code = "window.none_open"
    title_zh = "当前没有开放的清算窗口"


class WindowBusy(Unavailable):
    """A posting in progress keeps the window from closing."""

    code = "window.busy"
    title_zh = "清算窗口正忙，请稍后再试"


_NAMED: dict[str, type[DomainError]] = {
    "VPL01": NoOpenWindow,
    "VPL02": KeyTaken,
    "VPL03": AccountUnknown,
    "VPL04": CurrencyMismatch,
    "VPL05": HoldNotOpen,
    "VPL06": HoldExceeded,
    "VPL07": PostingInvalid,
    "VPL08": NotFound,
    "VPL10": AlreadyReversed,
    "balance_floor": InsufficientFunds,
    "posting_two_sides": PostingInvalid,
}


@dataclass(frozen=True, slots=True)
class Leg:
    """An amount in fen, from the account that gives it (debit) to the one that gets it (credit)."""

    debit: int
    credit: int
    amount_fen: int


@dataclass(frozen=True, slots=True)
class Posted:
    """The transaction that stands under a key; `is_new` unless it stood there before."""

    transaction_id: int
    is_new: bool


@dataclass(frozen=True, slots=True)
class Held:
    """The hold that stands for a reference; `is_new` unless it stood there before."""

    hold_id: uuid.UUID
    is_new: bool


@dataclass(frozen=True, slots=True)
class Standing:
    """What stands on an account, in fen: posted, held, and available down to its floor.

    `available_fen` of an account without a floor is counted as if the floor were 0.
    """

    posted_fen: int
    held_fen: int
    available_fen: int


@dataclass(frozen=True, slots=True)
class Turned:
    """The window that was closed and the one that was opened in the same moment."""

    closed_id: int
    opened_id: int


# Accounts


def open_account(*, kind: str, owner: str, floor_fen: int | None = 0) -> int:
    """The id of the account of `owner`, made the first time it is asked for.

    `kind` is one of Account.Kind, `owner` the uuid of the resident, organisation or bank as text.
    What is posted less what is held never falls below `floor_fen`; None means it may fall freely.
    An account that exists keeps its floor. Raises AccountUnknown for another kind.
    """
    row = call("SELECT account_v1(%s, %s, %s)", [kind, owner, floor_fen])
    return int(row[0])


def balance_of(account: int) -> Standing:
    """What stands on the account now. Raises AccountUnknown."""
    row = call(
        "SELECT sum(posted_fen), sum(held_fen), sum(posted_fen - held_fen - COALESCE(floor_fen, 0))"
        " FROM payments_balance WHERE account_id = %s",
        [account],
    )
    if row[0] is None:
        raise AccountUnknown
    return Standing(*map(int, row))


def spread_account(account: int, *, shards: int) -> None:
    """Spreads what stands on an account over 1 to 64 rows; 1 brings it back into one.

    With more rows as many payers can pay at once, and the sum can be spent to the fen all the same.
    Nobody posts meanwhile: raises WindowBusy when a posting in progress takes longer than a second
    (outside of a transaction: five times), and AccountUnknown, PostingInvalid.
    """
    call("SELECT spread_account_v1(%s, %s)", [account, shards])


# Postings

_POST = (
    "SELECT transaction_id, is_new FROM post_v1(%s, %s, %s, %s, %s, %s, %s, %s,"
    " %s::bigint[], %s::bigint[], %s::bigint[])"
)


def post(
    *,
    kind: str,
    caller: str,
    key: str,
    legs: Sequence[Leg],
    order_id: uuid.UUID | None = None,
    reverses: int | None = None,
    event_at: datetime,
    at: datetime,
) -> Posted:
    """Posts the legs, 1 to 10,000, as one transaction of the window that is open.

    `key` is unique for ever within `caller`: the same again, with the same content, gives the known
    transaction and moves nothing. `event_at` is when it happened, `at` when it is posted, and the
    business date is that of `at` in the city. Each leg is 1 to 10^15 fen.

    Raises AmountInvalid, PostingInvalid, InsufficientFunds, KeyTaken, AccountUnknown,
    CurrencyMismatch, AlreadyReversed, NoOpenWindow.
    """
    row = call(
        _POST,
        [kind, caller, key, order_id, reverses, clock.city_date(at), event_at, at, *arrays(legs)],
    )
    return Posted(*row)


def reverse(
    transaction_id: int, *, kind: str, caller: str, key: str, event_at: datetime, at: datetime
) -> Posted:
    """Posts the mirror image of a transaction, under its order; each can be reversed once.

    Raises NotFound for an unknown transaction, and what `post` raises: InsufficientFunds when the
    payee no longer has the money.
    """
    row = call(
        "SELECT transaction_id, is_new FROM reverse_v1(%s, %s, %s, %s, %s, %s, %s)",
        [transaction_id, kind, caller, key, clock.city_date(at), event_at, at],
    )
    return Posted(*row)


# Holds


def hold(
    *,
    hold_id: uuid.UUID,
    account: int,
    amount_fen: int,
    purpose: str,
    reference: uuid.UUID,
    expires_at: datetime | None,
    at: datetime,
) -> Held:
    """Sets money aside on the account, until `expires_at` if that is not None.

    There is one hold for a purpose and reference: the same again gives the known one, whatever its
    state. Raises AmountInvalid, InsufficientFunds, AccountUnknown, and KeyTaken when the reference
    has a hold of another account or amount, or the id is another hold's.
    """
    row = call(
        "SELECT hold_id, is_new FROM hold_v1(%s, %s, %s, %s, %s, %s, %s)",
        [hold_id, account, parse_fen(amount_fen), purpose, reference, expires_at, at],
    )
    return Held(*row)


def capture(
    *,
    hold_id: uuid.UUID,
    kind: str,
    caller: str,
    key: str,
    legs: Sequence[Leg],
    order_id: uuid.UUID | None = None,
    event_at: datetime,
    at: datetime,
) -> Posted:
    """Posts the legs from what is held and frees the rest; a hold is captured once.

    The legs that debit the held account are what is captured: 1 fen up to the amount held.
    A replay of the same key gives the known transaction. Raises HoldNotOpen, HoldExceeded,
    NotFound for an unknown hold, and what `post` raises.
    """
    row = call(
        "SELECT transaction_id, is_new FROM capture_v1(%s, %s, %s, %s, %s, %s, %s, %s,"
        " %s::bigint[], %s::bigint[], %s::bigint[])",
        [hold_id, kind, caller, key, order_id, clock.city_date(at), event_at, at, *arrays(legs)],
    )
    return Posted(*row)


def void(*, hold_id: uuid.UUID, at: datetime) -> None:
    """Frees a hold that will not be captured. Raises HoldNotOpen, or NotFound."""
    call("SELECT void_v1(%s, %s)", [hold_id, at])


def expire_holds(*, at: datetime, limit: int = 1000) -> int:
    """Frees up to `limit` holds whose time was over at `at`; returns how many."""
    return int(call("SELECT expire_holds_v1(%s, %s)", [at, limit])[0])


# Windows


def open_window(*, business_date: date, at: datetime) -> int:
    """The id of the open settlement window; opens the first one if none is open."""
    return int(call("SELECT open_window_v1(%s, %s)", [at, business_date])[0])


def close_window(*, business_date: date, at: datetime) -> Turned:
    """Closes the open window (its state becomes `closing`) and opens that of `business_date`.

    No posting is added to a closed window: whoever posts into it has committed before. Others wait
    until the caller's transaction ends, so it should end soon. Raises NoOpenWindow, and WindowBusy
    when a posting in progress takes longer than a second (outside of a transaction: five times).
    """
    row = call("SELECT closed_id, opened_id FROM close_window_v1(%s, %s)", [at, business_date])
    return Turned(*row)


# What modules beside this one need to call the owner's functions


def arrays(legs: Sequence[Leg]) -> tuple[list[int], list[int], list[int]]:
    """Debits, credits and amounts of legs. Raises AmountInvalid, PostingInvalid."""
    if not 1 <= len(legs) <= MAX_LEGS:
        raise PostingInvalid
    return (
        [leg.debit for leg in legs],
        [leg.credit for leg in legs],
        [parse_fen(leg.amount_fen) for leg in legs],
    )


def call(statement: str, parameters: list[Any]) -> tuple[Any, ...]:
    """The one row of a statement, in the caller's transaction or in one of its own.

    Raises what the codes and constraints of the owner's functions stand for.
    """
    tries_left = 1 if connection.in_atomic_block else TRIES
    while True:
        tries_left -= 1
        try:
            with connection.cursor() as cursor:
                cursor.execute(statement, parameters)
                row: tuple[Any, ...] = cursor.fetchone()
                return row
        except DatabaseError as error:
            state = getattr(error.__cause__, "pgcode", None)
            if state == _LOCK_NOT_AVAILABLE and _WAITS_SHORT.search(statement):
                if not tries_left:
                    raise WindowBusy from error
            elif state not in _HEALS or not tries_left:
                raise _refusal(error) from error
        time.sleep(_FIRST_WAIT_S * 2 ** (TRIES - tries_left) * random.random())  # noqa: S311


@contextmanager
def naming_refusals() -> Iterator[None]:
    """Raise what the codes and constraints of the owner's functions stand for, for a statement of
    another module that calls one of them."""
    try:
        yield
    except DatabaseError as error:
        raise _refusal(error) from error


def _refusal(error: DatabaseError) -> Exception:
    """What an error of the database stands for: itself, unless it is a refusal that has a name."""
    diagnostics = getattr(error.__cause__, "diag", None)
    constraint = getattr(diagnostics, "constraint_name", None) or ""
    state = getattr(error.__cause__, "pgcode", None) or ""
    named = _NAMED.get(state) or _NAMED.get(constraint)
    return error if named is None else named()
