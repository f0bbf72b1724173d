"""Lets a resident hand a department chosen parts of the record, for one matter, to be opened once.

The handle is random and says nothing. It is worthless to whoever it is forwarded to: only the named
department's own system opens it, with its own signature.
"""

import hashlib
import secrets
import uuid
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from django.db import connection, transaction
from django.db.models import QuerySet

from identity import disclosure, receipts, states
from identity.access_log import write_line
from identity.history import change_state
from identity.models import (
    SHARE_LIFE,
    SHAREABLE,
    CaseShare,
    Entitlement,
    Organisation,
    Resident,
    StateChange,
)
from identity.organisations import is_open
from identity.queries import find_rule, purpose_words
from identity.residents import AccountSuspended
from vpass.common import limits, outbox
from vpass.common.callers import Caller, required
from vpass.common.errors import Conflict, DomainError, NotFound
from vpass.common.idempotency import IdempotencyKey, find_answer, once

TYPE = "vpass-share+jwt"
PATH = "/api/resident/v1/case-shares"
SCENE = "remote"
PREFIX = "VPS1."
SHARES_PER_DAY = limits.Limit("share.day", maximum=20, per=SHARE_LIFE)

CREATED = "identity.case_share_created"
OPENED = "identity.case_share_opened"
CONCLUDED = "identity.case_share_concluded"
WRONG_DEPARTMENT = "share.wrong_department"

# One atomic step: only one opening of all that try finds the share still offered. Locking first and
# looking then would do as well, but this needs no row to be read.
_OPEN = """
UPDATE identity_caseshare SET state = 'opened', opened_at = %(at)s
WHERE handle_hash = %(handle_hash)s AND organisation_id = %(organisation)s
  AND state = 'offered' AND expires_at > %(at)s
RETURNING id
"""


class ShareInvalid(DomainError):
    """The department may not hold these fields for this matter, or the time is too long."""

    code = "share.invalid"
    status = 422
    title_zh = "该部门无权就此事项持有所选信息，或期限不符合要求"


class ShareSpent(Conflict):
    """This share was opened already, withdrawn, or is out of date."""

    code = "share.spent"
    title_zh = "该授权已被打开、撤回或已过期"


class ShareNotOpen(Conflict):
    """Only a share that was opened, and not concluded yet, has an decision to come."""

    code = "share.not_open"
    title_zh = "该授权未被打开或已办结"


@dataclass(frozen=True, kw_only=True)
class Opening:
    """What a department sees when it opens a share, once. Ids are text, times RFC 3339."""

    id: str
    purpose: str
    matter: str
    holder: str
    level: int
    fields: dict[str, disclosure.Value]
    receipt: str
    opened_at: str


def create_share(
    *, caller: Caller, word: str, idempotency_key: IdempotencyKey, at: datetime
) -> dict[str, Any]:
    """Make a share for one department and matter; returns its id, handle, expiry and receipt.

    `word` is a JWS by the device key, typ `vpass-share+jwt`, with `organisation` (id as text),
    `purpose`, `matter` (the case number or a text of 1 to 200 characters), `fields` (sorted names)
    and `expires_at` (seconds, at most 24 hours ahead). The handle is told this once; only its hash
    is kept. Raises receipts.WordInvalid, ShareInvalid, AccountSuspended, limits.LimitReached.
    """
    if (answer := find_answer(idempotency_key)) is not None:
        return answer
    claims = receipts.read_word(
        word,
        caller=caller,
        typ=TYPE,
        path=PATH,
        required_claims=["organisation", "purpose", "matter", "fields", "expires_at"],
        at=at,
    )
    limits.spend(SHARES_PER_DAY, caller.scope, at=at)
    with once(idempotency_key, at=at) as claim:
        if claim.answer is None:
            resident = Resident.objects.get(id=required(caller.resident_id))
            if resident.state != "active":
                raise AccountSuspended
            handle = PREFIX + secrets.token_urlsafe(32)
            share = _read_share(claims, at=at)
            share.resident, share.word = resident, word
            share.handle_hash = _hash(handle)
            share.receipt = _receipt(share, word=word, at=at)
            share.save(force_insert=True)
            outbox.publish(CREATED, {"case_share_id": str(share.id)}, at=at)
            claim.answer = {
                "id": str(share.id),
                "handle": handle,
                "expires_at": share.expires_at.isoformat(),
                "receipt": share.receipt,
            }
        return claim.answer


