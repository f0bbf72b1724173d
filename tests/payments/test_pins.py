"""The payment PIN: set with the phone's signature, tried ten times, then locked."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from identity import enrolment
from identity.models import Resident
from identity.receipts import WordInvalid
from payments import pins
from payments.models import PaymentPin
from tests import city
from tests.paying import PIN, pin_word, set_pin
from tests.shop import resident_of
from tests.together import together
from vpass.common import limits
from vpass.common.errors import NotFound
from vpass.common.models import AuditEvent

pytestmark = pytest.mark.django_db(transaction=True)

PATH = f"{city.RESIDENT}/payment-pin"
OTHER = "739164"


def prove(phone: city.Phone, pin: str) -> None:
    pins.prove(resident_id=resident_of(phone), pin=pin)


def reset(
    phone: city.Phone, *, at: datetime, number: str | None = None, **changes: str
) -> pins.Reset:
    """A code by SMS to the account's number, asked for by this phone, with name and ID number."""
    person = city.PEOPLE[0]
    begun = enrolment.start_enrolment(
        public=phone.key.public_key(),
        thumbprint=phone.thumbprint,
        phone=number or Resident.objects.get(id=resident_of(phone)).phone,
        at=at,
    )
    good = pins.Reset(
        enrolment_id=begun.id,
        one_time_code=begun.one_time_code,
        real_name=person.real_name,
        id_number=person.id_number,
    )
    return replace(good, **changes)


def tries() -> int:
    return PaymentPin.objects.get().tries


def test_set__over_http__kept_as_argon2_of_a_keyed_hash(phone: city.Phone, at: datetime):
    assert phone.send("GET", PATH).json() == {"is_set": False, "is_locked": False}

    answer = phone.send("PUT", PATH, {"pin": PIN, "word": pin_word(phone, at=at)})

    assert answer.status_code == 200, answer.content
    assert answer.json() == {"is_set": True, "is_locked": False}
    row = PaymentPin.objects.get()
    assert row.pin_hash.startswith("argon2$")
    assert not pins.check_password(PIN, row.pin_hash)
    prove(phone, PIN)
    assert AuditEvent.objects.get(action="payment_pin.set").detail == {}


@pytest.mark.parametrize(
    "pin",
    ["48291", "4829155", "４８２９１５", "48291a", " 48291", 482915, None, ""],
    ids=["short", "long", "full-width", "letter", "blank", "number", "null", "empty"],
)
def test_set__no_six_digits__refused(phone: city.Phone, at: datetime, pin: Any):
    answer = phone.send("PUT", PATH, {"pin": pin, "word": pin_word(phone, at=at)})

    assert city.problem(answer) == (400, "request.invalid")
    assert not PaymentPin.objects.exists()


def test_set__too_simple_or_badly_signed__refused(phone: city.Phone, at: datetime):
    end = city.PEOPLE[0].id_number[-6:]
    for simple in ("111111", "123456", "987654", "567890", end if end.isdigit() else "000000"):
        with pytest.raises(pins.PinTooSimple):
            set_pin(phone, pin=simple, at=at)
    assert not PaymentPin.objects.exists()
    used = pin_word(phone, at=at, jti="one-and-the-same")
    pins.set_pin(caller=phone.caller, pin=PIN, word=used, at=at)
    for word in (
        used,
        pin_word(phone, at=at, iat=0),
        pin_word(phone, at=at, aud="https://elsewhere.example/"),
        pin_word(city.Phone(), at=at),
    ):
        with pytest.raises(WordInvalid):
            pins.set_pin(caller=phone.caller, pin=OTHER, present_pin=PIN, word=word, at=at)
    prove(phone, PIN)


def test_prove__nine_wrong_then_right__goes_on(phone: city.Phone, at: datetime):
    with pytest.raises(pins.PinNotSet):
        prove(phone, PIN)
    set_pin(phone, at=at)

    for left in range(9, 0, -1):
        with pytest.raises(pins.PinWrong) as refused:
            prove(phone, OTHER)
        assert refused.value.members == {"tries_left": left}
    prove(phone, PIN)

    assert tries() == 0


def test_prove__ten_wrong__locked_until_set_anew_with_sms_name_and_id_number(
    phone: city.Phone, at: datetime
):
    set_pin(phone, at=at)
    PaymentPin.objects.update(tries=9)
    with pytest.raises(pins.PinLocked):
        prove(phone, OTHER)

    with pytest.raises(pins.PinLocked):
        prove(phone, PIN)
    assert phone.send("GET", PATH).json() == {"is_set": True, "is_locked": True}
    with pytest.raises(pins.PinLocked):
        set_pin(phone, pin=OTHER, present_pin=PIN, at=at)
    for proof in (None, reset(phone, at=at, id_number=city.PEOPLE[1].id_number)):
        with pytest.raises(pins.PinProofNeeded):
            set_pin(phone, pin=OTHER, at=at, reset=proof)
    good = reset(phone, at=at + timedelta(minutes=2))
    wrong = f"{(int(good.one_time_code) + 1) % 10**6:06d}"
    for proof in (
        replace(good, one_time_code=wrong),
        reset(phone, at=at + timedelta(minutes=4), number="13800000000"),
    ):
        with pytest.raises(enrolment.CodeWrong):
            set_pin(phone, pin=OTHER, at=at, reset=proof)
    with pytest.raises(NotFound):
        set_pin(phone, pin=OTHER, at=at, reset=reset(city.Phone(), at=at, number="13900000000"))
    assert tries() == 10
    limits.clear(pins.RESETS, phone.caller.scope)
    set_pin(phone, pin=OTHER, reset=good, at=at)
    with pytest.raises(enrolment.EnrolmentOver):
        set_pin(phone, pin=PIN, reset=good, at=at)

    prove(phone, OTHER)
    later = at + timedelta(seconds=1)
    with pytest.raises(pins.PinWrong):
        set_pin(phone, pin=PIN, present_pin=PIN, at=later)
    set_pin(phone, pin=PIN, present_pin=OTHER, at=later)
    prove(phone, PIN)


def test_set__the_pin_that_stands__done_without_a_change_and_a_guess_counts(
    phone: city.Phone, at: datetime
):
    person = city.PEOPLE[0]
    set_pin(phone, at=at)
    prove(phone, PIN)
    later = at + timedelta(hours=1)

    set_pin(phone, pin=PIN, present_pin=OTHER, at=later)  # again after a lost answer
    set_pin(phone, pin=PIN, at=later)

    assert (tries(), PaymentPin.objects.get().set_at) == (0, at)
    with pytest.raises(pins.PinProofNeeded):
        set_pin(phone, pin=OTHER, at=later)
    assert tries() == 1
    resident = Resident.objects.get(id=resident_of(phone))
    resident.id_number = person.id_number[:-6] + OTHER
    resident.save()
    for present in (None, "593827"):  # whether it ends the ID number is told after the proof
        with pytest.raises((pins.PinProofNeeded, pins.PinWrong)):
            set_pin(phone, pin=OTHER, present_pin=present, at=later)
    with pytest.raises(pins.PinTooSimple):
        set_pin(phone, pin=OTHER, present_pin=PIN, at=later)
    prove(phone, PIN)


def test_set__two_first_ones_at_once__one_stands(phone: city.Phone, at: datetime):
    words = [pin_word(phone, at=at) for _ in range(4)]

    seen = together(
        4,
        lambda n: pins.set_pin(caller=phone.caller, pin=f"48291{n}", word=words[n], at=at),
    )

    assert seen.count(None) == 1, seen
    prove(phone, f"48291{seen.index(None)}")
