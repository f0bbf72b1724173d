"""A day's limit and the tries of a PIN under many hands: each is counted, and none too many."""

import os
from collections import Counter
from datetime import datetime

import pytest

from payments import history, pins
from payments.models import Order, PaymentPin, Spending
from payments.orders import Shown
from payments.settlement import windows
from tests import city
from tests.paying import PIN, digits, set_pin
from tests.shop import Shop, balance_fen, fill, open_shop, resident_of
from tests.together import together

pytestmark = pytest.mark.django_db(transaction=True)

ROUNDS = int(os.environ.get("VPASS_ROUNDS", "0"))
PAYERS, GUESSERS = 10, 20
PRICE_FEN = 20_000  # five of them are a day's limit of grade C
LIMIT_FEN = 100_000
CHANCES = 10  # of a race with its guard off


def rounds(short: int) -> int:
    """The full number of rounds under `make faults`, a short one in the suite."""
    return ROUNDS or short


def tell(name: str, *, tried: int, broken: int) -> None:
    print(f"faults {name}: {tried} tried, {broken} broken")


# One day's limit, many payments


@pytest.fixture
def shop(transactional_db: None, at: datetime) -> Shop:
    windows.ensure_open(at=at)
    return open_shop()


def used() -> int:
    return sum(Spending.objects.filter(grade="C").values_list("used_fen", flat=True))


def spend_at_once(shop: Shop, codes: list[str], at: datetime) -> Counter[str]:
    found = together(PAYERS, lambda n: shop.pay(codes[n], at=at, amount_fen=PRICE_FEN))
    return Counter(getattr(each, "state", repr(each)) for each in found)


def test_limit__ten_payments_and_room_for_five__five_captured(
    shop: Shop, phone: city.Phone, grant: city.HeldGrant, at: datetime
):
    tried, broken = rounds(short=2), 0
    fill(shop, phone, LIMIT_FEN * tried + PRICE_FEN, at=at)

    for _ in range(tried):
        codes = [digits(phone, at=at) if n % 2 else grant.code(at) for n in range(PAYERS)]
        seen = spend_at_once(shop, codes, at)
        broken += seen != {"captured": 5, "confirming": PAYERS - 5}
        broken += used() != LIMIT_FEN
        Spending.objects.all().delete()  # a new day

    tell("daily-limit", tried=tried, broken=broken)
    assert broken == 0
    assert balance_fen(phone) == PRICE_FEN
    assert Order.objects.filter(state="captured").count() == 5 * tried


@pytest.mark.parametrize("form", ["digits", "code"])
def test_limit__guard_off__the_same_race_goes_over_it(
    shop: Shop,
    phone: city.Phone,
    grant: city.HeldGrant,
    at: datetime,
    form: str,
    monkeypatch: pytest.MonkeyPatch,
):
    fill(shop, phone, PAYERS * PRICE_FEN * CHANCES, at=at)
    name, prefix = {"digits": ("_WRITE", ""), "code": ("_DEED", "deed_")}[form]
    bound = (
        "WHERE %(daily_fen)s::bigint IS NULL OR s.used_fen + EXCLUDED.used_fen <= %(daily_fen)s"
    ).replace("%(", f"%({prefix}")
    unbound = getattr(history, name).replace(bound, "")
    assert unbound != getattr(history, name)
    monkeypatch.setattr(history, name, unbound)

    worst = 0
    for _ in range(CHANCES):
        shown = [
            digits(phone, at=at) if form == "digits" else grant.code(at) for _ in range(PAYERS)
        ]
        worst = max(worst, spend_at_once(shop, shown, at)["captured"])
        Spending.objects.all().delete()
        if worst > 5:
            break

    assert worst > 5, "without the guard more is paid than the limit allows"


def test_limit__one_code_at_two_tills_and_full_meanwhile__one_order(
    shop: Shop, phone: city.Phone, grant: city.HeldGrant, at: datetime
):
    other = open_shop(name="白浪河书店", key_id="till-2", system=shop.system)
    fill(shop, phone, LIMIT_FEN * 2, at=at)
    shop.pay(grant.code(at), at=at, amount_fen=PRICE_FEN)
    Spending.objects.update(used_fen=LIMIT_FEN - 1)
    code = grant.code(at)

    found = together(4, lambda n: (shop if n % 2 else other).pay(code, at=at, amount_fen=1 + n % 2))

    assert sum(isinstance(each, Shown) for each in found) == 1
    assert Order.objects.count() == 2
    assert used() in (LIMIT_FEN - 1, LIMIT_FEN)


def test_limit__one_reference_at_once__counted_once(shop: Shop, phone: city.Phone, at: datetime):
    tried, broken = rounds(short=1), 0
    fill(shop, phone, LIMIT_FEN * tried, at=at)

    for number in range(tried):
        codes = [digits(phone, at=at) for _ in range(PAYERS)]
        together(
            PAYERS,
            lambda n, codes=codes, number=number: shop.pay(
                codes[n], at=at, amount_fen=700, merchant_reference=f"A-{number}"
            ),
        )
        broken += used() != 700 or Order.objects.count() != number + 1
        Spending.objects.all().delete()

    tell("daily-limit-reference", tried=tried, broken=broken)
    assert broken == 0


# Ten tries of a PIN, twenty guesses


def guess_together(phone: city.Phone) -> int:
    """How many of twenty wrong guesses at once were judged at all."""
    seen = together(GUESSERS, lambda n: pins.prove(resident_id=resident_of(phone), pin=f"{n:06d}"))
    return sum(isinstance(each, pins.PinWrong | datetime) for each in seen)


def tries() -> int:
    return PaymentPin.objects.get().tries


def test_prove__twenty_guesses_at_once__nine_judged_and_the_tenth_locks(
    phone: city.Phone, at: datetime
):
    set_pin(phone, at=at)
    tried, broken = rounds(short=3), 0

    for _ in range(tried):
        PaymentPin.objects.update(tries=0)
        broken += guess_together(phone) != pins.MAX_TRIES - 1
        broken += tries() != pins.MAX_TRIES
        with pytest.raises(pins.PinLocked):
            pins.prove(resident_id=resident_of(phone), pin=PIN)

    tell("pin-tries", tried=tried, broken=broken)
    assert broken == 0


def test_prove__guard_off__the_same_race_judges_more(
    phone: city.Phone, at: datetime, monkeypatch: pytest.MonkeyPatch
):
    set_pin(phone, at=at)
    PaymentPin.objects.update(tries=9)
    # Looked at first, and counted as it was seen.
    unsafe = (
        "SELECT pin_hash, tries, set_at, pg_sleep(0.1) FROM payments_paymentpin"
        " WHERE resident_id = %(resident)s AND tries < %(most)s"
    )
    monkeypatch.setattr(pins, "_TAKE_TRY", f"SELECT pin_hash, tries, set_at FROM ({unsafe}) seen")

    assert any(guess_together(phone) > 1 for _ in range(CHANCES)), (
        "without the guard more is judged than is left"
    )
