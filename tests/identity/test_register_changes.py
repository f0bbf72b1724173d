"""What the register tells by itself: once, in any order, and never two accounts for one number."""

import json
import uuid
from datetime import datetime
from typing import Any

import pytest

from identity import delegation, suspensions
from identity.models import (
    AccessLine,
    Delegation,
    Device,
    Enrolment,
    Grant,
    Organisation,
    RegisterChange,
    Resident,
    Staff,
    StateChange,
    Suspension,
)
from tests import city
from vpass.common.models import OutboxDelivery

pytestmark = pytest.mark.django_db(transaction=True)

CHANGES = "/api/register/v1/changes"
REVIEWS = f"{city.COUNTER}/register-reviews"
PERSON, OTHER = city.PEOPLE[0], city.PEOPLE[1]


@pytest.fixture
def register(db: None) -> city.Machine:
    """The register's own system, of the office that keeps it."""
    office = city.make_organisation("人口登记管理处", kind="department")
    return city.make_terminal(office, scene="register", key_id="register-1")


def event(kind: str, sequence: int, person: Any = PERSON, **members: Any) -> dict[str, Any]:
    return {
        "event_id": str(uuid.uuid4()),
        "kind": kind,
        "census_id": person.census_id,
        "sequence": sequence,
        **members,
    }


def tell(register: city.Machine, told: Any) -> Any:
    return register.send("POST", CHANGES, told)


def number_of(person: Any, *, born: str = "19800101") -> str:
    """Another number of the right form."""
    first_17 = f"{person.id_number[:6]}{born}998"
    return first_17 + city.population.check_character(first_17)


def test_change__new_name_twice__changed_once_and_in_the_log(
    register: city.Machine, phone: city.Phone
):
    told = event("name_changed", 7, real_name="王新名")

    answers = [tell(register, told) for _ in range(3)]

    assert [each.json() for each in answers] == [
        {"event_id": told["event_id"], "state": "applied"}
    ] * 3
    resident, row, line = Resident.objects.get(), RegisterChange.objects.get(), None
    line = AccessLine.objects.get()
    assert (resident.real_name, resident.id_number) == ("王新名", PERSON.id_number)
    assert (row.state, row.body, row.resident_id) == ("applied", None, resident.id)
    assert (line.scene, line.purpose, line.fields, line.terminal_id) == (
        "register", "name-changed", ["real_name"], register.terminal.id,
    )  # fmt: skip
    # Keyed: who has the table alone cannot try names and numbers out against it.
    body = json.dumps(told | {"id_number": None}, sort_keys=True, ensure_ascii=False)
    assert bytes(row.digest) == city.lookup_hash("register-change", body)
    payloads = OutboxDelivery.objects.values_list("payload", flat=True)
    assert "王新名" not in str(list(payloads))
    other = tell(register, told | {"real_name": "王别名"})
    assert city.problem(other) == (409, "register_change.id_reused")


def test_change__out_of_order__the_latest_stands_and_tracks_do_not_mix(
    register: city.Machine, phone: city.Phone
):
    corrected = number_of(PERSON)
    told = [
        event("name_changed", 9, real_name="王第九"),
        event("number_corrected", 3, id_number=corrected),
        event("name_changed", 5, real_name="王第五"),
        event("name_changed", 9, real_name="王又九"),
        event("name_changed", 10, real_name="王第十"),
    ]

    states = [tell(register, each).json()["state"] for each in told]

    assert states == ["applied", "applied", "superseded", "superseded", "applied"]
    resident = Resident.objects.get()
    assert (resident.real_name, resident.id_number) == ("王第十", corrected)
    assert bytes(resident.id_number_hash) == city.lookup_hash("id_number", corrected)
    # The account is the same person's: by the id that the register never changes.
    assert bytes(resident.census_hash) == city.lookup_hash("census", PERSON.census_id)
    assert resident.id == phone.device.resident_id


