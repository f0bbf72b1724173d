"""Residents read who looked at what; nobody can change what was written."""

import uuid
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.db.utils import ProgrammingError

from identity import access_log, codes
from identity.models import AccessLine, Redemption
from tests import city
from tests.statements import statements
from vpass.common.errors import NotFound

pytestmark = pytest.mark.django_db(transaction=True)

LOG = f"{city.RESIDENT}/access-log"


@pytest.fixture
def lines(
    counter: city.DeskBrowser, kiosk: city.Machine, grant: city.HeldGrant, at: datetime
) -> list[AccessLine]:
    """Three uses: accepted at the desk, refused there, accepted at the kiosk."""
    for number, (caller, purpose) in enumerate(
        [
            (counter.caller, city.PURPOSE),
            (counter.caller, "curiosity"),
            (kiosk.caller, city.PURPOSE),
        ]
    ):
        moment = at + timedelta(seconds=number)
        try:
            codes.redeem_code(
                caller=caller, code=grant.code(moment), purpose=purpose, case_number=f"WF-{number}",
                idempotency_key=city.idempotency(caller.scope), at=moment,
            )  # fmt: skip
        except codes.NotEntitled:
            continue
    return list(AccessLine.objects.order_by("id"))


def test_lines__ids_rise_with_time(lines: list[AccessLine]):
    assert [line.case_number for line in lines] == ["WF-0", "WF-1", "WF-2"]


def test_access_log__newest_first_with_words_in_both_languages(
    lines: list[AccessLine], phone: city.Phone
):
    shown = phone.send("GET", LOG).json()

    assert shown["next"] is None
    assert [each["case_number"] for each in shown["items"]] == ["WF-2", "WF-1", "WF-0"]
    kiosk, refused, desk = shown["items"]
    assert desk["organisation"] == {"zh": "潍坊市政务服务中心", "en": "Weifang Hall"}
    assert (desk["place"]["zh"], kiosk["place"]["zh"]) == ("1号窗口", "自助机")
    assert desk["purpose"] == {
        "code": city.PURPOSE, "zh": "办理居住证", "en": "Residence permit",
    }  # fmt: skip
    assert (desk["fields"], desk["outcome"], desk["reason"]) == (city.FIELDS, "accepted", None)
    assert (refused["fields"], refused["outcome"], refused["reason"]) == (
        [], "refused", "scan.not_entitled",
    )  # fmt: skip
    assert refused["purpose"]["zh"] == "curiosity"
    assert phone.send("GET", f"{LOG}/{lines[0].id}").json() == desk


def test_access_log__names_of_fields_but_never_values(lines: list[AccessLine], phone: city.Phone):
    person = city.PEOPLE[0]

    text = phone.send("GET", LOG).content.decode()

    assert lines
    for value in (person.real_name, person.id_number, person.phone, person.id_number[-4:]):
        assert f'"{value}"' not in text


def test_access_log__pages__each_line_once(lines: list[AccessLine], phone: city.Phone):
    seen: list[str] = []
    path = f"{LOG}?limit=2"
    while path:
        page = phone.send("GET", path).json()
        seen += [each["id"] for each in page["items"]]
        path = page["next"] and f"{LOG}?limit=2&cursor={page['next']}"

    assert seen == [str(line.id) for line in reversed(lines)]


def test_access_log__three_statements(lines: list[AccessLine], phone: city.Phone):
    with statements() as sent:
        phone.send("GET", LOG)

    assert len(sent) == 3, sent


def test_line_of__anothers_and_missing__not_found(lines: list[AccessLine]):
    resident_id, at = lines[0].resident_id, lines[-1].at

    assert access_log.line_of(resident_id=resident_id, line_id=lines[0].id, at=at) == lines[0]
    for asked in (
        {"resident_id": uuid.uuid4(), "line_id": lines[0].id},
        {"resident_id": resident_id, "line_id": uuid.uuid4()},
    ):
        with pytest.raises(NotFound):
            access_log.line_of(**asked, at=at)


@pytest.mark.parametrize("table", ["identity_accessline", "identity_statechange"])
@pytest.mark.parametrize("statement", ["UPDATE {} SET at = now()", "DELETE FROM {}", "TRUNCATE {}"])
def test_append_only__as_the_application__refused(
    lines: list[AccessLine], table: str, statement: str
):
    before = list(AccessLine.objects.order_by("id").values())

    with connection.cursor() as cursor, pytest.raises(ProgrammingError) as caught:
        cursor.execute(statement.format(table))

    assert caught.value.__cause__.pgcode == "42501"
    assert list(AccessLine.objects.order_by("id").values()) == before


@pytest.mark.parametrize("statement", ["UPDATE identity_accessline SET reason = 'x'",
                                       "DELETE FROM identity_accessline"])  # fmt: skip
def test_append_only__as_the_owner__refused_too(
    lines: list[AccessLine], owner_url: str, statement: str
):
    import psycopg2

    owner = psycopg2.connect(owner_url)
    try:
        with owner.cursor() as cursor, pytest.raises(psycopg2.Error) as caught:
            cursor.execute(statement)
        assert caught.value.pgcode == "42501"
    finally:
        owner.close()


def test_write_use__line_cannot_be_written__code_stays_unused(
    counter: city.DeskBrowser, grant: city.HeldGrant, at: datetime, monkeypatch: pytest.MonkeyPatch
):
    code = grant.code(at)
    asked: dict[str, Any] = {
        "caller": counter.caller, "code": code, "purpose": city.PURPOSE, "case_number": None,
        "at": at,
    }  # fmt: skip
    good = access_log._WRITE_USE
    monkeypatch.setattr(access_log, "_WRITE_USE", good.replace("%(scene)s, %(purpose)s", "NULL, 1"))

    with pytest.raises(Exception, match="null value"):
        codes.redeem_code(**asked, idempotency_key=city.idempotency(counter.caller.scope))

    assert Redemption.objects.count() == AccessLine.objects.count() == 0
    monkeypatch.setattr(access_log, "_WRITE_USE", good)
    codes.redeem_code(**asked, idempotency_key=city.idempotency(counter.caller.scope))
