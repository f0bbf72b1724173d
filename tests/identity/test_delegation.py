"""People act for others: within scenes, purposes and time, seen by both sides, over at once."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import IntegrityError

from identity import code_format, delegation_offers, figures, receipts
from identity.api import my_delegations
from identity.models import AccessLine, Delegation, Enterprise, Grant, Resident
from tests import city
from tests.statements import statements
from vpass.sandbox import population

pytestmark = pytest.mark.django_db(transaction=True)

PATH = f"{city.RESIDENT}/delegations"
CHILD = population.child_of(0)
FIRM = population.enterprise_of(0)


@pytest.fixture(autouse=True)
def register(monkeypatch: pytest.MonkeyPatch) -> city.StubRegister:
    stub = city.StubRegister()
    monkeypatch.setattr(my_delegations.http, "population_register", lambda: stub)
    return stub


@pytest.fixture
def carer(at: datetime) -> city.Phone:
    """The second of the invented people."""
    return city.make_phone(1, at=at)


def delegate(
    phone: city.Phone, kind: str, subject: str, *, at: datetime, child_name: str | None = None,
    key: str | None = None, **changes: Any,
) -> Any:  # fmt: skip
    claims = {
        "kind": kind,
        "subject": subject,
        "scenes": ["id"],
        "purposes": [],
        "expires_at": int((at + timedelta(days=30)).timestamp()),
    } | changes
    word = phone.word("/delegations", typ=delegation_offers.OFFER_TYPE, at=at, **claims)
    body = {"request": word, "child_name": child_name}
    return phone.send("POST", PATH, body, key=key or city.new_key())


def accept(phone: city.Phone, offer_id: str, *, at: datetime, **changes: Any) -> Any:
    path = f"/delegations/{offer_id}/acceptance"
    claims = {"delegation": offer_id} | changes
    word = phone.word(path, typ=delegation_offers.ACCEPT_TYPE, at=at, **claims)
    return phone.send("POST", f"{city.RESIDENT}{path}", {"acceptance": word}, key=city.new_key())


def end(phone: city.Phone, delegation_id: str, way: str = "revocation") -> Any:
    return phone.send("POST", f"{PATH}/{delegation_id}/{way}", {}, key=city.new_key())


def of_child(phone: city.Phone, *, at: datetime, **changes: Any) -> str:
    made = delegate(phone, "child", CHILD.id_number, at=at, child_name=CHILD.real_name, **changes)
    assert made.status_code == 201, made.content
    return str(made.json()["id"])


def offered(phone: city.Phone, *, at: datetime, **changes: Any) -> str:
    made = delegate(phone, "care", city.PEOPLE[1].phone, at=at, **changes)
    assert made.status_code == 201, made.content
    return str(made.json()["id"])


def cared(phone: city.Phone, carer: city.Phone, *, at: datetime, **changes: Any) -> str:
    """A delegation that both sides have signed."""
    offer_id = offered(phone, at=at, **changes)
    assert accept(carer, offer_id, at=at).json()["state"] == "active"
    return offer_id


# A child


def test_child__confirmed_by_the_register__the_parents_phone_shows_the_childs_fields(
    phone: city.Phone, counter: city.DeskBrowser, at: datetime
):
    delegation_id = of_child(phone, at=at)
    held = phone.grant(at=at, on_behalf_of=delegation_id)
    code = held.code(at)

    answer = counter.scan(code).json()

    assert answer["fields"] == {
        "real_name": CHILD.real_name, "id_last4": CHILD.id_number[-4:], "over_18": False,
    }  # fmt: skip
    assert answer["acting"] == {
        "kind": "child", "delegate_name": city.PEOPLE[0].real_name, "enterprise_name": None,
        "credit_code": None,
    }  # fmt: skip
    own = phone.grant(at=at)
    assert len(code) == len(own.code(at)) or abs(len(code) - len(own.code(at))) < 8
    assert code_format.read_code(code).grant.rights is None
    assert counter.scan(own.code(at)).json()["fields"]["over_18"] is True


def test_child__used__both_logs_have_a_line_that_says_who_acted_for_whom(
    phone: city.Phone, counter: city.DeskBrowser, at: datetime
):
    delegation_id = of_child(phone, at=at)
    counter.scan(phone.grant(at=at, on_behalf_of=delegation_id).code(at))

    lines = AccessLine.objects.order_by("id")
    child = Resident.objects.get(is_dependent=True)
    assert {line.resident_id for line in lines} == {child.id, phone.caller.resident_id}
    assert {str(line.delegation_id) for line in lines} == {delegation_id}
    (mine,) = phone.send("GET", f"{city.RESIDENT}/access-log").json()["items"]
    (used,) = phone.send("GET", f"{PATH}/{delegation_id}/uses").json()["items"]
    person = city.PEOPLE[0]
    expected = {
        "kind": "child",
        "delegate": "*" * (len(person.real_name) - 1) + person.real_name[-1],
        "principal": "*" + CHILD.real_name[-1],
    }
    assert mine["acting"] == used["acting"] == expected
    assert mine["fields"] == used["fields"] == city.FIELDS
    assert mine["id"] != used["id"]


@pytest.mark.parametrize(
    ("name", "number"),
    [(CHILD.real_name, population.child_of(1).id_number), ("王小", CHILD.id_number), ("", "")],
)
def test_child__register_says_no__nothing_made(
    phone: city.Phone, at: datetime, name: str, number: str
):
    answer = delegate(phone, "child", number, at=at, child_name=name or None)

    assert city.problem(answer) == (422, "delegation.not_confirmed")
    assert Delegation.objects.count() == 0
    assert Resident.objects.filter(is_dependent=True).count() == 0


def test_child__beyond_coming_of_age__refused(
    phone: city.Phone, at: datetime, monkeypatch: pytest.MonkeyPatch
):
    born = at.date().replace(year=at.year - 18) + timedelta(days=20)
    grown = at.date().replace(year=at.year - 18)
    for birth_date, code in ((born, "delegation.invalid"), (grown, "delegation.child_grown")):
        found = city.RegisteredPerson("370800000001", birth_date, "F")
        monkeypatch.setattr(city.StubRegister, "child", lambda self, found=found, **_: found)
        answer = delegate(phone, "child", CHILD.id_number, at=at, child_name=CHILD.real_name)
        assert city.problem(answer) == (422, code)
    assert Delegation.objects.count() == 0


def test_child__asked_again__exists__and_a_repeat_asks_the_register_once(
    phone: city.Phone, register: city.StubRegister, at: datetime
):
    word = phone.word(
        "/delegations", typ=delegation_offers.OFFER_TYPE, at=at, kind="child",
        subject=CHILD.id_number, scenes=["id"], purposes=[],
        expires_at=int((at + timedelta(days=30)).timestamp()),
    )  # fmt: skip
    body, key = {"request": word, "child_name": CHILD.real_name}, city.new_key()

    answers = [phone.send("POST", PATH, body, key=key) for _ in range(2)]

    assert answers[0].content == answers[1].content
    assert register.asked == 1
    again = delegate(phone, "child", CHILD.id_number, at=at, child_name=CHILD.real_name)
    assert city.problem(again) == (409, "delegation.exists")


# A carer: both confirm on their phones


def test_care__offered_and_accepted__the_carer_acts_and_the_elder_reads_it(
    phone: city.Phone, carer: city.Phone, counter: city.DeskBrowser, at: datetime
):
    delegation_id = cared(phone, carer, at=at)
    (shown,) = carer.send("GET", PATH).json()["items"]
    assert (shown["role"], shown["state"]) == ("delegate", "active")
    receipt = receipts.read_receipt(shown["receipt"], at=at)
    assert (receipt["about"], receipt["delegation"]) == ("delegation", delegation_id)

    answer = counter.scan(carer.grant(at=at, on_behalf_of=delegation_id).code(at)).json()

    assert answer["fields"]["real_name"] == city.PEOPLE[0].real_name
    assert answer["acting"]["delegate_name"] == city.PEOPLE[1].real_name
    (line,) = phone.send("GET", f"{city.RESIDENT}/access-log").json()["items"]
    assert line["acting"]["kind"] == "care"


def test_offer__to_a_number_nobody_has__answers_alike(phone: city.Phone, at: datetime):
    answers = [delegate(phone, "care", number, at=at) for number in ("13800000001", "nonsense")]

    assert [each.status_code for each in answers] == [201, 201]
    assert {each.json()["state"] for each in answers} == {"offered"}


def test_offer__not_accepted_by_another__nor_late__nor_with_another_signature(
    phone: city.Phone, carer: city.Phone, at: datetime
):
    offer_id = offered(phone, at=at)
    stranger = city.make_phone(2, at=at)

    assert city.problem(accept(stranger, offer_id, at=at)) == (404, "object.not_found")
    assert city.problem(accept(carer, offer_id, at=at, delegation="x")) == (422, "word.invalid")
    assert stranger.send("GET", PATH).json()["items"] == []
    assert [each["role"] for each in carer.send("GET", PATH).json()["items"]] == ["offered"]
    Delegation.objects.update(created_at=at - delegation_offers.OFFER_LIFE)
    assert city.problem(accept(carer, offer_id, at=at)) == (409, "delegation.over")
    assert Delegation.objects.get().state == "offered"


def test_offer__declined__no_grant(phone: city.Phone, carer: city.Phone, at: datetime):
    offer_id = offered(phone, at=at)

    assert end(carer, offer_id, "refusal").json()["state"] == "declined"

    assert city.problem(accept(carer, offer_id, at=at)) == (409, "delegation.over")


@pytest.mark.parametrize("side", ["principal", "delegate"])
def test_revoke__from_either_side__the_next_scan_is_refused_and_the_grant_ended(
    phone: city.Phone, carer: city.Phone, counter: city.DeskBrowser, at: datetime, side: str
):
    delegation_id = cared(phone, carer, at=at)
    held = carer.grant(at=at, on_behalf_of=delegation_id)
    assert counter.scan(held.code(at)).status_code == 200

    ended = end(phone if side == "principal" else carer, delegation_id)

    assert ended.json()["state"] == "revoked"
    assert city.problem(counter.scan(held.code(at))) == (403, "code.revoked")
    assert Grant.objects.get(handle=held.handle).ended_at is not None
    request = carer.grant_request(city.signing.generate_p256(), at=at, on_behalf_of=delegation_id)
    answer = carer.send("POST", f"{city.RESIDENT}/grants", {"request": request}, key=city.new_key())
    assert city.problem(answer) == (409, "delegation.over")
    assert counter.scan(carer.grant(at=at).code(at)).status_code == 200  # the carer's own code


def test_use__other_purpose_than_allowed__or_scene__or_late__refused(
    phone: city.Phone, carer: city.Phone, counter: city.DeskBrowser, at: datetime
):
    delegation_id = cared(phone, carer, at=at, purposes=["pension"])
    held = carer.grant(at=at, on_behalf_of=delegation_id)

    assert city.problem(counter.scan(held.code(at))) == (403, "code.delegation_beyond")
    Delegation.objects.update(purposes=[], scenes=["library"])
    assert city.problem(counter.scan(held.code(at))) == (403, "code.delegation_beyond")
    Delegation.objects.update(scenes=["id"], expires_at=at)
    assert city.problem(counter.scan(held.code(at))) == (403, "code.delegation_over")
    assert set(AccessLine.objects.values_list("outcome", flat=True)) == {"refused"}


def test_use__either_of_the_two_suspended__refused(
    phone: city.Phone, carer: city.Phone, counter: city.DeskBrowser, at: datetime
):
    held = carer.grant(at=at, on_behalf_of=cared(phone, carer, at=at))

    for person in (phone, carer):
        Resident.objects.filter(id=person.caller.resident_id).update(state="suspended")
        assert city.problem(counter.scan(held.code(at))) == (403, "code.suspended")
        Resident.objects.update(state="active")
    assert counter.scan(held.code(at)).status_code == 200


def test_grant__under_a_delegation__ends_with_it(
    phone: city.Phone, carer: city.Phone, at: datetime
):
    seconds = int((at + timedelta(hours=2)).timestamp())
    delegation_id = cared(phone, carer, at=at, expires_at=seconds)

    held = carer.grant(at=at, on_behalf_of=delegation_id)

    assert code_format.decode_grant(held.encoded).claims.expires_at == seconds


def test_grant__of_anothers_delegation_or_nonsense__refused(
    phone: city.Phone, carer: city.Phone, at: datetime
):
    delegation_id = cared(phone, carer, at=at)

    def ask(by: city.Phone, named: Any) -> Any:
        request = by.grant_request(city.signing.generate_p256(), at=at, on_behalf_of=named)
        return by.send("POST", f"{city.RESIDENT}/grants", {"request": request}, key=city.new_key())

    assert city.problem(ask(phone, delegation_id)) == (404, "object.not_found")
    assert city.problem(ask(carer, "nonsense")) == (422, "grant.request_invalid")
    assert city.problem(ask(carer, 7)) == (422, "grant.request_invalid")
    assert Grant.objects.count() == 0


@pytest.mark.parametrize(
    "changes",
    [
        {"scenes": []}, {"scenes": ["pay"]}, {"scenes": ["bus"]}, {"scenes": "id"},
        {"purposes": [7]}, {"purposes": "x"}, {"kind": "friend"}, {"kind": 7}, {"subject": 7},
        {"expires_at": 1}, {"expires_at": "x"}, {"expires_at": 2**36}, {"under": "x"},
        {"kind": "enterprise", "subject": "91370700MA3000000X"}, {"subject": city.PEOPLE[0].phone},
    ],
)  # fmt: skip
def test_delegate__limits_not_as_they_may_be__refused_and_nothing_made(
    phone: city.Phone, at: datetime, changes: dict[str, Any]
):
    asked = {"kind": "care", "subject": city.PEOPLE[1].phone} | changes
    answer = delegate(phone, asked.pop("kind"), asked.pop("subject"), at=at, **asked)

    assert city.problem(answer) == (422, "delegation.invalid")
    assert Delegation.objects.count() == 0


# An enterprise


def test_enterprise__representative_and_appointee__act_for_the_firm(
    phone: city.Phone, carer: city.Phone, counter: city.DeskBrowser, at: datetime
):
    made = delegate(phone, "enterprise", FIRM.credit_code, at=at).json()
    assert made["state"] == "active"
    offer = delegate(phone, "enterprise", city.PEOPLE[1].phone, at=at, under=made["id"]).json()
    assert accept(carer, offer["id"], at=at).json()["state"] == "active"

    for person, delegation_id, index in ((phone, made["id"], 0), (carer, offer["id"], 1)):
        answer = counter.scan(person.grant(at=at, on_behalf_of=delegation_id).code(at)).json()
        assert answer["fields"]["real_name"] == city.PEOPLE[index].real_name
        assert answer["acting"] == {
            "kind": "enterprise", "delegate_name": city.PEOPLE[index].real_name,
            "enterprise_name": FIRM.name, "credit_code": FIRM.credit_code,
        }  # fmt: skip
    (used,) = phone.send("GET", f"{PATH}/{offer['id']}/uses").json()["items"]
    assert used["acting"]["principal"] == FIRM.name
    assert AccessLine.objects.count() == 2
    assert Enterprise.objects.get().credit_code == FIRM.credit_code


def test_enterprise__representative_ends__the_appointees_end_too(
    phone: city.Phone, carer: city.Phone, counter: city.DeskBrowser, at: datetime
):
    made = delegate(phone, "enterprise", FIRM.credit_code, at=at).json()["id"]
    offer = delegate(phone, "enterprise", city.PEOPLE[1].phone, at=at, under=made).json()["id"]
    accept(carer, offer, at=at)
    held = carer.grant(at=at, on_behalf_of=offer)

    assert end(phone, made).status_code == 200

    assert city.problem(counter.scan(held.code(at))) == (403, "code.revoked")
    assert set(Delegation.objects.values_list("state", flat=True)) == {"revoked"}


def test_enterprise__of_somebody_else__or_appointed_by_an_appointee__refused(
    phone: city.Phone, carer: city.Phone, at: datetime
):
    foreign = population.enterprise_of(5).credit_code
    answer = delegate(phone, "enterprise", foreign, at=at)
    assert city.problem(answer) == (422, "delegation.not_confirmed")
    made = delegate(phone, "enterprise", FIRM.credit_code, at=at).json()["id"]
    offer = delegate(phone, "enterprise", city.PEOPLE[1].phone, at=at, under=made).json()["id"]
    accept(carer, offer, at=at)

    answer = delegate(carer, "enterprise", city.PEOPLE[2].phone, at=at, under=offer)

    assert city.problem(answer) == (404, "object.not_found")


# Time, cost, and what the database keeps


def test_expire__old_offers_and_delegations(phone: city.Phone, carer: city.Phone, at: datetime):
    from identity import delegation

    delegation_id = cared(phone, carer, at=at)
    held = carer.grant(at=at, on_behalf_of=delegation_id)
    offered(phone, at=at)

    assert delegation.expire_old(at=at + timedelta(days=2)) == 1
    assert delegation.expire_old(at=at + timedelta(days=31)) == 1

    assert set(Delegation.objects.values_list("state", flat=True)) == {"expired"}
    assert Grant.objects.get(handle=held.handle).ended_at is not None


def test_delegated_scan__six_statements(
    phone: city.Phone, carer: city.Phone, counter: city.DeskBrowser, at: datetime
):
    held = carer.grant(at=at, on_behalf_of=cared(phone, carer, at=at))
    counter.scan(held.code(at))

    with statements() as sent:
        assert counter.scan(held.code(at)).status_code == 200

    assert len(sent) == 6, sent


def test_figures__a_use_for_another_stands_in_two_logs__counts_once(
    phone: city.Phone, carer: city.Phone, counter: city.DeskBrowser, at: datetime
):
    counter.scan(carer.grant(at=at, on_behalf_of=cared(phone, carer, at=at)).code(at))

    found = {each.name: each.value for each in figures.figures(at=at)}

    assert (AccessLine.objects.count(), found["scans_accepted"]) == (2, 1)


def test_database__never_for_paying_nor_for_oneself(
    phone: city.Phone, carer: city.Phone, at: datetime
):
    cared(phone, carer, at=at)

    with pytest.raises(IntegrityError, match="delegation_scenes"):
        Delegation.objects.update(scenes=["id", "pay"])
    with pytest.raises(IntegrityError, match="delegation_to_another"):
        Delegation.objects.update(delegate=phone.caller.resident_id)


def test_use__at_a_till__refused__nobody_pays_for_another(
    phone: city.Phone, carer: city.Phone, at: datetime
):
    from tests.shop import open_shop

    shop = open_shop()
    held = carer.grant(at=at, on_behalf_of=cared(phone, carer, at=at))
    body = {"code": held.code(at), "amount_fen": 100, "title": "x", "merchant_reference": "r-1"}

    answer = shop.till.send("POST", "/api/merchant/v1/payments", body, key=city.new_key())

    assert city.problem(answer) == (403, "code.delegation_beyond")