def withdraw(
    *, caller: Caller, share_id: uuid.UUID, idempotency_key: IdempotencyKey, at: datetime
) -> dict[str, Any]:
    """Take a share back before it is opened. Raises NotFound, ShareSpent."""
    with once(idempotency_key, at=at) as claim:
        if claim.answer is None:
            share = (
                CaseShare.objects.select_for_update()
                .filter(id=share_id, resident_id=required(caller.resident_id))
                .first()
            )
            if share is None:
                raise NotFound
            if share.state != "offered" or at >= share.expires_at:
                raise ShareSpent
            change_state(share, "withdrawn", table=states.CASE_SHARE, actor=caller.scope, at=at)
            claim.answer = {"id": str(share.id), "state": share.state}
        return claim.answer


def open_share(
    *,
    caller: Caller,
    handle: str,
    official: str,
    case_number: str,
    idempotency_key: IdempotencyKey,
    at: datetime,
) -> Opening:
    """Open a share as the department it names, once; the resident's log gets its line.

    `official` is the department's own number of the person who looks, `case_number` its case. To
    another department the handle is as if there were none, and the resident reads of the try.
    Raises NotFound, ShareSpent.
    """
    with once(idempotency_key, at=at) as claim:
        if claim.answer is None:
            opened = _take(handle, caller=caller, at=at)
            if opened is None:
                claim.answer = {"refused": _judge(handle, caller=caller, at=at)}
            else:
                claim.answer = asdict(_open(opened, caller, official, case_number, at=at))
    match claim.answer.get("refused"):
        case "missing":
            raise NotFound
        case "spent":
            raise ShareSpent
    return Opening(**claim.answer)


def conclude(
    *,
    caller: Caller,
    share_id: uuid.UUID,
    decision: str,
    note: str | None,
    idempotency_key: IdempotencyKey,
    at: datetime,
) -> dict[str, Any]:
    """Record how the matter ended, for the resident to read. Raises NotFound, ShareNotOpen."""
    with once(idempotency_key, at=at) as claim:
        if claim.answer is None:
            share = (
                CaseShare.objects.select_for_update()
                .filter(id=share_id, organisation_id=required(caller.organisation_id))
                .exclude(opened_at=None)
                .first()
            )
            if share is None:
                raise NotFound
            if share.state != "opened":
                raise ShareNotOpen
            share.decision, share.decision_note, share.concluded_at = decision, note, at
            share.state = "concluded"
            share.save(update_fields=["decision", "decision_note", "concluded_at", "state"])
            _note_change(share.id, "opened", "concluded", caller=caller, at=at)
            outbox.publish(CONCLUDED, {"case_share_id": str(share.id)}, at=at)
            claim.answer = {"id": str(share.id), "state": share.state}
        return claim.answer


def shares_of(*, caller: Caller) -> QuerySet[CaseShare]:
    """Return a resident's shares with the words of their purposes; order by `-created_at, -id`."""
    mine = CaseShare.objects.filter(resident_id=required(caller.resident_id))
    return mine.select_related("organisation").annotate(**purpose_words(SCENE))


def recipients() -> QuerySet[Entitlement]:
    """Return the matters for which departments take shares, each with what they may hold."""
    return Entitlement.objects.filter(
        is_open("organisation"), scene=SCENE, ended_at=None
    ).select_related("organisation")


def expire_old(*, at: datetime) -> int:
    """End the shares nobody opened in time; return how many."""
    with transaction.atomic():
        ending = list(
            CaseShare.objects.select_for_update(skip_locked=True)
            .filter(state="offered", expires_at__lte=at)
            .order_by("id")[:1000]
        )
        for share in ending:
            change_state(share, "expired", table=states.CASE_SHARE, actor="expiry", at=at)
    return len(ending)


def state_of(share: CaseShare, *, at: datetime) -> str:
    """Return the state as it is at a moment, also when the clearing has not come by yet."""
    return "expired" if share.state == "offered" and at >= share.expires_at else share.state


