"""Payments by a merchant's QR or link, and by a handle that a resident gave."""

import base64
from datetime import datetime, timedelta
from typing import Any

import pytest

from identity import qr_picture
from payments import merchants, payer_handles, qr_payments
from payments.grades import LimitExceeded
from payments.models import MerchantQr, Order, Spending
from tests import city
from tests.paying import confirm_with, make_qr, scan
from tests.shop import MERCHANT, Shop, balance_fen, confirm, open_shop
from vpass.common import limits

pytestmark = pytest.mark.django_db(transaction=True)

SCANNED = f"{city.RESIDENT}/scanned-payments"
HANDLES = f"{city.RESIDENT}/payer-handles"


def test_dynamic__over_http__scanned_seen_confirmed_and_the_till_learns_of_it(
    shop: Shop, payer: city.Phone, at: datetime
):
    asked = {
        "form": "dynamic",
        "title": "水果",
        "amount_fen": 4_560,
        "merchant_reference": "A-1",
    }
    made = shop.till.send("POST", f"{MERCHANT}/qr-codes", asked, key=city.new_key()).json()
    path = f"{MERCHANT}/qr-codes/{made['id']}"
    picture = base64.b64decode(shop.till.send("GET", path).json()["picture_png"])
    assert qr_picture.read_picture(picture) == [made["text"]]

    answer = payer.send("POST", SCANNED, {"text": made["text"]}, key=city.new_key())

    assert answer.status_code == 201, answer.content
    shown = answer.json()
    assert (shown["amount_fen"], shown["state"], shown["title"], shown["payee"]["zh"]) == (
        4_560, "confirming", "水果", "惠民超市",
    )  # fmt: skip
    order = Order.objects.get()
    assert (order.way, order.merchant_reference) == ("qr_dynamic", "A-1")
    confirm(payer, order, at=at)
    seen = shop.till.send("GET", path).json()
    assert (seen["payment"]["state"], seen["is_over"]) == ("captured", False)
    assert (balance_fen(payer), Spending.objects.get().grade) == (1_000_000 - 4_560, "B")
    stranger = open_shop(name="白浪河书店", key_id="till-2", system=shop.system)
    assert city.problem(stranger.till.send("GET", path)) == (404, "object.not_found")


def test_dynamic__scanned_again__same_payment_for_the_payer_and_none_for_another(
    shop: Shop, payer: city.Phone, at: datetime
):
    made = make_qr(shop, at=at)
    other = city.make_phone(1, at=at)

    first = scan(payer, made.text, at=at)
    assert scan(payer, made.text, at=at) == first
    with pytest.raises(qr_payments.QrUsed):
        scan(other, made.text, at=at)

    assert Order.objects.count() == 1


def test_dynamic__late_withdrawn_or_of_a_suspended_shop__refused(
    shop: Shop, payer: city.Phone, at: datetime
):
    made, withdrawn = make_qr(shop, at=at), make_qr(shop, at=at)
    qr_payments.withdraw(
        caller=shop.till.caller,
        qr_id=MerchantQr.objects.get(id=withdrawn.id).id,
        idempotency_key=city.idempotency(shop.till.caller.scope),
        at=at,
    )

    for text, when in (
        (made.text, at + timedelta(minutes=2)),
        (withdrawn.text, at),
    ):
        with pytest.raises(qr_payments.QrOver):
            scan(payer, text, at=when)
    merchants.suspend_merchant(merchant_id=shop.merchant.id, actor="test", at=at)
    with pytest.raises(merchants.MerchantSuspended):
        scan(payer, made.text, at=at)

    assert Order.objects.count() == 0


