"""Has two administrators stand behind what gives rights: one proposes, another approves it."""

import hashlib
import json
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import QuerySet

from identity import registration, relying_parties, staffing, states, stores, subtree
from identity.models import Organisation, RegistrationProposal
from identity.registration import Made
from vpass.common import audit, ids
from vpass.common.callers import Caller, required
from vpass.common.errors import Conflict, NotAllowed, NotFound
from vpass.common.idempotency import IdempotencyKey, once

LIFE = timedelta(hours=72)


class SelfApproval(NotAllowed):
    """Whoever proposes something, or gets rights by it, cannot approve it."""

    code = "registration.self_approval"
    title_zh = "提议人和受益人不能批准该提议"


class AlreadyProposed(Conflict):
    """The same has been proposed already and waits for a second person."""

    code = "registration.already_proposed"
    title_zh = "相同的提议正在等待批准"


class Over(Conflict):
    """The proposal has been decided or is out of date."""

    code = "registration.over"
    title_zh = "该提议已处理或已过期"


@dataclass(frozen=True, kw_only=True)
class Decided:
    """What became of a proposal; `made` is what it made or changed, `code` is shown this once."""

    id: str
    state: str
    made: str | None = None
    code: str | None = None


@dataclass(frozen=True, kw_only=True)
class _Action:
    """How the subject is found for a caller, or not, and what is done to it."""

    find: Callable[[Caller, uuid.UUID], Any]
    do: Callable[..., Made]


def _organisation(caller: Caller, row_id: uuid.UUID) -> Any:
    return registration.find(caller, "organisation", row_id)


def _desk(caller: Caller, row_id: uuid.UUID) -> Any:
    return registration.find(caller, "desk", row_id)


def _terminal(caller: Caller, row_id: uuid.UUID) -> Any:
    return registration.find(caller, "terminal", row_id)


def _store(caller: Caller, row_id: uuid.UUID) -> Any:
    return registration.find(caller, "store", row_id)


def _staff(caller: Caller, row_id: uuid.UUID) -> Any:
    return registration.find(caller, "staff", row_id)


def _relying_party(caller: Caller, row_id: uuid.UUID) -> Any:
    return registration.find(caller, "relying_party", row_id)


ACTIONS: dict[str, _Action] = {
    "organisation.register": _Action(find=_organisation, do=registration.register_organisation),
    "organisation.rename": _Action(find=subtree.find_below, do=registration.rename_organisation),
    "organisation.allow": _Action(find=subtree.find_below, do=registration.allow),
    "organisation.lift": _Action(find=subtree.find_below, do=registration.lift),
    "entitlement.set": _Action(find=subtree.find_below, do=registration.set_entitlement),
    "entitlement.end": _Action(find=_organisation, do=registration.end_entitlement),
    "desk.register": _Action(find=_organisation, do=registration.register_desk),
    "desk.enrol": _Action(find=_desk, do=registration.enrol_desk_anew),
    "desk.lift": _Action(find=_desk, do=registration.lift),
    "terminal.register": _Action(find=_organisation, do=registration.register_terminal),
    "terminal.enrol": _Action(find=_terminal, do=registration.enrol_terminal_anew),
    "terminal.lift": _Action(find=_terminal, do=registration.lift),
    "terminal.place": _Action(find=_terminal, do=stores.place_terminal),
    "store.register": _Action(find=_organisation, do=stores.register_store),
    "store.rename": _Action(find=_store, do=stores.rename_store),
    "store.lift": _Action(find=_store, do=registration.lift),
    "staff.grant_roles": _Action(find=_staff, do=staffing.grant_roles),
    "staff.move": _Action(find=_staff, do=staffing.move),
    "staff.reset": _Action(find=_staff, do=staffing.reset),
    "staff.lift": _Action(find=_staff, do=staffing.lift),
    "relying_party.register": _Action(find=_organisation, do=relying_parties.register_agreed),
    "relying_party.lift": _Action(find=_relying_party, do=registration.lift),
}


def propose(
    *,
    caller: Caller,
    action: str,
    subject: uuid.UUID,
    detail: Mapping[str, Any],
    idempotency_key: IdempotencyKey,
    at: datetime,
) -> Decided:
    """Propose one of ACTIONS; it waits 72 hours for another person.

    `detail` is JSON, as the action takes it. What could not be done now is refused now, since it is
    tried and undone. Raises NotFound, AlreadyProposed, and what the action raises.
    """
    with once(idempotency_key, at=at) as claim:
        if claim.answer is None:
            subtree.lock_tree()
            row = ACTIONS[action].find(caller, subject)
            with transaction.atomic():
                ACTIONS[action].do(row, detail, caller=caller, at=at)
                transaction.set_rollback(True)
            proposal = _insert(
                caller, action=action, subject=subject, detail=detail, where=_where(row), at=at
            )
            claim.answer = {"id": str(proposal.id), "state": proposal.state}
        return Decided(**claim.answer)


