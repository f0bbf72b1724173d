"""The partner bank of docs/bank-protocol.md: pays out, debits cards, answers, tells of credits."""

import asyncio
import hashlib
import json
import re
import time
import uuid
from collections.abc import Mapping
from datetime import date
from typing import Any

from vpass.sandbox.bank_books import Books, Fate, NoSuchPage, Notice, OrderReused, WorkKind
from vpass.sandbox.bank_courier import ANSWER_WITHIN_S, Courier, Reply
from vpass.sandbox.sites import Answer, Site, refusal

MAX_FEN = 999_999_999_999
PAUSES_S = (1, 2, 5, 10, 30, 60)  # before the next attempt; the last for ever
MAX_BOOKS_AFTER_S = 3600

NOTICE_ROUTES = {kind: f"/api/bank/v1/{kind}-notices" for kind in ("credit", "payout", "debit")}
WORK: Mapping[str, WorkKind] = {"/v1/payouts": "payout", "/v1/debits": "debit"}

# By the last four characters of the account's token.
FATES: Mapping[WorkKind, Mapping[str, Fate]] = {
    "payout": {
        "0000": Fate(at_once=True, reason="account_closed"),
        "0001": Fate(at_once=False, reason="account_frozen"),
        "0002": Fate(at_once=True),
    },
    "debit": {
        "0000": Fate(at_once=True, reason="account_closed"),
        "0001": Fate(at_once=False, reason="account_frozen"),
        "0003": Fate(at_once=True, reason="insufficient_funds"),
        "0004": Fate(at_once=False),
    },
}
OTHERWISE: Mapping[WorkKind, Fate] = {
    "payout": Fate(at_once=False),
    "debit": Fate(at_once=True),
}
PURPOSES: Mapping[WorkKind, tuple[str, str]] = {
    "payout": ("withdrawal", "settlement"),
    "debit": ("top_up", "payment"),
}

_ORDER = {
    "account_token",
    "amount_fen",
    "currency",
    "purpose",
    "reference",
    "business_date",
}
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_TOKEN = re.compile(r"[A-Za-z0-9_-]{16,64}")
_REFERENCE = re.compile(r"(?! )[A-Za-z0-9/?:().,'+ -]{1,35}(?<! )")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_TOP_UP_NUMBER = re.compile(r"[0-9]{12}")
_LAST4 = re.compile(r"[0-9]{4}")
_URL = re.compile(r"https?://[A-Za-z0-9.\[\]:-]+(/[A-Za-z0-9._~-]+)*")