def test_static__payers_amount__grade_d_up_to_500_yuan_a_day(
    shop: Shop, payer: city.Phone, at: datetime
):
    text = make_qr(shop, "static", at=at).text
    with pytest.raises(qr_payments.QrAmountWrong):
        scan(payer, text, at=at)

    first, second, third = (
        scan(payer, text, at=at, amount_fen=fen) for fen in (30_000, 20_001, 20_000)
    )
    assert confirm(payer, first, at=at).state == "captured"
    with pytest.raises(LimitExceeded) as refused:
        confirm_with(payer, second.id, None, at=at)
    assert refused.value.members == {"grade": "D", "single_fen": 50_000, "daily_fen": 50_000}
    assert confirm(payer, third, at=at).state == "captured"

    second.refresh_from_db()
    assert (second.state, Spending.objects.get().used_fen) == ("confirming", 50_000)
    tomorrow = scan(payer, text, at=at + timedelta(days=1), amount_fen=50_000)
    assert confirm(payer, tomorrow, at=at + timedelta(days=1)).state == "captured"


def test_foreign_or_forged__a_stable_code_and_no_payment(
    shop: Shop, payer: city.Phone, at: datetime
):
    made, other = make_qr(shop, at=at), make_qr(shop, at=at)
    code = qr_payments.merchant_qr.decode(made.text)
    foreign = qr_payments.merchant_qr.decode(other.text)
    encode = qr_payments.merchant_qr.encode
    names = vars(code)
    link = make_qr(shop, "link", at=at).text
    texts = {
        made.text[:-1] + ("0" if made.text[-1] != "0" else "1"): "merchant_qr.unreadable",
        encode(type(code)(**names | {"amount_fen": 1})): "merchant_qr.foreign",
        encode(type(code)(**names | {"bill": "A-9"})): "merchant_qr.foreign",
        encode(type(code)(**names | {"tag": foreign.tag})): "merchant_qr.foreign",
        encode(type(code)(**names | {"reference": "0" * 32})): "merchant_qr.foreign",
        link[:-1] + ("0" if link[-1] != "0" else "1"): "merchant_qr.foreign",
        link + "0": "merchant_qr.unreadable",
        link.replace("http", "ftp", 1): "merchant_qr.unreadable",
        "https://elsewhere.example/pay/x": "merchant_qr.unreadable",
        "８６" * 9: "merchant_qr.unreadable",
    }
    for text, expected in texts.items():
        answer = payer.send("POST", SCANNED, {"text": text}, key=city.new_key())
        assert city.problem(answer) == (422, expected), text
    for amount in (1, 4_560):
        body = {"text": made.text, "amount_fen": amount}
        answer = payer.send("POST", SCANNED, body, key=city.new_key())
        assert city.problem(answer) == (422, "merchant_qr.amount")
    for amount in (0, -1, "1", 1.5, True, 5_000_001):
        body = {"text": made.text, "amount_fen": amount}
        answer = payer.send("POST", SCANNED, body, key=city.new_key())
        assert city.problem(answer) == (400, "request.invalid")
    assert Order.objects.count() == 0


def test_make__members_that_do_not_go_together__refused(shop: Shop, payer: city.Phone):
    good = {"form": "dynamic", "title": "水果", "amount_fen": 1, "merchant_reference": "A-1"}
    for changes, expected in (
        ({"form": "static"}, (422, "merchant_qr.amount")),
        ({"amount_fen": None}, (400, "request.invalid")),
        ({"merchant_reference": "a b"}, (400, "request.invalid")),
        ({"merchant_reference": "lower-case"}, (422, "merchant_qr.unreadable")),
        ({"form": "poster"}, (400, "request.invalid")),
    ):
        answer = shop.till.send("POST", f"{MERCHANT}/qr-codes", good | changes, key=city.new_key())
        assert city.problem(answer) == expected, changes
    for expected_status in (201, 409):
        answer = shop.till.send("POST", f"{MERCHANT}/qr-codes", good, key=city.new_key())
        assert answer.status_code == expected_status
    assert MerchantQr.objects.count() == 1