def _read_share(claims: dict[str, Any], *, at: datetime) -> CaseShare:
    seconds, fields, matter = claims["expires_at"], claims["fields"], claims["matter"]
    if type(seconds) is not int or not at.timestamp() < seconds <= (at + SHARE_LIFE).timestamp():
        raise ShareInvalid
    if not isinstance(matter, str) or not 1 <= len(matter) <= 200 or not matter.isprintable():
        raise ShareInvalid
    try:
        organisation = Organisation.objects.filter(
            id=uuid.UUID(str(claims["organisation"])), state="active"
        ).first()
    except ValueError as error:
        raise ShareInvalid from error
    purpose = str(claims["purpose"])
    rule = None
    if organisation is not None:
        rule = find_rule(organisation.id, scene=SCENE, purpose=purpose)
    if organisation is None or rule is None or not isinstance(fields, list) or not fields:
        raise ShareInvalid
    may_hold = {*rule.attributes, *rule.may_ask} & {*SHAREABLE}
    if any(not isinstance(name, str) or name not in may_hold for name in fields):
        raise ShareInvalid
    return CaseShare(
        organisation=organisation,
        purpose=purpose,
        matter=matter,
        fields=sorted(set(fields)),
        created_at=at,
        expires_at=datetime.fromtimestamp(seconds, tz=at.tzinfo),
    )


def _take(handle: str, *, caller: Caller, at: datetime) -> uuid.UUID | None:
    """Open the share in one statement; None for everybody but the first of its department."""
    values: dict[str, Any] = {
        "handle_hash": _hash(handle),
        "organisation": str(required(caller.organisation_id)),
        "at": at,
    }
    with connection.cursor() as cursor:
        cursor.execute(_OPEN, values)
        row = cursor.fetchone()
    return None if row is None else row[0]


def _open(
    share_id: uuid.UUID, caller: Caller, official: str, case_number: str, *, at: datetime
) -> Opening:
    share = CaseShare.objects.select_related("resident").get(id=share_id)
    if share.resident.state != "active":
        raise ShareSpent
    share.official, share.case_number = official, case_number
    share.save(update_fields=["official", "case_number"])
    _note_change(share.id, "offered", "opened", caller=caller, at=at)
    organisation_id = required(caller.organisation_id)
    write_line(
        resident_id=share.resident_id,
        caller=caller,
        purpose=share.purpose,
        fields=share.fields,
        case_number=case_number,
        rule=find_rule(organisation_id, scene=SCENE, purpose=share.purpose),
        scene=SCENE,
        at=at,
    )
    outbox.publish(OPENED, {"case_share_id": str(share.id)}, at=at)
    return Opening(
        id=str(share.id),
        purpose=share.purpose,
        matter=share.matter,
        holder=disclosure.pseudonym(resident_id=share.resident_id, organisation_id=organisation_id),
        level=share.resident.level,
        fields=disclosure.disclose(resident=share.resident, attributes=share.fields, at=at),
        receipt=share.receipt,
        opened_at=at.isoformat(),
    )


def _judge(handle: str, *, caller: Caller, at: datetime) -> str:
    """Why a share was not opened; a try by another department is written to the resident's log."""
    share = CaseShare.objects.filter(handle_hash=_hash(handle)).first()
    if share is None:
        return "missing"
    if share.organisation_id == caller.organisation_id:
        return "spent"
    write_line(
        resident_id=share.resident_id,
        caller=caller,
        purpose=share.purpose,
        asked=share.fields,
        reason=WRONG_DEPARTMENT,
        scene=SCENE,
        at=at,
    )
    return "missing"


def _note_change(
    share_id: uuid.UUID, from_state: str, to_state: str, *, caller: Caller, at: datetime
) -> None:
    StateChange.objects.create(
        object_kind=states.CASE_SHARE.name,
        object_id=str(share_id),
        from_state=from_state,
        to_state=to_state,
        event=states.CASE_SHARE.event(from_state, to_state),
        actor=caller.scope,
        at=at,
    )


def _hash(handle: str) -> bytes:
    return hashlib.sha256(handle.encode()).digest()


def _receipt(share: CaseShare, *, word: str, at: datetime) -> str:
    claims = {
        "about": "case-share",
        "case_share": str(share.id),
        "organisation": str(share.organisation_id),
        "purpose": share.purpose,
        "fields": share.fields,
        "expires_at": int(share.expires_at.timestamp()),
    }
    return receipts.give_receipt(claims, word=word, at=at)
