"""Pursues what a bank was asked to do, until it is known how it ended: payouts and debits alike.

An order is sent as often as it takes, always the same, until there is an answer; when one may have
been lost, only inquiries follow (docs/bank-protocol.md sections 8 and 9). Nobody is waited for
within a transaction.
"""

import time
import uuid
from abc import ABC, abstractmethod
from datetime import datetime, timedelta
from typing import Any, Generic, TypeVar

from celery.exceptions import SoftTimeLimitExceeded
from django.db import connection, transaction
from prometheus_client import Counter

from payments.banks import BankAnswerLost, BankNotAsked, BankStanding, PartnerBank
from payments.banks.http import partner_bank
from payments.models import BankWork, BankWorkChange
from vpass.common.callers import Caller
from vpass.common.errors import Conflict, NotFound
from vpass.common.idempotency import IdempotencyKey, once
from vpass.common.observability import log
from vpass.common.states import EdgeTable

Work = TypeVar("Work", bound=BankWork)

# After a lost answer: 5 s, 10 s, 30 s, then each minute for ten minutes, then each ten minutes.
UNKNOWN_WAITS_S = (5, 10, 30, *[60] * 10)
LATER_WAIT = timedelta(minutes=10)
ACCEPTED_INQUIRIES_PER_DAY = 24 * 6
# What is prepared and has not been sent by the outbox by then is sent by the sweep.
UNSENT_AFTER = timedelta(seconds=60)
# Longer than a call to a bank can last.
TAKEN_FOR = timedelta(seconds=30)
SWEEP_FOR_S = 20.0

_UNRESOLVED = Counter(
    "vpass_bank_work_unresolved", "Inquiries about what is open at banks for too long.", ["kind"]
)
_CONTRADICTED = Counter(
    "vpass_bank_work_contradicted", "Words of banks against a final state.", ["kind"]
)


