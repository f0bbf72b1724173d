"""A resident disputes a line with one tap; the organisation's privacy officer answers."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from identity import access_log
from identity.models import AccessLine, Dispute, Entitlement, Staff, StateChange
from tests import city
from vpass.common.models import AuditEvent

pytestmark = pytest.mark.django_db(transaction=True)

LOG = f"{city.RESIDENT}/access-log"
DISPUTES = f"{city.COUNTER}/disputes"
EXPORTS = f"{LOG}/exports"


@pytest.fixture
def line(counter: city.DeskBrowser, grant: city.HeldGrant, at: datetime) -> AccessLine:
    """The clerk's accepted scan."""
    assert counter.scan(grant.code(at)).status_code == 200
    return AccessLine.objects.get()


@pytest.fixture
def officer(counter: city.DeskBrowser, at: datetime) -> city.DeskBrowser:
    """The privacy officer of the clerk's organisation."""
    desk = city.make_desk(counter.desk.organisation, name="隐私保护室")
    browser = city.sign_in_clerk(desk, username="officer", at=at)
    Staff.objects.filter(user__username="officer").update(roles=["privacy"])
    return browser


def dispute(phone: city.Phone, line: AccessLine, *, key: str | None = None, **body: Any) -> Any:
    return phone.send("POST", f"{LOG}/{line.id}/dispute", body, key=key or city.new_key())


def answer(officer: city.DeskBrowser, line: AccessLine, verdict: str = "justified") -> Any:
    body = {"verdict": verdict, "text": "当天由家人代办"}
    return officer.send("POST", f"{DISPUTES}/{line.id}/answer", body, key=city.new_key())


def test_dispute__one_tap__both_sides_see_it(
    phone: city.Phone, officer: city.DeskBrowser, line: AccessLine
):
    answered = dispute(phone, line)

    assert answered.status_code == 201
    assert answered.json() == {"line": str(line.id), "state": "open"}
    shown = phone.send("GET", f"{LOG}/{line.id}").json()["dispute"]
    assert (shown["state"], shown["note"], shown["answer"]) == ("open", None, None)
    (told,) = officer.send("GET", DISPUTES).json()["items"]
    assert (told["line"], told["staff"], told["fields"]) == (str(line.id), "clerk", city.FIELDS)
    person = city.PEOPLE[0]
    assert person.real_name not in str(told) and person.id_number not in str(told)


@pytest.mark.parametrize("verdict", ["justified", "unjustified"])
def test_answer__by_the_officer__the_resident_reads_it(
    phone: city.Phone, officer: city.DeskBrowser, line: AccessLine, verdict: str
):
    dispute(phone, line, note="我当天不在潍坊")

    assert answer(officer, line, verdict).json() == {"line": str(line.id), "state": verdict}

    shown = phone.send("GET", LOG).json()["items"][0]["dispute"]
    assert (shown["state"], shown["note"], shown["answer"]) == (
        verdict, "我当天不在潍坊", "当天由家人代办",
    )  # fmt: skip
    assert AuditEvent.objects.get(action="dispute.answered").detail == {"verdict": verdict}
    assert StateChange.objects.get(object_kind="dispute").to_state == verdict
    assert city.problem(answer(officer, line)) == (409, "dispute.over")


def test_dispute__twice__once(phone: city.Phone, line: AccessLine):
    key = city.new_key()

    first, again = dispute(phone, line, key=key), dispute(phone, line, key=key)

    assert (first.status_code, first.content) == (again.status_code, again.content)
    assert city.problem(dispute(phone, line)) == (409, "dispute.exists")
    assert Dispute.objects.count() == 1


def test_withdraw__before_the_answer__over(
    phone: city.Phone, officer: city.DeskBrowser, line: AccessLine
):
    dispute(phone, line)
    path = f"{LOG}/{line.id}/dispute/withdrawal"

    assert phone.send("POST", path, {}, key=city.new_key()).json()["state"] == "withdrawn"

    assert city.problem(answer(officer, line)) == (409, "dispute.over")
    assert Dispute.objects.get().answer is None


def test_dispute__anothers_line__as_if_there_were_none(line: AccessLine, at: datetime):
    stranger = city.make_phone(1, at=at)

    assert city.problem(dispute(stranger, line)) == (404, "object.not_found")
    assert Dispute.objects.count() == 0


def test_answer__clerk_without_the_role_or_of_another_office__refused(
    phone: city.Phone, counter: city.DeskBrowser, line: AccessLine, at: datetime
):
    dispute(phone, line)
    other = city.make_desk(city.make_organisation("潍坊市人民医院"))
    stranger = city.sign_in_clerk(other, username="stranger", at=at)
    Staff.objects.filter(user__username="stranger").update(roles=["privacy"])

    assert city.problem(answer(counter, line)) == (403, "caller.role_missing")
    assert city.problem(answer(stranger, line)) == (404, "object.not_found")
    assert stranger.send("GET", DISPUTES).json()["items"] == []
    assert Dispute.objects.get().state == "open"


