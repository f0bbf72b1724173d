"""The lines I-1 to I-12 and I-14 of the product, as people meet them: over the public API alone.

Level 3 of I-1 is in test_level_thread, I-13, I-15 and I-16 are in test_record_and_services. The
day's own steps show much of it too (see test_identity_thread and test_disclosure_thread).
"""

from datetime import datetime, timedelta
from typing import Any

import pytest

from cards.models import Card
from identity import code_format, enrolment, keys, status_list
from identity.models import Consent, Entitlement, Organisation
from payments.settlement import windows
from tests import city, shop, wallets
from tests.identity.test_case_shares import (
    bureau,
    conclude,
    opening,
    share,
)
from tests.identity.test_consent import approve, ask, release
from tests.identity.test_delegation import cared, end
from tests.identity.test_disputes import export
from tests.identity.test_lost_phones import as_role, told
from tests.identity.test_scanner_bundle import decide, fetched
from tests.journeys.test_identity_thread import go
from vpass.common import clock, limits, outbox, signing
from vpass.common.encodings import b64url_decode
from vpass.day import steps
from vpass.day.actors import Phone
from vpass.day.play import Day

pytestmark = pytest.mark.django_db(transaction=True)

__all__ = ["bureau"]


def held(phone: city.Phone, **changes: Any) -> city.HeldGrant:
    """A day grant that the phone fetched for a fresh key."""
    fresh = signing.generate_p256()
    body = {"request": phone.grant_request(fresh, at=clock.now(), **changes)}
    answer = phone.send("POST", f"{city.RESIDENT}/grants", body, key=city.new_key())
    assert answer.status_code == 201, answer.content
    return city.HeldGrant(b64url_decode(answer.json()["grant"]), fresh)


def code_of(phone: city.Phone, *, scenes: int = code_format.ALL_SCENES) -> str:
    return held(phone).code(clock.now(), scenes=scenes)


def log(phone: city.Phone) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = phone.send("GET", f"{city.RESIDENT}/access-log").json()["items"]
    return items


@pytest.fixture
def store(at: datetime) -> shop.Shop:
    """A shop whose till takes payments."""
    windows.ensure_open(at=at)
    return shop.open_shop()


@pytest.fixture
def bus_card(phone: city.Phone, at: datetime) -> Card:
    return wallets.give_card(phone, wallets.open_issuer(), at=at)


def test_i1__phone_number_then_register__each_right_names_its_level(day: Day):
    go(day, steps.enrol)
    assert day.resident is not None
    assert day.phone.me().expect(200)["level"] == 1
    day.phone.send("GET", "/wallet").expect_refusal(403, "caller.level_too_low")
    day.phone.fetch_grant().expect_refusal(403, "caller.level_too_low")

    day.phone.prove_identity(
        real_name=day.resident.real_name, id_number=day.outside.person(day.place + 1).id_number
    ).expect_refusal(422, "identity.not_matched")
    go(day, steps.prove_identity)

    assert day.phone.me().expect(200)["level"] == 2
    day.phone.send("GET", "/wallet").expect(200)
    day.phone.fetch_grant().expect(201)


def test_i2__new_phone__proof_again_and_the_old_ones_rights_end(day: Day):
    go(day, steps.enrol, steps.prove_identity, steps.fetch_grant, steps.enrol_desk, steps.sign_in)
    person = day.resident
    assert person is not None
    limits.clear(enrolment.CODES_PER_MINUTE, person.phone)  # stands for the minute's wait
    new, seen = Phone(day.transport), day.outside.message_ids(person.phone)
    started = new.start_enrolment(phone=person.phone).expect(201)["enrolment_id"]
    proof = {"one_time_code": day.outside.one_time_code(person.phone, seen=seen)}
    move = f"/enrolments/{started}/move"

    new.confirm_phone(enrolment_id=started, **proof).expect_refusal(409, "enrolment.phone_taken")
    wrong = proof | {"real_name": "王五", "id_number": person.id_number}
    new.send("POST", move, wrong, signed_in=False).expect_refusal(422, "identity.not_matched")
    day.phone.me().expect(200)
    right = wrong | {"real_name": person.real_name}
    moved = new.send("POST", move, right, signed_in=False).expect(200)

    new.access_token = moved["access_token"]
    assert new.me().expect(200)["level"] == 2
    day.phone.me().expect_refusal(401, "token.unknown")
    day.phone.renew_token().expect_refusal(401, "token.assertion_refused")
    old = day.clerk.scan(day.phone.show_code(), purpose=steps.PURPOSE, case_number="J-2")
    old.expect_refusal(403, "code.revoked")


