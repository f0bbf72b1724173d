"""What people write and share, and whom they name, stands nowhere in clear afterwards."""

import io
from datetime import datetime, timedelta

import pytest

from identity import case_shares, consent, delegation_offers
from identity.api import my_delegations
from identity.models import Consent, Entitlement, Organisation, Staff
from tests import city
from tests.contracts.test_canaries import dump_of_database, dump_of_redis, found_in
from vpass.sandbox import population

pytestmark = pytest.mark.django_db(transaction=True)

NOTE, ANSWER, MATTER = "异议说明甲乙丙丁", "答复内容戊己庚辛", "事项说明壬癸子丑"
CHILD = population.child_of(0)


def test_canaries__disputed_consented_shared_and_acted__nowhere_in_clear(
    hall: Organisation, counter: city.DeskBrowser, phone: city.Phone, grant: city.HeldGrant,
    at: datetime, monkeypatch: pytest.MonkeyPatch, program_log: io.StringIO,
):  # fmt: skip
    monkeypatch.setattr(my_delegations.http, "population_register", city.StubRegister)
    Entitlement.objects.update(may_ask=["id_number", "phone"])
    Entitlement.objects.create(
        organisation=hall, scene="remote", purpose="pension", purpose_zh="养老金",
        purpose_en="Pension", attributes=["real_name", "id_number"],
    )  # fmt: skip
    officer = city.sign_in_clerk(city.make_desk(hall, name="隐私室"), username="o", at=at)
    Staff.objects.filter(user__username="o").update(roles=["privacy"])
    department = city.make_department(hall)

    def send(path: str, body: dict[str, object]) -> dict[str, str]:
        answer = phone.send("POST", f"{city.RESIDENT}{path}", body, key=city.new_key())
        assert answer.status_code in (200, 201), answer.content
        return dict(answer.json())

    line = counter.scan(grant.code(at)).json()["scan"]
    send(f"/access-log/{line}/dispute", {"note": NOTE})
    body: dict[str, object] = {"verdict": "unjustified", "text": ANSWER}
    answered = officer.send(
        "POST", f"{city.COUNTER}/disputes/{line}/answer", body, key=city.new_key()
    )
    assert answered.status_code == 200
    body = {"scan": line, "fields": ["id_number", "phone"]}
    counter.send("POST", f"{city.COUNTER}/consent-requests", body, key=city.new_key())
    asked = Consent.objects.get()
    path = f"/consents/{asked.id}/approval"
    word = phone.word(
        path, typ=consent.TYPE, at=at, consent=str(asked.id), fields=asked.fields,
        organisation=str(hall.id), purpose=asked.purpose,
    )  # fmt: skip
    send(path, {"approval": word})
    path = f"{city.COUNTER}/consent-requests/{asked.id}/release"
    assert counter.send("POST", path, {}, key=city.new_key()).status_code == 200
    later = int((at + timedelta(hours=1)).timestamp())
    word = phone.word(
        "/case-shares", typ=case_shares.TYPE, at=at, organisation=str(hall.id), matter=MATTER,
        purpose="pension", fields=["id_number", "real_name"], expires_at=later,
    )  # fmt: skip
    handle = send("/case-shares", {"share": word})["handle"]
    body = {"handle": handle, "official": "工号寅卯辰巳", "case_number": "YL-1"}
    opened = department.send(
        "POST", "/api/department/v1/case-share-openings", body, key=city.new_key()
    )
    assert opened.status_code == 200
    for kind, subject, name in (
        ("child", CHILD.id_number, CHILD.real_name), ("care", city.PEOPLE[1].phone, None),
    ):  # fmt: skip
        word = phone.word(
            "/delegations", typ=delegation_offers.OFFER_TYPE, at=at, kind=kind, subject=subject,
            scenes=["id"], purposes=[], expires_at=later,
        )  # fmt: skip
        send("/delegations", {"request": word, "child_name": name})

    person = city.PEOPLE[0]
    canaries = {
        "name": person.real_name, "ID number": person.id_number, "phone": person.phone,
        "note": NOTE, "answer": ANSWER, "matter": MATTER, "official": "工号寅卯辰巳",
        "handle": handle, "child's number": CHILD.id_number, "carer's phone": city.PEOPLE[1].phone,
    }  # fmt: skip
    said = program_log.getvalue()
    assert '"route"' in said
    assert found_in(said, canaries) == set()
    assert found_in(dump_of_database(), canaries) == set()
    assert found_in(dump_of_redis(), canaries) == set()
