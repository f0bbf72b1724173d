"""Two administrators register what gives rights, one alone switches it off; below their own."""

import itertools
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import IntegrityError

from identity import organisations, proposals, registration
from identity.models import (
    Desk,
    Entitlement,
    Organisation,
    RegistrationProposal,
    RelyingParty,
    Staff,
    StaffSession,
    Terminal,
)
from tests import city, relying
from tests.administration import ADMINISTRATION, Office, open_city
from vpass.common import signing
from vpass.common.key_proofs import KeyProof
from vpass.common.models import AuditEvent

pytestmark = pytest.mark.django_db(transaction=True)

HALL = {
    "kind": "hall", "name_zh": "寒亭区政务服务中心", "name_en": "Hanting Hall",
    "scenes": None, "attributes": None,
}  # fmt: skip
DESK = {"name_zh": "4号窗口", "name_en": "Desk 4", "scene": "id"}
RIGHT = {
    "scene": "id", "purpose": "housing", "purpose_zh": "住房", "purpose_en": "Housing",
    "attributes": ["real_name", "id_number"],
}  # fmt: skip


@pytest.fixture
def office(at: datetime) -> Office:
    return open_city(at=at)


def a_proof() -> KeyProof:
    key = signing.generate_p256()
    jwk = signing.jwk_of(key)
    return KeyProof(jwk=jwk, thumbprint=signing.thumbprint(jwk), point=signing.public_point(key))


def below(office: Office, **changes: Any) -> Organisation:
    return city.make_organisation("某中心", parent=office.city, **changes)


def test_register__hall_and_desk_by_two_people__its_browser_enrols_and_all_is_on_record(
    office: Office,
):
    made = office.agree("organisation.register", office.city.id, HALL)
    hall = Organisation.objects.get(id=made["made"])
    assert (hall.parent_id, hall.kind, hall.state) == (office.city.id, "hall", "active")

    proposed = office.propose("desk.register", hall.id, DESK)
    assert not Desk.objects.filter(organisation=hall).exists()
    approved = office.approve(proposed["id"]).json()

    desk = Desk.objects.get(organisation=hall)
    assert (approved["state"], approved["made"]) == ("approved", str(desk.id))
    browser = city.DeskBrowser(desk, signing.generate_p256())
    body = {"enrolment_code": approved["code"]}
    assert browser.send("POST", f"{city.COUNTER}/desk-keys", body).status_code == 201
    listed = office.administrator.send("GET", f"{ADMINISTRATION}/desks?organisation={hall.id}")
    assert [(each["id"], each["has_key"]) for each in listed.json()["items"]] == [
        (str(desk.id), True)
    ]
    shown = office.approver.send("GET", f"{ADMINISTRATION}/proposals").json()["items"][0]
    assert (shown["proposed_by"], shown["decided_by"]) == ("administrator", "approver")
    assert list(
        AuditEvent.objects.filter(subject=f"desk:{desk.id}")
        .order_by("id")
        .values_list("action", flat=True)
    ) == ["desk.registered", "desk.code_issued", "desk.key_enrolled"]


def test_approve__same_key_again__same_answer_and_done_once(office: Office):
    proposed = office.propose("desk.register", office.city.id, DESK)

    first = office.approve(proposed["id"], key="approve-once")
    again = office.approve(proposed["id"], key="approve-once")
    late = office.approve(proposed["id"])

    assert first.json() == again.json()
    assert city.problem(late) == (409, "registration.over")
    assert Desk.objects.filter(name_zh="4号窗口").count() == 1


