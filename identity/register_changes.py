"""Keeps accounts as the population register has them: it tells what changed, signed, by itself.

An event is taken once, by its id. Of the events of one person on one track only those later than
the last applied change something, so they may come in any order. Where an event would give one
person's number to two accounts, or undo a correction of late, nothing is changed: it waits for
people.
"""

import json
import re
import uuid
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import Q, QuerySet

from identity import access_log, delegation, lost_phones, states, suspensions
from identity.history import change_state
from identity.models import Correction, RegisterChange, Resident, Suspension
from identity.real_names import PERSON_CHANGED, IdentityFormInvalid, hold_person, judge_form
from vpass.common import audit, outbox
from vpass.common.callers import Caller, required
from vpass.common.errors import DomainError, NotFound
from vpass.common.idempotency import IdempotencyKey, once
from vpass.common.sealed_fields import lookup_hash

SCENE = "register"
SOURCE = "register"
REVIEW_ROLE = "register-review"
# So long after a correction an event may still be older than what the register was asked then.
DOUBT_AFTER_CORRECTION = timedelta(days=30)

# On which track an event stands, and the names of the fields it changes.
TRACKS = {
    "name_changed": ("name", ["real_name"]),
    "number_corrected": ("number", ["id_number"]),
    "died": ("life", []),
    "death_withdrawn": ("life", []),
}
_CENSUS_ID = re.compile(r"[0-9A-Z]{1,32}", re.ASCII)


class ChangeInvalid(DomainError):
    """The event lacks what its kind needs, or has something else."""

    code = "register_change.invalid"
    status = 422
    title_zh = "登记变更事件内容不完整或不正确"


class ChangeIdReused(DomainError):
    """Another event came under this id before."""

    code = "register_change.id_reused"
    status = 409
    title_zh = "该事件编号已用于另一事件"


class ChangeDecided(DomainError):
    """This event does not wait for anybody (any more)."""

    code = "register_change.decided"
    status = 409
    title_zh = "该事件无需处理或已处理"


class NumberOfTwo(DomainError):
    """Two accounts would have this ID number; the other one has to be settled first."""

    code = "register_change.number_of_two"
    status = 409
    title_zh = "该身份证号码属于另一账户，请先核实另一账户"


@dataclass(frozen=True, kw_only=True)
class Change:
    """An event of the register (docs/register-protocol.md section 7)."""

    event_id: uuid.UUID
    kind: str
    census_id: str
    sequence: int
    real_name: str | None = None
    id_number: str | None = None

    def judge(self) -> None:
        """Return for an event that has just what its kind needs. Raises ChangeInvalid."""
        needed = {"name_changed": (True, False), "number_corrected": (False, True)}
        has = (self.real_name is not None, self.id_number is not None)
        if has != needed.get(self.kind, (False, False)) or not _CENSUS_ID.fullmatch(self.census_id):
            raise ChangeInvalid
        try:
            judge_form(real_name=self.real_name or "某某", id_number=self.id_number or _SOME_NUMBER)
        except IdentityFormInvalid as error:
            raise ChangeInvalid from error


_SOME_NUMBER = "11010519491231002X"  # the standard's own example: always of the right form


def receive(*, caller: Caller, change: Change, at: datetime) -> str:
    """Take an event of the register; return what came of it.

    "applied"; "superseded" by a later one; "unknown" (nobody here has this identity); "review"
    (people have to look); "dismissed" (they have). A repeat answers as it stands now. Raises
    ChangeInvalid, ChangeIdReused.
    """
    change.judge()
    track, _ = TRACKS[change.kind]
    body = json.dumps(asdict(change), default=str, sort_keys=True, ensure_ascii=False)
    digest = lookup_hash("register-change", body)
    with transaction.atomic():
        row, is_new = RegisterChange.objects.get_or_create(
            id=change.event_id,
            defaults={
                "organisation_id": required(caller.organisation_id),
                "kind": change.kind,
                "track": track,
                "sequence": change.sequence,
                "census_hash": lookup_hash("census", change.census_id),
                "digest": digest,
                "received_at": at,
            },
        )
        if not is_new:
            if bytes(row.digest) != digest:
                raise ChangeIdReused
            return row.state
        hold_person(bytes(row.census_hash))
        row.resident = _find(row)
        row.save(update_fields=["resident"])
        state = _consider(row, change, caller=caller, at=at)
        change_state(row, state, table=states.REGISTER_CHANGE, actor=caller.scope, at=at)
        if state == "review":
            row.body = body
            row.save(update_fields=["body"])
    return state


def waiting() -> QuerySet[RegisterChange]:
    """Return the events that wait for people, to be ordered by time and id."""
    return RegisterChange.objects.filter(state="review")


