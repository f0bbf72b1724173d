"""How much may be paid by barcode a day, by how the payer is verified; counted to the fen."""

from collections import Counter
from datetime import datetime, timedelta

import pytest

from identity.models import Device, Redemption, Resident
from payments import history, pins
from payments.grades import LimitExceeded, PinNeeded
from payments.ledger import InsufficientFunds
from payments.models import Order, PaymentLimit, PaymentPin, Posting, Spending
from payments.orders import Shown
from tests import city
from tests.paying import PIN, confirm_with, digits, set_pin
from tests.shop import Shop, balance_fen, fill, open_shop
from tests.together import together
from vpass.common.clock import city_date

pytestmark = pytest.mark.django_db(transaction=True)


def used(grade: str) -> int:
    return sum(Spending.objects.filter(grade=grade).values_list("used_fen", flat=True))


def test_limits__as_the_central_bank_sets_them():
    rows = PaymentLimit.objects.filter(device="software").order_by("grade", "id")

    assert list(rows.values_list("means", "grade", "daily_fen")) == [
        ("signature", "B", 500_000),
        ("pin", "B", 500_000),
        ("code", "C", 100_000),
        ("static", "D", 50_000),
    ]
    assert Counter(PaymentLimit.objects.filter(device="hardware").values_list("grade")) == {
        ("A",): 2, ("B",): 1, ("C",): 1, ("D",): 1,
    }  # fmt: skip


def test_code__day_is_full__stepped_up_to_the_payers_word_and_free_again_tomorrow(
    shop: Shop, payer: city.Phone, grant: city.HeldGrant, at: datetime
):
    paid = [shop.pay(grant.code(at), at=at, amount_fen=fen) for fen in (60_000, 40_000, 1)]

    assert [each.state for each in paid] == ["captured", "captured", "confirming"]
    assert used("C") == 100_000
    shop.refund(paid[0].id, 60_000, at=at)
    assert used("C") == 100_000  # a refund gives nothing back
    assert confirm_with(payer, paid[2].id, None, at=at).state == "captured"
    assert used("B") == 1
    morrow = at + timedelta(days=1)
    assert shop.pay(digits(payer, at=morrow), at=morrow, amount_fen=100_000).state == "captured"
    assert Spending.objects.get(on_date=city_date(morrow)).used_fen == 100_000


def test_code__refused_or_a_reference_taken__nothing_counted(
    shop: Shop, phone: city.Phone, grant: city.HeldGrant, at: datetime
):
    fill(shop, phone, 10_000, at=at)
    shop.pay(grant.code(at), at=at, amount_fen=4_000, merchant_reference="A-1")

    with pytest.raises(InsufficientFunds):
        shop.pay(grant.code(at), at=at, amount_fen=50_000)
    with pytest.raises(Exception, match="reference"):
        shop.pay(grant.code(at), at=at, amount_fen=500, merchant_reference="A-1")

    assert (used("C"), balance_fen(phone)) == (4_000, 6_000)


def test_confirm__above_b_in_software__refused_whatever_the_pin(
    shop: Shop, payer: city.Phone, grant: city.HeldGrant, at: datetime
):
    set_pin(payer, at=at)
    first, second = (
        shop.pay(grant.code(at), at=at, amount_fen=fen).id for fen in (400_000, 100_001)
    )
    assert confirm_with(payer, first, None, at=at).state == "captured"

    for pin in (None, PIN):
        with pytest.raises(LimitExceeded):
            confirm_with(payer, second, pin, at=at)

    assert Order.objects.get(id=second).state == "confirming"
    assert (used("B"), balance_fen(payer)) == (400_000, 600_000)