def test_approve__by_the_proposer_or_who_gets_rights__refused_and_nothing_done(
    office: Office, at: datetime
):
    both = office.hire("both", ["administrator", "approver"])
    proposed = office.propose("desk.register", office.city.id, DESK, by=both)
    roles = office.propose("staff.grant_roles", both.staff.id, {"roles": ["privacy"]})

    own = office.approve(proposed["id"], by=both)
    gift = office.approve(roles["id"], by=both)
    by_role = office.approve(proposed["id"], by=office.administrator)

    assert city.problem(own) == (403, "registration.self_approval")
    assert city.problem(gift) == (403, "registration.self_approval")
    assert city.problem(by_role) == (403, "caller.role_missing")
    assert set(RegistrationProposal.objects.values_list("state", flat=True)) == {"proposed"}
    assert not Desk.objects.filter(name_zh="4号窗口").exists()
    with pytest.raises(IntegrityError, match="registration_four_eyes"):
        RegistrationProposal.objects.filter(id=proposed["id"]).update(
            state="approved", decided_by=both.staff.id
        )


def test_propose__twice_or_decided_or_old__each_its_own_code(office: Office, at: datetime):
    first = office.propose("desk.register", office.city.id, DESK)
    twice = office.ask("desk.register", office.city.id, DESK)
    assert city.problem(twice) == (409, "registration.already_proposed")
    assert office.reject(first["id"]).json()["state"] == "rejected"
    assert city.problem(office.approve(first["id"])) == (409, "registration.over")

    office.propose("desk.register", office.city.id, DESK)
    assert proposals.expire_old(at=at + timedelta(hours=71)) == 0
    assert proposals.expire_old(at=at + timedelta(hours=73)) == 1
    states = RegistrationProposal.objects.values_list("state", flat=True)
    assert sorted(states) == ["expired", "rejected"]
    assert not Desk.objects.filter(name_zh="4号窗口").exists()


@pytest.mark.parametrize("what", ["moved", "suspended", "reset", "role", "elsewhere"])
def test_approve__subject_or_proposer_no_longer_there__over_and_nothing_done(
    office: Office, at: datetime, what: str
):
    hall, other = below(office), city.make_organisation("另一中心", parent=office.city)
    clerk = city.sign_in_clerk(city.make_desk(hall), at=at).staff
    third = office.hire("third", ["administrator"])
    proposed = office.propose("staff.grant_roles", clerk.id, {"roles": ["finance"]}, by=third)
    proposer = third.staff
    row = Staff.objects.filter(id=proposer.id)
    if what == "moved":
        office.agree("staff.move", clerk.id, {"organisation": str(other.id)})
    elif what == "suspended":
        office.suspend("staff", proposer.id)
    elif what == "reset":
        office.agree("staff.reset", proposer.id, {})
    elif what == "role":
        row.update(roles=["privacy"])
    else:
        row.update(organisation=other)

    answer = office.approve(proposed["id"])

    assert city.problem(answer) == (409, "registration.over")
    assert Staff.objects.get(id=clerk.id).roles == []
    assert RegistrationProposal.objects.get(id=proposed["id"]).state == "proposed"
    assert office.reject(proposed["id"]).json()["state"] == "rejected"


@pytest.mark.parametrize(
    ("action", "detail", "code"),
    [
        ("organisation.register", HALL | {"kind": "city"}, "organisation.kind_not_below"),
        ("organisation.register", HALL | {"name_zh": "某中心"}, "registration.name_taken"),
        ("organisation.register", HALL | {"kind": "palace"}, "request.invalid"),
        ("organisation.register", HALL | {"state": "active"}, "request.invalid"),
        ("desk.register", DESK | {"scene": "moon"}, "request.invalid"),
        ("desk.register", {}, "request.invalid"),
        ("desk.enrol", {}, "object.not_found"),
        ("entitlement.set", RIGHT | {"attributes": ["blood"]}, "request.invalid"),
        ("entitlement.set", RIGHT | {"may_ask": ["photo"]}, "request.invalid"),
        ("entitlement.set", RIGHT | {"deferred_days": 9}, "request.invalid"),
        ("entitlement.end", {"scene": "id", "purpose": "nothing"}, "object.not_found"),
        ("organisation.lift", {}, "state.illegal_transition"),
        ("organisation.lift", {"x": 1}, "request.invalid"),
        ("organisation.fly", {}, "request.invalid"),
    ],
    ids=[str(number) for number in range(14)],
)
def test_propose__cannot_be_done__its_own_code_and_no_proposal(
    office: Office, action: str, detail: dict[str, Any], code: str
):
    below(office)

    answer = office.ask(action, office.city.id, detail)

    assert city.problem(answer)[1] == code
    assert RegistrationProposal.objects.count() == 0


