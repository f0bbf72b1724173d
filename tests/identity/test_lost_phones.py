"""A lost phone is frozen at once from everywhere; a new phone ends the old one."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from identity import (
    devices,
    enrolment,
    grants,
    hotline,
    lost_phones,
    residents,
    status_format,
    status_list,
)
from identity.models import AccessLine, AccessToken, Device, Enrolment, Grant, Staff, StatusEntry
from tests import city
from vpass.common import signing
from vpass.common.models import AuditEvent

pytestmark = pytest.mark.django_db(transaction=True)


def second_phone(phone: city.Phone, *, at: datetime) -> city.Phone:
    """Another phone of the same person."""
    other = city.Phone()
    other.device = devices.bind_device(
        resident=phone.device.resident,
        point=signing.public_point(other.key),
        thumbprint=other.thumbprint,
        at=at,
    )
    other.token = devices.issue_token(device=other.device, at=at).access_token
    return other


def act(phone: city.Phone, device: Device, word: str) -> Any:
    return phone.send("POST", f"{city.RESIDENT}/devices/{device.id}/{word}")


@pytest.fixture
def other(phone: city.Phone, at: datetime) -> city.Phone:
    return second_phone(phone, at=at)


def told(index: int = 0, **changes: Any) -> dict[str, Any]:
    person = city.PEOPLE[index]
    return {
        "phone": person.phone,
        "real_name": person.real_name,
        "id_number": person.id_number,
        "reason": "lost",
        "case_number": "WF-9",
    } | changes


def as_role(counter: city.DeskBrowser, *roles: str) -> city.DeskBrowser:
    Staff.objects.update(roles=list(roles))
    return counter


# From another phone


def test_devices__two_phones__each_listed_with_which_one_asks(phone: city.Phone, other: city.Phone):
    listed = other.send("GET", f"{city.RESIDENT}/devices").json()["devices"]

    assert {(each["id"], each["state"], each["is_this"]) for each in listed} == {
        (str(phone.device.id), "active", False),
        (str(other.device.id), "active", True),
    }


def test_freeze__from_another_phone__codes_tokens_and_list_at_once(
    phone: city.Phone,
    other: city.Phone,
    grant: city.HeldGrant,
    counter: city.DeskBrowser,
    at: datetime,
):
    answer = act(other, phone.device, "freeze")

    assert (answer.status_code, answer.json()["state"]) == (200, "frozen")
    assert city.problem(counter.scan(grant.code(at))) == (403, "code.revoked")
    assert city.problem(phone.send("GET", f"{city.RESIDENT}/me")) == (401, "token.unknown")
    assert AccessToken.objects.filter(device=phone.device).count() == 0
    row = Grant.objects.get(handle=grant.handle)
    assert row.ended_at is not None
    assert StatusEntry.objects.get().index == row.status_index
    assert StatusEntry.objects.get().value == 1
    with pytest.raises(devices.AssertionRefused):
        devices.renew_token(assertion=phone.assertion(at=at), thumbprint=phone.thumbprint, at=at)
    assert other.send("GET", f"{city.RESIDENT}/me").status_code == 200


def test_thaw__found_again__signs_in_and_asks_for_a_new_grant(
    phone: city.Phone,
    other: city.Phone,
    grant: city.HeldGrant,
    counter: city.DeskBrowser,
    at: datetime,
):
    act(other, phone.device, "freeze")

    answer = act(other, phone.device, "thaw")

    assert answer.json()["state"] == "active"
    assert city.problem(counter.scan(grant.code(at))) == (403, "code.revoked")
    assert counter.scan(phone.grant(at=at).code(at)).status_code == 200


def test_freeze_and_thaw__twice__no_change(phone: city.Phone, other: city.Phone):
    for word, state in [("freeze", "frozen"), ("freeze", "frozen"), ("thaw", "active"),
                        ("thaw", "active")]:  # fmt: skip
        assert act(other, phone.device, word).json()["state"] == state


def test_freeze__own_phone__refused(phone: city.Phone, other: city.Phone):
    assert city.problem(act(other, other.device, "freeze")) == (409, "device.own")
    assert Device.objects.filter(state="active").count() == 2


@pytest.mark.parametrize("word", ["freeze", "thaw"])
def test_freeze__phone_of_another_person__as_if_there_were_none(
    phone: city.Phone, at: datetime, word: str
):
    stranger = city.make_phone(1, at=at)

    assert city.problem(act(stranger, phone.device, word)) == (404, "object.not_found")
    assert Device.objects.filter(state="active").count() == 2


@pytest.mark.parametrize("word", ["freeze", "thaw"])
def test_freeze__ended_phone__refused(phone: city.Phone, other: city.Phone, word: str):
    Device.objects.filter(id=phone.device.id).update(state="ended")

    assert city.problem(act(other, phone.device, word)) == (409, "state.illegal_transition")


def test_issue_grant__frozen_between_look_and_lock__refused(
    phone: city.Phone, at: datetime, monkeypatch: pytest.MonkeyPatch
):
    insert = grants.queries.insert_grant

    def frozen_meanwhile(grant: Grant, **asked: Any) -> bool:
        Device.objects.update(state="frozen")
        return insert(grant, **asked)

    monkeypatch.setattr(grants.queries, "insert_grant", frozen_meanwhile)

    with pytest.raises(residents.DeviceNotActive):
        phone.grant(at=at)
    assert Grant.objects.count() == 0


# A new phone


def start(person: int, *, at: datetime) -> tuple[city.Phone, Enrolment]:
    new = city.Phone()
    started = enrolment.start_enrolment(
        public=new.key.public_key(),
        thumbprint=new.thumbprint,
        phone=city.PEOPLE[person].phone,
        at=at,
    )
    return new, started


def move(new: city.Phone, started: Enrolment, *, person: int = 0, **changes: Any) -> Any:
    body = {
        "one_time_code": started.one_time_code,
        "real_name": city.PEOPLE[person].real_name,
        "id_number": city.PEOPLE[person].id_number,
    }
    return new.send("POST", f"{city.RESIDENT}/enrolments/{started.id}/move", body | changes)


def test_move__proven_again__old_phones_end_with_grants_and_tokens(
    phone: city.Phone,
    other: city.Phone,
    grant: city.HeldGrant,
    counter: city.DeskBrowser,
    at: datetime,
):
    new, started = start(0, at=at)

    answer = move(new, started)

    assert answer.status_code == 200, answer.content
    new.token = answer.json()["access_token"]
    new.device = Device.objects.get(thumbprint=new.thumbprint)
    assert new.device.resident_id == phone.device.resident_id
    assert new.send("GET", f"{city.RESIDENT}/me").json()["level"] == 2
    assert set(Device.objects.exclude(id=new.device.id).values_list("state", flat=True)) == {
        "ended"
    }
    assert city.problem(counter.scan(grant.code(at))) == (403, "code.revoked")
    for old in (phone, other):
        assert city.problem(old.send("GET", f"{city.RESIDENT}/me")) == (401, "token.unknown")
    assert StatusEntry.objects.get().value == 1
    assert counter.scan(new.grant(at=at).code(at)).status_code == 200


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"one_time_code": "000000"}, (422, "enrolment.code_wrong")),
        ({"real_name": "王五"}, (422, "identity.not_matched")),
        ({"id_number": "370702198001019902"}, (422, "identity.not_matched")),
    ],
)
def test_move__not_proven__refused_counted_and_the_old_phone_stays(
    phone: city.Phone, at: datetime, changes: dict[str, str], expected: tuple[int, str]
):
    new, started = start(0, at=at)
    if started.one_time_code == "000000":
        changes = {"one_time_code": "000001"}

    answer = move(new, started, **changes)

    assert city.problem(answer) == expected
    assert Enrolment.objects.get().tries == 1
    assert Device.objects.get().state == "active"
    assert phone.send("GET", f"{city.RESIDENT}/me").status_code == 200


def test_move__five_wrong_proofs__over(phone: city.Phone, at: datetime):
    new, started = start(0, at=at)
    for _ in range(5):
        move(new, started, real_name="王五")

    assert city.problem(move(new, started)) == (410, "enrolment.over")
    assert Device.objects.get().state == "active"


def test_move__number_without_account__said_so(db: None, at: datetime):
    new, started = start(3, at=at)

    assert city.problem(move(new, started, person=3)) == (404, "enrolment.account_missing")


def test_move__key_bound_already__refused_and_nothing_ends(phone: city.Phone, at: datetime):
    started = enrolment.start_enrolment(
        public=phone.key.public_key(),
        thumbprint=phone.thumbprint,
        phone=city.PEOPLE[0].phone,
        at=at,
    )
    token, phone.token = phone.token, None

    assert city.problem(move(phone, started)) == (409, "device.already_bound")
    phone.token = token
    assert phone.send("GET", f"{city.RESIDENT}/me").status_code == 200


# At a counter and by the hotline


def test_hotline__lost__every_phone_frozen_audited_and_told(
    phone: city.Phone, other: city.Phone, counter: city.DeskBrowser, at: datetime
):
    desk = as_role(counter, "hotline")

    answer = desk.send("POST", f"{city.COUNTER}/lost-phones", told())

    assert answer.json() == {"phones": 2}
    assert set(Device.objects.values_list("state", flat=True)) == {"frozen"}
    line = AccessLine.objects.get()
    assert (line.resident_id, line.staff_id) == (phone.device.resident_id, counter.staff.id)
    assert (line.purpose, line.case_number, line.fields) == ("lost-phone.freeze", "WF-9", [])
    audited = AuditEvent.objects.get(action="lost-phone.freeze")
    assert audited.detail == {"reason": "lost", "case_number": "WF-9"}
    assert desk.send("POST", f"{city.COUNTER}/lost-phones", told()).json() == {"phones": 0}


def test_hotline__found__only_a_registrar_gives_back(
    phone: city.Phone, counter: city.DeskBrowser, at: datetime
):
    as_role(counter, "hotline").send("POST", f"{city.COUNTER}/lost-phones", told())

    refused = counter.send("POST", f"{city.COUNTER}/found-phones", told())
    given = as_role(counter, "registrar").send("POST", f"{city.COUNTER}/found-phones", told())

    assert city.problem(refused) == (403, "caller.role_missing")
    assert given.json() == {"phones": 1}
    assert Device.objects.get().state == "active"


@pytest.mark.parametrize(
    "changes", [{"phone": "13700000000"}, {"real_name": "王五"}, {"id_number": "1"}]
)
def test_hotline__person_not_known__missing_and_nothing_written(
    phone: city.Phone, counter: city.DeskBrowser, changes: dict[str, str]
):
    desk = as_role(counter, "hotline")

    answer = desk.send("POST", f"{city.COUNTER}/lost-phones", told(**changes))

    assert city.problem(answer) == (404, "object.not_found")
    assert Device.objects.get().state == "active"
    assert AccessLine.objects.count() == AuditEvent.objects.count() == 0


def test_hotline__more_look_ups_than_the_limit__refused(
    phone: city.Phone, counter: city.DeskBrowser, monkeypatch: pytest.MonkeyPatch
):
    assert hotline.LOOK_UPS.maximum == 60
    monkeypatch.setattr(hotline, "LOOK_UPS", replace(hotline.LOOK_UPS, maximum=3))
    desk = as_role(counter, "hotline")
    for _ in range(3):
        desk.send("POST", f"{city.COUNTER}/lost-phones", told(real_name="王五"))

    answer = desk.send("POST", f"{city.COUNTER}/lost-phones", told())

    assert answer.status_code == 429
    assert Device.objects.get().state == "active"


def test_hotline__resident_of_level_1__not_found_by_a_name_never_proven(
    counter: city.DeskBrowser, at: datetime
):
    city.make_phone(1, level=1, at=at)
    desk = as_role(counter, "hotline")

    answer = desk.send("POST", f"{city.COUNTER}/lost-phones", told(1))

    assert city.problem(answer) == (404, "object.not_found")


def test_freeze__lists_published__the_place_reads_revoked(
    phone: city.Phone, other: city.Phone, grant: city.HeldGrant, at: datetime
):
    lost_phones.freeze_device(
        resident_id=phone.device.resident_id, device_id=phone.device.id, actor="t", at=at
    )

    status_list.sign_due(at=at + timedelta(seconds=1))

    index = Grant.objects.get(handle=grant.handle).status_index
    shard = status_list.find_list(number=index >> 20, at=at)
    assert status_format.decode_list(bytes(shard.token)).status(index) == 1
