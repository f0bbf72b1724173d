"""A register's photo at a counter: where the entitlement names it, for this scan, never kept."""

import base64
import io
from datetime import datetime, timedelta
from typing import Any

import pytest
from PIL import Image

from identity import photos
from identity.api import level_desk
from identity.models import AccessLine, Entitlement, Organisation
from identity.register import RegisterAnswerInvalid
from tests import city
from vpass.common.errors import NotFound
from vpass.sandbox.portraits import portrait

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def stub_register(monkeypatch: pytest.MonkeyPatch) -> city.StubRegister:
    stub = city.StubRegister()
    monkeypatch.setattr(level_desk.http, "population_register", lambda: stub)
    return stub


@pytest.fixture
def entitled(hall: Organisation) -> None:
    Entitlement.objects.update(attributes=["real_name", "photo"])


def look(desk: city.DeskBrowser, scan_id: str) -> Any:
    return desk.send("GET", f"{city.COUNTER}/scans/{scan_id}/photo")


@pytest.mark.usefixtures("entitled")
def test_photo__of_a_scan_that_may_see_it__a_small_jpeg_and_a_field_in_the_log(
    counter: city.DeskBrowser, grant: city.HeldGrant, stub_register: city.StubRegister, at: datetime
):
    scan = counter.scan(grant.code(at)).json()

    answer = look(counter, scan["scan"])

    assert scan["fields"]["photo"] is True
    assert answer["Cache-Control"] == "no-store"
    assert answer.json()["media_type"] == "image/jpeg"
    photo = base64.b64decode(answer.json()["photo"])
    assert photo == portrait(city.PEOPLE[0].census_id)
    assert photo != portrait(city.PEOPLE[1].census_id)
    assert len(photo) < photos.MAX_BYTES
    assert AccessLine.objects.get().fields == ["real_name", "photo"]
    assert [look(counter, scan["scan"]).status_code for _ in range(2)] == [200, 200]
    assert city.problem(look(counter, scan["scan"])) == (429, "limit.reached")


@pytest.mark.usefixtures("entitled")
def test_photo__another_desk_or_later_or_not_asked_for__not_found(
    counter: city.DeskBrowser, hall: Organisation, phone: city.Phone,
    stub_register: city.StubRegister, at: datetime,
):  # fmt: skip
    scan = counter.scan(phone.grant(at=at).code(at)).json()["scan"]
    name_only = counter.scan(phone.grant(at=at).code(at), fields=["real_name"]).json()["scan"]
    other = city.sign_in_clerk(city.make_desk(hall, name="2号窗口"), username="b", at=at)

    assert city.problem(look(other, scan)) == (404, "object.not_found")
    assert city.problem(look(counter, name_only)) == (404, "object.not_found")
    with pytest.raises(NotFound):
        photos.photo_of_scan(
            caller=counter.caller,
            scan_id=AccessLine.objects.latest("id").id,
            register=stub_register,
            at=at + timedelta(minutes=6),
        )
    assert stub_register.asked == 0


def big(width: int, height: int) -> bytes:
    data = io.BytesIO()
    Image.new("RGB", (width, height)).save(data, "JPEG", quality=10)
    return data.getvalue()


def png() -> bytes:
    data = io.BytesIO()
    Image.new("RGB", (20, 20)).save(data, "PNG")
    return data.getvalue()


@pytest.mark.usefixtures("entitled")
def test_photo__what_is_no_small_jpeg__not_believed(
    counter: city.DeskBrowser, grant: city.HeldGrant, stub_register: city.StubRegister,
    at: datetime, monkeypatch: pytest.MonkeyPatch,
):  # fmt: skip
    counter.scan(grant.code(at))
    line = AccessLine.objects.get()
    whole = portrait("1")
    bomb = whole.replace(
        b"\xff\xc0\x00\x11\x08\x00\xdc\x00\xb4", b"\xff\xc0\x00\x11\x08\xff\xff\xff\xff"
    )
    assert bomb != whole
    monkeypatch.setattr(photos.limits, "spend", lambda *_, **__: 1)
    for bytes_ in (b"", b"\xff\xd8\xff", whole[:900], png(), big(700, 10), b"\xff" * 25_000, bomb):
        monkeypatch.setattr(stub_register, "photo", lambda bytes_=bytes_, **_: bytes_)
        with pytest.raises(RegisterAnswerInvalid):
            photos.photo_of_scan(
                caller=counter.caller, scan_id=line.id, register=stub_register, at=at
            )


def test_photo__desk_without_the_right__over_asking_written_down(
    counter: city.DeskBrowser, grant: city.HeldGrant, at: datetime
):
    answer = counter.scan(grant.code(at), fields=["photo"])

    assert city.problem(answer) == (403, "scan.over_asking")
    assert AccessLine.objects.get().asked == ["photo"]


@pytest.mark.usefixtures("entitled")
def test_photo__asked_for_with_consent_or_shared__not_to_be_had(
    counter: city.DeskBrowser, grant: city.HeldGrant, phone: city.Phone, at: datetime
):
    scan = counter.scan(grant.code(at), fields=["real_name"]).json()["scan"]
    asked = counter.send(
        "POST", f"{city.COUNTER}/consent-requests", {"scan": scan, "fields": ["photo"]},
        key=city.new_key(),
    )  # fmt: skip
    Entitlement.objects.update(scene="remote")
    recipients = phone.send("GET", f"{city.RESIDENT}/share-recipients").json()["items"]

    assert city.problem(asked) == (403, "consent.not_askable")
    assert [each["fields"] for each in recipients] == [["real_name"]]