def test_link__followed_or_drawn_as_a_qr__counted_like_one(
    shop: Shop, payer: city.Phone, at: datetime
):
    made = make_qr(shop, "link", at=at, merchant_reference="web_1")

    order = scan(payer, made.text, at=at)

    assert (order.way, confirm(payer, order, at=at).state) == ("qr_dynamic", "captured")
    assert Spending.objects.get().used_fen == order.amount_fen


def test_begin__again_after_its_time__the_answer_of_then(
    shop: Shop, payer: city.Phone, at: datetime
):
    ask: dict[str, Any] = {"caller": payer.caller, "text": make_qr(shop, at=at).text}
    ask |= {"amount_fen": None, "idempotency_key": city.idempotency(payer.caller.scope)}
    first = qr_payments.begin(**ask, at=at)

    assert qr_payments.begin(**ask, at=at + timedelta(minutes=3)) == first


def test_ask__one_payer_too_often__stopped(shop: Shop, payer: city.Phone, at: datetime):
    given = payer_handles.give(
        caller=payer.caller,
        merchant_id=shop.merchant.id,
        idempotency_key=city.idempotency(payer.caller.scope),
        at=at,
    )
    caller = shop.till.caller
    key = city.idempotency(caller.scope)

    def ask(key: Any) -> Any:
        return payer_handles.ask(
            caller=caller,
            payer=given["handle"],
            amount_fen=1,
            title="水果",
            merchant_reference=key.key,
            idempotency_key=key,
            at=at,
        )

    first = ask(key)
    subject = f"{caller.organisation_id}|{given['handle']}"
    limits.spend(payer_handles.ASKS, subject, amount=29, at=at)
    with pytest.raises(limits.LimitReached):
        ask(city.idempotency(caller.scope))
    assert ask(key) == first


# By a handle


def test_handle__given_asked_confirmed_and_taken_back(shop: Shop, payer: city.Phone, at: datetime):
    merchant_id = str(shop.merchant.id)
    shown = payer.send("GET", f"{HANDLES}/{merchant_id}").json()
    assert (shown["merchant"]["zh"], shown["is_given"]) == ("惠民超市", False)
    given = [
        payer.send("POST", HANDLES, {"merchant_id": merchant_id}, key=city.new_key()).json()
        for _ in range(2)
    ]
    assert given[0] == given[1]
    asked = {
        "payer": given[0]["handle"],
        "amount_fen": 3_580,
        "title": "网上订单",
        "merchant_reference": "WEB-1",
    }
    opened = shop.till.send("POST", f"{MERCHANT}/app-orders", asked, key=city.new_key())

    assert (opened.status_code, opened.json()["state"]) == (201, "confirming")
    order = Order.objects.get()
    assert (order.way, order.payer_id) == ("app", payer.caller.resident_id)
    assert confirm(payer, order, at=at).state == "captured"
    again = shop.till.send("POST", f"{MERCHANT}/app-orders", asked, key=city.new_key())
    assert city.problem(again) == (409, "order.reference_taken")
    stranger = open_shop(name="白浪河书店", key_id="till-2", system=shop.system)
    foreign = stranger.till.send("POST", f"{MERCHANT}/app-orders", asked, key=city.new_key())
    assert city.problem(foreign) == (422, "payer_handle.unknown")
    assert [each["merchant"]["id"] for each in payer.send("GET", HANDLES).json()["items"]] == [
        merchant_id
    ]
    assert payer.send("GET", f"{HANDLES}/{merchant_id}").json()["is_given"]
    assert payer.send("DELETE", f"{HANDLES}/{merchant_id}").status_code == 204
    assert city.problem(payer.send("DELETE", f"{HANDLES}/{merchant_id}"))[0] == 404
    asked["merchant_reference"] = "WEB-2"
    ended = shop.till.send("POST", f"{MERCHANT}/app-orders", asked, key=city.new_key())
    assert city.problem(ended) == (422, "payer_handle.unknown")
    assert Order.objects.count() == 1
    unknown = payer.send("POST", HANDLES, {"merchant_id": city.new_key()}, key=city.new_key())
    assert city.problem(unknown) == (404, "object.not_found")
