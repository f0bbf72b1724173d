"""Asks residents on their phones for what goes beyond a standing right, and gives it out once."""

import uuid
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import Q, QuerySet

from identity import disclosure, receipts, states
from identity.access_log import write_line
from identity.history import change_state
from identity.models import SHAREABLE, AccessLine, Consent, Resident
from identity.queries import Rule, find_rule, purpose_words
from identity.residents import AccountSuspended
from vpass.common import limits, outbox
from vpass.common.callers import Caller, required
from vpass.common.errors import Conflict, DomainError, NotFound
from vpass.common.idempotency import IdempotencyKey, find_answer, once

TYPE = "vpass-consent+jwt"
PATH = "/api/resident/v1/consents/{consent_id}/approval"
# A scan speaks for the resident's presence for so long.
ASK_WITHIN = timedelta(minutes=10)
ANSWER_WITHIN = timedelta(minutes=3)
RELEASE_WITHIN = timedelta(minutes=5)
# Against asking until somebody gives in (BCP 247, example B9).
ASKED_BY_ONE = limits.Limit("consent.by_one", maximum=3, per=timedelta(minutes=30))
ASKED_BY_ALL = limits.Limit("consent.by_all", maximum=10, per=timedelta(hours=1))

ASKED = "identity.consent_asked"
DECIDED = "identity.consent_decided"


class NotAskable(DomainError):
    """This organisation may not ask for that, not even with consent; the resident can read it."""

    code = "consent.not_askable"
    status = 403
    title_zh = "本单位无权请求这些信息，已记入市民的查阅记录"


class ConsentWaiting(Conflict):
    """The resident is being asked already."""

    code = "consent.waiting"
    title_zh = "已有请求正在等待市民确认"


class ConsentOver(Conflict):
    """This request is decided, used or out of date."""

    code = "consent.over"
    title_zh = "该请求已处理、已使用或已过期"


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A request as the organisation sees it; the id is text, times RFC 3339."""

    id: str
    state: str
    fields: list[str]
    expires_at: str
    release_by: str | None


@dataclass(frozen=True, kw_only=True)
class Released:
    """What was consented to, given out once; `receipt` is the city's JWS for the file."""

    fields: dict[str, disclosure.Value]
    receipt: str
    released_at: str


def ask(
    *,
    caller: Caller,
    scan_id: uuid.UUID,
    fields: Sequence[str],
    case_number: str | None,
    idempotency_key: IdempotencyKey,
    at: datetime,
) -> Asked:
    """Ask the resident of the clerk's accepted scan of the last ten minutes for further fields.

    The purpose is the scan's. What the organisation may not even ask for is refused and written to
    the resident's log with the names of the fields. Raises NotFound, NotAskable,
    ConsentWaiting, limits.LimitReached.
    """
    if (answer := find_answer(idempotency_key)) is not None:
        return _answered(answer)
    line = _scan(scan_id, caller=caller, at=at)
    organisation_id = required(caller.organisation_id)
    limits.spend(ASKED_BY_ONE, f"{organisation_id}:{line.resident_id}", at=at)
    limits.spend(ASKED_BY_ALL, str(line.resident_id), at=at)
    rule = find_rule(organisation_id, scene=line.scene, purpose=line.purpose)
    case_number = case_number or line.case_number
    wanted = sorted(set(fields))
    with once(idempotency_key, at=at) as claim:
        if claim.answer is None:
            if beyond := _not_askable(wanted, rule):
                write_line(
                    resident_id=line.resident_id,
                    caller=caller,
                    purpose=line.purpose,
                    asked=beyond,
                    case_number=case_number,
                    reason=NotAskable.code,
                    rule=rule,
                    at=at,
                )
                claim.answer = {"refused": True}
            else:
                claim.answer = asdict(_ask(line, wanted, caller, case_number, at=at))
    return _answered(claim.answer)


