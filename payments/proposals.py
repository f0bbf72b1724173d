"""Has two people stand behind what is powerful: one proposes, another approves, then it is done."""

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import QuerySet

from identity import staffing
from payments import merchants, openings, rule_changes, shop_doors, states
from payments.models import MerchantApplication, Proposal, SettingChange
from payments.rule_changes import Changed
from payments.settlement import payouts, windows
from vpass.common import audit, ids, outbox
from vpass.common.callers import Caller, required
from vpass.common.errors import Conflict, NotAllowed, NotFound
from vpass.common.idempotency import IdempotencyKey, once

LIFE = timedelta(hours=24)


class SelfApproval(NotAllowed):
    """Whoever proposes something cannot approve it."""

    code = "proposal.self_approval"
    title_zh = "提议人不能批准自己的提议"


class ProposalWaiting(Conflict):
    """The same has been proposed already and waits for a second person."""

    code = "proposal.waiting"
    title_zh = "相同的提议正在等待批准"


class ProposalOver(Conflict):
    """The proposal has been decided or is out of date."""

    code = "proposal.over"
    title_zh = "该提议已处理或已过期"


@dataclass(frozen=True, kw_only=True)
class Decided:
    """What became of a proposal; the id is text."""

    id: str
    state: str


def propose(
    *,
    caller: Caller,
    action: str,
    subject: str,
    amount_fen: int | None = None,
    idempotency_key: IdempotencyKey,
    at: datetime,
) -> Decided:
    """Propose something about a window; `subject` is its number in digits.

    To open a wallet it is the account's reference in the older system, and `amount_fen` what stood
    there. It waits 24 hours for another person. Raises NotFound for an unknown window or reference,
    IllegalTransition or windows.WindowNotOpen when the window is not at that point,
    openings.OpeningBooked, ProposalWaiting.
    """
    with once(idempotency_key, at=at) as claim:
        if claim.answer is None:
            said = _SAY[action](subject, amount_fen)
            _end_old(action=action, subject=said["subject"], at=at)
            proposal = _write(action, caller=caller, at=at, **said)
            claim.answer = {"id": str(proposal.id), "state": proposal.state}
        return Decided(**claim.answer)


def propose_merchant(
    *,
    caller: Caller,
    credit_code: str,
    idempotency_key: IdempotencyKey,
    at: datetime,
    **asked: Any,
) -> Decided:
    """Propose to take a firm on as a merchant; the rest is as merchants.application takes it.

    Raises ProposalWaiting, and what merchants.application raises.
    """
    with once(idempotency_key, at=at) as claim:
        if claim.answer is None:
            action = Proposal.Action.OPEN_MERCHANT
            _end_old(action=action, subject=credit_code, at=at)
            application = merchants.application(credit_code=credit_code, **asked)
            proposal = _write(action, subject=credit_code, caller=caller, at=at)
            application.proposal = proposal
            application.save(force_insert=True)
            claim.answer = {"id": str(proposal.id), "state": proposal.state}
        return Decided(**claim.answer)


def propose_change(
    *,
    caller: Caller,
    action: str,
    subject: str,
    detail: dict[str, Any],
    reason: str,
    idempotency_key: IdempotencyKey,
    at: datetime,
) -> Decided:
    """Propose to change something that stands, to `detail`, which is JSON as the action takes it.

    What could not be done now is refused now, since it is tried and undone. Raises ProposalWaiting,
    and what the action raises.
    """
    with once(idempotency_key, at=at) as claim:
        if claim.answer is None:
            _end_old(action=action, subject=subject, at=at)
            with transaction.atomic():
                _CHANGE[action](subject, detail, caller=caller, at=at)
                transaction.set_rollback(True)
            said: dict[str, Any] = {"subject": subject, "detail": detail, "reason": reason}
            proposal = _write(action, caller=caller, at=at, **said)
            claim.answer = {"id": str(proposal.id), "state": proposal.state}
        return Decided(**claim.answer)