class Bank(Site):
    """One bank with one account, V Pass's."""

    name = "bank"
    routes = (*WORK, "/v1/inquiries", "/v1/statements")
    signs_answers = True

    def __init__(
        self, *, books: Books, courier: Courier, books_after_s: float | None, vpass_url: str
    ) -> None:
        """`books_after_s` None: only when told. Without `vpass_url` notices wait."""
        self._books = books
        self._courier = courier
        self._books_after_s = books_after_s
        self._vpass_url = vpass_url
        self._woken = asyncio.Event()
        self._on_their_way: dict[str, asyncio.Task[None]] = {}

    # The protocol

    def answer(self, *, route: str, members: Mapping[str, Any]) -> Answer:
        if route in WORK:
            return self._order(WORK[route], members)
        if route == "/v1/inquiries":
            named = _named(members)
            return (
                refusal(400, "malformed")
                if named is None
                else Answer(200, self._books.inquire(*named))
            )
        if members.keys() != {"business_date", "page"} or not _is_date(members["business_date"]):
            return refusal(400, "malformed")
        if not _is_whole(members["page"], most=10**9):
            return refusal(400, "malformed")
        try:
            return Answer(200, self._books.statement(**members, at=moment()))
        except NoSuchPage:
            return refusal(404, "not_found")

    def _order(self, kind: WorkKind, members: Mapping[str, Any]) -> Answer:
        if not _is_order(kind, members):
            return refusal(400, "malformed")
        fate = FATES[kind].get(members["account_token"][-4:], OTHERWISE[kind])
        at = moment()
        due_at = None if self._books_after_s is None else at + self._books_after_s
        try:
            standing = self._books.order(kind, members, fate=fate, due_at=due_at, at=at)
        except OrderReused:
            return refusal(409, f"{kind}_id_reused")
        self._woken.set()
        return Answer(200, standing)

    # Its own work

    async def work(self) -> None:
        """Decides payouts and debits, and sends notices as they fall due, until cancelled."""
        try:
            while True:
                self._woken.clear()
                self._books.decide(at=moment(), only_due=True)
                if self._vpass_url:
                    self._send_due()
                due_at = self._books.next_due()
                wait_s = None if due_at is None else max(due_at - moment(), 0.05)
                if not self._vpass_url and wait_s is not None:
                    wait_s = max(wait_s, 0.2)  # waiting notices are always due
                try:
                    await asyncio.wait_for(self._woken.wait(), wait_s)
                except TimeoutError:
                    continue
        finally:
            for task in self._on_their_way.values():
                task.cancel()
            await asyncio.gather(*self._on_their_way.values(), return_exceptions=True)

    def close(self) -> None:
        self._books.close()

    def _send_due(self) -> None:
        at = moment()
        for notice in self._books.due_notices(at=at, repeat_at=at + 10 * ANSWER_WITHIN_S):
            if notice.id not in self._on_their_way:
                self._on_their_way[notice.id] = asyncio.create_task(self._send(notice))

    async def _send(self, notice: Notice) -> None:
        try:
            reply = await self._courier.send(
                self._vpass_url + NOTICE_ROUTES[notice.kind],
                idempotency_key=notice.id,
                body=notice.body,
            )
            outcome = _outcome(notice, reply)
            if outcome is not None:
                self._books.note_answer(notice, outcome=outcome, at=moment())
                return
            pause_s = PAUSES_S[min(notice.attempts, len(PAUSES_S) - 1)]
            next_at = moment() + max(pause_s, reply.retry_after_s)
            self._books.note_no_answer(notice, status=reply.status, next_at=next_at)
        finally:
            del self._on_their_way[notice.id]
            self._woken.set()

    # What a demonstration tells it

    def control(
        self, *, what: str, which: str | None = None, members: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        """Section 11 of the page; `members` of a POST. Raises LookupError and ValueError."""
        match (what, which, members):
            case ("credits", None, dict()):
                return self._receive(members)
            case ("bookings", None, dict()):
                return {"decided": self._decide(members)}
            case ("settings", None, _):
                return self._set(members or {})
            case ("totals", None, None):
                return self._books.totals()
            case ("payouts", str(), None):
                return self._books.work("payout", which)
            case ("debits", str(), None):
                return self._books.work("debit", which)
            case ("notices", str(), None):
                return self._books.notice(which)
        raise LookupError(what)

    def _receive(self, members: Mapping[str, Any]) -> dict[str, Any]:
        expected = {"top_up_number", "amount_fen", "payer_name"}
        payer_name, last4 = members.get("payer_name"), members.get("payer_last4", "6217")
        if members.keys() - {"payer_last4"} != expected or not _fits(_LAST4, last4):
            raise ValueError("members")
        if not _fits(_TOP_UP_NUMBER, members["top_up_number"]):
            raise ValueError("top_up_number")
        if not _is_whole(members["amount_fen"], most=MAX_FEN):
            raise ValueError("amount_fen")
        if not isinstance(payer_name, str) or not 1 <= len(payer_name) <= 50:
            raise ValueError("payer_name")
        payer = hashlib.sha256(f"{payer_name}|{last4}".encode()).hexdigest()[:20]
        notice = {
            "notice_id": str(uuid.uuid4()),
            "top_up_number": members["top_up_number"],
            "amount_fen": members["amount_fen"],
            "currency": "CNY",
            "payer_account_token": f"tok_{payer}_{last4}",
            "payer_last4": last4,
        }
        shown = self._books.credit(notice, at=moment())
        self._woken.set()
        return {**shown, "payer_account_token": notice["payer_account_token"]}

    def _decide(self, members: Mapping[str, Any]) -> int:
        named = _named(members)
        if named is None and members:
            raise ValueError("members")
        if named is not None:
            self._books.work(*named)
        decided = self._books.decide(*(named or ()), at=moment())
        self._woken.set()
        return decided

    def _set(self, members: Mapping[str, Any]) -> dict[str, Any]:
        if members.keys() - {"books_after_s", "vpass_url"}:
            raise ValueError("unknown member")
        seconds = members.get("books_after_s", self._books_after_s)
        url = members.get("vpass_url", self._vpass_url)
        is_number = type(seconds) in (int, float) and 0 <= seconds <= MAX_BOOKS_AFTER_S
        if seconds is not None and not is_number:
            raise ValueError("books_after_s")
        if url != "" and not _fits(_URL, url):
            raise ValueError("vpass_url")
        self._books_after_s, self._vpass_url = seconds, url
        self._woken.set()
        return {"books_after_s": seconds, "vpass_url": url}


def moment() -> float:
    """Seconds since 1970. The sandbox is a system of its own, with its own clock."""
    return time.time()  # noqa: TID251


def _outcome(notice: Notice, reply: Reply) -> str | None:
    """What V Pass has answered, or None: that was no answer."""
    members = reply.members
    if members is None:
        return None
    name = "notice_id" if notice.kind == "credit" else f"{notice.kind}_id"
    status, reason = members.get("status"), members.get("reason")
    if members.get(name) != notice.id or members.keys() - {"reason"} != {name, "status"}:
        return None
    if notice.kind != "credit":
        is_echo = status == json.loads(notice.body)["status"] and "reason" not in members
        return str(status) if is_echo else None
    if status == "credited" and "reason" not in members:
        return "credited"
    return "returned" if status == "returned" and isinstance(reason, str) else None


def _named(members: Mapping[str, Any]) -> tuple[WorkKind, str] | None:
    """The work whose identifier is the one member, or None."""
    for kind in WORK.values():
        if members.keys() == {f"{kind}_id"} and _fits(_UUID, members[f"{kind}_id"]):
            return kind, members[f"{kind}_id"]
    return None


def _is_order(kind: WorkKind, members: Mapping[str, Any]) -> bool:
    return (
        members.keys() == _ORDER | {f"{kind}_id"}
        and _fits(_UUID, members[f"{kind}_id"])
        and _fits(_TOKEN, members["account_token"])
        and _is_whole(members["amount_fen"], most=MAX_FEN)
        and members["currency"] == "CNY"
        and members["purpose"] in PURPOSES[kind]
        and _fits(_REFERENCE, members["reference"])
        and _is_date(members["business_date"])
    )


def _fits(form: re.Pattern[str], value: Any) -> bool:
    return isinstance(value, str) and form.fullmatch(value) is not None


def _is_whole(value: Any, *, most: int) -> bool:
    return type(value) is int and 1 <= value <= most


def _is_date(value: Any) -> bool:
    if not _fits(_DATE, value):
        return False
    try:
        date.fromisoformat(value)
    except ValueError:
        return False
    return True
