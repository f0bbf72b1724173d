"""Raises people to level 3 at a counter, where a clerk sees person, photo and document together.

Either the person shows a code of level 2, which the clerk scans for this purpose, or says a number
that their phone shows; that number also helps those whom the register did not match from home.
"""

import secrets
import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import Q

from identity import access_log, account_moves, disclosure, level_checks
from identity.hotline import LOOK_UPS
from identity.models import AccessLine, Device, InPersonCheck, LevelCheck, Resident
from identity.real_names import (
    IdentityNotMatched,
    IdentityTaken,
    give_identity,
    judge_form,
    reach_level,
)
from identity.register import PopulationRegister, RegisteredPerson
from vpass.common import audit, idempotency, limits
from vpass.common.callers import Caller, required
from vpass.common.errors import DomainError, NotFound
from vpass.common.idempotency import IdempotencyKey, once
from vpass.common.sealed_fields import lookup_hash

PURPOSE = "identity-check"
SCENE = "id"
ROLE = "registrar"
SAY_WITHIN = timedelta(minutes=10)
NUMBER_DIGITS = 8
NUMBERS_PER_DAY = limits.Limit("counter_number.day", maximum=20, per=timedelta(days=1))


class CounterNumberWrong(DomainError):
    """Phone and number do not belong together, or the number has lapsed."""

    code = "counter_number.wrong"
    status = 422
    title_zh = "手机号码与窗口核验码不符，或核验码已失效"


class ScanSpent(DomainError):
    """This scan has raised somebody's level already."""

    code = "level.scan_spent"
    status = 409
    title_zh = "该次扫码已用于核验"


class PhoneChanged(DomainError):
    """The phone that was seen is no longer the account's, or another has come since; begin anew."""

    code = "level.phone_changed"
    status = 409
    title_zh = "核验后账户已更换手机，请重新核验"