def test_bounds__inherited_down_the_tree__beyond_is_refused_and_narrowing_cuts_rights(
    office: Office,
):
    made = office.agree(
        "organisation.register",
        office.city.id,
        HALL | {"scenes": ["id", "check_in"], "attributes": ["real_name", "id_number"]},
    )
    hall = Organisation.objects.get(id=made["made"])
    department = Organisation.objects.create(
        parent=hall, kind="department", name_zh="分中心", name_en="Branch"
    )
    beyond = [
        office.ask("entitlement.set", department.id, RIGHT | {"attributes": ["phone"]}),
        office.ask("entitlement.set", department.id, RIGHT | {"scene": "bus"}),
        office.ask("terminal.register", department.id, DESK | {"scene": "door"}),
        office.ask("organisation.allow", department.id, {"scenes": ["pay"], "attributes": None}),
    ]
    assert {city.problem(each) for each in beyond} == {(422, "registration.beyond_bounds")}
    assert beyond[0].json()["attributes"] == ["phone"]
    office.agree("entitlement.set", department.id, RIGHT)
    office.agree("entitlement.set", department.id, RIGHT | {"scene": "check_in"})

    office.agree(
        "organisation.allow", hall.id, {"scenes": ["id"], "attributes": ["real_name", "phone"]}
    )

    rights = Entitlement.objects.filter(organisation=department, ended_at=None)
    assert [(each.scene, each.attributes) for each in rights] == [("id", ["real_name"])]


def test_allow__rights_to_log_in_and_of_the_register__stay_and_can_be_given_back(office: Office):
    hall = below(office)
    everything = {"scenes": None, "attributes": None}
    for scene in ("login", "register"):
        office.agree("entitlement.set", hall.id, RIGHT | {"scene": scene})

    office.agree("organisation.allow", hall.id, everything | {"attributes": ["real_name"]})
    in_force = Entitlement.objects.filter(organisation=hall, purpose="housing", ended_at=None)
    assert sorted(in_force.values_list("scene", flat=True)) == ["login", "register"]
    assert {tuple(each.attributes) for each in in_force} == {("real_name",)}
    office.agree("organisation.allow", hall.id, everything | {"scenes": ["id", "register"]})
    assert [each.scene for each in in_force.all()] == ["register"]
    back = RIGHT | {"scene": "login", "attributes": ["real_name"]}
    assert city.problem(office.ask("entitlement.set", hall.id, back)) == (
        422, "registration.beyond_bounds",
    )  # fmt: skip
    office.agree("organisation.allow", hall.id, everything | {"scenes": ["login", "register"]})
    office.agree("entitlement.set", hall.id, back)
    assert sorted(in_force.values_list("scene", flat=True)) == ["login", "register"]


def test_entitlement__set_by_two_then_ended__the_desk_sees_it_and_then_no_more(
    office: Office, phone: city.Phone, at: datetime
):
    hall = below(office)
    counter = city.sign_in_clerk(city.make_desk(hall), at=at)
    office.agree("entitlement.set", hall.id, RIGHT)

    seen = counter.scan(phone.grant(at=at).code(at), purpose="housing")
    office.agree("entitlement.end", hall.id, {"scene": "id", "purpose": "housing"})
    later = counter.scan(phone.grant(at=at).code(at), purpose="housing")

    assert sorted(seen.json()["fields"]) == ["id_number", "real_name"]
    assert city.problem(later) == (403, "scan.not_entitled")
    line = phone.send("GET", f"{city.RESIDENT}/access-log").json()["items"][-1]
    assert line["purpose"]["en"] == "Housing"


