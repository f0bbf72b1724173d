"""A wrong record is put right by the register's word, or the resident reads why it stays."""

import uuid
from datetime import datetime

import pytest

from identity.api import corrections as api
from identity.models import (
    AccessLine,
    Correction,
    Organisation,
    RegisterChange,
    Resident,
    StateChange,
)
from tests import city
from tests.administration import Office, open_city
from vpass.common.sealed_fields import lookup_hash

pytestmark = pytest.mark.django_db(transaction=True)

ASKED = f"{city.RESIDENT}/corrections"
DESK = f"{city.COUNTER}/corrections"
PERSON = city.PEOPLE[0]


@pytest.fixture
def office(at: datetime, monkeypatch: pytest.MonkeyPatch) -> Office:
    monkeypatch.setattr(api.http, "population_register", city.StubRegister)
    return open_city(at=at)


@pytest.fixture
def officer(office: Office) -> city.DeskBrowser:
    return office.hire("privacy", ["privacy"])


def ask(phone: city.Phone, field: str = "real_name") -> str:
    answer = phone.send("POST", ASKED, {"field": field, "note": "少一笔"}, key=city.new_key())
    assert answer.status_code == 201, answer.content
    return str(answer.json()["id"])


def test_correction__confirmed_by_the_register__record_right_and_in_the_log(
    office: Office, officer: city.DeskBrowser, phone: city.Phone
):
    resident = Resident.objects.get()
    resident.real_name = "错字"
    resident.save(update_fields=["real_name"])
    asked = ask(phone)
    twice = phone.send("POST", ASKED, {"field": "real_name"}, key=city.new_key())
    listed = officer.send("GET", DESK).json()["items"]
    body = {"real_name": PERSON.real_name, "id_number": PERSON.id_number, "text": "已更正"}

    answer = officer.send("POST", f"{DESK}/{asked}/grant", body, key=city.new_key())

    assert city.problem(twice) == (409, "correction.waiting")
    assert [(each["id"], each["note"], each["state"]) for each in listed] == [
        (asked, "少一笔", "open")
    ]
    assert answer.json() == {"id": asked, "field": "real_name", "state": "granted"}
    assert Resident.objects.get().real_name == PERSON.real_name
    shown = phone.send("GET", ASKED).json()["items"][0]
    assert (shown["state"], shown["answer"]) == ("granted", "已更正")
    line = AccessLine.objects.get()
    assert (line.purpose, line.fields, line.staff_id) == (
        "correction", ["real_name", "id_number"], officer.staff.id,
    )  # fmt: skip
    assert StateChange.objects.get(object_kind="correction").event == "grant"
    again = officer.send("POST", f"{DESK}/{asked}/refusal", {"text": "x"}, key=city.new_key())
    assert city.problem(again) == (409, "correction.over")


@pytest.mark.parametrize("who", ["nobody", "somebody else"])
def test_correction__not_this_person_in_the_register__refused_and_nothing_changed(
    office: Office, officer: city.DeskBrowser, phone: city.Phone, who: str
):
    asked = ask(phone)
    other = city.PEOPLE[1]
    body = {"real_name": other.real_name, "id_number": other.id_number, "text": "x"}
    if who == "nobody":
        body["real_name"] = PERSON.real_name

    answer = officer.send("POST", f"{DESK}/{asked}/grant", body, key=city.new_key())

    assert city.problem(answer) == (422, "correction.not_matched")
    resident = Resident.objects.get()
    assert (resident.real_name, resident.id_number) == (PERSON.real_name, PERSON.id_number)
    assert Correction.objects.get().state == "open"
    # The register was asked about the resident: that stays in the log.
    line = AccessLine.objects.get()
    assert (line.outcome, line.reason, line.fields) == ("refused", "correction.not_matched", [])


def test_correction__of_a_number__found_by_it_again_told_and_not_undone_by_a_late_event(
    office: Office, officer: city.DeskBrowser, phone: city.Phone, at: datetime
):
    wrong = "11010519491231002X"
    row = Resident.objects.get()
    row.real_name, row.id_number = "错字", wrong
    row.id_number_hash = lookup_hash("id_number", wrong)
    row.save()
    asked = ask(phone, "id_number")
    body = {"real_name": PERSON.real_name, "id_number": PERSON.id_number, "text": "已更正"}

    answer = officer.send("POST", f"{DESK}/{asked}/grant", body, key=city.new_key())

    assert answer.status_code == 200, answer.content
    resident = Resident.objects.get()
    assert bytes(resident.id_number_hash) == lookup_hash("id_number", PERSON.id_number)
    register = city.make_terminal(
        city.make_organisation("人口登记管理处", kind="department"),
        scene="register",
        key_id="register-1",
    )
    told = {
        "event_id": str(uuid.uuid4()), "kind": "name_changed", "census_id": PERSON.census_id,
        "sequence": 1, "real_name": "王旧名",
    }  # fmt: skip
    late = register.send("POST", "/api/register/v1/changes", told)
    same = told | {"event_id": str(uuid.uuid4()), "sequence": 2, "real_name": PERSON.real_name}
    assert late.json()["state"] == "review"
    assert register.send("POST", "/api/register/v1/changes", same).json()["state"] == "applied"
    assert Resident.objects.get().real_name == PERSON.real_name


