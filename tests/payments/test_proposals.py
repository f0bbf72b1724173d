"""What is powerful needs two people: one alone can do none of it."""

import uuid
from datetime import datetime, timedelta

import pytest
from django.db import IntegrityError

from identity.models import Staff
from payments import proposals
from payments.models import Proposal, Window
from payments.proposals import Decided, ProposalOver, ProposalWaiting, SelfApproval
from payments.settlement import netting, windows
from payments.settlement.windows import WindowNotOpen
from tests import city
from tests.banking import make_accountants
from vpass.common import clock
from vpass.common.callers import Caller
from vpass.common.errors import NotFound
from vpass.common.models import AuditEvent
from vpass.common.states import IllegalTransition

pytestmark = pytest.mark.django_db(transaction=True)

CLOSE, APPROVE = "window.close", "settlement.approve"


@pytest.fixture
def at(transactional_db: None) -> datetime:
    return clock.now()


@pytest.fixture
def window_id(at: datetime) -> int:
    return windows.ensure_open(at=at)


@pytest.fixture
def people(at: datetime) -> list[Caller]:
    return [browser.caller for browser in make_accountants(at=at)]


def propose(
    caller: Caller, subject: object, *, action: str = CLOSE, at: datetime, key: str | None = None
) -> Decided:
    return proposals.propose(
        caller=caller,
        action=action,
        subject=str(subject),
        idempotency_key=city.idempotency(caller.scope, key),
        at=at,
    )


def approve(caller: Caller, proposed: Decided, *, at: datetime, key: str | None = None) -> Decided:
    return proposals.approve(
        caller=caller,
        proposal_id=uuid.UUID(proposed.id),
        idempotency_key=city.idempotency(caller.scope, key),
        at=at,
    )


def state(window_id: int) -> str:
    return Window.objects.get(id=window_id).state


def test_approve__by_another_person__done_and_on_record(
    people: list[Caller], window_id: int, at: datetime
):
    proposed = propose(people[0], window_id, at=at)
    assert state(window_id) == "open"

    decided = approve(people[1], proposed, at=at)

    assert decided == Decided(id=proposed.id, state="approved")
    assert state(window_id) == "closing"
    found = Proposal.objects.get()
    assert (found.proposed_by_id, found.decided_by_id) == (people[0].staff_id, people[1].staff_id)
    actions = AuditEvent.objects.order_by("id").values_list("action", "actor")
    assert list(actions) == [
        ("proposal.proposed", people[0].scope),
        ("proposal.approved", people[1].scope),
    ]


def test_approve__by_the_proposer__refused_and_nothing_done(
    people: list[Caller], window_id: int, at: datetime
):
    proposed = propose(people[0], window_id, at=at)

    with pytest.raises(SelfApproval) as refused:
        approve(people[0], proposed, at=at)

    assert (refused.value.code, refused.value.status) == ("proposal.self_approval", 403)
    assert state(window_id) == "open"
    assert Proposal.objects.get().state == "proposed"


def test_approve__by_the_proposer_behind_our_back__refused_by_the_database(
    people: list[Caller], window_id: int, at: datetime
):
    propose(people[0], window_id, at=at)

    with pytest.raises(IntegrityError, match="proposal_four_eyes"):
        Proposal.objects.update(state="approved", decided_by=people[0].staff_id)


def test_approve__same_key_again__same_answer_done_once(
    people: list[Caller], window_id: int, at: datetime
):
    proposed = propose(people[0], window_id, at=at)
    first = approve(people[1], proposed, at=at, key="approve-1")

    again = approve(people[1], proposed, at=at, key="approve-1")

    assert again == first
    assert Window.objects.count() == 2


def test_approve__decided_before__refused(people: list[Caller], window_id: int, at: datetime):
    proposed = propose(people[0], window_id, at=at)
    approve(people[1], proposed, at=at)

    with pytest.raises(ProposalOver):
        approve(people[1], proposed, at=at)
    assert Window.objects.count() == 2


def test_approve__a_day_later__out_of_date(people: list[Caller], window_id: int, at: datetime):
    proposed = propose(people[0], window_id, at=at)

    with pytest.raises(ProposalOver):
        approve(people[1], proposed, at=at + timedelta(hours=24))
    assert proposals.expire_old(at=at + timedelta(hours=24)) == 1
    assert Proposal.objects.get().state == "expired"
    assert propose(people[0], window_id, at=at + timedelta(hours=24)).state == "proposed"


@pytest.mark.parametrize("change", [{"state": "suspended"}, {"roles": ["operator"]}])
def test_approve__the_proposer_is_an_accountant_no_more__over_and_nothing_done(
    people: list[Caller], window_id: int, at: datetime, change: dict[str, object]
):
    proposed = propose(people[0], window_id, at=at)
    Staff.objects.filter(id=people[0].staff_id).update(**change)

    with pytest.raises(ProposalOver):
        approve(people[1], proposed, at=at)

    assert Window.objects.get().state == "open"
    assert Proposal.objects.get().decided_at is None


def test_approve__window_closed_meanwhile__refused_and_stays_proposed(
    people: list[Caller], window_id: int, at: datetime
):
    proposed = propose(people[0], window_id, at=at)
    windows.close(window_id=window_id, actor="settlement", at=at)

    with pytest.raises(WindowNotOpen):
        approve(people[1], proposed, at=at)

    assert Proposal.objects.get().state == "proposed"
    assert Window.objects.filter(state="open").count() == 1


def test_propose__twice__one_waits(people: list[Caller], window_id: int, at: datetime):
    propose(people[0], window_id, at=at)

    with pytest.raises(ProposalWaiting):
        propose(people[1], window_id, at=at)
    assert Proposal.objects.count() == 1


@pytest.mark.parametrize("subject", ["404", "x", "-1", "１", "9" * 19])
def test_propose__no_such_window__refused(people: list[Caller], subject: str, at: datetime):
    with pytest.raises(NotFound):
        propose(people[0], subject, at=at)


def test_propose__window_not_at_that_point__refused(
    people: list[Caller], window_id: int, at: datetime
):
    with pytest.raises(IllegalTransition):
        propose(people[0], window_id, action=APPROVE, at=at)
    windows.close(window_id=window_id, actor="settlement", at=at)
    with pytest.raises(WindowNotOpen):
        propose(people[0], window_id, at=at)
    assert Proposal.objects.count() == 0


def test_approve__settlement__window_is_approved(
    people: list[Caller], window_id: int, at: datetime
):
    windows.close(window_id=window_id, actor="settlement", at=at)
    netting.net_next(at=at)

    approve(people[1], propose(people[0], window_id, action=APPROVE, at=at), at=at)

    assert state(window_id) == "approved"


def test_reject__by_either__nothing_done(people: list[Caller], window_id: int, at: datetime):
    for rejecter in people:
        proposed = propose(people[0], window_id, at=at)
        decided = proposals.reject(
            caller=rejecter,
            proposal_id=uuid.UUID(proposed.id),
            idempotency_key=city.idempotency(rejecter.scope),
            at=at,
        )
        assert decided.state == "rejected"
        with pytest.raises(ProposalOver):
            approve(people[1], proposed, at=at)

    assert state(window_id) == "open"