def test_entitlement__ones_own_or_kept_from_the_log__from_above_and_by_the_city_alone(
    office: Office, at: datetime
):
    hall = open_city(at=at, parent=office.city)
    department = city.make_organisation("分中心", parent=hall.city, kind="department")
    Entitlement.objects.all().delete()
    deferred = RIGHT | {"deferred_days": 3650, "legal_basis": "Some law"}
    shielded = RIGHT | {"shields_others": True}

    own = hall.ask("entitlement.set", hall.city.id, RIGHT)
    half = hall.approve(office.propose("entitlement.set", hall.city.id, RIGHT)["id"])
    kept = [hall.ask("entitlement.set", department.id, each) for each in (deferred, shielded)]
    agreed = hall.approve(office.propose("entitlement.set", department.id, deferred)["id"])

    assert city.problem(own) == city.problem(half) == (403, "organisation.own")
    assert {city.problem(each) for each in (*kept, agreed)} == {(403, "entitlement.of_city")}
    assert not Entitlement.objects.exists()
    hall.agree("entitlement.set", department.id, RIGHT)
    office.agree("entitlement.set", department.id, shielded)
    office.agree("entitlement.set", office.city.id, deferred | {"purpose": "investigation"})
    assert sorted(
        Entitlement.objects.values_list("organisation", "shields_others", "deferred_days")
    ) == sorted([(department.id, True, 0), (office.city.id, False, 3650)])


def test_suspend__an_organisation__all_below_refused_with_the_next_request_until_two_lift_it(
    office: Office, phone: city.Phone, at: datetime
):
    county = city.make_organisation("寒亭区", parent=office.city, kind="county")
    hall = city.make_organisation("寒亭大厅", parent=county)
    counter = city.sign_in_clerk(city.make_desk(hall), at=at)
    kiosk = city.make_terminal(hall)
    assert counter.send("GET", f"{city.COUNTER}/sessions/current").status_code == 200

    answer = office.suspend("organisations", county.id)

    assert answer.json() == {"id": str(county.id), "state": "suspended"}
    gone = counter.send("GET", f"{city.COUNTER}/sessions/current")
    assert city.problem(gone) == (401, "token.unknown")
    assert city.problem(kiosk.scan("VP1:X")) == (401, "signature.key_unknown")
    assert office.suspend("organisations", county.id).json()["state"] == "suspended"
    proposed = office.propose("organisation.lift", county.id, {})
    assert Organisation.objects.get(id=county.id).state == "suspended"
    office.approve(proposed["id"])
    assert counter.send("GET", f"{city.COUNTER}/sessions/current").status_code == 200
    assert kiosk.scan(phone.grant(at=at).code(at)).status_code == 200


@pytest.mark.parametrize("kind", ["desks", "terminals", "staff"])
def test_suspend__desk_terminal_or_staff__refused_at_once_and_lifted_by_two(
    office: Office, at: datetime, kind: str
):
    hall = below(office)
    counter, kiosk = city.sign_in_clerk(city.make_desk(hall), at=at), city.make_terminal(hall)
    rows = {"desks": counter.desk, "terminals": kiosk.terminal, "staff": counter.staff}
    row = rows[kind]

    assert office.suspend(kind, row.id).json()["state"] == "suspended"

    if kind == "terminals":
        assert city.problem(kiosk.scan("VP1:X")) == (401, "signature.key_unknown")
    else:
        gone = counter.send("GET", f"{city.COUNTER}/sessions/current")
        assert city.problem(gone) == (401, "token.unknown")
    assert (StaffSession.objects.get(staff=counter.staff).ended_at is None) == (kind != "staff")
    office.agree(f"{kind.removesuffix('s')}.lift", row.id, {})
    row.refresh_from_db()
    assert row.state == "active"