def test_i3__own_key__proves_every_call_and_signs_what_was_shown_until_frozen(
    phone: city.Phone, counter: city.DeskBrowser, store: shop.Shop, at: datetime
):
    thief = city.Phone(token=phone.token)
    assert city.problem(thief.send("GET", f"{city.RESIDENT}/me")) == (401, "proof.invalid")
    shop.fill(store, phone, 500_000, at=at)
    asked = store.till.pay(code_of(phone), amount_fen=150_000).json()
    assert asked["state"] == "confirming"
    path = f"/payments/{asked['id']}/confirmation"

    def confirm(**changes: Any) -> Any:
        shown = {"order": asked["id"], "payee": str(store.merchant.id), "amount_fen": 150_000}
        signed = phone.word(path, typ="vpass-confirm+jwt", at=clock.now(), **shown | changes)
        body = {"confirmation": signed}
        return phone.send("POST", f"{city.RESIDENT}{path}", body, key=city.new_key())

    for changes in ({"amount_fen": 1}, {"payee": city.new_key()}, {"order": city.new_key()}):
        assert city.problem(confirm(**changes))[0] == 422
    assert confirm().json()["state"] == "captured"

    code = code_of(phone)
    lost = as_role(counter, "hotline").send("POST", f"{city.COUNTER}/lost-phones", told())
    assert lost.json() == {"phones": 1}
    assert city.problem(counter.scan(code)) == (403, "code.revoked")
    assert city.problem(phone.send("GET", f"{city.RESIDENT}/me")) == (401, "token.unknown")


def test_i4__codes__made_without_network_good_for_a_minute_and_once_anywhere(
    phone: city.Phone, counter: city.DeskBrowser, kiosk: city.Machine
):
    grant, at = held(phone), clock.now()  # from here on the phone needs nobody

    one, next_one = grant.code(at), grant.code(at - timedelta(seconds=30))
    assert counter.scan(one).status_code == 200
    assert city.problem(kiosk.scan(one)) == (409, "code.already_used")
    assert kiosk.scan(next_one).status_code == 200
    old = grant.code(at - timedelta(seconds=90))
    assert city.problem(counter.scan(old)) == (410, "code.expired")

    body = {"scenes": ["id"]}  # a phone that can hold no key
    issued = phone.send("POST", f"{city.RESIDENT}/codes", body, key=city.new_key()).json()
    assert counter.scan(issued["code"]).status_code == 200
    assert city.problem(kiosk.scan(issued["code"])) == (409, "code.already_used")


def test_i5__one_code__the_scanner_decides_the_scene_within_what_was_signed(
    phone: city.Phone, kiosk: city.Machine, store: shop.Shop, bus_card: Card, at: datetime
):
    bus = wallets.open_bus(bus_card.issuer)
    shop.fill(store, phone, 10_000, at=at)

    seen = kiosk.scan(code_of(phone)).json()["fields"]
    paid = store.till.pay(code_of(phone)).json()
    ridden = bus.tap(code_of(phone)).json()
    id_only = code_of(phone, scenes=code_format.SCENES["id"])

    assert (list(seen), paid["state"], ridden["fare_fen"]) == (city.FIELDS, "captured", 200)
    assert city.problem(store.till.pay(id_only)) == (403, "code.scene_not_allowed")
    no_pay = code_format.ALL_SCENES & ~code_format.SCENES["pay"]
    assert city.problem(store.till.pay(code_of(phone, scenes=no_pay)))[1].endswith("not_allowed")
    assert bus.tap(code_of(phone, scenes=no_pay)).status_code == 200
    assert [line["scene"] for line in log(phone) if line["outcome"] == "accepted"] == [
        "bus", "bus", "pay", "id",
    ]  # fmt: skip


