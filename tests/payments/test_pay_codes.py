"""18-digit pay codes: a minute, once, for one phone; taken where the one code is."""

from datetime import datetime, timedelta

import pytest
from stdnum import luhn

from identity import codes
from identity.models import AccessLine, Device, Entitlement, Resident
from payments import pay_codes
from payments.ledger import InsufficientFunds
from payments.models import Order, PayCode, PayCodeFailure, Spending, Transaction
from tests import city
from tests.paying import digits
from tests.shop import Shop, balance_fen, fill, open_shop
from tests.statements import statements
from vpass.common import idempotency, outbox

pytestmark = pytest.mark.django_db(transaction=True)

PAY_CODES = f"{city.RESIDENT}/pay-codes"


def test_issue__over_http__eighteen_digits_with_their_check_and_only_a_hash_is_kept(
    shop: Shop, payer: city.Phone
):
    answers = [payer.send("POST", PAY_CODES, {}, key=city.new_key()) for _ in range(2)]

    found = [answer.json()["code"] for answer in answers]
    assert [answer.status_code for answer in answers] == [201, 201]
    assert len(set(found)) == 2
    for code in found:
        assert (len(code), code[:2], luhn.is_valid(code)) == (18, "86", True)
        assert code.encode() not in b"".join(bytes(row.code_hash) for row in PayCode.objects.all())
    assert shop.till.pay(found[0]).json()["state"] == "captured"
    again = payer.send("POST", PAY_CODES, {}, key="one-and-the-same")
    assert payer.send("POST", PAY_CODES, {}, key="one-and-the-same").json() == again.json()
    for _ in range(3):
        payer.send("POST", PAY_CODES, {}, key=city.new_key())
    answer = payer.send("POST", PAY_CODES, {}, key=city.new_key())
    assert city.problem(answer) == (429, "limit.reached")
    assert payer.send("POST", PAY_CODES, {}, key="one-and-the-same").json() == again.json()
    assert PayCode.objects.count() == 5 + 1


def test_pay__by_digits__captured_with_a_line_in_the_log_and_ten_statements(
    shop: Shop, payer: city.Phone, at: datetime, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(outbox, "_subscriptions", {})
    outbox.subscribe("payments.order_captured", "test.listener", lambda event: None)
    code = digits(payer, at=at)

    with statements() as sent:
        answer = shop.till.pay(code, merchant_reference="A-1")

    assert (answer.status_code, answer.json()["state"]) == (201, "captured")
    assert len(sent) == 10, "\n".join(sent)
    order = Order.objects.get()
    assert (order.way, order.grade, balance_fen(payer)) == ("digits", "C", 1_000_000 - 1_234)
    line = AccessLine.objects.get()
    assert (line.outcome, line.scene, line.purpose, line.case_number) == (
        "accepted", "pay", "payment", "A-1",
    )  # fmt: skip


def test_pay__digits_again_late_or_of_a_frozen_phone__refused_and_nothing_moves(
    shop: Shop, payer: city.Phone, at: datetime
):
    used, late, frozen = (digits(payer, at=at) for _ in range(3))
    shop.pay(used, at=at)

    for code, when in ((used, at), (late, at + pay_codes.LIFE)):
        with pytest.raises(pay_codes.PayCodeNotValid):
            shop.pay(code, at=when)
    Device.objects.update(state="frozen")
    with pytest.raises(pay_codes.PayCodeNotValid):
        shop.pay(frozen, at=at)

    assert (Order.objects.count(), Transaction.objects.filter(kind="payment").count()) == (1, 1)


def test_pay__repeated_with_the_key__the_same_answer_also_of_a_refusal(
    shop: Shop, payer: city.Phone, at: datetime
):
    body = {"code": digits(payer, at=at), "merchant_reference": "A-1", "key": "one-and-the-same"}
    wrong = pay_codes.PREFIX + "0" * 15
    wrong += pay_codes.check_digit(wrong)

    assert shop.pay(**body, at=at) == shop.pay(**body, at=at + timedelta(hours=1))
    for _ in range(3):
        with pytest.raises(pay_codes.PayCodeNotValid):
            shop.pay(wrong, at=at, merchant_reference="A-2", key="another-one")

    assert PayCodeFailure.objects.get().failed == 1


def test_pay__not_enough_money__failed_order_the_digits_are_used_and_no_limit_is(
    shop: Shop, phone: city.Phone, at: datetime
):
    fill(shop, phone, 999, at=at)
    code = digits(phone, at=at)

    with pytest.raises(InsufficientFunds):
        shop.pay(code, at=at, amount_fen=1_000)

    assert (Order.objects.get().state, balance_fen(phone)) == ("failed", 999)
    assert PayCode.objects.get().used_at == at
    assert Spending.objects.count() == 0


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("134567890123456789", "pay_code.malformed"),  # WeChat's
        ("281234567890123456", "pay_code.malformed"),  # Alipay's
        ("861234567890123450", "pay_code.malformed"),  # a wrong check digit
        ("86123456789012345", "code.unreadable"),
        ("８６１２３４５６７８９０１２３４５２", "code.unreadable"),  # full-width
        ("86123456789012345\N{ARABIC-INDIC DIGIT TWO}", "code.unreadable"),
    ],
    ids=["wechat", "alipay", "luhn", "short", "full-width", "arabic"],
)
def test_pay__malformed__a_stable_code_and_no_try_counted(
    shop: Shop, payer: city.Phone, at: datetime, text: str, code: str
):
    answer = shop.till.pay(text)

    assert city.problem(answer) == (422, code)
    assert (Order.objects.count(), PayCodeFailure.objects.count()) == (0, 0)