@pytest.mark.parametrize("kind", ["organisations", "places"])
def test_suspend__codes_given_before__enrol_no_key_any_more_even_after_the_lift(
    office: Office, kind: str
):
    hall = below(office)
    desk = office.agree("desk.register", hall.id, DESK)
    machine = office.agree("terminal.register", hall.id, DESK)
    rows = {"organisations": [("organisation", hall.id)],
            "places": [("desk", desk["made"]), ("terminal", machine["made"])]}[kind]  # fmt: skip

    for each, row_id in rows:
        assert office.suspend(f"{each}s", row_id).status_code == 200
        office.agree(f"{each}.lift", row_id, {})

    with pytest.raises(organisations.DeskCodeRefused):
        organisations.enrol_desk(enrolment_code=desk["code"], proof=a_proof(), at=office.at)
    with pytest.raises(organisations.TerminalCodeRefused):
        organisations.enrol_terminal(
            enrolment_code=machine["code"], kind="terminal", proof=a_proof(), at=office.at
        )
    assert not Desk.objects.filter(id=desk["made"], key_point__isnull=False).exists()


def test_suspend__root_oneself_and_own__as_they_should(office: Office, at: datetime):
    mine = office.administrator.staff.id

    assert city.problem(office.suspend("organisations", office.city.id)) == (
        409, "organisation.root",
    )  # fmt: skip
    assert city.problem(office.suspend("staff", mine)) == (409, "staff.oneself")
    hall = open_city(at=at, parent=office.city)
    for action, detail in (
        ("organisation.allow", {"scenes": None, "attributes": None}),
        ("organisation.rename", {"name_zh": "新", "name_en": "New"}),
        ("organisation.lift", {}),
    ):
        own = hall.ask(action, hall.city.id, detail)
        assert city.problem(own) == (403, "organisation.own"), action


def test_root__its_last_administrator_or_approver__stays_until_there_is_another(
    office: Office, at: datetime
):
    first, second = office.administrator.staff.id, office.approver.staff.id
    taken = {"reason": "test", "roles": ["administrator"]}
    by = office.approver
    elsewhere = {"organisation": str(below(office).id)}

    removed = office.post(f"staff/{first}/role-removal", taken, by=by)
    suspended = office.post(f"staff/{first}/suspension", {"reason": "test"}, by=by)
    other = office.suspend("staff", second)
    moved = office.ask("staff.move", second, elsewhere)

    assert {city.problem(each) for each in (removed, suspended, other, moved)} == {
        (409, "staff.last_of_root"),
    }  # fmt: skip
    assert dict(Staff.objects.values_list("id", "roles")) == {
        first: ["administrator"], second: ["approver"],
    }  # fmt: skip
    assert set(Staff.objects.values_list("state", flat=True)) == {"active"}
    third = office.hire("third", ["administrator"])
    assert office.post(f"staff/{first}/role-removal", taken, by=by).json()["roles"] == []
    # One person with both roles could not agree with anybody.
    Staff.objects.filter(id=third.staff.id).update(roles=["administrator", "approver"])
    alone = office.post(f"staff/{second}/suspension", {"reason": "test"}, by=third)
    assert city.problem(alone) == (409, "staff.last_of_root")


