"""Residents say what is wrong in their record; the city's privacy officer has it put right, or not.

Nobody types a new value into a record: it is put right to what the population register confirms.
"""

import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import QuerySet

from identity import states
from identity.access_log import write_line
from identity.history import change_state
from identity.models import Correction, Organisation, RegisterChange, Resident
from identity.real_names import CLOCKS_APART, PERSON_CHANGED, IdentityChanging, hold_person
from identity.register import PopulationRegister
from vpass.common import audit, ids, limits, outbox
from vpass.common.callers import Caller, required
from vpass.common.errors import Conflict, DomainError, NotFound
from vpass.common.idempotency import IdempotencyKey, find_answer, once
from vpass.common.sealed_fields import lookup_hash

ASKED = "identity.correction_asked"
ANSWERED = "identity.correction_answered"
PURPOSE = "correction"
# The register is not there to try names out.
QUESTIONS_PER_DAY = limits.Limit("correction.question", maximum=100, per=timedelta(days=1))


class CorrectionWaiting(Conflict):
    """A correction of this field is being looked at already."""

    code = "correction.waiting"
    title_zh = "该信息的更正申请正在处理"


class CorrectionOver(Conflict):
    """This request is answered or withdrawn."""

    code = "correction.over"
    title_zh = "该更正申请已答复或已撤回"


class CorrectionNotMatched(DomainError):
    """The population register does not know this person by that name and number."""

    code = "correction.not_matched"
    status = 422
    title_zh = "人口登记信息与所填内容不符"


class CorrectionNumberTaken(Conflict):
    """Another account has this ID number; that one has to be settled first."""

    code = "correction.number_taken"
    title_zh = "该身份证号码属于另一账户，请先核实另一账户"


@dataclass(frozen=True, kw_only=True)
class RegisteredAs:
    """What the register was asked to confirm."""

    real_name: str
    id_number: str


def ask(
    *,
    caller: Caller,
    field: str,
    note: str | None,
    idempotency_key: IdempotencyKey,
    at: datetime,
) -> dict[str, Any]:
    """Ask for a field of one's own record to be put right; goes to the city's privacy officer.

    `field` is one of Correction.Field. Raises CorrectionWaiting, and NotFound where no city is.
    """
    with once(idempotency_key, at=at) as claim:
        if claim.answer is None:
            made = Correction(
                id=ids.uuid7(at),
                resident_id=required(caller.resident_id),
                organisation_id=_city(),
                field=field,
                note=note,
                asked_at=at,
            )
            try:
                with transaction.atomic():
                    made.save(force_insert=True)
            except IntegrityError as error:
                raise CorrectionWaiting from error
            outbox.publish(ASKED, {"correction": str(made.id)}, at=at)
            claim.answer = _moved(made)
        return claim.answer


def withdraw(
    *, caller: Caller, correction_id: uuid.UUID, idempotency_key: IdempotencyKey, at: datetime
) -> dict[str, Any]:
    """Take a request back that nobody has answered. Raises NotFound, CorrectionOver."""
    with once(idempotency_key, at=at) as claim:
        if claim.answer is None:
            found = _lock(corrections_of(caller=caller), correction_id)
            _end(found, "withdrawn", actor=caller.scope, at=at)
            claim.answer = _moved(found)
        return claim.answer


def refuse(
    *,
    caller: Caller,
    correction_id: uuid.UUID,
    text: str,
    idempotency_key: IdempotencyKey,
    at: datetime,
) -> dict[str, Any]:
    """Answer that the record stays as it is, and why. Raises NotFound, CorrectionOver."""
    with once(idempotency_key, at=at) as claim:
        if claim.answer is None:
            found = _lock(corrections_at(caller=caller), correction_id)
            _answer(found, "refused", caller=caller, text=text, at=at)
            claim.answer = _moved(found)
        return claim.answer


