"""A case share: one department, one matter, chosen fields, one opening, and an end."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import IntegrityError, connection

from identity import case_shares, receipts
from identity.models import AccessLine, CaseShare, Entitlement, Organisation, Resident
from tests import city

pytestmark = pytest.mark.django_db(transaction=True)

SHARES = f"{city.RESIDENT}/case-shares"
OPENINGS = "/api/department/v1/case-share-openings"
FIELDS = ["id_number", "real_name"]


@pytest.fixture
def bureau(hall: Organisation) -> city.Machine:
    """The system of a department which may hold names, ID numbers and birth dates for pensions."""
    organisation = Organisation.objects.create(
        kind="department", name_zh="潍坊市社会保险事业中心", name_en="Social Insurance Centre"
    )
    _matter(organisation)
    return city.make_department(organisation)


@pytest.fixture
def other(hall: Organisation) -> city.Machine:
    """Another department with the same right."""
    organisation = Organisation.objects.create(
        kind="department", name_zh="潍坊市医疗保障局", name_en="Healthcare Security Bureau"
    )
    _matter(organisation)
    return city.make_department(organisation, key_id="department-2")


def _matter(organisation: Organisation) -> None:
    Entitlement.objects.create(
        organisation=organisation, scene="remote", purpose="pension", purpose_zh="养老金资格认证",
        purpose_en="Pension", attributes=["real_name", "id_number"], may_ask=["birth_date"],
    )  # fmt: skip


def share(
    phone: city.Phone, bureau: city.Machine, *, at: datetime, key: str | None = None, **changes: Any
) -> Any:
    claims = {
        "organisation": str(bureau.terminal.organisation_id),
        "purpose": "pension",
        "matter": "2026 年度资格认证",
        "fields": FIELDS,
        "expires_at": int((at + timedelta(hours=1)).timestamp()),
    } | changes
    signed = phone.word("/case-shares", typ=case_shares.TYPE, at=at, **claims)
    return phone.send("POST", SHARES, {"share": signed}, key=key or city.new_key())


def opening(bureau: city.Machine, handle: str, *, key: str | None = None, **changes: Any) -> Any:
    body = {"handle": handle, "official": "0815", "case_number": "YL-1"} | changes
    return bureau.send("POST", OPENINGS, body, key=key or city.new_key())


def conclude(bureau: city.Machine, share_id: str, decision: str = "granted") -> Any:
    path = f"/api/department/v1/case-shares/{share_id}/decision"
    return bureau.send("POST", path, {"decision": decision, "note": "已办结"}, key=city.new_key())


def log(phone: city.Phone) -> list[Any]:
    items: list[Any] = phone.send("GET", f"{city.RESIDENT}/access-log").json()["items"]
    return items


def test_share__made_opened_concluded__both_sides_read_the_same(
    phone: city.Phone, bureau: city.Machine, at: datetime
):
    made = share(phone, bureau, at=at).json()
    assert made["handle"].startswith("VPS1.") and len(made["handle"]) == 48

    opened = opening(bureau, made["handle"]).json()
    concluded = conclude(bureau, made["id"])

    person = city.PEOPLE[0]
    assert opened["fields"] == {"id_number": person.id_number, "real_name": person.real_name}
    assert (opened["matter"], opened["id"]) == ("2026 年度资格认证", made["id"])
    receipt = receipts.read_receipt(opened["receipt"], at=at)
    assert (receipt["about"], receipt["case_share"]) == ("case-share", made["id"])
    assert opened["receipt"] == made["receipt"]
    assert concluded.json() == {"id": made["id"], "state": "concluded"}
    (shown,) = phone.send("GET", SHARES).json()["items"]
    assert (shown["state"], shown["case_number"]) == ("concluded", "YL-1")
    assert (shown["result"]["decision"], shown["result"]["note"]) == ("granted", "已办结")
    (line,) = log(phone)
    assert (line["organisation"]["en"], line["fields"]) == ("Social Insurance Centre", FIELDS)
    assert (line["scene"], line["case_number"]) == ("remote", "YL-1")
    assert city.problem(conclude(bureau, made["id"])) == (409, "share.not_open")


def test_open__same_key_again__same_answer__another_opening__spent(
    phone: city.Phone, bureau: city.Machine, at: datetime
):
    handle, key = share(phone, bureau, at=at).json()["handle"], city.new_key()

    first, again = opening(bureau, handle, key=key), opening(bureau, handle, key=key)

    assert first.status_code == again.status_code == 200
    assert first.json() == again.json()
    assert city.problem(opening(bureau, handle)) == (409, "share.spent")
    assert len(log(phone)) == 1


def test_open__forwarded_to_another_department__worthless_and_the_resident_reads_of_the_try(
    phone: city.Phone, bureau: city.Machine, other: city.Machine, at: datetime
):
    handle = share(phone, bureau, at=at).json()["handle"]

    foreign, missing = opening(other, handle), opening(other, "VPS1.nonsense")

    assert city.problem(foreign) == city.problem(missing) == (404, "object.not_found")
    (line,) = log(phone)
    assert (line["outcome"], line["reason"]) == ("refused", "share.wrong_department")
    assert (line["fields"], line["asked"]) == ([], FIELDS)
    assert opening(bureau, handle).status_code == 200
    assert city.problem(conclude(other, str(CaseShare.objects.get().id))) == (
        404, "object.not_found",
    )  # fmt: skip


def test_open__by_a_terminal_or_a_clerk__wrong_audience(
    phone: city.Phone, bureau: city.Machine, at: datetime
):
    handle = share(phone, bureau, at=at).json()["handle"]
    kiosk = city.make_terminal(bureau.terminal.organisation, key_id="kiosk-9")

    assert city.problem(opening(kiosk, handle)) == (403, "caller.wrong_audience")
    assert CaseShare.objects.get().state == "offered"


def test_department__its_terminals_stay_terminals__and_its_system_scans_no_codes(
    bureau: city.Machine, at: datetime
):
    kiosk = city.make_terminal(bureau.terminal.organisation, key_id="kiosk-9")

    assert city.problem(bureau.scan("VP1:X")) == (403, "caller.wrong_audience")
    assert city.problem(kiosk.scan("VP1:X")) == (422, "code.unreadable")


def test_open__withdrawn_expired_or_suspended__spent(
    phone: city.Phone, bureau: city.Machine, at: datetime
):
    made = [share(phone, bureau, at=at).json() for _ in range(3)]
    path = f"{SHARES}/{made[0]['id']}/withdrawal"
    assert phone.send("POST", path, {}, key=city.new_key()).json()["state"] == "withdrawn"
    with pytest.raises(case_shares.ShareSpent):
        case_shares.open_share(
            caller=bureau.caller, handle=made[1]["handle"], official="1", case_number="2",
            idempotency_key=city.idempotency(bureau.caller.scope), at=at + timedelta(hours=1),
        )  # fmt: skip
    assert city.problem(opening(bureau, made[0]["handle"])) == (409, "share.spent")
    Resident.objects.update(state="suspended")
    assert city.problem(opening(bureau, made[2]["handle"])) == (409, "share.spent")

    assert set(CaseShare.objects.values_list("state", flat=True)) == {"offered", "withdrawn"}
    assert case_shares.expire_old(at=at + timedelta(hours=2)) == 2
    assert AccessLine.objects.count() == 0


@pytest.mark.parametrize(
    "changes",
    [
        {"fields": ["phone"]},
        {"fields": []},
        {"fields": "real_name"},
        {"fields": [7]},
        {"purpose": "registration"},
        {"organisation": "00000000-0000-0000-0000-000000000000"},
        {"organisation": "nonsense"},
        {"matter": ""},
        {"matter": "x" * 201},
        {"matter": "a\nb"},
        {"matter": 7},
        {"expires_at": 1},
        {"expires_at": "tomorrow"},
        {"expires_at": 2**39},
        {"expires_at": True},
    ],
)
def test_share__beyond_what_may_be__refused_and_nothing_made(
    phone: city.Phone, bureau: city.Machine, at: datetime, changes: dict[str, Any]
):
    assert city.problem(share(phone, bureau, at=at, **changes)) == (422, "share.invalid")
    assert CaseShare.objects.count() == 0


def test_share__longer_than_24_hours__refused_by_us_and_by_the_database(
    phone: city.Phone, bureau: city.Machine, at: datetime
):
    seconds = int((at + timedelta(hours=24, seconds=2)).timestamp())
    assert city.problem(share(phone, bureau, at=at, expires_at=seconds)) == (422, "share.invalid")

    share(phone, bureau, at=at)
    with pytest.raises(IntegrityError, match="case_share_short_lived"):
        CaseShare.objects.update(expires_at=at + timedelta(hours=25))


def test_share__signed_by_another_key__refused(
    phone: city.Phone, bureau: city.Machine, at: datetime
):
    stranger = city.make_phone(1, at=at)

    assert city.problem(share(phone, bureau, at=at, by=stranger.key)) == (422, "word.invalid")
    made = share(phone, bureau, at=at).json()
    path = f"{SHARES}/{made['id']}/withdrawal"
    assert city.problem(stranger.send("POST", path, {}, key=city.new_key())) == (
        404, "object.not_found",
    )  # fmt: skip
    assert stranger.send("GET", SHARES).json()["items"] == []


def test_share__handle_and_matter__nowhere_in_clear(
    phone: city.Phone, bureau: city.Machine, at: datetime
):
    handle = share(phone, bureau, at=at).json()["handle"]

    with connection.cursor() as cursor:
        cursor.execute("SELECT t::text FROM identity_caseshare t")
        (row,) = cursor.fetchone()
    assert handle not in row and handle.removeprefix("VPS1.") not in row
    assert "资格认证" not in row and "资格认证".encode().hex() not in row


def test_recipients__departments_with_their_matters(phone: city.Phone, bureau: city.Machine):
    (shown,) = phone.send("GET", f"{city.RESIDENT}/share-recipients").json()["items"]

    assert shown["organisation"]["en"] == "Social Insurance Centre"
    assert shown["fields"] == ["real_name", "id_number", "birth_date"]