def test_another_subtree__as_if_there_were_nothing(office: Office, at: datetime):
    mine, theirs = open_city(at=at, parent=office.city), open_city(at=at, parent=office.city)
    desk = city.make_desk(theirs.city)
    machine = city.make_terminal(theirs.city)
    waiting = theirs.propose("desk.register", theirs.city.id, DESK)

    answers = [
        *(mine.ask(each, theirs.city.id, DESK) for each in ("desk.register", "terminal.register")),
        mine.ask("desk.enrol", desk.desk.id, {}),
        mine.ask("desk.register", office.city.id, DESK),
        mine.ask("staff.grant_roles", theirs.approver.staff.id, {"roles": ["privacy"]}),
        mine.ask("staff.move", mine.approver.staff.id, {"organisation": str(theirs.city.id)}),
        mine.suspend("organisations", theirs.city.id),
        mine.suspend("desks", desk.desk.id),
        mine.suspend("staff", theirs.approver.staff.id),
        mine.post(f"terminals/{machine.terminal.id}/key-revocation", {"reason": "x"}),
        mine.post(f"staff/{theirs.approver.staff.id}/role-removal",
                  {"reason": "x", "roles": ["approver"]}),
        mine.post("invitations", {"organisation": str(theirs.city.id), "username": "eve"}),
        mine.approve(waiting["id"]),
        mine.reject(waiting["id"]),
    ]  # fmt: skip

    assert {city.problem(each) for each in answers} == {(404, "object.not_found")}
    for name in ("organisations", "desks", "terminals", "staff", "entitlements", "proposals"):
        items = mine.administrator.send("GET", f"{ADMINISTRATION}/{name}").json()["items"]
        assert not any(
            str(theirs.city.id) in (each.get("id"), each.get("organisation")) for each in items
        ), name
    assert Terminal.objects.get(id=machine.terminal.id).state == "active"
    assert RegistrationProposal.objects.get().state == "proposed"


def test_lists__by_pages__each_once(office: Office):
    for number in range(5):
        city.make_desk(office.city, name=f"{number}号")
    seen, path = [], f"{ADMINISTRATION}/desks?limit=2"
    cursor = ""
    for _ in itertools.count():
        page = office.administrator.send("GET", path + cursor).json()
        seen += [each["id"] for each in page["items"]]
        if page["next"] is None:
            break
        cursor = f"&cursor={page['next']}"

    assert seen == sorted(str(each) for each in Desk.objects.values_list("id", flat=True))


def test_move__by_two__new_organisation_without_roles_and_sessions(office: Office, at: datetime):
    old, new = below(office), city.make_organisation("另一中心", parent=office.city)
    counter = city.sign_in_clerk(city.make_desk(old), at=at)
    Staff.objects.filter(id=counter.staff.id).update(roles=["privacy"])

    office.agree("staff.move", counter.staff.id, {"organisation": str(new.id)})

    person = Staff.objects.get(id=counter.staff.id)
    assert (person.organisation_id, person.roles) == (new.id, [])
    gone = counter.send("GET", f"{city.COUNTER}/sessions/current")
    assert city.problem(gone) == (401, "token.unknown")


def test_roles__granted_by_two_taken_by_one__and_the_city_alone_gives_those_that_reach_beyond(
    office: Office, at: datetime
):
    hall = open_city(at=at, parent=office.city)
    counter = city.sign_in_clerk(city.make_desk(hall.city), at=at)
    who = counter.staff.id
    disputes = f"{city.COUNTER}/disputes"
    assert city.problem(counter.send("GET", disputes)) == (403, "caller.role_missing")

    refused = hall.ask("staff.grant_roles", who, {"roles": ["finance", "privacy"]})
    hall.agree("staff.grant_roles", who, {"roles": ["privacy"]})
    office.agree("staff.grant_roles", who, {"roles": ["finance"]})

    assert city.problem(refused) == (403, "staff.role_of_city")
    assert refused.json()["roles"] == ["finance"]
    assert Staff.objects.get(id=who).roles == ["finance", "privacy"]
    assert counter.send("GET", disputes).status_code == 200
    body = {"roles": ["privacy", "police"], "reason": "transfer"}
    taken = hall.post(f"staff/{who}/role-removal", body)
    assert taken.json()["roles"] == ["finance"]
    assert city.problem(counter.send("GET", disputes)) == (401, "token.unknown")
    assert User.objects.get(staff=who).is_active


