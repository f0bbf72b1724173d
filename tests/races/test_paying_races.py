"""Pay codes under many hands at once: each is used once, whatever two tills do."""

import os
from collections import Counter
from datetime import datetime

import pytest

from payments import pay_codes
from payments.models import Order, PaymentLimit
from payments.settlement import windows
from tests import city
from tests.paying import digits
from tests.shop import Shop, balance_fen, fill, open_shop
from tests.together import together

pytestmark = pytest.mark.django_db(transaction=True)

ROUNDS = int(os.environ.get("VPASS_ROUNDS", "0"))
HANDS = 20
PRICE_FEN = 100


@pytest.fixture
def shop(transactional_db: None, at: datetime) -> Shop:
    windows.ensure_open(at=at)
    PaymentLimit.objects.update(daily_fen=None)
    return open_shop()


def use_at_once(shop: Shop, code: str, at: datetime) -> Counter[str]:
    found = together(HANDS, lambda _: shop.pay(code, at=at, amount_fen=PRICE_FEN))
    return Counter(getattr(each, "state", getattr(each, "code", repr(each))) for each in found)


def test_pay_code__twenty_scans_at_once__one_payment(
    shop: Shop, phone: city.Phone, at: datetime, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(pay_codes, "TRIES", 10**6)
    tried, broken = ROUNDS or 5, 0
    fill(shop, phone, HANDS * PRICE_FEN * tried, at=at)

    for _ in range(tried):
        seen = use_at_once(shop, digits(phone, at=at), at)
        broken += seen != {"captured": 1, "pay_code.not_valid": HANDS - 1}

    print(f"faults pay-code: {tried} tried, {broken} broken")
    assert broken == 0
    assert Order.objects.count() == tried
    assert balance_fen(phone) == (HANDS - 1) * PRICE_FEN * tried


def test_pay_code__guard_off__the_same_race_pays_twice(
    shop: Shop, phone: city.Phone, at: datetime, monkeypatch: pytest.MonkeyPatch
):
    fill(shop, phone, 1_000_000, at=at)
    unguarded = pay_codes._USE.replace("used_at IS NULL AND", "")
    assert unguarded != pay_codes._USE
    monkeypatch.setattr(pay_codes, "_USE", unguarded)

    seen = use_at_once(shop, digits(phone, at=at), at)

    assert seen["captured"] > 1, "without the guard a code pays twice"


def test_guessing__many_at_once__every_try_is_counted(
    shop: Shop, phone: city.Phone, at: datetime, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(pay_codes, "TRIES", 5)
    guess = pay_codes.PREFIX + "1" * 15
    guess += pay_codes.check_digit(guess)
    tried, broken = ROUNDS or 1, 0

    for number in range(tried):
        moment = at + number * pay_codes.TRIES_PER
        seen = use_at_once(shop, guess, moment)
        later = use_at_once(shop, guess, moment)
        broken += seen["pay_code.not_valid"] < 5
        broken += later != {"pay_code.too_many_tries": HANDS}

    print(f"faults pay-code-guesses: {tried} tried, {broken} broken")
    assert broken == 0