def approve(
    *, caller: Caller, proposal_id: uuid.UUID, idempotency_key: IdempotencyKey, at: datetime
) -> Decided:
    """Approve another person's proposal and do what it says, in one transaction.

    Raises NotFound, SelfApproval, ProposalOver (also when its proposer is an accountant no more),
    and what the action raises.
    """
    with once(idempotency_key, at=at) as claim:
        if claim.answer is None:
            proposal = _lock(proposal_id, at=at)
            if not _may_approve(proposal, caller):
                raise SelfApproval
            if staffing.in_office(proposal.proposed_by_id, roles=[staffing.FINANCE]) is None:
                raise ProposalOver(state=proposal.state)
            _decide(proposal, "approved", caller=caller, at=at)
            _DO[proposal.action](proposal, caller, at)
            claim.answer = {"id": str(proposal.id), "state": proposal.state}
        return Decided(**claim.answer)


def reject(
    *, caller: Caller, proposal_id: uuid.UUID, idempotency_key: IdempotencyKey, at: datetime
) -> Decided:
    """Reject a proposal, or take one's own back. Raises NotFound, ProposalOver."""
    with once(idempotency_key, at=at) as claim:
        if claim.answer is None:
            proposal = _lock(proposal_id, at=at)
            _decide(proposal, "rejected", caller=caller, at=at)
            claim.answer = {"id": str(proposal.id), "state": proposal.state}
        return Decided(**claim.answer)


def proposals() -> QuerySet[Proposal]:
    """All proposals with their people; order them by falling id."""
    return Proposal.objects.select_related("proposed_by__user", "decided_by__user", "takeover")


def setting_changes() -> QuerySet[SettingChange]:
    """What proposals have changed, with them and their people; order them by falling id."""
    return SettingChange.objects.select_related(
        "proposal__proposed_by__user", "proposal__decided_by__user"
    )


def expire_old(*, at: datetime) -> int:
    """End the proposals that nobody has decided within 24 hours; return how many."""
    return Proposal.objects.filter(state="proposed", proposed_at__lte=at - LIFE).update(
        state="expired", decided_at=at
    )


def _may_approve(proposal: Proposal, caller: Caller) -> bool:
    return proposal.proposed_by_id != caller.staff_id


def _say_close(subject: str, _amount_fen: int | None) -> dict[str, Any]:
    if windows.window(_window_id(subject)).state != "open":
        raise windows.WindowNotOpen
    return {"subject": subject}


def _close_window(proposal: Proposal, caller: Caller, at: datetime) -> None:
    windows.close(window_id=_window_id(proposal.subject), actor=caller.scope, at=at)


def _open_merchant(proposal: Proposal, caller: Caller, at: datetime) -> None:
    asked = MerchantApplication.objects.select_related("bank").get(proposal=proposal)
    merchants.take_on(asked, credit_code=proposal.subject, caller=caller, at=at)


def _say_settlement(subject: str, _amount_fen: int | None) -> dict[str, Any]:
    states.WINDOW.check(windows.window(_window_id(subject)).state, "approved")
    return {"subject": subject}


def _approve_settlement(proposal: Proposal, caller: Caller, at: datetime) -> None:
    window_id = _window_id(proposal.subject)
    windows.move(windows.lock(window_id), "approved", actor=caller.scope, at=at)
    outbox.publish(payouts.APPROVED, {"window": window_id}, at=at)


def _say_opening(subject: str, amount_fen: int | None) -> dict[str, Any]:
    """The reference itself stays sealed with identity."""
    takeover_id = openings.takeover_of(subject)
    if Proposal.objects.filter(takeover_id=takeover_id, state="approved").exists():
        raise openings.OpeningBooked
    return {"subject": str(takeover_id), "takeover_id": takeover_id, "amount_fen": amount_fen}


def _open_wallet(proposal: Proposal, _caller: Caller, at: datetime) -> None:
    if proposal.takeover is None or proposal.amount_fen is None:
        raise TypeError("an opening names its takeover and its amount")
    openings.book(
        takeover_id=proposal.takeover.id,
        resident_id=proposal.takeover.resident_id,
        amount_fen=proposal.amount_fen,
        at=at,
    )


