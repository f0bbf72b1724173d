"""A partner bank over signed HTTP, as docs/bank-protocol.md lays down."""

import re
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from functools import cache, partial
from typing import Any, TypeVar, cast
from uuid import UUID

from django.conf import settings

from payments.banks import (
    BankAnswerLost,
    BankNotAsked,
    BankStanding,
    DebitOrder,
    PartnerBank,
    PayoutOrder,
    StatementEntry,
    StatementPage,
    Status,
)
from vpass.common import signing
from vpass.common.observability import log
from vpass.common.outgoing import Peer, PeerAnswerInvalid, PeerRefused, PeerUnavailable
from vpass.common.signing import Ed25519Public, VerificationKey

T = TypeVar("T")

MAX_AMOUNT_FEN = 999_999_999_999

# Further members of each standing, beside the identifier and status.
_STANDINGS: dict[object, frozenset[str]] = {
    "accepted": frozenset({"bank_reference"}),
    "booked": frozenset({"bank_reference", "booked_at"}),
    "rejected": frozenset({"reason"}),
    "never_arrived": frozenset(),
}
_REASONS = frozenset(
    {
        "account_unknown",
        "account_closed",
        "account_frozen",
        "insufficient_funds",
        "limit_exceeded",
        "refused",
    }
)
_STATEMENT = {
    "business_date", "page", "pages", "is_closed", "opening_fen", "closing_fen", "entries",
}  # fmt: skip
_ENTRIES_PER_PAGE = 100
# What an entry may be, and what it then names.
_ENTRIES = {
    ("credit", "notice_id"),
    ("credit", "debit_id"),
    ("debit", "payout_id"),
    ("debit", "notice_id"),
}
_REFERENCE = re.compile(r"[0-9A-Z]{1,35}")
_REASON = re.compile(r"[a-z_]{1,40}")
_ENTRY_ID = re.compile(r"[0-9A-Z]{1,32}")
_MOMENT = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z")
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class HttpBank:
    """Speaks to one bank; its answers are signed and tied to the question."""

    def __init__(self, peer: Peer) -> None:
        self._peer = peer

    def order(self, order: PayoutOrder, *, at: datetime) -> BankStanding:
        """See PartnerBank."""
        return self._order("/v1/payouts", order, named={"payout_id": str(order.payout_id)}, at=at)

    def inquire(self, payout_id: UUID, *, at: datetime) -> BankStanding:
        """See PartnerBank."""
        return self._inquire({"payout_id": str(payout_id)}, at=at)

    def debit(self, order: DebitOrder, *, at: datetime) -> BankStanding:
        """See PartnerBank."""
        return self._order("/v1/debits", order, named={"debit_id": str(order.debit_id)}, at=at)

    def inquire_debit(self, debit_id: UUID, *, at: datetime) -> BankStanding:
        """See PartnerBank."""
        return self._inquire({"debit_id": str(debit_id)}, at=at)

    def statement(self, business_date: date, *, page: int, at: datetime) -> StatementPage:
        """See PartnerBank."""
        question = {"business_date": business_date.isoformat(), "page": page}
        read = partial(_read_statement, question=question)
        return self._ask("/v1/statements", question, read=read, at=at)

    def _order(
        self,
        path: str,
        order: PayoutOrder | DebitOrder,
        *,
        named: dict[str, str],
        at: datetime,
    ) -> BankStanding:
        question = {
            **named,
            "account_token": order.account_token,
            "amount_fen": order.amount_fen,
            "currency": "CNY",
            "purpose": order.purpose,
            "reference": order.reference,
            "business_date": order.business_date.isoformat(),
        }
        return self._ask(path, question, read=partial(_read_standing, named=named), at=at)

    def _inquire(self, named: dict[str, str], *, at: datetime) -> BankStanding:
        read = partial(_read_standing, named=named)
        return self._ask("/v1/inquiries", named, read=read, at=at)

    def _ask(
        self,
        path: str,
        question: Mapping[str, Any],
        *,
        read: Callable[[dict[str, Any]], T],
        at: datetime,
    ) -> T:
        try:
            return self._peer.post(path, question, expected=200, read=read, at=at)
        except PeerUnavailable as error:
            if not error.was_sent or error.reason == "status_429":
                raise BankNotAsked(retry_after=error.retry_after) from error
            raise BankAnswerLost(retry_after=error.retry_after) from error
        except (PeerAnswerInvalid, PeerRefused) as error:
            raise BankAnswerLost from error


