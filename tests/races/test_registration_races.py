"""Two approvals of one proposal do it once, and a suspension holds for whatever comes after it."""

import os
import time
import uuid
from collections import Counter
from datetime import datetime
from typing import Any

import pytest
from django.db.models import Q

from identity import proposals, registration, staff
from identity.models import Desk, RegistrationProposal, StaffSession
from tests import city
from tests.administration import Office, open_city
from tests.together import together
from vpass.common import clock

pytestmark = pytest.mark.django_db(transaction=True)

ROUNDS = int(os.environ.get("VPASS_ROUNDS", "0"))
AT_ONCE = 6


@pytest.fixture
def office(at: datetime) -> Office:
    return open_city(at=at)


def propose(office: Office, number: int, *, at: datetime) -> uuid.UUID:
    made = proposals.propose(
        caller=office.administrator.caller, action="desk.register", subject=office.city.id,
        detail={"name_zh": f"{number}号", "name_en": "Desk", "scene": "id"},
        idempotency_key=city.idempotency(office.administrator.caller.scope), at=at,
    )  # fmt: skip
    return uuid.UUID(made.id)


def approve_together(office: Office, proposal_id: uuid.UUID, *, at: datetime) -> Counter[str]:
    caller = office.approver.caller

    def one(_: int) -> Any:
        return proposals.approve(
            caller=caller, proposal_id=proposal_id,
            idempotency_key=city.idempotency(caller.scope), at=at,
        )  # fmt: skip

    return Counter(type(each).__name__ for each in together(AT_ONCE, one))


def test_approve__six_at_once__done_once(office: Office, at: datetime):
    tried, broken = ROUNDS or 4, 0

    for number in range(tried):
        before = Desk.objects.count()
        seen = approve_together(office, propose(office, number, at=at), at=at)
        broken += seen != {"Decided": 1, "Over": AT_ONCE - 1}
        broken += Desk.objects.count() != before + 1

    print(f"faults approval-race: {tried} tried, {broken} broken")
    assert broken == 0


def test_approve__looking_without_a_lock__done_more_than_once(
    office: Office, at: datetime, monkeypatch: pytest.MonkeyPatch
):
    def look(proposal_id: uuid.UUID, *, caller: Any, at: datetime) -> RegistrationProposal:
        found = RegistrationProposal.objects.get(id=proposal_id)
        if found.state != "proposed":
            raise proposals.Over(state=found.state)
        time.sleep(0.2)
        return found

    monkeypatch.setattr(proposals, "_lock", look)
    monkeypatch.setattr(proposals.subtree, "lock_tree", lambda: None)
    enrol = proposals._Action(find=proposals._desk, do=registration.enrol_desk_anew)
    monkeypatch.setitem(proposals.ACTIONS, "desk.register", enrol)
    desk = city.make_desk(office.city).desk
    made = proposals.propose(
        caller=office.administrator.caller, action="desk.register", subject=desk.id, detail={},
        idempotency_key=city.idempotency(office.administrator.caller.scope), at=at,
    )  # fmt: skip

    seen = approve_together(office, uuid.UUID(made.id), at=at)

    assert seen["Decided"] > 1


def test_suspend__while_a_desk_asks_all_the_time__nothing_passes_after_it(
    office: Office, at: datetime
):
    hall = city.make_organisation("某大厅", parent=office.city)
    counter = city.sign_in_clerk(city.make_desk(hall), at=at)
    caller, ended = office.administrator.caller, []

    def one(index: int) -> list[tuple[float, int]]:
        if index == 0:
            time.sleep(0.1)
            registration.suspend(
                caller=caller, kind="organisation", row_id=hall.id, reason="x", at=clock.now()
            )
            ended.append(time.monotonic())
            return []
        seen = []
        for _ in range(15):
            begun = time.monotonic()
            answer = counter.send("GET", f"{city.COUNTER}/sessions/current")
            seen.append((begun, answer.status_code))
        return seen

    asked = [each for found in together(4, one) for each in found]

    (moment,) = ended
    after = {status for begun, status in asked if begun > moment}
    assert after <= {401}
    assert {status for _, status in asked} <= {200, 401}
    assert asked[-1][1] == 401
    assert city.problem(counter.send("GET", f"{city.COUNTER}/sessions/current")) == (
        401, "token.unknown",
    )  # fmt: skip


def test_suspend__looking_at_the_own_row_only__desks_below_would_pass(
    office: Office, at: datetime, monkeypatch: pytest.MonkeyPatch
):
    hall = city.make_organisation("某大厅", parent=office.city)
    office_below = city.make_organisation("分部", parent=hall, kind="department")
    counter = city.sign_in_clerk(city.make_desk(office_below), at=at)
    monkeypatch.setattr(staff, "is_open", lambda path: Q(**{f"{path}__state": "active"}))

    office.suspend("organisations", hall.id)

    assert counter.send("GET", f"{city.COUNTER}/sessions/current").status_code == 200
    assert StaffSession.objects.filter(ended_at=None).count() == 3
