"""Asking beyond the right: refused and written down, or approved on the phone and given once."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import IntegrityError

from identity import codes, consent, receipts
from identity.models import AccessLine, Consent, Entitlement, Organisation, Resident, StateChange
from tests import city
from vpass.common.limits import LimitReached

pytestmark = pytest.mark.django_db(transaction=True)

REQUESTS = f"{city.COUNTER}/consent-requests"
CONSENTS = f"{city.RESIDENT}/consents"


@pytest.fixture
def hall(db: None) -> Organisation:
    """An organisation that may ask for ID number and phone, but not for the birth date."""
    made = city.make_organisation()
    Entitlement.objects.update(may_ask=["id_number", "phone"])
    return made


def scanned(counter: city.DeskBrowser, grant: city.HeldGrant, *, at: datetime) -> str:
    return str(counter.scan(grant.code(at)).json()["scan"])


def ask(counter: city.DeskBrowser, scan: str, *fields: str, key: str | None = None) -> Any:
    body = {"scan": scan, "fields": fields or ["phone", "id_number"]}
    return counter.send("POST", REQUESTS, body, key=key or city.new_key())


def word(phone: city.Phone, asked: Consent, *, at: datetime, by: Any = None, **changes: Any) -> str:
    claims = {
        "consent": str(asked.id),
        "organisation": str(asked.organisation_id),
        "purpose": asked.purpose,
        "fields": asked.fields,
    } | changes
    path = f"/consents/{asked.id}/approval"
    return phone.word(path, typ=consent.TYPE, at=at, by=by, **claims)


def approve(phone: city.Phone, asked: Consent, *, at: datetime, **changes: Any) -> Any:
    path = f"{CONSENTS}/{asked.id}/approval"
    body = {"approval": word(phone, asked, at=at, **changes)}
    return phone.send("POST", path, body, key=city.new_key())


def release(counter: city.DeskBrowser, asked: Consent, *, key: str | None = None) -> Any:
    path = f"{REQUESTS}/{asked.id}/release"
    return counter.send("POST", path, {}, key=key or city.new_key())


@pytest.fixture
def asked(
    counter: city.DeskBrowser, phone: city.Phone, grant: city.HeldGrant, at: datetime
) -> Consent:
    """What the clerk has asked after a scan."""
    assert ask(counter, scanned(counter, grant, at=at)).status_code == 201
    return Consent.objects.get()


# Over-asking at the scan


def test_scan__asking_less_than_the_right__shows_and_logs_only_that(
    counter: city.DeskBrowser, phone: city.Phone, grant: city.HeldGrant, at: datetime
):
    answer = counter.scan(grant.code(at), fields=["over_18"])

    assert answer.json()["fields"] == {"over_18": True}
    assert AccessLine.objects.get().fields == ["over_18"]


def test_scan__asking_beyond__refused_and_the_holder_reads_what_was_asked(
    counter: city.DeskBrowser, phone: city.Phone, grant: city.HeldGrant, at: datetime
):
    answer = counter.scan(grant.code(at), fields=["real_name", "birth_date", "phone"])

    assert city.problem(answer) == (403, "scan.over_asking")
    (line,) = phone.send("GET", f"{city.RESIDENT}/access-log").json()["items"]
    assert (line["outcome"], line["reason"]) == ("refused", "scan.over_asking")
    assert (line["fields"], line["asked"]) == ([], ["birth_date", "phone"])


def test_scan__purpose_that_needs_a_case__a_machine_alone_is_refused(
    counter: city.DeskBrowser, kiosk: city.Machine, grant: city.HeldGrant, at: datetime
):
    Entitlement.objects.update(needs_case=True)

    alone = kiosk.scan(grant.code(at), case_number="WF-1")
    manned = counter.scan(grant.code(at), case_number="WF-1")

    assert city.problem(alone) == (403, "scan.case_needed")
    assert manned.status_code == 200
    with pytest.raises(codes.CaseNeeded):
        codes.redeem_code(
            caller=counter.caller, code=grant.code(at), purpose=city.PURPOSE, case_number=None,
            idempotency_key=city.idempotency(counter.caller.scope), at=at,
        )  # fmt: skip


# Consent


def test_consent__asked_approved_released__once_with_receipt_and_line(
    counter: city.DeskBrowser, phone: city.Phone, asked: Consent, at: datetime
):
    (shown,) = phone.send("GET", CONSENTS).json()["items"]
    assert (shown["state"], shown["fields"]) == ("asked", ["id_number", "phone"])
    assert shown["organisation"] == {
        "id": str(asked.organisation_id), "zh": "潍坊市政务服务中心", "en": "Weifang Hall",
    }  # fmt: skip
    assert shown["purpose"]["en"] == "Residence permit"

    assert approve(phone, asked, at=at).json() == {"id": str(asked.id), "state": "approved"}
    path = f"{REQUESTS}/{asked.id}"
    assert counter.send("GET", path).json()["state"] == "approved"
    key = city.new_key()
    first, again = release(counter, asked, key=key), release(counter, asked, key=key)

    person = city.PEOPLE[0]
    assert first.json()["fields"] == {"id_number": person.id_number, "phone": person.phone}
    assert again.json() == first.json()
    assert city.problem(release(counter, asked)) == (409, "consent.over")
    line = AccessLine.objects.order_by("-id")[0]
    assert (line.fields, line.outcome, line.case_number) == (
        ["id_number", "phone"], "accepted", "WF-1",
    )  # fmt: skip
    receipt = receipts.read_receipt(first.json()["receipt"], at=at)
    assert (receipt["about"], receipt["consent"]) == ("consent", str(asked.id))
    assert (receipt["purpose"], receipt["fields"]) == (city.PURPOSE, ["id_number", "phone"])
    moves = StateChange.objects.filter(object_kind="consent").order_by("id")
    assert [each.event for each in moves] == ["approve", "release"]


@pytest.mark.parametrize(
    "changes",
    [
        {"fields": ["id_number"]},
        {"fields": ["phone", "id_number"]},
        {"fields": ["id_number", "phone", "sex"]},
        {"fields": "id_number"},
        {"purpose": "name-only"},
        {"organisation": "00000000-0000-0000-0000-000000000000"},
        {"consent": "00000000-0000-0000-0000-000000000000"},
        {"aud": "https://elsewhere.example/"},
        {"iat": 1},
        {"iat": None},
        {"jti": None},
        {"organisation": ["x"]},
    ],
)
def test_approve__signed_over_anything_else__refused_and_nothing_changed(
    counter: city.DeskBrowser, phone: city.Phone, asked: Consent, at: datetime,
    changes: dict[str, Any],
):  # fmt: skip
    assert city.problem(approve(phone, asked, at=at, **changes)) == (422, "word.invalid")

    asked.refresh_from_db()
    assert (asked.state, asked.word, asked.receipt) == ("asked", None, None)
    assert city.problem(release(counter, asked)) == (409, "consent.over")


def test_approve__signed_by_another_key_or_sent_by_another_resident__refused(
    phone: city.Phone, asked: Consent, at: datetime
):
    stranger = city.make_phone(1, at=at)

    assert city.problem(approve(phone, asked, at=at, by=stranger.key)) == (422, "word.invalid")
    assert city.problem(approve(stranger, asked, at=at)) == (404, "object.not_found")
    assert stranger.send("GET", CONSENTS).json()["items"] == []


def test_refuse__nothing_is_released__and_the_log_tells_what_was_asked(
    counter: city.DeskBrowser, phone: city.Phone, asked: Consent, at: datetime
):
    path = f"{CONSENTS}/{asked.id}/refusal"

    assert phone.send("POST", path, {}, key=city.new_key()).json()["state"] == "refused"

    assert city.problem(release(counter, asked)) == (409, "consent.over")
    assert city.problem(approve(phone, asked, at=at)) == (409, "consent.over")
    line = AccessLine.objects.order_by("-id")[0]
    assert (line.reason, line.fields, line.asked) == (
        "consent.refused", [], ["id_number", "phone"],
    )  # fmt: skip


def test_withdraw__before_the_release__stops_it(
    counter: city.DeskBrowser, phone: city.Phone, asked: Consent, at: datetime
):
    approve(phone, asked, at=at)
    path = f"{CONSENTS}/{asked.id}/withdrawal"

    assert phone.send("POST", path, {}, key=city.new_key()).json()["state"] == "withdrawn"

    assert city.problem(release(counter, asked)) == (409, "consent.over")


def test_withdraw__after_the_release__the_organisation_sees_it(
    counter: city.DeskBrowser, phone: city.Phone, asked: Consent, at: datetime
):
    approve(phone, asked, at=at)
    assert release(counter, asked).status_code == 200
    phone.send("POST", f"{CONSENTS}/{asked.id}/withdrawal", {}, key=city.new_key())

    assert counter.send("GET", f"{REQUESTS}/{asked.id}").json()["state"] == "withdrawn"


def test_ask__beyond_what_may_be_asked__refused_and_recorded_by_name(
    counter: city.DeskBrowser, phone: city.Phone, grant: city.HeldGrant, at: datetime
):
    scan, key = scanned(counter, grant, at=at), city.new_key()

    answers = [ask(counter, scan, "birth_date", "phone", "nonsense", key=key) for _ in range(2)]

    assert [city.problem(each) for each in answers] == [(403, "consent.not_askable")] * 2
    assert Consent.objects.count() == 0
    (newest, _) = AccessLine.objects.order_by("-id")
    assert (newest.reason, newest.asked) == ("consent.not_askable", ["birth_date", "nonsense"])


def test_ask__without_a_fresh_scan_of_ones_own__as_if_there_were_none(
    counter: city.DeskBrowser, hall: Organisation, grant: city.HeldGrant, at: datetime
):
    scan = scanned(counter, grant, at=at)
    colleague = city.sign_in_clerk(city.make_desk(hall, name="2号窗口"), username="b", at=at)
    other = city.sign_in_clerk(
        city.make_desk(city.make_organisation("潍坊市人民医院")), username="c", at=at
    )
    refused = str(AccessLine.objects.get().id)
    counter.scan(grant.code(at), purpose="curiosity")
    refused = str(AccessLine.objects.get(outcome="refused").id)

    answers = [ask(colleague, scan), ask(other, scan), ask(counter, refused)]

    assert [city.problem(each) for each in answers] == [(404, "object.not_found")] * 3
    with pytest.raises(consent.NotFound):
        consent.ask(
            caller=counter.caller, scan_id=AccessLine.objects.get(outcome="accepted").id,
            fields=["phone"], case_number=None,
            idempotency_key=city.idempotency(counter.caller.scope),
            at=at + consent.ASK_WITHIN + timedelta(seconds=5),
        )  # fmt: skip
    assert Consent.objects.count() == 0


def test_ask__while_one_waits__refused__and_at_most_three_in_half_an_hour(
    counter: city.DeskBrowser, phone: city.Phone, asked: Consent, grant: city.HeldGrant,
    at: datetime,
):  # fmt: skip
    scan = scanned(counter, grant, at=at)
    assert city.problem(ask(counter, scan)) == (409, "consent.waiting")
    phone.send("POST", f"{CONSENTS}/{asked.id}/refusal", {}, key=city.new_key())
    assert ask(counter, scan).status_code == 201

    answer = ask(counter, scan)

    assert city.problem(answer) == (429, "limit.reached")
    assert Consent.objects.count() == 2


def test_ask__by_many_organisations__the_resident_is_left_in_peace(phone: city.Phone, at: datetime):
    assert phone.device is not None
    subject = str(phone.device.resident_id)
    for _ in range(10):
        consent.limits.spend(consent.ASKED_BY_ALL, subject, at=at)

    with pytest.raises(LimitReached):
        consent.limits.spend(consent.ASKED_BY_ALL, subject, at=at)


def test_expiry__of_the_request_and_of_the_approval__nothing_is_released(
    counter: city.DeskBrowser, phone: city.Phone, asked: Consent, at: datetime
):
    def approve_late() -> None:
        consent.approve(
            caller=phone.caller, consent_id=asked.id, word=word(phone, asked, at=late),
            idempotency_key=city.idempotency(phone.caller.scope), at=late,
        )  # fmt: skip

    late = asked.expires_at
    with pytest.raises(consent.ConsentOver):
        approve_late()
    late -= timedelta(seconds=1)
    approve_late()
    with pytest.raises(consent.ConsentOver):
        consent.release(
            caller=counter.caller, consent_id=asked.id,
            idempotency_key=city.idempotency(counter.caller.scope),
            at=late + consent.RELEASE_WITHIN,
        )  # fmt: skip

    assert consent.expire_old(at=late + consent.RELEASE_WITHIN) == 1
    asked.refresh_from_db()
    assert asked.state == "lapsed"
    assert AccessLine.objects.filter(fields__contains=["id_number"]).count() == 0


def test_expire__nobody_answered__the_log_tells_what_was_asked(asked: Consent):
    assert consent.expire_old(at=asked.expires_at) == 1
    assert consent.expire_old(at=asked.expires_at) == 0

    line = AccessLine.objects.order_by("-id")[0]
    assert (line.reason, line.asked) == ("consent.expired", ["id_number", "phone"])


def test_release__resident_suspended_meanwhile__refused(
    counter: city.DeskBrowser, phone: city.Phone, asked: Consent, at: datetime
):
    approve(phone, asked, at=at)
    Resident.objects.update(state="suspended")

    assert city.problem(release(counter, asked)) == (409, "consent.over")
    asked.refresh_from_db()
    assert asked.state == "approved"


def test_consent__approved_without_word_or_receipt__the_database_refuses(asked: Consent):
    with pytest.raises(IntegrityError, match="consent_given_in_writing"):
        Consent.objects.update(state="approved")
