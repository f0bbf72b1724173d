"""Level 3 in person: a registrar at a desk, the person's own code or number, a document, a case."""

import uuid
from datetime import datetime, timedelta
from typing import Any

import pytest

from identity import counter_checks, devices, disclosure, register
from identity.api import level_desk
from identity.models import (
    AccessLine,
    Delegation,
    Deletion,
    Device,
    Entitlement,
    InPersonCheck,
    LevelCheck,
    Organisation,
    Resident,
    ReverseScan,
    Staff,
    Suspension,
    Takeover,
)
from tests import city
from tests.together import together
from vpass.common.errors import NotFound
from vpass.common.models import AuditEvent

pytestmark = pytest.mark.django_db(transaction=True)

NUMBERS = f"{city.RESIDENT}/counter-numbers"
RAISES = f"{city.COUNTER}/level-raises"
ENROLMENTS = f"{city.COUNTER}/enrolments"
SEEN = {"document_kind": "id_card", "case_number": "WF-51"}


@pytest.fixture
def registrar(hall: Organisation, counter: city.DeskBrowser) -> city.DeskBrowser:
    """The clerk of the hall's desk with the right to see people for this purpose."""
    Staff.objects.update(roles=["registrar"])
    Entitlement.objects.create(
        organisation=hall,
        scene="id",
        purpose=counter_checks.PURPOSE,
        purpose_zh="当面核验身份",
        purpose_en="Identity check in person",
        attributes=["real_name", "photo"],
        needs_case=True,
    )
    return counter


@pytest.fixture
def stub_register(monkeypatch: pytest.MonkeyPatch) -> city.StubRegister:
    stub = city.StubRegister()
    monkeypatch.setattr(level_desk.http, "population_register", lambda: stub)
    return stub


def scan(desk: city.DeskBrowser, code: str, **changes: Any) -> Any:
    return desk.scan(code, purpose=counter_checks.PURPOSE, **changes).json()


def raise_level(desk: city.DeskBrowser, scan_id: Any, **changes: Any) -> Any:
    return desk.send("POST", RAISES, {"scan": scan_id, **SEEN} | changes, key=city.new_key())


# With the person's own code


def test_raise__after_a_scan_for_this__level_three_and_written_down(
    registrar: city.DeskBrowser, grant: city.HeldGrant, at: datetime
):
    scanned = scan(registrar, grant.code(at))

    answer = raise_level(registrar, scanned["scan"], document_kind="passport")

    assert answer.status_code == 200
    assert answer.json() == {"level": 3, "holder": scanned["holder"]}
    check, line = InPersonCheck.objects.get(), AccessLine.objects.get()
    assert (check.line_id, check.document_kind, check.case_number) == (line.id, "passport", "WF-51")
    assert check.staff_id == registrar.staff.id
    assert (line.purpose, line.case_number, line.fields) == (
        counter_checks.PURPOSE, "WF-1", ["real_name", "photo"],
    )  # fmt: skip
    event = AuditEvent.objects.get(action="level.raise")
    assert event.detail == {"document_kind": "passport", "case_number": "WF-51"}
    again = raise_level(registrar, scanned["scan"])
    assert city.problem(again) == (409, "level.reached")
    # The scan has done its work, also when the person moves to a new phone and is level 2 again.
    Resident.objects.update(level=2)
    assert city.problem(raise_level(registrar, scanned["scan"])) == (409, "level.scan_spent")
    assert Resident.objects.get().level == 2


def test_raise__scan_of_another_purpose_clerk_time_or_person__not_found(
    registrar: city.DeskBrowser, hall: Organisation, phone: city.Phone, at: datetime
):
    other = city.sign_in_clerk(city.make_desk(hall, name="2号窗口"), username="b", at=at)
    Staff.objects.update(roles=["registrar"])
    permit = registrar.scan(phone.grant(at=at).code(at)).json()["scan"]
    theirs = scan(other, phone.grant(at=at).code(at))["scan"]
    refused = scan(registrar, phone.grant(at=at).code(at), fields=["phone"])
    assert refused["code"] == "scan.over_asking"
    refused_line = str(AccessLine.objects.get(outcome="refused").id)
    mine = scan(registrar, phone.grant(at=at).code(at))["scan"]

    for scan_id in (permit, theirs, refused_line, str(uuid.uuid4())):
        assert city.problem(raise_level(registrar, scan_id)) == (404, "object.not_found")
    with pytest.raises(NotFound):
        counter_checks.raise_after_scan(
            caller=registrar.caller,
            scan_id=uuid.UUID(mine),
            seen=counter_checks.Seen(**SEEN),
            idempotency_key=city.idempotency("t"),
            at=at + timedelta(minutes=11),
        )
    bad = raise_level(registrar, mine, document_kind="library_card")
    assert city.problem(bad) == (400, "request.invalid")
    assert Resident.objects.get().level == 2
    assert InPersonCheck.objects.count() == 0