class Pursuit(ABC, Generic[Work]):
    """How one kind of work is pursued; a kind says how it is ordered, asked about and followed.

    `table` has the states of section 8 of the page, and its name is the kind's.
    """

    rows: type[Work]
    changes: type[BankWorkChange]
    table: EdgeTable
    contradicted: type[Conflict]
    actor: str

    @abstractmethod
    def order(self, bank: PartnerBank, work: Work, *, at: datetime) -> BankStanding:
        """Order it from its bank."""

    @abstractmethod
    def inquire(self, bank: PartnerBank, work: Work, *, at: datetime) -> BankStanding:
        """Ask its bank how it stands."""

    @abstractmethod
    def follow(self, work: Work, *, booked_at: datetime | None, actor: str, at: datetime) -> None:
        """Do what follows from the state it has just reached, in the same transaction."""

    def is_too_late(self, work: Work, *, at: datetime) -> bool:
        """Whether it is no longer ordered when the bank could not be asked so far."""
        return False

    def write(self, work: Work, *, at: datetime) -> None:
        """Write new work with the first line of its history, in the caller's transaction."""
        work.next_inquiry_at = at + UNSENT_AFTER
        work.save(force_insert=True)
        self._write_change(work, from_state="", event="prepare", actor=self.actor, at=at)

    def pursue_due(self, *, at: datetime, limit: int = 50) -> int:
        """Send what is unsent and inquire about what is open, where it is time; returns how many.

        Any number of these may run at once: each work is taken by one of them at a time.
        """
        end = time.monotonic() + SWEEP_FOR_S
        pursued = 0
        # One by one, so that none is kept from others while a slow bank is waited for.
        while pursued < limit and time.monotonic() < end:
            work_id = self._take_due(at=at)
            if work_id is None:
                break
            self._pursue_taken(work_id, at=at)
            pursued += 1
        return pursued

    def _pursue_taken(self, work_id: uuid.UUID, *, at: datetime) -> None:
        """Pursue what the sweep has taken; when that fails, it is taken again after `TAKEN_FOR`."""
        try:
            self.pursue(work_id=work_id, at=at)
        except SoftTimeLimitExceeded:
            raise
        except Exception as error:  # noqa: BLE001  whatever is wrong with one, the others go on
            log.error(f"{self.table.name}_pursuit_failed", reason=type(error).__name__)

    def pursue(self, *, work_id: uuid.UUID, at: datetime) -> None:
        """Take the next step at the bank: order it, or ask how it stands.

        Safe to repeat and to run twice at once: the order is always the same, and the bank does
        each work once.
        """
        work = self.rows._default_manager.select_related("bank").get(id=work_id)
        if work.state in self.table.final:
            return
        if work.state == self.table.initial and self.is_too_late(work, at=at):
            self.note_silence(work, at=at)
            return
        try:
            bank = partner_bank(work.bank.code)
            if work.state == self.table.initial:
                standing = self.order(bank, work, at=at)
            else:
                standing = self._inquire(bank, work, at=at)
        except BankNotAsked as error:
            self._wait(work, seconds=error.retry_after or 10, at=at)
        except BankAnswerLost:
            self.note_silence(work, at=at)
        else:
            self.take_answer(work, standing, at=at)

    def take_notice(
        self,
        *,
        caller: Caller,
        work_id: uuid.UUID,
        standing: BankStanding,
        idempotency_key: IdempotencyKey,
        at: datetime,
    ) -> None:
        """Take a bank's word that its work is booked or rejected; a repeat changes nothing.

        Raises NotFound for another bank's, `contradicted` when it has ended otherwise, and what
        `once` raises.
        """
        with once(idempotency_key, at=at) as claim:
            if claim.answer is not None:
                return
            work = self._lock(work_id, organisation_id=caller.organisation_id)
            if not self._apply(work, standing, actor=caller.scope, at=at):
                raise self.contradicted(state=work.state)
            claim.answer = {}

    def note_silence(self, asked: Work, *, at: datetime) -> None:
        """There was no answer: an order becomes unknown, an inquiry is repeated by the schedule."""
        with transaction.atomic():
            work = self._lock(asked.pk)
            if work.state != asked.state:
                return  # somebody else has learned more meanwhile
            if work.state == self.table.initial:
                work.inquiries = 0
                work.next_inquiry_at = at + timedelta(seconds=UNKNOWN_WAITS_S[0])
                self._move(work, "unknown", actor=self.actor, at=at)
            else:
                work.inquiries += 1
                work.next_inquiry_at = at + _wait_before(work)
                work.save(update_fields=["inquiries", "next_inquiry_at"])

    def take_answer(self, asked: Work, standing: BankStanding, *, at: datetime) -> None:
        """Take the bank's answer about work that stood as `asked` when the bank was asked."""
        with transaction.atomic():
            work = self._lock(asked.pk)
            is_applied = self._apply(work, standing, actor=f"bank:{work.bank_id}", at=at)
            if is_applied and standing.status == "accepted" == work.state == asked.state:
                work.inquiries += 1
                work.next_inquiry_at = at + _wait_before(work)
                work.save(update_fields=["inquiries", "next_inquiry_at"])

    def _inquire(self, bank: PartnerBank, work: Work, *, at: datetime) -> BankStanding:
        waits = len(UNKNOWN_WAITS_S) if work.state == "unknown" else ACCEPTED_INQUIRIES_PER_DAY
        if work.inquiries >= waits:
            _UNRESOLVED.labels(self.table.name).inc()
            log.error(f"{self.table.name}_unresolved", state=work.state, attempts=work.inquiries)
        return self.inquire(bank, work, at=at)

    def _take_due(self, *, at: datetime) -> uuid.UUID | None:
        """Work whose time has come, kept from other sweeps for `TAKEN_FOR`.

        An array, not `IN (SELECT …)`: as the inner side of a join the planner may run the subquery
        once for each row, and each run would take another row.
        """
        table = self.rows._meta.db_table
        with connection.cursor() as cursor:
            cursor.execute(
                f"UPDATE {table} SET next_inquiry_at = %s WHERE id = ANY (ARRAY("  # noqa: S608  our name
                f" SELECT id FROM {table} WHERE next_inquiry_at <= %s"
                " ORDER BY next_inquiry_at LIMIT 1 FOR UPDATE SKIP LOCKED)) RETURNING id",
                [at + TAKEN_FOR, at],
            )
            row = cursor.fetchone()
            return None if row is None else uuid.UUID(str(row[0]))

    def _wait(self, work: Work, *, seconds: int, at: datetime) -> None:
        """The bank has not been asked: the same again later, whether order or inquiry."""
        self.rows._default_manager.filter(id=work.pk, state=work.state).update(
            next_inquiry_at=at + timedelta(seconds=seconds)
        )

    def _apply(self, work: Work, standing: BankStanding, *, actor: str, at: datetime) -> bool:
        """Move locked work to where its bank says it stands; False when that contradicts its end.

        What comes late about work that stands further changes nothing.
        """
        told = standing.status
        if told == work.state:
            return True
        if work.state in self.table.final or (told == "never_arrived" and work.state == "accepted"):
            if told == "accepted":
                return True
            _CONTRADICTED.labels(self.table.name).inc()
            log.error(f"{self.table.name}_contradicted", state=work.state, reason=told)
            return False
        if told == "never_arrived" and work.state == self.table.initial:
            self._move(work, "unknown", actor=actor, at=at)
        work.inquiries = 0
        work.bank_reference = standing.bank_reference or work.bank_reference
        work.reason = standing.reason
        work.next_inquiry_at = at + LATER_WAIT if told == "accepted" else None
        self._move(work, told, booked_at=standing.booked_at, actor=actor, at=at)
        return True

    def _lock(self, work_id: Any, *, organisation_id: uuid.UUID | None = None) -> Work:
        rows = self.rows._default_manager.select_related("bank").select_for_update(of=("self",))
        if organisation_id is not None:
            rows = rows.filter(bank__organisation_id=organisation_id)
        work = rows.filter(id=work_id).first()
        if work is None:
            raise NotFound
        return work

    def _move(
        self,
        work: Work,
        to_state: str,
        *,
        booked_at: datetime | None = None,
        actor: str,
        at: datetime,
    ) -> None:
        from_state, event = work.state, self.table.event(work.state, to_state)
        work.state = to_state
        work.save(
            update_fields=["state", "inquiries", "bank_reference", "reason", "next_inquiry_at"]
        )
        self._write_change(work, from_state=from_state, event=event, actor=actor, at=at)
        self.follow(work, booked_at=booked_at, actor=actor, at=at)

    def _write_change(
        self, work: Work, *, from_state: str, event: str, actor: str, at: datetime
    ) -> None:
        self.changes._default_manager.create(
            **{self.table.name: work},
            from_state=from_state,
            to_state=work.state,
            event=event,
            actor=actor,
            at=at,
        )


def _wait_before(work: BankWork) -> timedelta:
    if work.state == "unknown" and work.inquiries < len(UNKNOWN_WAITS_S):
        return timedelta(seconds=UNKNOWN_WAITS_S[work.inquiries])
    return LATER_WAIT