SITE = {
    "name": "读者之家", "purpose": "reader", "redirect_uris": [relying.CALLBACK],
    "post_logout_redirect_uris": [relying.GOODBYE],
}  # fmt: skip
LOGIN = {
    "scene": "login", "purpose": "reader", "purpose_zh": "读者服务", "purpose_en": "Readers",
    "attributes": relying.FIELDS,
}  # fmt: skip


def test_relying_party__registered_by_two_suspended_by_one__residents_log_in_or_not_at_once(
    office: Office, phone: city.Phone, at: datetime
):
    library = open_city(at=at, parent=office.city)
    office.agree("entitlement.set", library.city.id, LOGIN)
    made = library.agree("relying_party.register", library.city.id, SITE)
    site = relying.Site(RelyingParty.objects.get(id=made["made"]), made["code"])
    assert site.party.organisation_id == library.city.id
    tokens = site.log_in(phone, at=at)
    listed = library.administrator.send("GET", f"{ADMINISTRATION}/relying-parties")
    assert listed.json()["items"] == [
        {
            "id": made["made"], "organisation": str(library.city.id), "state": "active",
            "client_id": site.party.client_id, **SITE,
        }
    ]  # fmt: skip
    assert made["code"] not in listed.content.decode()
    stranger = open_city(at=at, parent=office.city)
    assert city.problem(stranger.suspend("relying-parties", made["made"]))[0] == 404

    assert library.suspend("relying-parties", made["made"]).json()["state"] == "suspended"
    begun = relying.Browser().begin(site.query())
    renewed = site.refresh(tokens["refresh_token"])
    asked = library.propose("relying_party.lift", made["made"], {})
    own = library.approve(asked["id"], by=library.administrator)
    assert begun.status_code >= 400 and renewed.status_code == 401
    assert city.problem(own) == (403, "caller.role_missing")
    assert site.user_info(tokens["access_token"]).status_code == 401

    assert library.approve(asked["id"]).json()["state"] == "approved"
    assert site.log_in(phone, at=at)["access_token"]
    assert list(
        AuditEvent.objects.filter(subject=f"relying_party:{made['made']}")
        .order_by("id")
        .values_list("action", flat=True)
    ) == ["relying_party.registered", "relying_party.suspended", "relying_party.lifted"]


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"redirect_uris": ["http://library.example/x"]}, "relying_party.redirect_unsafe"),
        (
            {"redirect_uris": ["https://a.example/x\nhttps://evil.example/x"]},
            "request.invalid",
        ),
        ({"redirect_uris": []}, "request.invalid"),
        ({"client_secret": "mine"}, "request.invalid"),
    ],
    ids=["plain-http", "two-in-one", "none", "secret-named"],
)
def test_relying_party__unsafe__refused_when_proposed(
    office: Office, changes: dict[str, Any], code: str
):
    answer = office.ask("relying_party.register", office.city.id, SITE | changes)

    assert city.problem(answer)[1] == code
    assert (RelyingParty.objects.count(), RegistrationProposal.objects.count()) == (0, 0)


def test_city_wide_scenes__desks_and_machines__opened_by_the_roots_administrators_alone(
    office: Office, at: datetime
):
    department = open_city(at=at, parent=office.city)
    for scene in sorted(registration.CITY_SCENES):
        for action in ("terminal.register", "desk.register"):
            detail = DESK | {"scene": scene, "name_zh": f"{scene}系统"}
            refused = department.ask(action, department.city.id, detail)
            assert city.problem(refused) == (403, "registration.scene_of_city"), (action, scene)
    assert RegistrationProposal.objects.count() == 0
    assert not Terminal.objects.exists()

    # Proposed by the root's, it is not for the department's own to approve.
    detail = DESK | {"scene": "register", "name_zh": "人口登记系统"}
    asked = office.propose("terminal.register", department.city.id, detail)
    own = department.approve(asked["id"])
    assert city.problem(own) == (403, "registration.scene_of_city")
    assert not Terminal.objects.exists()
    assert office.approve(asked["id"]).json()["state"] == "approved"
    assert Terminal.objects.get().scene == "register"