def test_raise__without_the_role_or_of_a_suspended_person__refused(
    registrar: city.DeskBrowser, grant: city.HeldGrant, at: datetime
):
    scanned = scan(registrar, grant.code(at))["scan"]
    Resident.objects.update(state="suspended")
    suspended = raise_level(registrar, scanned)
    Resident.objects.update(state="active")
    Staff.objects.update(roles=["hotline"])

    assert city.problem(suspended) == (403, "account.suspended")
    assert city.problem(raise_level(registrar, scanned)) == (403, "caller.role_missing")
    assert Resident.objects.get().level == 2


@pytest.mark.parametrize("change", ["ended", "frozen", "another"])
def test_raise__phone_changed_since_the_scan__refused(
    registrar: city.DeskBrowser, phone: city.Phone, at: datetime, change: str
):
    scanned = scan(registrar, phone.grant(at=at).code(at))["scan"]
    if change == "another":
        thief = city.Phone()
        devices.bind_device(
            resident=Resident.objects.get(),
            point=city.signing.public_point(thief.key),
            thumbprint=thief.thumbprint,
            at=city.clock.now(),
        )
    else:
        Device.objects.update(state=change)

    answer = raise_level(registrar, scanned)

    assert city.problem(answer) == (409, "level.phone_changed")
    assert Resident.objects.get().level == 2
    assert InPersonCheck.objects.count() == 0


def test_raise__after_a_reverse_scan__by_the_phone_that_signed(
    registrar: city.DeskBrowser, phone: city.Phone, at: datetime
):
    line = AccessLine.objects.create(
        id=uuid.uuid4(), resident=Resident.objects.get(),
        organisation_id=registrar.desk.organisation_id, desk_id=registrar.desk.id,
        staff=registrar.staff, scene="id", purpose=counter_checks.PURPOSE, fields=[],
        outcome="accepted", at=at,
    )  # fmt: skip
    of_nobody = raise_level(registrar, str(line.id))
    ReverseScan.objects.create(
        nonce_hash=b"n" * 32, organisation_id=line.organisation_id, desk_id=line.desk_id,
        staff_id=line.staff_id, scene="id", purpose=line.purpose, fields=[], case_number="WF-51",
        state="collected", shown_at=at, expires_at=at, device=phone.device, word="w", line=line,
    )  # fmt: skip

    answer = raise_level(registrar, str(line.id))

    assert city.problem(of_nobody) == (409, "level.phone_changed")
    assert answer.json()["level"] == 3


# With the number that the phone shows


def number(phone: city.Phone) -> str:
    answer = phone.send("POST", NUMBERS, {}, key=city.new_key())
    assert answer.status_code == 201, answer.content
    assert len(answer.json()["number"]) == 8
    return str(answer.json()["number"])


def told(person: Any, said: str, **changes: Any) -> dict[str, Any]:
    return {
        "phone": person.phone,
        "number": said,
        "real_name": person.real_name,
        "id_number": person.id_number,
        **SEEN,
        **changes,
    }


@pytest.mark.parametrize("level", [1, 2])
def test_enrol_at_counter__phone_register_and_face_agree__level_three(
    registrar: city.DeskBrowser, stub_register: city.StubRegister, at: datetime, level: int
):
    person, phone, key = city.PEOPLE[3], city.make_phone(3, level=level, at=at), city.new_key()
    body = told(person, number(phone))

    answers = [registrar.send("POST", ENROLMENTS, body, key=key) for _ in range(2)]

    assert [each.json()["level"] for each in answers] == [3, 3]
    assert stub_register.asked == 1
    resident = Resident.objects.get()
    assert (resident.level, resident.real_name) == (3, person.real_name)
    assert bytes(resident.census_hash) == city.lookup_hash("census", person.census_id)
    line = AccessLine.objects.get()
    assert (line.purpose, line.case_number, line.fields) == (
        counter_checks.PURPOSE, "WF-51", ["real_name", "id_number"],
    )  # fmt: skip
    assert InPersonCheck.objects.get().line_id == line.id
    assert LevelCheck.objects.get().state == "passed"
    spent = registrar.send("POST", ENROLMENTS, body, key=city.new_key())
    assert city.problem(spent) == (422, "counter_number.wrong")