def decide(
    *,
    caller: Caller,
    change_id: uuid.UUID,
    decision: str,
    reason: str,
    idempotency_key: IdempotencyKey,
    at: datetime,
) -> dict[str, Any]:
    """Settle an event that waits: "apply" it, now that nothing stands against it, or "dismiss" it.

    Raises NotFound, ChangeDecided, NumberOfTwo.
    """
    with once(idempotency_key, at=at) as claim:
        if claim.answer is None:
            row = RegisterChange.objects.select_for_update().filter(id=change_id).first()
            if row is None:
                raise NotFound
            if row.state != "review":
                raise ChangeDecided
            hold_person(bytes(row.census_hash))
            change = _read(str(row.body))
            row.body = None
            row.save(update_fields=["body"])
            state = "dismissed"
            if decision == "apply":
                row.resident = _find(row)
                row.save(update_fields=["resident"])
                state = _consider(row, change, caller=caller, at=at, is_decided=True)
            if state == "review":
                raise NumberOfTwo
            # Nobody is left to apply it to, or a later one has come: it is as good as dismissed.
            state = "applied" if state == "applied" else "dismissed"
            change_state(row, state, table=states.REGISTER_CHANGE, actor=caller.scope, at=at)
            audit.record(
                actor=caller.scope,
                action=f"register-change.{decision}",
                subject=f"register_change:{row.id}",
                detail={"reason": reason, "state": state},
                at=at,
            )
            claim.answer = {"id": str(row.id), "state": state}
        return claim.answer


def forget(*, resident_id: uuid.UUID, census_hash: bytes | memoryview | None) -> None:
    """Forget what the register has told of a person, also what waits for people."""
    mine = Q(resident_id=resident_id) | Q(census_hash=census_hash)
    RegisterChange.objects.filter(mine).delete()


def _find(row: RegisterChange) -> Resident | None:
    """The account of an event's person, locked."""
    return (
        Resident.objects.select_for_update(no_key=True)
        .filter(census_hash=row.census_hash)
        .exclude(state="closed")
        .first()
    )


def _consider(
    row: RegisterChange, change: Change, *, caller: Caller, at: datetime, is_decided: bool = False
) -> str:
    """Apply an event to its locked account if it has one and is the latest; what came of it."""
    resident = row.resident
    if resident is None:
        return "unknown"
    later = RegisterChange.objects.filter(
        resident=resident, track=row.track, state="applied", sequence__gte=row.sequence
    )
    if later.exists():
        return "superseded"
    if not is_decided and _may_undo_correction(resident, change, at=at):
        return "review"
    if not _apply(resident, change, caller=caller, at=at):
        return "review"
    access_log.write_line(
        resident_id=resident.id,
        caller=caller,
        purpose=row.kind.replace("_", "-"),
        fields=TRACKS[row.kind][1],
        scene=SCENE,
        at=at,
    )
    outbox.publish(PERSON_CHANGED, {"resident": str(resident.id), "kind": row.kind}, at=at)
    return "applied"


def _may_undo_correction(resident: Resident, change: Change, *, at: datetime) -> bool:
    """Whether an event says otherwise than a correction of late, and nobody knows which is newer.

    The register's answer to a question has no sequence; an event may have been long on its way.
    """
    says = {"name_changed": change.real_name, "number_corrected": change.id_number}
    has = {"name_changed": resident.real_name, "number_corrected": resident.id_number}
    if says.get(change.kind) == has.get(change.kind):
        return False
    return Correction.objects.filter(
        resident=resident, state="granted", ended_at__gt=at - DOUBT_AFTER_CORRECTION
    ).exists()


def _apply(resident: Resident, change: Change, *, caller: Caller, at: datetime) -> bool:
    """Change a locked account; False when another one has the number."""
    if change.kind == "name_changed":
        resident.real_name = change.real_name
        resident.save(update_fields=["real_name"])
    elif change.kind == "number_corrected":
        resident.id_number = change.id_number
        resident.id_number_hash = lookup_hash("id_number", str(change.id_number))
        try:
            with transaction.atomic():
                resident.save(update_fields=["id_number", "id_number_hash"])
        except IntegrityError:
            return False
    elif change.kind == "died":
        _end(resident, actor=caller.scope, at=at)
    else:
        _give_back(resident, actor=caller.scope, at=at)
    return True


def _end(resident: Resident, *, actor: str, at: datetime) -> None:
    """Suspend the account of a person who has died, with phones, grants, tokens, delegations."""
    suspensions.suspend(
        resident_id=resident.id, source=SOURCE, scope="all", reason="died", actor=actor, at=at
    )
    lost_phones.freeze_all(resident_id=resident.id, actor=actor, at=at)
    delegation.end_all_of(resident_id=resident.id, actor=actor, at=at)


def _give_back(resident: Resident, *, actor: str, at: datetime) -> None:
    """Lift the suspension of a person who lives after all; the phones are thawed at a counter."""
    in_force = Suspension.objects.filter(resident=resident, source=SOURCE, state="in_force")
    for each in in_force.order_by("id"):
        suspensions.lift(suspension_id=each.id, sources={SOURCE}, actor=actor, at=at)


def _read(body: str) -> Change:
    members = json.loads(body)
    return Change(**members | {"event_id": uuid.UUID(members["event_id"])})