def test_correction__number_of_another_account__named_and_in_the_log(
    office: Office, officer: city.DeskBrowser, phone: city.Phone, at: datetime
):
    mine = Resident.objects.get()
    mine.real_name, mine.id_number, mine.id_number_hash = "错字", None, None
    mine.save()
    other = city.make_phone(1, at=at).caller.resident_id
    Resident.objects.filter(id=other).update(
        id_number_hash=lookup_hash("id_number", PERSON.id_number)
    )
    asked = ask(phone)
    body = {"real_name": PERSON.real_name, "id_number": PERSON.id_number, "text": "x"}
    key = city.new_key()

    answers = [officer.send("POST", f"{DESK}/{asked}/grant", body, key=key) for _ in range(2)]

    assert {city.problem(each) for each in answers} == {(409, "correction.number_taken")}
    assert Resident.objects.get(id=mine.id).real_name == "错字"
    assert AccessLine.objects.get().reason == "correction.number_taken"
    assert Correction.objects.get().state == "open"


def test_correction__register_told_something_meanwhile__to_be_tried_again(
    office: Office, officer: city.DeskBrowser, phone: city.Phone, at: datetime
):
    asked = ask(phone)
    RegisterChange.objects.create(
        id=uuid.uuid4(), organisation=office.city, kind="name_changed", track="name", sequence=1,
        census_hash=lookup_hash("census", PERSON.census_id), digest=b"d" * 32, received_at=at,
        state="applied", resident=Resident.objects.get(),
    )  # fmt: skip
    body = {"real_name": PERSON.real_name, "id_number": PERSON.id_number, "text": "x"}

    answer = officer.send("POST", f"{DESK}/{asked}/grant", body, key=city.new_key())

    assert city.problem(answer) == (409, "identity.changing")


def test_correction__refused_or_withdrawn__resident_reads_it(
    office: Office, officer: city.DeskBrowser, phone: city.Phone
):
    refused, withdrawn = ask(phone), ask(phone, "sex")

    body = {"text": "与登记一致"}
    answer = officer.send("POST", f"{DESK}/{refused}/refusal", body, key=city.new_key())
    back = phone.send("POST", f"{ASKED}/{withdrawn}/withdrawal", {}, key=city.new_key())
    again = phone.send("POST", f"{ASKED}/{withdrawn}/withdrawal", {}, key=city.new_key())

    assert (answer.json()["state"], back.json()["state"]) == ("refused", "withdrawn")
    assert city.problem(again) == (409, "correction.over")
    items = phone.send("GET", ASKED).json()["items"]
    assert [(each["id"], each["state"], each["answer"]) for each in items] == [
        (withdrawn, "withdrawn", None), (refused, "refused", "与登记一致"),
    ]  # fmt: skip
    assert ask(phone)


def test_correction__of_another_or_at_another_office__as_if_there_were_none(
    office: Office, officer: city.DeskBrowser, phone: city.Phone, at: datetime
):
    asked = ask(phone)
    stranger = city.make_phone(1, at=at)
    hall = open_city(at=at, parent=office.city).hire("hall-privacy", ["privacy"])

    answers = [
        stranger.send("POST", f"{ASKED}/{asked}/withdrawal", {}, key=city.new_key()),
        hall.send("POST", f"{DESK}/{asked}/refusal", {"text": "x"}, key=city.new_key()),
        hall.send(
            "POST", f"{DESK}/{asked}/grant",
            {"real_name": "x", "id_number": "1", "text": "x"}, key=city.new_key(),
        ),
    ]  # fmt: skip

    assert {city.problem(each) for each in answers} == {(404, "object.not_found")}
    assert hall.send("GET", DESK).json()["items"] == []
    assert stranger.send("GET", ASKED).json()["items"] == []


def test_correction__where_there_is_no_city__missing(hall: Organisation, phone: city.Phone):
    answer = phone.send("POST", ASKED, {"field": "sex"}, key=city.new_key())

    assert city.problem(answer) == (404, "object.not_found")
    assert city.problem(phone.send("POST", ASKED, {"field": "phone"}, key=city.new_key())) == (
        400, "request.invalid",
    )  # fmt: skip