def test_confirm__hardware_key__the_pin_opens_grade_a(
    shop: Shop, phone: city.Phone, grant: city.HeldGrant, at: datetime
):
    fill(shop, phone, 9_000_000, at=at)
    Device.objects.update(grade="hardware", attested_root="root", attestation_challenge=b"c" * 32)
    large = shop.pay(grant.code(at), at=at, amount_fen=500_001).id
    with pytest.raises(PinNeeded):
        confirm_with(phone, large, None, at=at)
    with pytest.raises(pins.PinNotSet):
        confirm_with(phone, large, PIN, at=at)
    set_pin(phone, at=at)
    with pytest.raises(pins.PinWrong):
        confirm_with(phone, large, "739164", at=at)
    with pytest.raises(LimitExceeded):  # it is new: whoever holds the phone could have set it
        confirm_with(phone, large, PIN, at=at)
    PaymentPin.objects.update(set_at=at - pins.NEW_FOR)

    assert confirm_with(phone, large, PIN, at=at).state == "captured"
    assert used("A") == 500_001
    larger = shop.pay(grant.code(at), at=at, amount_fen=2_000_001).id
    with pytest.raises(LimitExceeded):
        confirm_with(phone, larger, PIN, at=at)
    Resident.objects.update(level=3)
    assert confirm_with(phone, larger, PIN, at=at).state == "captured"


# One limit, many payments at once


def spend_at_once(shop: Shop, codes: list[str], at: datetime) -> Counter[str]:
    found = together(len(codes), lambda number: shop.pay(codes[number], at=at, amount_fen=20_000))
    return Counter(getattr(each, "state", repr(each)) for each in found)


def test_race__twenty_payments_and_a_limit_for_five__five_captured(
    shop: Shop, payer: city.Phone, grant: city.HeldGrant, at: datetime
):
    shown = [digits(payer, at=at) for _ in range(10)] + [grant.code(at) for _ in range(10)]

    seen = spend_at_once(shop, shown, at)

    assert seen == {"captured": 5, "confirming": 15}
    assert used("C") == 100_000
    assert balance_fen(payer) == 900_000
    assert Redemption.objects.count() == 10


@pytest.mark.parametrize("form", ["digits", "code"])
def test_race__guard_off__the_same_race_goes_over_the_limit(
    shop: Shop,
    payer: city.Phone,
    grant: city.HeldGrant,
    at: datetime,
    form: str,
    monkeypatch: pytest.MonkeyPatch,
):
    name, prefix = {"digits": ("_WRITE", ""), "code": ("_DEED", "deed_")}[form]
    bound = (
        "WHERE %(daily_fen)s::bigint IS NULL OR s.used_fen + EXCLUDED.used_fen <= %(daily_fen)s"
    ).replace("%(", f"%({prefix}")
    unbound = getattr(history, name).replace(bound, "")
    assert unbound != getattr(history, name)
    monkeypatch.setattr(history, name, unbound)

    worst = 0
    for number in range(5):
        other = open_shop(name=f"店{number}", key_id=f"till-{number + 2}", system=shop.system)
        shown = [digits(payer, at=at) if form == "digits" else grant.code(at) for _ in range(20)]
        seen = spend_at_once(other, shown, at)
        worst = max(worst, seen["captured"])
        Spending.objects.all().delete()
        if worst > 5:
            break

    assert worst > 5, "without the guard more is paid than the limit allows"
    assert Posting.objects.filter(transaction__kind="payment").count() > 5


def test_race__one_code_at_two_tills_and_the_limit_full_meanwhile__one_order(
    shop: Shop, payer: city.Phone, grant: city.HeldGrant, at: datetime
):
    other = open_shop(name="白浪河书店", key_id="till-2", system=shop.system)
    for _ in range(4):
        shop.pay(grant.code(at), at=at, amount_fen=25_000)
    Spending.objects.update(used_fen=99_999)
    code = grant.code(at)

    found = together(4, lambda n: (shop if n % 2 else other).pay(code, at=at, amount_fen=1 + n % 2))

    assert sum(isinstance(each, Shown) for each in found) == 1
    assert Order.objects.count() == 5
    assert used("C") in (99_999, 100_000)


def test_race__one_reference_at_once__counted_once(shop: Shop, payer: city.Phone, at: datetime):
    codes = [digits(payer, at=at) for _ in range(10)]

    together(10, lambda n: shop.pay(codes[n], at=at, amount_fen=700, merchant_reference="A-1"))

    assert Order.objects.count() == 1
    assert used("C") == 700