def test_pay__guessing__the_till_waits_and_other_tills_do_not(
    shop: Shop, payer: city.Phone, at: datetime
):
    other = open_shop(name="白浪河书店", key_id="till-2", system=shop.system)
    PayCodeFailure.objects.create(
        till=shop.till.terminal, failed=pay_codes.TRIES - 1, ends_at=at + timedelta(minutes=5)
    )
    guess = pay_codes.PREFIX + "1" * 15
    guess += pay_codes.check_digit(guess)
    with pytest.raises(pay_codes.PayCodeNotValid):
        shop.pay(guess, at=at)

    code = digits(payer, at=at)
    with pytest.raises(pay_codes.PayCodeTries) as refused:
        shop.pay(code, at=at, key="the-till-that-waits")

    assert refused.value.retry_after == 300
    kept = city.idempotency(shop.till.caller.scope, "the-till-that-waits")
    assert idempotency.find_answer(kept) is None  # so that it may be asked again
    assert other.pay(code, at=at).state == "captured"
    later = at + timedelta(minutes=5)
    assert shop.pay(digits(payer, at=later), at=later).state == "captured"


def test_pay__merchant_without_the_right_or_payer_suspended__refused(
    shop: Shop, payer: city.Phone, at: datetime
):
    Resident.objects.update(suspended_scenes=2)
    with pytest.raises(codes.PaySuspended):
        shop.pay(digits(payer, at=at), at=at)
    Entitlement.objects.update(ended_at=at)
    with pytest.raises(codes.NotEntitled):
        shop.pay(digits(payer, at=at), at=at)
    Entitlement.objects.all().delete()
    with pytest.raises(codes.NotEntitled):
        shop.pay(digits(payer, at=at), at=at)

    assert list(Order.objects.values_list("state", "reason")) == [("failed", "code.pay_suspended")]
    assert [line.outcome for line in AccessLine.objects.order_by("id")][-1] == "refused"


def test_purge__long_past__forgotten(shop: Shop, payer: city.Phone, at: datetime):
    digits(payer, at=at)

    pay_codes.purge(at=at + timedelta(hours=20))
    assert PayCode.objects.count() == 1
    pay_codes.purge(at=at + timedelta(hours=25))
    assert PayCode.objects.count() == 0
