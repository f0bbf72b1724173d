"""The payment PIN: set with the phone's signature, tried ten times, then locked."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from identity.receipts import WordInvalid
from payments import pins
from payments.models import PaymentPin
from tests import city
from tests.paying import PIN, pin_word, set_pin
from tests.shop import resident_of
from tests.together import together
from vpass.common.models import AuditEvent

pytestmark = pytest.mark.django_db(transaction=True)

PATH = f"{city.RESIDENT}/payment-pin"
OTHER = "739164"


def prove(phone: city.Phone, pin: str) -> None:
    pins.prove(resident_id=resident_of(phone), pin=pin)


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


def test_prove__ten_wrong__locked_until_set_anew_with_name_and_id_number(
    phone: city.Phone, at: datetime
):
    person = city.PEOPLE[0]
    set_pin(phone, at=at)
    PaymentPin.objects.update(tries=9)
    with pytest.raises(pins.PinLocked):
        prove(phone, OTHER)

    with pytest.raises(pins.PinLocked):
        prove(phone, PIN)
    assert phone.send("GET", PATH).json() == {"is_set": True, "is_locked": True}
    with pytest.raises(pins.PinLocked):
        set_pin(phone, pin=OTHER, present_pin=PIN, at=at)
    proofs: list[dict[str, str]] = [{}, {"real_name": person.real_name}]
    proofs.append({"real_name": person.real_name, "id_number": city.PEOPLE[1].id_number})
    for proof in proofs:
        with pytest.raises(pins.PinProofNeeded):
            set_pin(phone, pin=OTHER, at=at, **proof)
    assert tries() == 10
    set_pin(phone, pin=OTHER, real_name=person.real_name, id_number=person.id_number, at=at)

    prove(phone, OTHER)
    later = at + timedelta(seconds=1)
    with pytest.raises(pins.PinWrong):
        set_pin(phone, pin=PIN, present_pin=PIN, at=later)
    set_pin(phone, pin=PIN, present_pin=OTHER, at=later)
    prove(phone, PIN)


def guess_together(phone: city.Phone) -> int:
    """How many of twenty wrong guesses at once were judged at all."""
    seen = together(20, lambda number: prove(phone, f"{number:06d}"))
    return sum(isinstance(each, pins.PinWrong) or each is None for each in seen)


def test_prove__twenty_guesses_at_once__nine_judged_and_the_tenth_locks(
    phone: city.Phone, at: datetime
):
    set_pin(phone, at=at)

    assert guess_together(phone) == 9
    assert tries() == 10


def test_prove__guard_off__the_same_race_judges_more(
    phone: city.Phone, at: datetime, monkeypatch: pytest.MonkeyPatch
):
    set_pin(phone, at=at)
    PaymentPin.objects.update(tries=9)
    # Looked at first, and counted as it was seen.
    unsafe = (
        "SELECT pin_hash, tries, pg_sleep(0.1) FROM payments_paymentpin"
        " WHERE resident_id = %(resident)s AND tries < %(most)s"
    )
    monkeypatch.setattr(pins, "_TAKE_TRY", f"SELECT pin_hash, tries FROM ({unsafe}) seen")

    assert guess_together(phone) > 1, "without the guard more is judged than is left"