def approve(
    *,
    caller: Caller,
    consent_id: uuid.UUID,
    word: str,
    idempotency_key: IdempotencyKey,
    at: datetime,
) -> dict[str, Any]:
    """Approve a request with the phone's signature over exactly what it showed.

    `word`: a JWS by the device key, typ `vpass-consent+jwt`, `aud` the URL of the approval, `iat`
    at most 60 s old, `jti`, `consent`, `organisation` (ids as text), `purpose` and `fields` (sorted
    names). Raises NotFound, ConsentOver, receipts.WordInvalid, AccountSuspended.
    """
    with once(idempotency_key, at=at) as claim:
        if claim.answer is None:
            consent = _lock_mine(caller, consent_id)
            if consent.state != "asked" or at >= consent.expires_at:
                raise ConsentOver
            claims = receipts.read_word(
                word,
                caller=caller,
                typ=TYPE,
                path=PATH.format(consent_id=consent.id),
                required_claims=["consent", "organisation", "purpose", "fields"],
                at=at,
            )
            signed = (claims["consent"], claims["organisation"], claims["purpose"])
            shown = (str(consent.id), str(consent.organisation_id), consent.purpose)
            if signed != shown or claims["fields"] != consent.fields:
                raise receipts.WordInvalid
            if Resident.objects.get(id=consent.resident_id).state != "active":
                raise AccountSuspended
            consent.word, consent.release_by = word, at + RELEASE_WITHIN
            consent.receipt = _receipt(consent, word=word, at=at)
            consent.save(update_fields=["word", "receipt", "release_by"])
            claim.answer = _move(consent, "approved", actor=caller.scope, at=at)
        return claim.answer


def refuse(
    *, caller: Caller, consent_id: uuid.UUID, idempotency_key: IdempotencyKey, at: datetime
) -> dict[str, Any]:
    """Refuse a request; the resident's log tells it. Raises NotFound, ConsentOver."""
    with once(idempotency_key, at=at) as claim:
        if claim.answer is None:
            consent = _lock_mine(caller, consent_id)
            if consent.state != "asked" or at >= consent.expires_at:
                raise ConsentOver
            _write_end(consent, "consent.refused", at=at)
            claim.answer = _move(consent, "refused", actor=caller.scope, at=at)
        return claim.answer


def withdraw(
    *, caller: Caller, consent_id: uuid.UUID, idempotency_key: IdempotencyKey, at: datetime
) -> dict[str, Any]:
    """Take a consent back: nothing is given out any more, and the organisation is told.

    What was given out already must not be used further (PIPL article 15). Raises NotFound,
    ConsentOver.
    """
    with once(idempotency_key, at=at) as claim:
        if claim.answer is None:
            consent = _lock_mine(caller, consent_id)
            if consent.state not in ("approved", "released"):
                raise ConsentOver
            claim.answer = _move(consent, "withdrawn", actor=caller.scope, at=at)
        return claim.answer


def release(
    *, caller: Caller, consent_id: uuid.UUID, idempotency_key: IdempotencyKey, at: datetime
) -> Released:
    """Give out what was approved: once, to the organisation that asked, within five minutes.

    The resident's log gets its line in the same transaction. Raises NotFound, ConsentOver.
    """
    with once(idempotency_key, at=at) as claim:
        if claim.answer is None:
            consent = _of_organisation(caller).select_for_update().filter(id=consent_id).first()
            if consent is None:
                raise NotFound
            release_by = consent.release_by or consent.expires_at
            if consent.state != "approved" or at >= release_by:
                raise ConsentOver
            resident = Resident.objects.get(id=consent.resident_id)
            if resident.state != "active":
                raise ConsentOver
            _move(consent, "released", actor=caller.scope, at=at)
            write_line(
                resident_id=resident.id,
                caller=caller,
                purpose=consent.purpose,
                fields=consent.fields,
                case_number=consent.case_number,
                rule=_rule_of(consent),
                at=at,
            )
            claim.answer = asdict(
                Released(
                    fields=disclosure.disclose(resident=resident, attributes=consent.fields, at=at),
                    receipt=consent.receipt or "",
                    released_at=at.isoformat(),
                )
            )
        return Released(**claim.answer)


def consents_of(*, caller: Caller) -> QuerySet[Consent]:
    """Return what a resident was asked, with the purposes' words; order by `-asked_at, -id`."""
    mine = Consent.objects.filter(resident_id=required(caller.resident_id))
    return mine.select_related("organisation", "desk").annotate(**purpose_words())


def asked_by(*, caller: Caller, consent_id: uuid.UUID, at: datetime) -> Asked:
    """Return a request of the caller's organisation. Raises NotFound."""
    consent = _of_organisation(caller).filter(id=consent_id).first()
    if consent is None:
        raise NotFound
    return _shown(consent, at=at)


def expire_old(*, at: datetime) -> int:
    """End requests nobody answered and approvals nobody used; return how many."""
    due = Q(state="asked", expires_at__lte=at) | Q(state="approved", release_by__lte=at)
    with transaction.atomic():
        ending = list(
            Consent.objects.select_for_update(skip_locked=True).filter(due).order_by("id")[:1000]
        )
        for consent in ending:
            if consent.state == "asked":
                _write_end(consent, "consent.expired", at=at)
            _move(
                consent, "expired" if consent.state == "asked" else "lapsed", actor="expiry", at=at
            )
    return len(ending)