def grant(
    *,
    caller: Caller,
    register: PopulationRegister,
    correction_id: uuid.UUID,
    real_name: str,
    id_number: str,
    text: str,
    idempotency_key: IdempotencyKey,
    at: datetime,
) -> dict[str, Any]:
    """Put name and number right to what the register confirms of the same person, and say so.

    The register is asked outside any transaction, and only about a person whose request waits; the
    look stands in the resident's log, also one that came to nothing. Raises NotFound,
    CorrectionOver, limits.LimitReached, CorrectionNotMatched, CorrectionNumberTaken,
    IdentityChanging, and the register's own errors.
    """
    answer = find_answer(idempotency_key)
    if answer is not None:
        return _told(answer)
    _open(corrections_at(caller=caller), correction_id)
    limits.spend(QUESTIONS_PER_DAY, caller.scope, at=at)
    asked = RegisteredAs(real_name=real_name, id_number=id_number.upper())
    told = register.match(real_name=asked.real_name, id_number=asked.id_number, at=at)
    census = None if told is None else lookup_hash("census", told.census_id)
    with once(idempotency_key, at=at) as claim:
        if claim.answer is None:
            found = _lock(corrections_at(caller=caller), correction_id)
            refusal = _put_right(found, asked, census, at=at)
            write_line(
                resident_id=found.resident_id,
                caller=caller,
                purpose=PURPOSE,
                fields=["real_name", "id_number"],
                case_number=str(found.id),
                reason=refusal,
                at=at,
            )
            if refusal is None:
                _answer(found, "granted", caller=caller, text=text, at=at)
            claim.answer = _moved(found) if refusal is None else {"refused": refusal}
    return _told(claim.answer)


def corrections_of(*, caller: Caller) -> QuerySet[Correction]:
    """Return what a resident has asked for; order by falling id."""
    return Correction.objects.filter(resident_id=required(caller.resident_id))


def corrections_at(*, caller: Caller) -> QuerySet[Correction]:
    """Return what came to the caller's organisation; order by falling id."""
    return Correction.objects.filter(organisation_id=required(caller.organisation_id))


def _city() -> uuid.UUID:
    found = Organisation.objects.filter(kind="city", parent=None).order_by("id").first()
    if found is None:
        raise NotFound
    return found.id


def _told(answer: dict[str, Any]) -> dict[str, Any]:
    """The answer, or the refusal that was kept so that the line in the log stays."""
    match answer.get("refused"):
        case CorrectionNotMatched.code:
            raise CorrectionNotMatched
        case CorrectionNumberTaken.code:
            raise CorrectionNumberTaken
    return answer


def _put_right(
    found: Correction, asked: RegisteredAs, census: bytes | None, *, at: datetime
) -> str | None:
    """Have a person's record as the register has it; the code of what stands against it.

    What the register told by itself after it was asked is later than its answer: IdentityChanging.
    """
    if census is None:
        return CorrectionNotMatched.code
    hold_person(census)
    person = Resident.objects.select_for_update(no_key=True).get(id=found.resident_id)
    if census != bytes(person.census_hash or b""):
        return CorrectionNotMatched.code
    told = RegisterChange.objects.filter(
        resident=person, state="applied", received_at__gt=at - CLOCKS_APART
    )
    if told.exists():
        raise IdentityChanging
    person.real_name, person.id_number = asked.real_name, asked.id_number
    person.id_number_hash = lookup_hash("id_number", asked.id_number)
    try:
        with transaction.atomic():
            person.save(update_fields=["real_name", "id_number", "id_number_hash"])
    except IntegrityError:
        return CorrectionNumberTaken.code
    outbox.publish(PERSON_CHANGED, {"resident": str(person.id), "kind": PURPOSE}, at=at)
    return None


def _open(rows: QuerySet[Correction], correction_id: uuid.UUID) -> Correction:
    found = rows.filter(id=correction_id).first()
    if found is None:
        raise NotFound
    if found.state != states.CORRECTION.initial:
        raise CorrectionOver
    return found


def _lock(rows: QuerySet[Correction], correction_id: uuid.UUID) -> Correction:
    return _open(rows.select_for_update(), correction_id)


def _answer(found: Correction, verdict: str, *, caller: Caller, text: str, at: datetime) -> None:
    found.answer, found.answered_by_id = text, required(caller.staff_id)
    _end(found, verdict, actor=caller.scope, at=at)
    audit.record(
        actor=caller.scope,
        action="correction.answered",
        subject=f"correction:{found.id}",
        detail={"verdict": verdict},
        at=at,
    )
    outbox.publish(ANSWERED, {"correction": str(found.id)}, at=at)


def _end(found: Correction, to_state: str, *, actor: str, at: datetime) -> None:
    found.ended_at = at
    with_it = ("answer", "answered_by", "ended_at")
    change_state(found, to_state, table=states.CORRECTION, actor=actor, at=at, also=with_it)


def _moved(found: Correction) -> dict[str, Any]:
    return {"id": str(found.id), "field": found.field, "state": found.state}