@cache
def partner_bank(code: str) -> PartnerBank:
    """Return the bank of this code as the settings name it; one circuit for the whole process.

    Raises BankNotAsked for a bank that the settings do not know.
    """
    if code != settings.BANK_CODE:
        log.error("bank_unknown", site="bank")
        raise BankNotAsked
    next_keys = {}
    if settings.BANK_NEXT_KEY_ID:
        next_keys[settings.BANK_NEXT_KEY_ID] = _key(settings.BANK_NEXT_PUBLIC_KEY_PEM)
    return HttpBank(
        Peer(
            name="bank",
            base_url=settings.BANK_URL,
            label="bank",
            key_id=settings.BANK_KEY_ID,
            key=_key(settings.BANK_PUBLIC_KEY_PEM),
            next_keys=next_keys,
        )
    )


def _key(pem: str) -> VerificationKey:
    public = signing.load_public(pem)
    if not isinstance(public, Ed25519Public):
        raise TypeError("a bank signs with Ed25519")
    return VerificationKey("Ed25519", public)


def _read_standing(answer: Mapping[str, Any], *, named: dict[str, str]) -> BankStanding:
    ((name, identifier),) = named.items()
    if answer.get(name) != identifier:
        raise PeerAnswerInvalid(name)
    status = answer.get("status")
    further = _STANDINGS.get(status) if isinstance(status, str) else None
    if further is None or answer.keys() != further | {name, "status"}:
        raise PeerAnswerInvalid("shape")
    reference, reason, booked_at = None, None, None
    if "bank_reference" in further:
        reference = _text(answer["bank_reference"], _REFERENCE, "bank_reference")
    if "booked_at" in further:
        booked_at = _moment(answer["booked_at"])
    if "reason" in further:
        reason = known_reason(_text(answer["reason"], _REASON, "reason"))
    return BankStanding(
        status=cast(Status, status),
        reason=reason,
        bank_reference=reference,
        booked_at=booked_at,
    )


def known_reason(reason: str) -> str:
    """Return a bank's reason for rejecting, or "refused" for one that we do not know."""
    return reason if reason in _REASONS else "refused"


def _read_statement(answer: Mapping[str, Any], *, question: Mapping[str, Any]) -> StatementPage:
    if answer.keys() != _STATEMENT:
        raise PeerAnswerInvalid("shape")
    if any(answer[name] != question[name] for name in question) or type(answer["page"]) is not int:
        raise PeerAnswerInvalid("business_date")
    entries, pages = answer["entries"], answer["pages"]
    if type(pages) is not int or not question["page"] <= pages:
        raise PeerAnswerInvalid("pages")
    if not isinstance(answer["is_closed"], bool):
        raise PeerAnswerInvalid("is_closed")
    if not isinstance(entries, list) or len(entries) > _ENTRIES_PER_PAGE:
        raise PeerAnswerInvalid("entries")
    for name in ("opening_fen", "closing_fen"):
        if type(answer[name]) is not int:
            raise PeerAnswerInvalid(name)
    return StatementPage(
        pages=pages,
        is_closed=answer["is_closed"],
        opening_fen=answer["opening_fen"],
        closing_fen=answer["closing_fen"],
        entries=[_read_entry(entry) for entry in entries],
    )


def _read_entry(entry: object) -> StatementEntry:
    if not isinstance(entry, dict):
        raise PeerAnswerInvalid("entry")
    named = entry.keys() - {"entry_id", "kind", "amount_fen", "booked_at"}
    if len(entry) != 5 or len(named) != 1:
        raise PeerAnswerInvalid("entry")
    (name,), kind, amount_fen = named, entry["kind"], entry["amount_fen"]
    if (kind, name) not in _ENTRIES:
        raise PeerAnswerInvalid("entry.kind")
    if type(amount_fen) is not int or not 1 <= amount_fen <= MAX_AMOUNT_FEN:
        raise PeerAnswerInvalid("entry.amount_fen")
    return StatementEntry(
        entry_id=_text(entry["entry_id"], _ENTRY_ID, "entry.entry_id"),
        kind=kind,
        amount_fen=amount_fen,
        payout_id=_identifier(entry, "payout_id"),
        debit_id=_identifier(entry, "debit_id"),
        notice_id=_identifier(entry, "notice_id"),
        booked_at=_moment(entry["booked_at"]),
    )


def _identifier(entry: Mapping[str, Any], name: str) -> UUID | None:
    return UUID(_text(entry[name], _UUID, f"entry.{name}")) if name in entry else None


def _text(value: object, form: re.Pattern[str], name: str) -> str:
    if not isinstance(value, str) or not form.fullmatch(value):
        raise PeerAnswerInvalid(name)
    return value


def _moment(value: object) -> datetime:
    text = _text(value, _MOMENT, "booked_at")
    try:
        return datetime.fromisoformat(text.removesuffix("Z")).replace(tzinfo=UTC)
    except ValueError as error:
        raise PeerAnswerInvalid("booked_at") from error
