"""From a phone number to a proven identity: what counts, what is refused, what stays undone."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.conf import settings

from identity import devices, enrolment
from identity.models import AccessToken, Device, Enrolment, Resident, StateChange
from identity.register import RegisterUnavailable
from tests import city
from tests.statements import statements
from vpass.common import sms
from vpass.common.errors import NotFound
from vpass.common.limits import LimitReached
from vpass.common.models import IdempotencyRecord, OutboxDelivery
from vpass.common.outbox import Event

pytestmark = pytest.mark.django_db(transaction=True)

NUMBER = "13900000001"
AT = datetime(2026, 3, 1, 4, 0, tzinfo=UTC)


def start(phone: city.Phone, number: str = NUMBER, *, at: datetime = AT) -> Enrolment:
    return enrolment.start_enrolment(
        public=phone.key.public_key(), thumbprint=phone.thumbprint, phone=number, at=at
    )


def confirm(
    phone: city.Phone, started: Enrolment, code: str | None = None, *, at: datetime = AT
) -> devices.TokenIssued:
    return enrolment.confirm_phone(
        enrolment_id=started.id,
        thumbprint=phone.thumbprint,
        one_time_code=code or started.one_time_code,
        at=at,
    )


def wrong(started: Enrolment) -> str:
    return f"{(int(started.one_time_code) + 1) % 10**6:06d}"


def prove(phone: city.Phone, person: Any, **changes: Any) -> int:
    asked: dict[str, Any] = {
        "caller": phone.caller,
        "register": city.StubRegister(),
        "real_name": person.real_name,
        "id_number": person.id_number,
        "idempotency_key": city.idempotency(phone.caller.scope),
        "at": AT,
    }
    return enrolment.prove_identity(**asked | changes)


@pytest.fixture
def newcomer() -> city.Phone:
    """A phone at level 1."""
    return city.make_phone(0, level=1, at=AT)


# Starting


def test_start__number__code_goes_out_once_and_stands_nowhere_in_clear():
    started = start(city.Phone())

    delivery = OutboxDelivery.objects.get()
    assert delivery.payload == {"enrolment_id": str(started.id)}
    assert len(started.one_time_code) == 6 and started.one_time_code.isdigit()
    assert started.expires_at == AT + timedelta(minutes=5)
    assert Resident.objects.count() == 0


@pytest.mark.parametrize(
    "number",
    ["", "1390000000", "139000000012", "23900000001", "12900000001", "+8613900000001",
     "１３９００００００００１", "13900000001\n", " 13900000001", "1390000000a"],
)  # fmt: skip
def test_start__no_mobile_number__refused_and_nothing_sent(number: str):
    with pytest.raises(enrolment.PhoneInvalid):
        start(city.Phone(), number)
    assert Enrolment.objects.count() == OutboxDelivery.objects.count() == 0


def test_start__twice_in_a_minute__refused_whichever_phone_asks():
    start(city.Phone())

    with pytest.raises(LimitReached) as caught:
        start(city.Phone(), at=AT + timedelta(seconds=59))

    assert caught.value.retry_after == 1
    assert Enrolment.objects.count() == 1
    start(city.Phone(), at=AT + timedelta(seconds=60))


def test_start__eleventh_code_of_a_day__refused():
    for minute in range(10):
        start(city.Phone(), at=AT + timedelta(minutes=minute))

    with pytest.raises(LimitReached):
        start(city.Phone(), at=AT + timedelta(minutes=10))
    assert Enrolment.objects.count() == OutboxDelivery.objects.count() == 10


def test_start__number_with_an_account__answers_like_any_other(newcomer: city.Phone):
    number = newcomer.device.resident.phone

    with statements() as known:
        started = start(city.Phone(), number)
    with statements() as unknown:
        start(city.Phone(), "13700000000")

    assert started.state == "phone_given"
    assert len(known) == len(unknown)


# The text message


def test_send_one_time_code__waiting__code_in_both_languages(monkeypatch: pytest.MonkeyPatch):
    sent: list[dict[str, Any]] = []
    monkeypatch.setattr(sms, "send_text", lambda **message: sent.append(message))
    at = city.clock.now()
    started = start(city.Phone(), at=at)
    event = _event(started, at=at)

    enrolment.send_one_time_code(event)

    assert sent[0]["to"] == NUMBER
    assert sent[0]["text"].count(started.one_time_code) == 2
    assert sent[0]["message_id"] == event.id


@pytest.mark.parametrize("why", ["lapsed", "used"])
def test_send_one_time_code__no_longer_of_use__not_sent(monkeypatch: pytest.MonkeyPatch, why: str):
    sent: list[dict[str, Any]] = []
    monkeypatch.setattr(sms, "send_text", lambda **message: sent.append(message))
    at = city.clock.now() - timedelta(minutes=5 if why == "lapsed" else 1)
    phone = city.Phone()
    started = start(phone, at=at)
    if why == "used":
        confirm(phone, started, at=at)

    enrolment.send_one_time_code(_event(started, at=at))

    assert sent == []


def _event(started: Enrolment, *, at: datetime) -> Event:
    row = OutboxDelivery.objects.get()
    return Event(id=row.event_id, name=row.name, payload=row.payload, published_at=at, attempt=1)


# Confirming


def test_confirm__right_code__account_device_token_and_history():
    phone = city.Phone()

    issued = confirm(phone, start(phone), at=AT + timedelta(minutes=4, seconds=59))

    resident, device = Resident.objects.get(), Device.objects.get()
    assert (resident.level, resident.state, resident.phone) == (1, "active", NUMBER)
    assert (device.resident_id, device.thumbprint) == (resident.id, phone.thumbprint)
    assert bytes(device.point) == city.signing.public_point(phone.key)
    assert issued.expires_in_s == 900
    token = AccessToken.objects.get()
    assert bytes(token.token_hash) == city.key_proofs.token_hash(issued.access_token)
    change = StateChange.objects.get()
    assert (change.from_state, change.to_state, change.event) == (
        "phone_given", "phone_proven", "confirm_phone",
    )  # fmt: skip
    assert change.actor == f"device:{phone.thumbprint}"


def test_confirm__wrong_code__counted_and_nothing_made():
    phone = city.Phone()
    started = start(phone)

    for left in (4, 3, 2, 1, 0):
        with pytest.raises(enrolment.CodeWrong) as caught:
            confirm(phone, started, wrong(started))
        assert caught.value.members == {"tries_left": left}

    with pytest.raises(enrolment.EnrolmentOver):
        confirm(phone, started)
    assert Enrolment.objects.get().state == "failed"
    assert Resident.objects.count() == Device.objects.count() == AccessToken.objects.count() == 0


def test_confirm__fifth_try_right__still_good():
    phone = city.Phone()
    started = start(phone)
    for _ in range(4):
        with pytest.raises(enrolment.CodeWrong):
            confirm(phone, started, wrong(started))

    confirm(phone, started)

    assert Enrolment.objects.get().state == "phone_proven"


def test_confirm__after_five_minutes__over():
    phone = city.Phone()
    started = start(phone)

    with pytest.raises(enrolment.EnrolmentOver):
        confirm(phone, started, at=AT + timedelta(minutes=5))
    assert Resident.objects.count() == 0


def test_confirm__twice__second_over():
    phone = city.Phone()
    started = start(phone)
    confirm(phone, started)

    with pytest.raises(enrolment.EnrolmentOver):
        confirm(phone, started)
    assert Resident.objects.count() == AccessToken.objects.count() == 1


def test_confirm__another_phones_enrolment__not_found_and_no_try_counted():
    started = start(city.Phone())

    with pytest.raises(NotFound):
        confirm(city.Phone(), started)
    assert Enrolment.objects.get().tries == 0


def test_confirm__number_has_an_account__taken_and_nothing_half_made(newcomer: city.Phone):
    phone = city.Phone()
    started = start(phone, newcomer.device.resident.phone)

    with pytest.raises(enrolment.PhoneTaken):
        confirm(phone, started)

    row = Enrolment.objects.get()
    assert (row.state, row.tries) == ("phone_given", 1)
    assert Resident.objects.count() == Device.objects.count() == 1
    assert StateChange.objects.count() == 0


def test_confirm__key_is_bound_already__taken_and_no_account_left(newcomer: city.Phone):
    started = start(newcomer, "13700000000")

    with pytest.raises(devices.DeviceTaken):
        confirm(newcomer, started)

    assert Resident.objects.count() == Device.objects.count() == 1
    assert Enrolment.objects.get().tries == 1


def test_confirm__number_of_a_closed_account__free_again(newcomer: city.Phone):
    Resident.objects.update(state="closed")
    phone = city.Phone()

    confirm(phone, start(phone, city.PEOPLE[0].phone))

    assert Resident.objects.exclude(state="closed").count() == 1


def test_purge__lapsed_and_old__ended_and_forgotten():
    phone = city.Phone()
    started = start(phone)
    confirm(city_phone := city.Phone(), start(city_phone, "13900000002"))

    enrolment.purge(at=AT + timedelta(minutes=4))
    assert Enrolment.objects.filter(state="phone_given").count() == 1
    enrolment.purge(at=AT + timedelta(minutes=5))

    assert Enrolment.objects.get(id=started.id).state == "expired"
    with pytest.raises(enrolment.EnrolmentOver):
        confirm(phone, started)
    enrolment.purge(at=AT + timedelta(days=31))
    assert Enrolment.objects.count() == 0
    assert Resident.objects.count() == 1


# Proving


def test_prove__name_and_number_belong_together__level_two(newcomer: city.Phone):
    person = city.PEOPLE[0]

    assert prove(newcomer, person) == 2

    resident = Resident.objects.get()
    assert (resident.level, resident.real_name, resident.id_number) == (
        2, person.real_name, person.id_number,
    )  # fmt: skip
    assert bytes(resident.census_hash) == city.lookup_hash("census", person.census_id)


def test_prove__lower_case_check_letter__taken_as_x(newcomer: city.Phone):
    person = next(each for each in city.PEOPLE if each.id_number.endswith("X") and each.is_living)

    assert prove(newcomer, person, id_number=person.id_number.lower()) == 2
    assert Resident.objects.get().id_number == person.id_number


@pytest.mark.parametrize(
    "changes",
    [
        {"id_number": "37070219800101990"},
        {"id_number": "3707021980010199021"},
        {"id_number": "370702198001019900"},  # check digit
        {"id_number": "３７０７０２１９８００１０１９９０２"},
        {"id_number": ""},
        {"real_name": ""},
        {"real_name": "王"},
        {"real_name": "王 "},
        {"real_name": "王1"},
        {"real_name": "·王·"},
        {"real_name": "王" * 51},
        {"real_name": "王<b>"},
    ],
)
def test_prove__malformed__refused_before_the_register_is_asked(
    newcomer: city.Phone, changes: dict[str, str]
):
    register = city.StubRegister()

    with pytest.raises(enrolment.IdentityFormInvalid):
        prove(newcomer, city.PEOPLE[0], register=register, **changes)

    assert register.asked == 0
    assert Resident.objects.get().level == 1


@pytest.mark.parametrize("born", ["19800230", "19801301", "20230229", "00000101"])
def test_prove__birth_date_that_is_none__refused(newcomer: city.Phone, born: str):
    first_17 = f"370702{born}990"
    number = first_17 + city.population.check_character(first_17)

    with pytest.raises(enrolment.IdentityFormInvalid):
        prove(newcomer, city.PEOPLE[0], id_number=number)


def test_prove__not_known_together__refused_and_nothing_kept(newcomer: city.Phone):
    with pytest.raises(enrolment.IdentityNotMatched):
        prove(newcomer, city.PEOPLE[0], real_name=city.PEOPLE[1].real_name + "海")

    resident = Resident.objects.get()
    assert (resident.level, resident.real_name, resident.id_number) == (1, None, None)
    assert IdempotencyRecord.objects.count() == 0


def test_prove__dead_person__not_matched(newcomer: city.Phone):
    with pytest.raises(enrolment.IdentityNotMatched):
        prove(newcomer, city.PEOPLE[city.population.DECEASED])


def test_prove__register_away__refused_and_the_same_key_works_later(newcomer: city.Phone):
    class Away:
        def match(self, **asked: Any) -> None:
            raise RegisterUnavailable(retry_after=10)

    key = city.idempotency(newcomer.caller.scope)
    with pytest.raises(RegisterUnavailable):
        prove(newcomer, city.PEOPLE[0], register=Away(), idempotency_key=key)

    assert Resident.objects.get().level == 1
    assert prove(newcomer, city.PEOPLE[0], idempotency_key=key) == 2


def test_prove__person_with_another_account__taken(newcomer: city.Phone):
    other = city.make_phone(1, level=1, at=AT)
    prove(other, city.PEOPLE[0])

    with pytest.raises(enrolment.IdentityTaken):
        prove(newcomer, city.PEOPLE[0])

    mine = Resident.objects.get(id=newcomer.device.resident_id)
    assert (mine.level, mine.real_name, mine.census_hash) == (1, None, None)


def test_prove__after_the_other_account_was_closed__free_again(newcomer: city.Phone):
    other = city.make_phone(1, level=1, at=AT)
    prove(other, city.PEOPLE[0])
    Resident.objects.filter(id=other.device.resident_id).update(state="closed")

    assert prove(newcomer, city.PEOPLE[0]) == 2


def test_prove__same_key_again__same_level_and_the_register_not_asked(newcomer: city.Phone):
    register, key = city.StubRegister(), city.idempotency(newcomer.caller.scope)

    for _ in range(3):
        assert prove(newcomer, city.PEOPLE[0], register=register, idempotency_key=key) == 2

    assert register.asked == 1


def test_prove__another_key_when_proven__refused(newcomer: city.Phone):
    prove(newcomer, city.PEOPLE[0])

    with pytest.raises(enrolment.IdentityProven):
        prove(newcomer, city.PEOPLE[0])


def test_prove__sixth_try_of_a_day__refused_unasked(newcomer: city.Phone):
    register = city.StubRegister()
    for _ in range(5):
        with pytest.raises(enrolment.IdentityNotMatched):
            prove(newcomer, city.PEOPLE[0], register=register, real_name="王五五")

    with pytest.raises(LimitReached):
        prove(newcomer, city.PEOPLE[0], register=register)

    assert register.asked == 5


# Over HTTP


def test_enrolment__over_http__from_number_to_account(monkeypatch: pytest.MonkeyPatch):
    phone = city.Phone()

    started = phone.send("POST", f"{city.RESIDENT}/enrolments", {"phone": NUMBER})
    code = Enrolment.objects.get().one_time_code
    path = f"{city.RESIDENT}/enrolments/{started.json()['enrolment_id']}/phone-proof"
    proven = phone.send("POST", path, {"one_time_code": code})

    assert started.status_code == 201
    assert started.json().keys() == {"enrolment_id", "expires_at", "server_time"}
    assert proven.status_code == 200
    assert proven.json()["token_type"] == "DPoP"
    assert proven.json()["resident"] == {"level": 1}
    phone.token = proven.json()["access_token"]
    me = phone.send("GET", f"{city.RESIDENT}/me").json()
    assert me["masked_phone"] == "139****0001"
    assert settings.PUBLIC_URL not in str(me)


def test_confirm__over_http__each_refusal_its_code():
    phone = city.Phone()
    started = phone.send("POST", f"{city.RESIDENT}/enrolments", {"phone": NUMBER}).json()
    row = Enrolment.objects.get()
    path = f"{city.RESIDENT}/enrolments/{started['enrolment_id']}/phone-proof"

    seen = [city.problem(phone.send("POST", path, {"one_time_code": wrong(row)})) for _ in range(5)]
    over = city.problem(phone.send("POST", path, {"one_time_code": row.one_time_code}))
    soon = phone.send("POST", f"{city.RESIDENT}/enrolments", {"phone": NUMBER})

    assert seen == [(422, "enrolment.code_wrong")] * 5
    assert over == (410, "enrolment.over")
    assert city.problem(soon) == (429, "limit.reached")
    assert 1 <= int(soon["Retry-After"]) <= 60