def test_enrol_at_counter__something_does_not_agree__refused_and_nothing_changed(
    registrar: city.DeskBrowser, stub_register: city.StubRegister, at: datetime
):
    person, other = city.PEOPLE[3], city.PEOPLE[4]
    phone = city.make_phone(3, level=1, at=at)
    # In force, but not to be moved to another phone.
    taken = city.make_phone(4, at=at).device.resident_id
    Resident.objects.filter(id=taken).update(state="suspended")
    said = number(phone)
    wrong = f"{(int(said) + 1) % 10**8:08d}"
    expected = [
        (told(person, said, id_number="370702198001019900"), 422, "identity.form_invalid"),
        (told(person, wrong), 422, "counter_number.wrong"),
        (told(person, said, phone="13700000000"), 422, "counter_number.wrong"),
        (told(person, said, real_name=other.real_name + "海"), 422, "identity.not_matched"),
        # Somebody else's name and number, with an account of their own.
        (
            told(person, said, real_name=other.real_name, id_number=other.id_number),
            409,
            "identity.taken",
        ),
        (told(person, "1234567"), 400, "request.invalid"),
        (told(person, said, document_kind="none"), 400, "request.invalid"),
    ]

    for body, status, code in expected:
        answer = registrar.send("POST", ENROLMENTS, body, key=city.new_key())
        assert city.problem(answer) == (status, code)

    mine = Resident.objects.get(id=phone.device.resident_id)
    assert (mine.level, mine.real_name, mine.id_number_hash) == (1, None, None)
    assert InPersonCheck.objects.count() == 0
    # What the register was asked at the counter stays in the log of whoever's phone it was.
    lines = AccessLine.objects.filter(resident=mine).order_by("id")
    assert [(each.reason, each.fields) for each in lines] == [
        ("identity.not_matched", []), ("identity.taken", []),
    ]  # fmt: skip
    # Three tries found the number's row; the fifth ends it, right or wrong.
    assert LevelCheck.objects.get().tries == 3
    for _ in range(2):
        registrar.send("POST", ENROLMENTS, told(person, wrong), key=city.new_key())
    assert LevelCheck.objects.get().state == "failed"
    late = registrar.send("POST", ENROLMENTS, told(person, said), key=city.new_key())
    assert city.problem(late) == (422, "counter_number.wrong")


def test_enrol_at_counter__phone_that_showed_the_number_frozen__refused(
    registrar: city.DeskBrowser, stub_register: city.StubRegister, at: datetime
):
    body = told(city.PEOPLE[3], number(city.make_phone(3, level=2, at=at)))
    Device.objects.update(state="frozen")

    answer = registrar.send("POST", ENROLMENTS, body, key=city.new_key())

    assert city.problem(answer) == (409, "level.phone_changed")
    assert Resident.objects.get().level == 2


def test_enrol_at_counter__account_of_another_identity__not_matched(
    registrar: city.DeskBrowser, stub_register: city.StubRegister, at: datetime
):
    phone = city.make_phone(3, level=2, at=at)
    body = told(city.PEOPLE[5], number(phone), phone=city.PEOPLE[3].phone)

    answer = registrar.send("POST", ENROLMENTS, body, key=city.new_key())

    assert city.problem(answer) == (422, "identity.not_matched")
    assert Resident.objects.get().real_name == city.PEOPLE[3].real_name
    assert Resident.objects.get().level == 2


# The account that a person has already


def test_enrol_at_counter__person_with_a_new_number__their_account_moves_to_this_phone(
    registrar: city.DeskBrowser, stub_register: city.StubRegister, at: datetime
):
    person, lender = city.PEOPLE[3], city.PEOPLE[4]
    old, new = city.make_phone(3, at=at), city.make_phone(4, level=1, at=at)
    other = city.make_phone(5, at=at)
    begun = new.device.resident_id
    body = told(person, number(new), phone=lender.phone)

    answer = registrar.send("POST", ENROLMENTS, body, key=city.new_key())

    assert answer.status_code == 200, answer.content
    own = Resident.objects.get(id=old.device.resident_id)
    assert (own.level, own.real_name, own.phone) == (3, person.real_name, lender.phone)
    assert bytes(own.phone_hash) == city.lookup_hash("phone", lender.phone)
    assert answer.json() == {
        "level": 3,
        "holder": disclosure.pseudonym(
            resident_id=own.id, organisation_id=registrar.desk.organisation_id
        ),
    }
    states = {each.id: (each.resident_id, each.state) for each in Device.objects.all()}
    assert states == {
        old.device.id: (own.id, "ended"),
        new.device.id: (own.id, "active"),
        other.device.id: (other.device.resident_id, "active"),
    }
    closed = Resident.objects.get(id=begun)
    assert (closed.state, closed.phone, closed.phone_hash) == ("closed", None, None)
    assert new.send("GET", f"{city.RESIDENT}/me").json()["level"] == 3
    assert city.problem(old.send("GET", f"{city.RESIDENT}/me")) == (401, "token.unknown")
    # The old number is free: whoever has it now makes an account of their own.
    again = Resident.objects.create(
        phone=person.phone, phone_hash=city.lookup_hash("phone", person.phone), created_at=at
    )
    assert again.id != own.id
    assert InPersonCheck.objects.get().resident_id == own.id
    assert AccessLine.objects.get().resident_id == own.id
    assert AuditEvent.objects.get(action="account.moved").detail == {"closed": str(begun)}