def test_change__malformed_or_of_another_kind__refused_and_nothing_kept(
    register: city.Machine, phone: city.Phone
):
    name = {"real_name": "王新名"}
    invalid = [
        event("name_changed", 1),
        event("name_changed", 1, **name, id_number=number_of(PERSON)),
        event("number_corrected", 1, id_number="370702198001019900"),
        event("number_corrected", 1, **name),
        event("died", 1, **name),
        event("name_changed", 1, real_name="王<b>"),
        event("name_changed", 1, **name) | {"census_id": "3707-1"},
    ]
    bad = [
        event("renamed", 1, **name),
        event("name_changed", 0, **name),
        event("name_changed", 2**53, **name),
        event("name_changed", 1, **name) | {"event_id": "1"},
        event("name_changed", 1, **name) | {"extra": 1},
        event("name_changed", 1, real_name=["王"]),
        {},
    ]

    for told in invalid:
        assert city.problem(tell(register, told)) == (422, "register_change.invalid"), told
    for told in bad:
        assert city.problem(tell(register, told)) == (400, "request.invalid"), told
    assert RegisterChange.objects.count() == AccessLine.objects.count() == 0
    assert Resident.objects.get().real_name == PERSON.real_name


def test_change__by_another_machine_or_of_a_stranger__refused_or_unknown(
    register: city.Machine, kiosk: city.Machine, phone: city.Phone
):
    told = event("died", 1)
    shop = city.make_organisation("商店", kind="merchant")
    pretender = city.make_terminal(shop, scene="register", key_id="pretender-1")

    for machine in (kiosk, pretender):
        assert city.problem(tell(machine, told)) == (403, "caller.wrong_audience")
    stranger = tell(register, event("died", 1, person=OTHER))

    assert stranger.json()["state"] == "unknown"
    assert RegisterChange.objects.get().resident is None
    assert Resident.objects.get().state == "active"


# Death


def delegate(principal: city.Phone, to: city.Phone, *, at: datetime) -> Delegation:
    return Delegation.objects.create(
        kind="care",
        principal_id=principal.device.resident_id,
        delegate_id=to.device.resident_id,
        scenes=["id"],
        state="active",
        created_at=at,
        expires_at=at.replace(year=at.year + 1),
        word="w",
        acceptance="a",
        receipt="r",
    )


def test_death__everything_ends_at_once__and_a_withdrawn_one_gives_the_account_back(
    register: city.Machine, phone: city.Phone, counter: city.DeskBrowser, at: datetime
):
    carer = city.make_phone(1, at=at)
    given, held = delegate(phone, carer, at=at), delegate(carer, phone, at=at)
    grant = phone.grant(at=at)
    theirs = carer.grant(at=at, on_behalf_of=str(given.id))

    assert tell(register, event("died", 4)).json()["state"] == "applied"

    me = phone.send("GET", f"{city.RESIDENT}/me")
    assert city.problem(me) == (401, "token.unknown")
    assert city.problem(counter.scan(grant.code(at))) == (403, "code.revoked")
    assert city.problem(counter.scan(theirs.code(at))) == (403, "code.revoked")
    resident = Resident.objects.get(id=phone.device.resident_id)
    assert resident.state == "suspended"
    assert Device.objects.get(id=phone.device.id).state == "frozen"
    assert Grant.objects.filter(ended_at=None).count() == 0
    states = Delegation.objects.filter(id__in=[given.id, held.id]).values_list("state", flat=True)
    assert set(states) == {"revoked"}
    suspension = Suspension.objects.get()
    assert (suspension.source, suspension.scope, suspension.reason) == ("register", "all", "died")
    line = AccessLine.objects.get(resident=resident, purpose="died")
    assert line.fields == []
    # Nobody at a counter lifts what the register says; the register does.
    carers = Resident.objects.get(id=carer.device.resident_id)
    assert carers.state == "active"
    late = tell(register, event("death_withdrawn", 3)).json()["state"]
    back = tell(register, event("death_withdrawn", 5)).json()["state"]
    assert (late, back) == ("superseded", "applied")
    assert Resident.objects.get(id=resident.id).state == "active"
    assert Device.objects.get(id=phone.device.id).state == "frozen"
    assert delegation.expire_old(at=at) == 0