def state_of(consent: Consent, *, at: datetime) -> str:
    """Return the state as it is at a moment, also when the clearing has not come by yet."""
    if consent.state == "asked" and at >= consent.expires_at:
        return "expired"
    if consent.state == "approved" and consent.release_by and at >= consent.release_by:
        return "lapsed"
    return consent.state


def _scan(scan_id: uuid.UUID, *, caller: Caller, at: datetime) -> AccessLine:
    line = AccessLine.objects.filter(
        id=scan_id,
        organisation_id=required(caller.organisation_id),
        staff_id=required(caller.staff_id),
        outcome=AccessLine.Outcome.ACCEPTED,
        at__gt=at - ASK_WITHIN,
        # Who acts for another cannot consent for them.
        delegation=None,
    ).first()
    if line is None or line.scene != caller.scene:
        raise NotFound
    return line


def _not_askable(wanted: list[str], rule: Rule | None) -> list[str]:
    allowed = set() if rule is None else {*rule.attributes, *rule.may_ask} & {*SHAREABLE}
    return [name for name in wanted if name not in allowed]


def _ask(
    line: AccessLine, wanted: list[str], caller: Caller, case_number: str | None, *, at: datetime
) -> Asked:
    # One that ran out, and was not cleared yet, does not stand in the way.
    for old in Consent.objects.select_for_update().filter(
        organisation_id=required(caller.organisation_id),
        resident_id=line.resident_id,
        state="asked",
        expires_at__lte=at,
    ):
        _write_end(old, "consent.expired", at=at)
        _move(old, "expired", actor="expiry", at=at)
    consent = Consent(
        resident_id=line.resident_id,
        organisation_id=required(caller.organisation_id),
        desk_id=required(caller.desk_id),
        staff_id=required(caller.staff_id),
        line=line,
        scene=line.scene,
        purpose=line.purpose,
        fields=wanted,
        case_number=case_number,
        asked_at=at,
        expires_at=at + ANSWER_WITHIN,
    )
    try:
        with transaction.atomic():
            consent.save(force_insert=True)
    except IntegrityError as error:
        raise ConsentWaiting from error
    outbox.publish(ASKED, {"consent_id": str(consent.id)}, at=at)
    return _shown(consent, at=at)


def _answered(answer: dict[str, Any]) -> Asked:
    if answer.get("refused"):
        raise NotAskable
    return Asked(**answer)


def _of_organisation(caller: Caller) -> QuerySet[Consent]:
    return Consent.objects.filter(
        organisation_id=required(caller.organisation_id), staff_id=required(caller.staff_id)
    )


def _lock_mine(caller: Caller, consent_id: uuid.UUID) -> Consent:
    consent = (
        Consent.objects.select_for_update()
        .filter(id=consent_id, resident_id=required(caller.resident_id))
        .first()
    )
    if consent is None:
        raise NotFound
    return consent


def _move(consent: Consent, to_state: str, *, actor: str, at: datetime) -> dict[str, Any]:
    change_state(consent, to_state, table=states.CONSENT, actor=actor, at=at)
    outbox.publish(DECIDED, {"consent_id": str(consent.id), "state": to_state}, at=at)
    return {"id": str(consent.id), "state": to_state}


def _rule_of(consent: Consent) -> Rule | None:
    return find_rule(consent.organisation_id, scene=consent.scene, purpose=consent.purpose)


def _write_end(consent: Consent, reason: str, *, at: datetime) -> None:
    """The line of a request that came to nothing, with the names of what was asked."""
    asker = Caller(
        kind="staff",
        id=consent.staff_id,
        key_id="",
        organisation_id=consent.organisation_id,
        desk_id=consent.desk_id,
        staff_id=consent.staff_id,
        scene=consent.scene,
    )
    write_line(
        resident_id=consent.resident_id,
        caller=asker,
        purpose=consent.purpose,
        asked=consent.fields,
        case_number=consent.case_number,
        reason=reason,
        rule=_rule_of(consent),
        at=at,
    )


def _receipt(consent: Consent, *, word: str, at: datetime) -> str:
    claims = {
        "about": "consent",
        "consent": str(consent.id),
        "organisation": str(consent.organisation_id),
        "purpose": consent.purpose,
        "fields": consent.fields,
        "case_number": consent.case_number,
    }
    return receipts.give_receipt(claims, word=word, at=at)


def _shown(consent: Consent, *, at: datetime) -> Asked:
    return Asked(
        id=str(consent.id),
        state=state_of(consent, at=at),
        fields=consent.fields,
        expires_at=consent.expires_at.isoformat(),
        release_by=None if consent.release_by is None else consent.release_by.isoformat(),
    )