def test_enrol_at_counter__sent_by_several_at_once__the_account_moves_once(
    registrar: city.DeskBrowser, stub_register: city.StubRegister, at: datetime
):
    old, new = city.make_phone(3, at=at), city.make_phone(4, level=1, at=at)
    body = told(city.PEOPLE[3], number(new), phone=city.PEOPLE[4].phone)

    answers = together(
        4, lambda _: registrar.send("POST", ENROLMENTS, body, key=city.new_key()).status_code
    )

    # The others find the number used, or the account that it was asked for closed.
    assert answers.count(200) == 1 and set(answers) <= {200, 403, 422}
    assert InPersonCheck.objects.count() == AccessLine.objects.count() == 1
    assert Device.objects.get(id=new.device.id).resident_id == old.device.resident_id


def test_enrol_at_counter__child_whom_a_parent_registered__has_the_account_alone(
    registrar: city.DeskBrowser, stub_register: city.StubRegister, at: datetime
):
    person, parent = city.PEOPLE[3], city.make_phone(5, at=at)
    child = Resident.objects.create(
        level=2, is_dependent=True, created_at=at,
        real_name=person.real_name, id_number=person.id_number,
        id_number_hash=city.lookup_hash("id_number", person.id_number),
        census_hash=city.lookup_hash("census", person.census_id),
    )  # fmt: skip
    given = Delegation.objects.create(
        kind="child", principal=child, delegate_id=parent.device.resident_id, scenes=["id"],
        state="active", created_at=at, expires_at=at + timedelta(days=30), word="w", receipt="r",
    )  # fmt: skip
    phone = city.make_phone(3, level=1, at=at)
    body = told(person, number(phone))

    answer = registrar.send("POST", ENROLMENTS, body, key=city.new_key())

    assert answer.status_code == 200, answer.content
    child.refresh_from_db()
    assert (child.level, child.is_dependent, child.phone) == (3, False, person.phone)
    assert Device.objects.get(id=phone.device.id).resident_id == child.id
    assert Delegation.objects.get(id=given.id).state == "revoked"


@pytest.mark.parametrize("what", ["suspended", "deletion", "takeover"])
def test_enrol_at_counter__account_on_the_phone_is_not_empty__nothing_moves(
    registrar: city.DeskBrowser, stub_register: city.StubRegister, at: datetime, what: str
):
    old, new = city.make_phone(3, at=at), city.make_phone(4, level=1, at=at)
    body = told(city.PEOPLE[3], number(new), phone=city.PEOPLE[4].phone)
    begun = Resident.objects.get(id=new.device.resident_id)
    if what == "suspended":
        Suspension.objects.create(
            resident=begun, source="police", scope="pay", reason="x", set_at=at
        )
    elif what == "deletion":
        Deletion.objects.create(
            id=uuid.uuid4(), resident=begun, device=new.device, asked_at=at, due_at=at
        )
    else:
        Takeover.objects.create(
            resident=begun, reference="r", reference_hash=b"r" * 32, imported_at=at, claimed_at=at
        )

    answer = registrar.send("POST", ENROLMENTS, body, key=city.new_key())

    assert city.problem(answer) == (409, "identity.taken")
    own = Resident.objects.get(id=old.device.resident_id)
    assert (own.level, own.phone) == (2, city.PEOPLE[3].phone)
    begun.refresh_from_db()
    assert (begun.state, begun.level) == ("active", 1)
    assert set(Device.objects.values_list("state", flat=True)) == {"active"}
    assert LevelCheck.objects.get().state == "asked"


def test_enrol_at_counter__register_away__said_so_and_the_number_still_good(
    registrar: city.DeskBrowser, stub_register: city.StubRegister, at: datetime,
    monkeypatch: pytest.MonkeyPatch,
):  # fmt: skip
    phone = city.make_phone(3, level=1, at=at)
    body, key = told(city.PEOPLE[3], number(phone)), city.new_key()

    def away(**asked: Any) -> None:
        raise register.RegisterUnavailable(retry_after=10)

    with monkeypatch.context() as patch:
        patch.setattr(stub_register, "match", away)
        answer = registrar.send("POST", ENROLMENTS, body, key=key)

    assert city.problem(answer) == (503, "register.unavailable")
    assert registrar.send("POST", ENROLMENTS, body, key=key).json()["level"] == 3