def test_death__a_new_phone_with_the_number_and_the_name__cannot_take_the_account(
    register: city.Machine, phone: city.Phone
):
    tell(register, event("died", 1))
    heir = city.Phone()
    heir.send("POST", f"{city.RESIDENT}/enrolments", {"phone": PERSON.phone})
    row = Enrolment.objects.get()
    body = {
        "one_time_code": row.one_time_code,
        "real_name": PERSON.real_name,
        "id_number": PERSON.id_number,
    }

    answer = heir.send("POST", f"{city.RESIDENT}/enrolments/{row.id}/move", body)

    assert city.problem(answer) == (403, "account.suspended")
    assert Device.objects.get().id == phone.device.id
    assert Enrolment.objects.get().tries == 1


def test_death__while_the_police_suspend_too__each_lifts_its_own(
    register: city.Machine, phone: city.Phone, at: datetime
):
    tell(register, event("died", 1))

    suspensions.suspend(
        resident_id=phone.device.resident_id, source="police", scope="all", reason="t",
        actor="t", at=at,
    )  # fmt: skip

    tell(register, event("death_withdrawn", 2))

    assert Resident.objects.get().state == "suspended"
    assert Suspension.objects.get(state="in_force").source == "police"


# Two accounts, one number


def test_number__of_another_account__waits_for_people_and_changes_nothing(
    register: city.Machine, phone: city.Phone, counter: city.DeskBrowser, at: datetime
):
    other = city.make_phone(1, at=at)
    told = event("number_corrected", 2, id_number=OTHER.id_number)

    answers = [tell(register, told).json()["state"] for _ in range(2)]

    assert answers == ["review", "review"]
    mine = Resident.objects.get(id=phone.device.resident_id)
    assert (mine.id_number, mine.state) == (PERSON.id_number, "active")
    assert AccessLine.objects.count() == 0
    row = RegisterChange.objects.get()
    assert row.body is not None
    role = counter.send("GET", REVIEWS)
    assert city.problem(role) == (403, "caller.role_missing")
    Staff.objects.update(roles=["register-review"])
    (shown,) = counter.send("GET", REVIEWS).json()["items"]
    assert (shown["id"], shown["kind"]) == (told["event_id"], "number_corrected")

    def decide(decision: str) -> Any:
        body = {"decision": decision, "reason": "checked"}
        path = f"{REVIEWS}/{told['event_id']}/decision"
        return counter.send("POST", path, body, key=city.new_key())

    assert city.problem(decide("apply")) == (409, "register_change.number_of_two")
    assert RegisterChange.objects.get().state == "review"
    Resident.objects.filter(id=other.device.resident_id).update(state="closed")
    assert decide("apply").json() == {"id": told["event_id"], "state": "applied"}
    mine.refresh_from_db()
    assert mine.id_number == OTHER.id_number
    assert RegisterChange.objects.get().body is None
    assert city.problem(decide("dismiss")) == (409, "register_change.decided")
    assert tell(register, told).json()["state"] == "applied"
    assert counter.send("GET", REVIEWS).json()["items"] == []
    events = StateChange.objects.filter(object_kind="register_change").order_by("id")
    assert list(events.values_list("event", flat=True)) == ["hold_back", "apply"]


def test_review__dismissed__forgotten_and_unchanged(
    register: city.Machine, phone: city.Phone, counter: city.DeskBrowser, hall: Organisation,
    at: datetime,
):  # fmt: skip
    city.make_phone(1, at=at)
    told = event("number_corrected", 2, id_number=OTHER.id_number)
    tell(register, told)
    Staff.objects.update(roles=["register-review"])
    path = f"{REVIEWS}/{told['event_id']}/decision"
    body = {"decision": "dismiss", "reason": "mistaken"}

    first, again = (counter.send("POST", path, body, key="dismissal-1") for _ in range(2))

    assert first.json() == again.json() == {"id": told["event_id"], "state": "dismissed"}
    assert Resident.objects.get(id=phone.device.resident_id).id_number == PERSON.id_number
    assert RegisterChange.objects.get().body is None
    missing = counter.send("POST", f"{REVIEWS}/{uuid.uuid4()}/decision", body, key=city.new_key())
    assert city.problem(missing) == (404, "object.not_found")