@dataclass(frozen=True)
class CounterNumber:
    """What the person says at the counter: eight digits, good for ten minutes and once."""

    number: str
    expires_at: str


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What the clerk has seen and compared, and for which case."""

    document_kind: str
    case_number: str


@dataclass(frozen=True, kw_only=True)
class Told:
    """What the person has said and the document shows."""

    phone: str
    number: str
    real_name: str
    id_number: str


def begin(*, caller: Caller, idempotency_key: IdempotencyKey, at: datetime) -> CounterNumber:
    """Make a number for the caller's phone to show; an earlier one ends.

    Raises limits.LimitReached (twenty a day), level_checks.LevelReached, AccountSuspended,
    DeviceNotActive.
    """
    if (answer := idempotency.find_answer(idempotency_key)) is not None:
        return CounterNumber(**answer)
    limits.spend(NUMBERS_PER_DAY, caller.scope, at=at)
    with once(idempotency_key, at=at) as claim:
        if claim.answer is None:
            number = f"{secrets.randbelow(10**NUMBER_DIGITS):0{NUMBER_DIGITS}d}"
            check = level_checks.begin(
                caller=caller, kind=LevelCheck.Kind.COUNTER, secret=number, at=at
            )
            claim.answer = {"number": number, "expires_at": check.expires_at.isoformat()}
        return CounterNumber(**claim.answer)


def raise_after_scan(
    *, caller: Caller, scan_id: uuid.UUID, seen: Seen, idempotency_key: IdempotencyKey, at: datetime
) -> dict[str, Any]:
    """Raise the person of a scan to level 3 on this clerk's word.

    The scan was this clerk's, at this desk, for PURPOSE, in the last ten minutes, of the person's
    own code on the phone that the account has still. Raises NotFound, ScanSpent, PhoneChanged,
    level_checks.LevelReached, AccountSuspended.
    """
    with once(idempotency_key, at=at) as claim:
        if claim.answer is None:
            line = AccessLine.objects.filter(
                id=scan_id,
                organisation_id=required(caller.organisation_id),
                desk_id=required(caller.desk_id),
                staff_id=required(caller.staff_id),
                scene=SCENE,
                purpose=PURPOSE,
                outcome=AccessLine.Outcome.ACCEPTED,
                delegation=None,
                at__gt=at - SAY_WITHIN,
            ).first()
            if line is None:
                raise NotFound
            resident = level_checks.lock_resident(line.resident_id)
            if resident.level >= 3:
                raise level_checks.LevelReached
            _judge_phone(resident, _phone_of(line, caller=caller), since=line.at)
            reach_level(resident, 3, at=at)
            _write_down(resident, line=line, caller=caller, seen=seen, at=at)
            claim.answer = _answer(resident, caller)
        return claim.answer


def enrol_at_counter(
    *,
    caller: Caller,
    register: PopulationRegister,
    told: Told,
    seen: Seen,
    idempotency_key: IdempotencyKey,
    at: datetime,
) -> dict[str, Any]:
    """Give the account of a person at the counter its identity, and level 3.

    The number proves that the phone is theirs, the register that the name is, the clerk that the
    face is. An account which has an identity must have this one. A person who has another account
    gets that one on this phone, with its number, when this one is empty. Each try counts, whatever
    came of it, and what the register was asked stands in the person's log. Raises
    IdentityFormInvalid, limits.LimitReached, CounterNumberWrong, IdentityNotMatched, IdentityTaken,
    IdentityChanging, PhoneChanged, level_checks.LevelReached, AccountSuspended, and the register's
    own errors.
    """
    if (answer := idempotency.find_answer(idempotency_key)) is not None:
        return _told(answer)
    id_number = told.id_number.upper()
    judge_form(real_name=told.real_name, id_number=id_number)
    limits.spend(LOOK_UPS, caller.scope, at=at)
    check_id = _find_check(told, caller=caller, at=at)
    found = register.match(real_name=told.real_name, id_number=id_number, at=at)
    with once(idempotency_key, at=at) as claim:
        if claim.answer is None:
            begun = LevelCheck.objects.filter(id=check_id).first()
            if begun is None:
                raise CounterNumberWrong
            resident = level_checks.lock_resident(begun.resident_id)
            check = LevelCheck.objects.select_for_update().filter(id=check_id).first()
            if check is None or not level_checks.is_open(check, at=at):
                raise CounterNumberWrong
            if resident.level >= 3:
                raise level_checks.LevelReached
            _judge_phone(resident, check.device, since=check.created_at)
            person, refusal = _identify(
                resident, told, found, phone=check.device, actor=caller.scope, at=at
            )
            line = access_log.write_line(
                resident_id=person.id,
                caller=caller,
                purpose=PURPOSE,
                fields=["real_name", "id_number"],
                case_number=seen.case_number,
                reason=refusal,
                at=at,
            )
            if refusal is None:
                if person.id == resident.id:  # else it went with the account that closed
                    level_checks.end(check, "passed", actor=caller.scope, at=at)
                _write_down(person, line=line, caller=caller, seen=seen, at=at)
            claim.answer = _answer(person, caller) if refusal is None else {"refused": refusal}
    return _told(claim.answer)


def _identify(
    resident: Resident,
    told: Told,
    found: RegisteredPerson | None,
    *,
    phone: Device,
    actor: str,
    at: datetime,
) -> tuple[Resident, str | None]:
    """Give a locked account the identity and level 3; the code of what stands against it.

    The account that the person has already moves to the phone.
    """
    if found is None:
        return resident, IdentityNotMatched.code
    census_hash = lookup_hash("census", found.census_id)
    if resident.level > 1:
        if bytes(resident.census_hash or b"") != census_hash:
            return resident, IdentityNotMatched.code
        reach_level(resident, 3, at=at)
        return resident, None
    try:
        with transaction.atomic():
            give_identity(
                resident,
                real_name=told.real_name,
                id_number=told.id_number.upper(),
                census_id=found.census_id,
                level=3,
                at=at,
            )
    except IdentityTaken:
        own = account_moves.move_here(
            resident, phone=phone, census_hash=census_hash, actor=actor, at=at
        )
        if own is None:
            return resident, IdentityTaken.code
        reach_level(own, 3, at=at)
        return own, None
    return resident, None


def _told(answer: dict[str, Any]) -> dict[str, Any]:
    """The answer, or the refusal that was kept so that the line in the log stays."""
    match answer.get("refused"):
        case IdentityNotMatched.code:
            raise IdentityNotMatched
        case IdentityTaken.code:
            raise IdentityTaken
    return answer


def _phone_of(line: AccessLine, *, caller: Caller) -> Device | None:
    """The phone whose code or signature a line of this clerk is about."""
    return (
        Device.objects.filter(resident=line.resident_id)
        .filter(
            Q(reversescan__line=line)
            | Q(grant__redemption__at=line.at, grant__redemption__scanner=caller.scope)
        )
        .first()
    )


def _judge_phone(resident: Resident, phone: Device | None, *, since: datetime) -> None:
    """Return when a locked account has still the phone that was seen, and none that came after."""
    later = Device.objects.filter(resident=resident, bound_at__gt=since)
    if phone is None or phone.state != "active" or later.exists():
        raise PhoneChanged


def _find_check(told: Told, *, caller: Caller, at: datetime) -> uuid.UUID:
    """The open check of this phone with this number; a try is counted. Raises CounterNumberWrong.

    Whether the phone, the number or both are wrong makes no difference.
    """
    with transaction.atomic():
        check = (
            LevelCheck.objects.select_for_update(of=("self",))
            .filter(
                resident__phone_hash=lookup_hash("phone", told.phone),
                kind=LevelCheck.Kind.COUNTER,
                state="asked",
                expires_at__gt=at,
            )
            .exclude(resident__state="closed")
            .first()
        )
        if check is None:
            raise CounterNumberWrong
        tries_left = level_checks.count_try(check)
        is_right = level_checks.knows(check, told.number)
        if not is_right and tries_left <= 0:
            level_checks.end(check, "failed", actor=caller.scope, at=at)
    if not is_right:
        raise CounterNumberWrong
    return check.id


def _write_down(
    resident: Resident, *, line: AccessLine, caller: Caller, seen: Seen, at: datetime
) -> None:
    try:
        with transaction.atomic():
            InPersonCheck.objects.create(
                line=line,
                resident=resident,
                organisation_id=required(caller.organisation_id),
                desk_id=required(caller.desk_id),
                staff_id=required(caller.staff_id),
                document_kind=seen.document_kind,
                case_number=seen.case_number,
                at=at,
            )
    except IntegrityError as error:
        raise ScanSpent from error
    audit.record(
        actor=caller.scope,
        action="level.raise",
        subject=f"resident:{resident.id}",
        detail={"document_kind": seen.document_kind, "case_number": seen.case_number},
        at=at,
    )


def _answer(resident: Resident, caller: Caller) -> dict[str, Any]:
    organisation_id = required(caller.organisation_id)
    holder = disclosure.pseudonym(resident_id=resident.id, organisation_id=organisation_id)
    return {"level": resident.level, "holder": holder}
