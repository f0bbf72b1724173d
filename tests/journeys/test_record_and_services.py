"""The product's lines I-13, I-15 and I-16 as people meet them: over the public API alone."""

import json
from datetime import datetime

import pytest

from identity import deletion
from identity.api import corrections
from identity.models import Deletion, Organisation, RelyingParty
from payments.models import Order
from payments.settlement import windows
from tests import city, proving, relying, shop
from tests.administration import Office, open_city
from tests.identity.test_deletion import ask as ask_deletion
from tests.identity.test_deletion import export
from tests.identity.test_oidc import read_id_token
from tests.identity.test_registration import LOGIN, SITE
from tests.identity.test_staffing import accept, choose, code_of, sign_in
from tests.journeys.test_identity_lines import code_of as fresh_code
from vpass.common import clock, signing

pytestmark = pytest.mark.django_db(transaction=True)

PERSON = city.PEOPLE[0]


@pytest.fixture
def office(at: datetime) -> Office:
    return open_city(at=at)


def test_i13__log_in_at_two_sites__two_names_claims_by_right_and_step_up(
    office: Office, phone: city.Phone, at: datetime
):
    sites = []
    for name in ("图书馆", "旅游局"):
        owner = city.make_organisation(name, kind="department", parent=office.city)
        office.agree("entitlement.set", owner.id, LOGIN)
        made = office.agree("relying_party.register", owner.id, SITE)
        sites.append(relying.Site(RelyingParty.objects.get(id=made["made"]), made["code"]))
    library, tourism = sites

    here, there = (site.log_in(phone, at=at) for site in sites)
    told = library.user_info(here["access_token"]).json()
    other = tourism.user_info(there["access_token"]).json()
    assert (told["name"], told["over_18"]) == (PERSON.real_name, True)
    assert told["sub"] != other["sub"]
    assert tourism.user_info(here["access_token"]).json()["sub"] == told["sub"]  # its bearer's own
    assert read_id_token(here["id_token"])["acr"] == "urn:vpass:level:2"

    needs = {"acr_values": "urn:vpass:level:3"}
    begun = relying.Browser().begin(library.query(**needs)).json()
    assert city.problem(relying.approve(phone, begun, at=at)) == (403, "caller.level_too_low")
    checks = f"{city.RESIDENT}/face-checks"
    check = phone.send("POST", checks, {}, key=city.new_key()).json()
    result = {"result": proving.look(check)}
    raised = phone.send("POST", f"{checks}/{check['id']}/result", result, key=city.new_key())
    assert raised.json() == {"level": 3}
    stepped_up = library.log_in(phone, at=at, **needs)
    assert read_id_token(stepped_up["id_token"])["acr"] == "urn:vpass:level:3"

    logins = phone.send("GET", f"{city.RESIDENT}/logins").json()["items"]
    newest = f"{city.RESIDENT}/logins/{logins[0]['id']}/withdrawal"
    assert phone.send("POST", newest, {}, key=city.new_key()).status_code == 200
    assert library.user_info(stepped_up["access_token"]).status_code == 401


def test_i15__own_record__corrected_exported_and_deleted_while_the_ledger_stays(
    office: Office, phone: city.Phone, at: datetime, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(corrections.http, "population_register", city.StubRegister)
    windows.ensure_open(at=at)
    store = shop.open_shop()
    shop.fill(store, phone, 1_234, at=at)
    assert store.till.pay(fresh_code(phone)).json()["state"] == "captured"
    resident_id = phone.caller.resident_id

    path = f"{city.RESIDENT}/corrections"
    body = {"field": "real_name", "note": "请核对"}
    asked = phone.send("POST", path, body, key=city.new_key()).json()["id"]
    officer = office.hire("privacy", ["privacy"])
    right = {"real_name": PERSON.real_name, "id_number": PERSON.id_number, "text": "已核对"}
    desk = f"{city.COUNTER}/corrections/{asked}/grant"
    assert officer.send("POST", desk, right, key=city.new_key()).json()["state"] == "granted"
    (shown,) = phone.send("GET", path).json()["items"]
    assert (shown["state"], shown["answer"]) == ("granted", "已核对")

    sections = phone.send("GET", f"{city.RESIDENT}/exports").json()["sections"]
    parts = {each: export(phone, each, at=at).json() for each in sections}
    assert parts["account"]["rows"][0]["id_number"] == PERSON.id_number
    assert [each["amount_fen"] for each in parts["orders"]["rows"]] == [1_234]
    assert [each["state"] for each in parts["corrections"]["rows"]] == ["granted"]

    terms = phone.send("GET", f"{city.RESIDENT}/deletion-terms").json()
    assert terms["obligations"] == []
    assert ask_deletion(phone, at=at).json()["state"] == "waiting"
    Deletion.objects.update(due_at=at)  # stands for the week's wait
    assert deletion.delete_due(at=clock.now()) == 1

    gone = phone.send("GET", f"{city.RESIDENT}/me")
    assert city.problem(gone) == (401, "token.unknown")
    kept = Order.objects.get(payer_id=resident_id)
    assert (kept.state, kept.captured_fen) == ("captured", 1_234)
    paid = f"{shop.MERCHANT}/payments/{kept.id}"
    assert PERSON.real_name not in json.dumps(store.till.send("GET", paid).json())
    new = city.make_phone(0, at=at)
    assert new.caller.resident_id != resident_id
    assert new.send("GET", f"{city.RESIDENT}/payments").json()["items"] == []


def test_i16__county_to_desk_to_clerk__within_bounds_by_two_and_off_at_once(
    office: Office, phone: city.Phone, at: datetime
):
    words = {"name_zh": "寒亭区", "name_en": "Hanting", "attributes": None}
    county = {"kind": "county", "scenes": ["id"], **words}
    joined = office.agree("organisation.register", office.city.id, county)["made"]
    hall = Organisation.objects.get(
        id=office.agree("organisation.register", joined, county | {"kind": "hall"})["made"]
    )
    desk = {"name_zh": "1号窗口", "name_en": "Desk 1", "scene": "id"}
    beyond = office.ask("desk.register", hall.id, desk | {"scene": "check_in"})
    assert city.problem(beyond) == (422, "registration.beyond_bounds")
    right = LOGIN | {"scene": "id", "purpose": city.PURPOSE, "attributes": ["real_name"]}
    office.agree("entitlement.set", hall.id, right)
    proposed = office.propose("desk.register", hall.id, desk)
    alone = office.approve(proposed["id"], by=office.administrator)
    assert city.problem(alone) == (403, "caller.role_missing")
    opened = office.approve(proposed["id"]).json()

    browser = city.DeskBrowser(hall.desk_set.get(), signing.generate_p256())
    enrolment = {"enrolment_code": opened["code"]}
    assert browser.send("POST", f"{city.COUNTER}/desk-keys", enrolment).status_code == 201
    invitation = {"organisation": str(hall.id), "username": "liu.min"}
    code = office.post("invitations", invitation).json()["code"]
    secret = choose(browser, code).json()["totp_secret"]
    assert accept(browser, code, code_of(secret)).status_code == 201
    assert sign_in(browser, secret).status_code == 201
    scanned = browser.scan(fresh_code(phone))
    assert scanned.json()["fields"] == {"real_name": PERSON.real_name}

    assert office.suspend("organisations", joined).json()["state"] == "suspended"
    assert city.problem(browser.scan(fresh_code(phone))) == (401, "token.unknown")
    office.agree("organisation.lift", joined, {})
    assert browser.scan(fresh_code(phone)).status_code == 200