def approve(
    *, caller: Caller, proposal_id: uuid.UUID, idempotency_key: IdempotencyKey, at: datetime
) -> Decided:
    """Approve another person's proposal and do what it says, in one transaction.

    Raises NotFound, SelfApproval, Over (also when its subject has moved, or its proposer could not
    propose it any more), and what the action raises.
    """
    with once(idempotency_key, at=at) as claim:
        if claim.answer is None:
            subtree.lock_tree()
            proposal = _lock(proposal_id, caller=caller, at=at)
            if not _may_approve(proposal, caller):
                raise SelfApproval
            action = ACTIONS[proposal.action]
            row = action.find(caller, proposal.subject)
            if not _stands(proposal, row):
                raise Over(state=proposal.state)
            _decide(proposal, "approved", caller=caller, at=at)
            made = action.do(row, proposal.detail, caller=caller, at=at)
            claim.answer = {
                "id": str(proposal.id),
                "state": proposal.state,
                "made": str(made.id),
                "code": made.code,
            }
        return Decided(**claim.answer)


def reject(
    *, caller: Caller, proposal_id: uuid.UUID, idempotency_key: IdempotencyKey, at: datetime
) -> Decided:
    """Reject a proposal, or take one's own back. Raises NotFound, Over."""
    with once(idempotency_key, at=at) as claim:
        if claim.answer is None:
            proposal = _lock(proposal_id, caller=caller, at=at)
            _decide(proposal, "rejected", caller=caller, at=at)
            claim.answer = {"id": str(proposal.id), "state": proposal.state}
        return Decided(**claim.answer)


def proposals_of(*, caller: Caller) -> QuerySet[RegistrationProposal]:
    """Return the proposals of the caller's subtree with their people; order them by falling id."""
    where = subtree.organisations_of(caller).values("id")
    return RegistrationProposal.objects.filter(organisation_id__in=where).select_related(
        "proposed_by__user", "decided_by__user"
    )


def expire_old(*, at: datetime) -> int:
    """End the proposals that nobody has decided within 72 hours; return how many."""
    return RegistrationProposal.objects.filter(state="proposed", proposed_at__lte=at - LIFE).update(
        state="expired", decided_at=at
    )


def _may_approve(proposal: RegistrationProposal, caller: Caller) -> bool:
    return caller.staff_id not in (proposal.proposed_by_id, proposal.subject)


def _stands(proposal: RegistrationProposal, row: Any) -> bool:
    """Whether the subject is where it was, and the proposer may still decide about it."""
    roles = (staffing.ADMINISTRATOR, staffing.APPROVER)
    proposer = staffing.in_office(proposal.proposed_by_id, roles=roles)
    return (
        proposer is not None
        and _where(row) == proposal.organisation_id
        and proposal.organisation_id in subtree.ids_below(proposer.organisation_id)
    )


def _insert(
    caller: Caller,
    *,
    action: str,
    subject: uuid.UUID,
    detail: Mapping[str, Any],
    where: uuid.UUID,
    at: datetime,
) -> RegistrationProposal:
    whole = json.dumps([action, str(subject), detail], sort_keys=True)
    digest = hashlib.sha256(whole.encode()).digest()
    RegistrationProposal.objects.filter(
        digest=digest, state="proposed", proposed_at__lte=at - LIFE
    ).update(state="expired", decided_at=at)
    proposal = RegistrationProposal(
        id=ids.uuid7(at),
        action=action,
        organisation_id=where,
        subject=subject,
        detail=detail,
        digest=digest,
        proposed_by_id=required(caller.staff_id),
        proposed_at=at,
    )
    try:
        with transaction.atomic():
            proposal.save(force_insert=True)
    except IntegrityError as error:
        raise AlreadyProposed from error
    _audit(proposal, "registration.proposed", caller=caller, at=at)
    return proposal


def _where(row: Any) -> uuid.UUID:
    return uuid.UUID(str(row.pk if isinstance(row, Organisation) else row.organisation_id))


def _lock(proposal_id: uuid.UUID, *, caller: Caller, at: datetime) -> RegistrationProposal:
    where = subtree.organisations_of(caller).values("id")
    proposal = (
        RegistrationProposal.objects.select_for_update()
        .filter(id=proposal_id, organisation_id__in=where)
        .first()
    )
    if proposal is None:
        raise NotFound
    if proposal.state != "proposed" or proposal.proposed_at <= at - LIFE:
        raise Over(state=proposal.state)
    return proposal


def _decide(proposal: RegistrationProposal, to_state: str, *, caller: Caller, at: datetime) -> None:
    states.REGISTRATION_PROPOSAL.check(proposal.state, to_state)
    proposal.state = to_state
    proposal.decided_by_id = required(caller.staff_id)
    proposal.decided_at = at
    proposal.save(update_fields=["state", "decided_by", "decided_at"])
    _audit(proposal, f"registration.{to_state}", caller=caller, at=at)


def _audit(proposal: RegistrationProposal, action: str, *, caller: Caller, at: datetime) -> None:
    audit.record(
        actor=caller.scope,
        action=action,
        subject=f"registration_proposal:{proposal.id}",
        detail={"action": proposal.action, "subject": str(proposal.subject)},
        at=at,
    )