def _reinstate(subject: str, _detail: dict[str, Any], *, caller: Caller, at: datetime) -> Changed:
    merchants.lift_merchant(merchant_id=uuid.UUID(subject), actor=caller.scope, at=at)
    return Changed(before={"state": "suspended"}, after={"state": "active"})


def _change(proposal: Proposal, caller: Caller, at: datetime) -> None:
    changed = _CHANGE[proposal.action](
        proposal.subject, proposal.detail or {}, caller=caller, at=at
    )
    SettingChange.objects.create(id=ids.uuid7(at), proposal=proposal, at=at, **vars(changed))


# What a proposal that `propose_change` takes does, to its subject and with its detail.
_CHANGE: dict[str, Callable[..., Changed]] = {
    Proposal.Action.REINSTATE_MERCHANT: _reinstate,
    Proposal.Action.SET_REFUND_ALONE: rule_changes.set_refund_alone,
    Proposal.Action.SET_LIMIT: rule_changes.set_limit,
    Proposal.Action.SET_RULE: rule_changes.set_rule,
    Proposal.Action.OPEN_DOOR: shop_doors.open_door,
}
# What is written of a proposal that `propose` takes, if it can be done.
_SAY: dict[str, Callable[[str, int | None], dict[str, Any]]] = {
    Proposal.Action.CLOSE_WINDOW: _say_close,
    Proposal.Action.APPROVE_SETTLEMENT: _say_settlement,
    Proposal.Action.OPEN_WALLET: _say_opening,
}
PROPOSED_BY_SUBJECT = tuple(str(each) for each in _SAY)
# What is done when it is approved.
_DO: dict[str, Callable[[Proposal, Caller, datetime], None]] = {
    Proposal.Action.CLOSE_WINDOW: _close_window,
    Proposal.Action.APPROVE_SETTLEMENT: _approve_settlement,
    Proposal.Action.OPEN_WALLET: _open_wallet,
    Proposal.Action.OPEN_MERCHANT: _open_merchant,
    **dict.fromkeys(_CHANGE, _change),
}


def _write(action: str, *, caller: Caller, at: datetime, **said: Any) -> Proposal:
    proposal = Proposal(
        id=ids.uuid7(at),
        action=action,
        proposed_by_id=required(caller.staff_id),
        proposed_at=at,
        **said,
    )
    try:
        with transaction.atomic():
            proposal.save(force_insert=True)
    except IntegrityError as error:
        raise ProposalWaiting from error
    _audit(proposal, "proposal.proposed", caller=caller, at=at)
    return proposal


def _window_id(subject: str) -> int:
    if not subject.isascii() or not subject.isdigit() or len(subject) > 18:
        raise NotFound
    return int(subject)


def _lock(proposal_id: uuid.UUID, *, at: datetime) -> Proposal:
    proposal = Proposal.objects.select_for_update().filter(id=proposal_id).first()
    if proposal is None:
        raise NotFound
    if proposal.state != "proposed" or proposal.proposed_at <= at - LIFE:
        raise ProposalOver(state=proposal.state)
    return proposal


def _decide(proposal: Proposal, to_state: str, *, caller: Caller, at: datetime) -> None:
    states.PROPOSAL.check(proposal.state, to_state)
    proposal.state = to_state
    proposal.decided_by_id = required(caller.staff_id)
    proposal.decided_at = at
    proposal.save(update_fields=["state", "decided_by", "decided_at"])
    _audit(proposal, f"proposal.{to_state}", caller=caller, at=at)


def _end_old(*, action: str, subject: str, at: datetime) -> None:
    Proposal.objects.filter(
        action=action, subject=subject, state="proposed", proposed_at__lte=at - LIFE
    ).update(state="expired", decided_at=at)


def _audit(proposal: Proposal, action: str, *, caller: Caller, at: datetime) -> None:
    audit.record(
        actor=caller.scope,
        action=action,
        subject=f"proposal:{proposal.id}",
        detail={
            "action": proposal.action,
            "subject": proposal.subject,
            "amount_fen": proposal.amount_fen,
        },
        at=at,
    )