def test_i6__offline__keys_and_lists_on_the_scanner_refuse_the_revoked(
    phone: city.Phone, kiosk: city.Machine, counter: city.DeskBrowser, at: datetime
):
    mine, neighbours = held(phone), held(city.make_phone(1, at=at))
    status_list.sign_due(at=at)
    before = fetched(kiosk, at=at)
    as_role(counter, "hotline").send("POST", f"{city.COUNTER}/lost-phones", told())
    outbox.deliver_due(at=clock.now())  # the worker signs the list anew
    after = fetched(kiosk, at=at)

    assert decide(before, mine.code(at), at=at) is None
    assert decide(before, mine.code(at), at=at) is None  # another nonce
    code = neighbours.code(at)
    assert decide(after, mine.code(at), at=at) == "revoked"
    assert decide(after, code, at=at) is None
    assert decide(after, code, at=at) == "already_used"


def test_i7__paying_suspended__the_id_stays_good_and_each_source_lifts_its_own(
    phone: city.Phone, counter: city.DeskBrowser, kiosk: city.Machine, store: shop.Shop,
    at: datetime,
):  # fmt: skip
    shop.fill(store, phone, 10_000, at=at)
    path = f"{city.RESIDENT}/suspensions"
    mine = phone.send("POST", path, {"scope": "pay"}).json()
    by_risk = told() | {"source": "risk", "scope": "pay"}
    risk = as_role(counter, "risk")
    assert risk.send("POST", f"{city.COUNTER}/suspensions", by_risk).status_code == 200

    assert city.problem(store.till.pay(code_of(phone))) == (403, "code.pay_suspended")
    assert kiosk.scan(code_of(phone)).status_code == 200
    assert phone.send("POST", f"{path}/{mine['id']}/lift").json()["state"] == "lifted"
    assert city.problem(store.till.pay(code_of(phone))) == (403, "code.pay_suspended")
    lifted = risk.send("POST", f"{city.COUNTER}/suspensions/lift", by_risk)
    assert lifted.status_code == 200, lifted.content
    assert store.till.pay(code_of(phone)).json()["state"] == "captured"


def test_i8__counter__exactly_the_entitled_answers_and_a_reason_for_each_refusal(
    phone: city.Phone, counter: city.DeskBrowser, hall: Organisation
):
    Entitlement.objects.create(
        organisation=hall, scene="id", purpose="bar", purpose_zh="核验成年", purpose_en="Adult",
        attributes=["over_18"], knows_holder=False,
    )  # fmt: skip

    whole = counter.scan(code_of(phone)).json()
    yes_or_no = counter.scan(code_of(phone), purpose="bar").json()
    refused = counter.scan(code_of(phone), purpose="curiosity")

    person = city.PEOPLE[0]
    assert whole["fields"] == {
        "real_name": person.real_name, "id_last4": person.id_number[-4:], "over_18": True,
    }  # fmt: skip
    assert (yes_or_no["fields"], yes_or_no["holder"]) == ({"over_18": True}, None)
    assert city.problem(refused) == (403, "scan.not_entitled")
    assert refused.json()["title_zh"]


def test_i9__beyond_the_right__the_phone_approves_purpose_and_fields_or_nothing_is_told(
    phone: city.Phone, counter: city.DeskBrowser, hall: Organisation, at: datetime
):
    Entitlement.objects.update(may_ask=["phone"])
    scan = counter.scan(code_of(phone)).json()["scan"]
    over = counter.scan(code_of(phone), fields=["real_name", "birth_date"])
    assert city.problem(over) == (403, "scan.over_asking")
    assert ask(counter, scan, "phone").status_code == 201
    consent = Consent.objects.get()

    (shown,) = phone.send("GET", f"{city.RESIDENT}/consents").json()["items"]
    assert (shown["fields"], shown["purpose"]["code"]) == (["phone"], city.PURPOSE)
    assert city.problem(release(counter, consent))[0] == 409
    assert approve(phone, consent, at=at).status_code == 200
    assert release(counter, consent).json()["fields"] == {"phone": city.PEOPLE[0].phone}
    assert [(line["outcome"], line["asked"]) for line in log(phone)[1:2]] == [
        ("refused", ["birth_date"])
    ]


