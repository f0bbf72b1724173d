"""Level 3 in person: a registrar at a desk, the person's own code or number, a document, a case."""

import uuid
from datetime import datetime, timedelta
from typing import Any

import pytest

from identity import counter_checks, devices, register
from identity.api import level_desk
from identity.models import (
    AccessLine,
    Device,
    Entitlement,
    InPersonCheck,
    LevelCheck,
    Organisation,
    Resident,
    ReverseScan,
    Staff,
)
from tests import city
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
    city.make_phone(4, at=at)
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