def test_answer__by_whoever_looked__refused(
    phone: city.Phone, counter: city.DeskBrowser, line: AccessLine
):
    dispute(phone, line)
    Staff.objects.update(roles=["privacy"])

    assert city.problem(answer(counter, line)) == (403, "dispute.self_answer")
    assert Dispute.objects.get().state == "open"


# Export


def export(phone: city.Phone, *, at: datetime, before: str | None = None, **changes: Any) -> Any:
    word = phone.word("/access-log/exports", typ=access_log.EXPORT_TYPE, at=at, **changes)
    return phone.send("POST", EXPORTS, {"request": word, "before": before})


def test_export__fresh_signature__all_lines_and_a_line_of_its_own(
    phone: city.Phone, line: AccessLine, at: datetime
):
    body = export(phone, at=at).json()

    assert (body["format"], body["next"]) == ("vpass-access-log-1", None)
    assert [each["id"] for each in body["lines"]] == [str(line.id)]
    assert body["lines"][0]["fields"] == city.FIELDS
    newest = phone.send("GET", LOG).json()["items"][0]
    assert (newest["scene"], newest["purpose"]["code"]) == ("own", "export")
    assert newest["organisation"]["en"] == "Your own phone"
    own = AccessLine.objects.get(purpose="export")
    assert city.problem(dispute(phone, own)) == (409, "dispute.own_phone")


def test_export__stale_replayed_foreign_or_for_another_route__refused_and_nothing_written(
    phone: city.Phone, line: AccessLine, at: datetime
):
    stranger = city.make_phone(1, at=at)
    good = {"jti": "the-same"}
    assert export(phone, at=at, **good).status_code == 200

    refused = [
        export(phone, at=at, **good),
        export(phone, at=at - timedelta(seconds=90)),
        export(phone, at=at, by=stranger.key),
        export(phone, at=at, aud="https://elsewhere.example/"),
    ]

    assert [city.problem(each) for each in refused] == [(422, "word.invalid")] * 4
    assert AccessLine.objects.filter(purpose="export").count() == 1


def test_export__more_than_one_part__goes_on_where_it_stopped(
    phone: city.Phone, counter: city.DeskBrowser, grant: city.HeldGrant, at: datetime,
    monkeypatch: pytest.MonkeyPatch,
):  # fmt: skip
    for second in range(3):
        counter.scan(grant.code(at + timedelta(seconds=second)))
    monkeypatch.setattr(access_log, "EXPORTED_AT_ONCE", 2)

    first = export(phone, at=at).json()
    second = export(phone, at=at, before=first["next"]).json()

    seen = [each["id"] for each in first["lines"] + second["lines"]]
    assert len(first["lines"]) == 2 and second["next"] is None
    assert seen == [str(each.id) for each in AccessLine.objects.order_by("-id") if each.desk_id]


# What law defers, and what would tell of others


def test_deferred_line__hidden_until_its_day__then_shown_with_the_law(
    phone: city.Phone, counter: city.DeskBrowser, grant: city.HeldGrant, at: datetime
):
    Entitlement.objects.update(deferred_days=90, legal_basis="刑事诉讼法第一百五十二条")
    assert counter.scan(grant.code(at)).status_code == 200
    line = AccessLine.objects.get()
    due = line.at + timedelta(days=90)

    assert phone.send("GET", LOG).json()["items"] == []
    assert city.problem(phone.send("GET", f"{LOG}/{line.id}")) == (404, "object.not_found")
    assert export(phone, at=at).json()["lines"] == []
    assert city.problem(dispute(phone, line)) == (404, "object.not_found")
    early = access_log.lines_of(resident_id=line.resident_id, at=due - timedelta(seconds=1))
    late = access_log.lines_of(resident_id=line.resident_id, at=due).filter(id=line.id)
    assert not early.filter(id=line.id).exists()
    assert [(each.visible_from, each.legal_basis) for each in late] == [
        (due, "刑事诉讼法第一百五十二条")
    ]


def test_deferral__without_a_law_or_for_ever__the_database_refuses(
    counter: city.DeskBrowser,
):
    from django.db import IntegrityError

    with pytest.raises(IntegrityError, match="entitlement_deferred_by_law"):
        Entitlement.objects.update(deferred_days=1)
    with pytest.raises(IntegrityError, match="entitlement_deferred_not_for_ever"):
        Entitlement.objects.update(deferred_days=4000, legal_basis="x")


def test_line_that_tells_of_others__place_and_case_withheld_from_the_log_only(
    phone: city.Phone, counter: city.DeskBrowser, grant: city.HeldGrant, at: datetime
):
    Entitlement.objects.update(shields_others=True)
    counter.scan(grant.code(at), case_number="WILL-7")

    (shown,) = phone.send("GET", LOG).json()["items"]

    assert (shown["place"], shown["case_number"], shown["is_shielded"]) == (None, None, True)
    assert shown["organisation"]["en"] == "Weifang Hall"
    kept = AccessLine.objects.get()
    assert (kept.case_number, kept.desk_id) == ("WILL-7", counter.desk.id)