def test_i10__access_log__every_use_by_whom_where_and_which_fields_disputed_and_exported(
    phone: city.Phone, counter: city.DeskBrowser, kiosk: city.Machine, store: shop.Shop,
    bus_card: Card, at: datetime,
):  # fmt: skip
    shop.fill(store, phone, 10_000, at=at)
    counter.scan(code_of(phone))
    kiosk.scan(code_of(phone), purpose="curiosity")
    store.till.pay(code_of(phone))
    wallets.open_bus(bus_card.issuer).tap(code_of(phone))

    lines = log(phone)
    assert [(each["scene"], each["outcome"], each["fields"]) for each in lines] == [
        ("bus", "accepted", []),
        ("pay", "accepted", []),
        ("id", "refused", []),
        ("id", "accepted", city.FIELDS),
    ]
    assert all(each["organisation"]["zh"] and each["at"] for each in lines)
    assert city.PEOPLE[0].id_number not in str(lines)
    path = f"{city.RESIDENT}/access-log/{lines[-1]['id']}/dispute"
    assert phone.send("POST", path, {}, key=city.new_key()).json()["state"] == "open"
    told_all = export(phone, at=at).json()
    assert [each["id"] for each in told_all["lines"]] == [each["id"] for each in lines]


def test_i11__case_share__one_department_one_opening_and_the_finished_case(
    phone: city.Phone, bureau: city.Machine, hall: Organisation, at: datetime
):
    made = share(phone, bureau, at=at).json()
    stranger = city.make_department(hall, key_id="department-9")

    assert opening(stranger, made["handle"]).status_code == 404  # forwarded: worthless
    opened = opening(bureau, made["handle"]).json()
    assert opened["fields"]["id_number"] == city.PEOPLE[0].id_number
    assert city.problem(opening(bureau, made["handle"])) == (409, "share.spent")
    conclude(bureau, made["id"])

    (shown,) = phone.send("GET", f"{city.RESIDENT}/case-shares").json()["items"]
    assert (shown["state"], shown["result"]["decision"]) == ("concluded", "granted")


def test_i12__carer__acts_within_limits_seen_by_both_and_over_at_once(
    phone: city.Phone, counter: city.DeskBrowser, at: datetime
):
    carer = city.make_phone(1, at=at)
    agreed = cared(phone, carer, at=at, purposes=[city.PURPOSE])
    acting = held(carer, on_behalf_of=agreed)

    answer = counter.scan(acting.code(at)).json()
    beyond = counter.scan(acting.code(at), purpose="curiosity")

    assert answer["fields"]["real_name"] == city.PEOPLE[0].real_name
    assert answer["acting"]["kind"] == "care"
    assert city.problem(beyond)[0] == 403
    assert [line["outcome"] for line in log(phone)] == [line["outcome"] for line in log(carer)]
    assert end(phone, agreed).status_code == 200
    assert city.problem(counter.scan(acting.code(at)))[1] in (
        "code.delegation_over", "code.revoked",
    )  # fmt: skip


def test_i14__keys__published_before_they_sign_and_kept_until_nobody_needs_them(
    phone: city.Phone, counter: city.DeskBrowser, monkeypatch: pytest.MonkeyPatch
):
    def published() -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = city.send(
            "GET", "/.well-known/vpass-keys.json", None, {}
        ).json()["keys"]
        return found

    old, at = held(phone), clock.now()
    kids = {key["kid"] for key in published()}
    assert len(kids) == 2 and {key["alg"] for key in published()} == {"ES256"}
    later = at + keys.SIGNS_FOR + timedelta(minutes=1)
    keys.rotate(at=later)

    fresh = held(phone)
    before, now = (code_format.decode_grant(each.encoded).kid.hex() for each in (old, fresh))
    assert before != now and {before, now} == kids
    assert len(published()) == 3 and kids < {key["kid"] for key in published()}
    assert counter.scan(old.code(at)).status_code == 200
    assert counter.scan(fresh.code(at)).status_code == 200
