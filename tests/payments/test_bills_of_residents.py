"""Who sees which bills, what is owed in all, receipts that anybody can check, and reminders."""

import base64
import json
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import connection, transaction

from identity import keys
from identity.models import SigningKey
from payments import (
    bill_payments,
    bill_receipts,
    bill_reminders,
    bills,
    charges,
    notice_code,
    owed,
    receipt_pdf,
)
from payments.models import Bill, BillReceipt, BillReminder
from tests import city
from tests.billing import DUE, Waterworks, asked, open_payment, open_waterworks, pay
from tests.shop import RESIDENT, Shop, resident_of
from vpass.common import contributions, limits, outbox, signing
from vpass.common.clock import city_date
from vpass.common.models import OutboxDelivery

pytestmark = pytest.mark.django_db(transaction=True)

PUBLIC = "/api/public/v1"


@pytest.fixture
def waterworks(shop: Shop) -> Waterworks:
    return open_waterworks(shop)


def own(phone: city.Phone) -> list[str]:
    items = phone.send("GET", f"{RESIDENT}/bills").json()["items"]
    return [each["id"] for each in items]


def look_up(phone: city.Phone, bill: Bill) -> Any:
    body = {"notice_code": bill.notice_code}
    return phone.send("POST", f"{RESIDENT}/bill-look-ups", body)


def test_bills__by_pseudonym_id_number_and_followed_customer__mine_and_nobody_elses(
    waterworks: Waterworks, payer: city.Phone, at: datetime
):
    person, stranger = city.PEOPLE[0], city.make_phone(1, at=at)
    held = waterworks.issue_to(payer)
    by_id = waterworks.issue(payer={"kind": "id_number", "value": person.id_number})
    customer = waterworks.issue()
    other_customer = waterworks.issue(payer={"kind": "customer", "value": "0370018"})

    assert own(payer) == [str(by_id.id), str(held.id)]
    assert own(stranger) == []
    for bill in (held, by_id, customer):
        path = f"{RESIDENT}/bills/{bill.id}"
        assert city.problem(stranger.send("GET", path)) == (404, "object.not_found")

    body = {"notice_code": customer.notice_code}
    followed = [payer.send("POST", f"{RESIDENT}/bill-follows", body) for _ in range(2)]

    assert [each.status_code for each in followed] == [200, 200]
    later = waterworks.issue()
    assert own(payer) == [str(each.id) for each in (later, customer, by_id, held)]
    body = {"notice_code": held.notice_code}
    refused = stranger.send("POST", f"{RESIDENT}/bill-follows", body)
    assert city.problem(refused) == (404, "object.not_found")
    assert str(other_customer.id) not in own(payer)


def test_look_up__anybodys_bill__shown_without_the_payer_and_paid(
    waterworks: Waterworks, payer: city.Phone, at: datetime
):
    bill = waterworks.issue(payer={"kind": "id_number", "value": city.PEOPLE[3].id_number})

    shown = look_up(payer, bill).json()

    assert (shown["id"], shown["open_fen"], shown["payments"]) == (str(bill.id), 8_500, [])
    assert "payer" not in json.dumps(shown)
    order = pay(payer, bill, 500, at=at)
    seen = payer.send("GET", f"{RESIDENT}/bills/{bill.id}").json()
    assert [(each["id"], each["state"]) for each in seen["payments"]] == [
        (str(order.id), "captured")
    ]
    assert own(payer) == []


def test_look_up__too_often__stopped(waterworks: Waterworks, payer: city.Phone, at: datetime):
    bill = waterworks.issue()
    limits.spend(bills.LOOK_UPS, payer.caller.scope, amount=29, at=at)
    assert look_up(payer, bill).status_code == 200

    assert city.problem(look_up(payer, bill)) == (429, "limit.reached")
    body = {"notice_code": notice_code.NoticeCode(1, 26, 1).text, "amount_fen": 1}
    guessed = payer.send("POST", f"{RESIDENT}/bill-payments", body, key=city.new_key())
    assert city.problem(guessed) == (429, "limit.reached")
    assert city.problem(open_payment(payer, bill, 100)) == (429, "limit.reached")  # nor a hit
    key, own = city.new_key(), waterworks.issue_to(payer)
    assert open_payment(payer, own, 100, key=key).status_code == 201
    limits.spend(bill_payments.OPENS, payer.caller.scope, amount=29, at=at)
    assert city.problem(open_payment(payer, own, 100)) == (429, "limit.reached")
    assert open_payment(payer, own, 100, key=key).status_code == 201


# Everything owed


def test_owed__bills_charges_and_what_others_know__the_earliest_due_first(
    waterworks: Waterworks,
    payer: city.Phone,
    shop: Shop,
    at: datetime,
    monkeypatch: pytest.MonkeyPatch,
):
    today = city_date(at)
    poor = city.make_phone(1, at=at)
    late = waterworks.issue_to(poor, due_date=(today - timedelta(days=9)).isoformat())
    soon = waterworks.issue_to(poor, due_date=(today + timedelta(days=9)).isoformat())
    with transaction.atomic():
        charges.charge(
            payer_id=resident_of(poor),
            organisation_id=shop.merchant.organisation_id,
            amount_fen=200,
            title="公交",
            reference="tap:1",
            at=at,
        )
    fine = owed.Owed(
        kind="fine",
        id="loan-7",
        payee_id=None,
        payee_zh="图书馆",
        payee_en="Library",
        title="逾期",
        amount_fen=50,
        due_date=today + timedelta(days=1),
        is_overdue=False,
    )
    monkeypatch.setattr(contributions, "_contributors", {})
    contributions.register(owed.QUESTION, "library", lambda resident_id, at: [fine])

    found = poor.send("GET", f"{RESIDENT}/owed").json()

    assert [(each["kind"], each["amount_fen"], each["is_overdue"]) for each in found["items"]] == [
        ("bill", 8_500, True), ("charge", 200, True), ("fine", 50, False), ("bill", 8_500, False),
    ]  # fmt: skip
    assert [found["items"][0]["id"], found["items"][3]["id"]] == [str(late.id), str(soon.id)]
    assert found["items"][0]["notice_code"] == late.notice_code
    assert (found["total_fen"], found["is_whole"]) == (17_250, True)
    monkeypatch.setattr(owed, "MOST", 1)
    fewer = poor.send("GET", f"{RESIDENT}/owed").json()
    assert (len(fewer["items"]), fewer["is_whole"]) == (3, False)


# Receipts


def receipt_of(phone: city.Phone, payment_id: Any) -> Any:
    return phone.send("GET", f"{RESIDENT}/bill-payments/{payment_id}/receipt")


def check_content(content: str, signature: str) -> Any:
    body = {"content": content, "signature": signature}
    return city.send("POST", f"{PUBLIC}/receipt-checks", body, {})


def check_code(code: str) -> Any:
    return city.send("GET", f"{PUBLIC}/receipts/{code}", None, {})


def test_receipt__signed_content__checked_by_code_by_content_and_by_hand(
    waterworks: Waterworks, payer: city.Phone, at: datetime
):
    bill = waterworks.issue_to(payer)
    order = pay(payer, bill, 7_000, at=at)

    receipt = receipt_of(payer, order.id).json()

    told = json.loads(receipt["content"])
    code = receipt["receipt_code"]
    assert told == {
        "amount_fen": 7_000,
        "biller": {"en": "Books", "id": str(waterworks.biller.pk), "zh": "惠民超市"},
        "check": f"http://127.0.0.1:8000{PUBLIC}/receipts/{code}",
        "iat": int(at.timestamp()),
        "iss": "weifang",
        "lines": [
            {"amount_fen": 6_000, "en": "Water", "head": "water", "period_from": "2026-10-01",
             "zh": "水费"},
            {"amount_fen": 1_000, "en": "Sewage", "head": "sewage", "period_from": "2026-10-01",
             "zh": "污水处理费"},
        ],
        "notice_code": bill.notice_code,
        "paid_on": city_date(at).isoformat(),
        "payment": str(order.id),
        "receipt_code": code,
        "v": 1,
    }  # fmt: skip
    canonical = json.dumps(told, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    assert receipt["content"] == canonical
    # By hand, with what is published: docs/receipt-format.md
    head, mark = receipt["signature"].split("..")
    middle = base64.urlsafe_b64encode(canonical.encode()).rstrip(b"=").decode()
    header = json.loads(base64.urlsafe_b64decode(head + "=" * (-len(head) % 4)))
    key = next(each for each in keys.public_key_set()["keys"] if each["kid"] == header["kid"])
    point = signing.public_from_jwk({name: key[name] for name in ("kty", "crv", "x", "y")})
    claims = signing.decode_jws(
        f"{head}.{middle}.{mark}", point, typ="vpass-bill-receipt+jwt", at=at
    )
    assert claims == told
    expected = {
        "receipt_code": code,
        "amount_fen": 7_000,
        "refunded_fen": 0,
        "biller": {"zh": "惠民超市", "en": "Books"},
        "paid_on": city_date(at).isoformat(),
    }
    assert check_code(code).json() == expected
    assert check_content(receipt["content"], receipt["signature"]).json() == expected


def test_receipt__changed_or_by_another__not_genuine(
    waterworks: Waterworks, payer: city.Phone, at: datetime
):
    order = pay(payer, waterworks.issue_to(payer), 7_000, at=at)
    receipt = receipt_of(payer, order.id).json()
    content, signature = receipt["content"], receipt["signature"]
    foreign = signing.encode_jws(
        json.loads(content),
        signing.generate_p256(),
        typ="vpass-bill-receipt+jwt",
        kid=bytes(SigningKey.objects.get(state="current").id).hex(),
    ).split(".")
    of_another_kind = signing.encode_jws(
        json.loads(content),
        keys.current_signer(at=at).private,
        typ="vpass-receipt+jwt",
        kid=keys.current_signer(at=at).key_id.hex(),
    ).split(".")

    for changed in (
        (content.replace("7000", "9000"), signature),
        (content + " ", signature),
        (content.replace(",", ", "), signature),
        (content, signature[:-2] + ("AA" if signature[-2:] != "AA" else "BB")),
        (content, signature.replace("..", ".")),
        (content, "x"),
        (content, f"{foreign[0]}..{foreign[2]}"),
        (content, f"{of_another_kind[0]}..{of_another_kind[2]}"),
    ):
        assert city.problem(check_content(*changed)) == (422, "receipt.not_genuine")
    assert city.problem(check_code("2" * 16)) == (404, "object.not_found")
    assert city.problem(check_code("2" * 200)) == (404, "object.not_found")


def test_receipt__refunded_and_the_key_long_retired__genuine_and_says_so(
    waterworks: Waterworks, payer: city.Phone, at: datetime
):
    order = pay(payer, waterworks.issue_to(payer), 7_000, at=at)
    receipt = receipt_of(payer, order.id).json()
    waterworks.refund(order.id, 7_000, at=at)
    SigningKey.objects.filter(state="current").update(state="retired")

    assert check_code(receipt["receipt_code"]).json()["refunded_fen"] == 7_000
    answer = check_content(receipt["content"], receipt["signature"])
    assert answer.json()["refunded_fen"] == 7_000


def test_receipt__of_another_or_before_the_money__404(
    waterworks: Waterworks, payer: city.Phone, at: datetime
):
    bill = waterworks.issue()
    order = pay(payer, bill, 100, at=at)
    stranger = city.make_phone(1, at=at)

    assert city.problem(receipt_of(stranger, order.id)) == (404, "object.not_found")


def test_check__too_often__stopped(transactional_db: None, at: datetime):
    limits.spend(bill_receipts.CHECKS, "127.0.0.1", amount=59, at=at)
    assert check_code("2" * 16).status_code == 404

    assert city.problem(check_code("2" * 16)) == (429, "limit.reached")


def test_pdf__shows_the_content_and_carries_it__the_same_bytes_each_time(
    waterworks: Waterworks, payer: city.Phone, at: datetime
):
    order = pay(payer, waterworks.issue_to(payer), 7_000, at=at)
    receipt = receipt_of(payer, order.id).json()
    kept = BillReceipt.objects.get()

    pdf = base64.b64decode(receipt["pdf"])

    assert pdf.startswith(b"%PDF-") and pdf.rstrip().endswith(b"%%EOF")
    assert pdf == receipt_pdf.draw(content=kept.content, signature=kept.signature)
    assert kept.signature.encode() in pdf
    person = city.PEOPLE[0]
    for name in (person.real_name, person.id_number, person.phone):
        assert name.encode("utf-16-be") not in pdf and name.encode() not in pdf
        assert name not in kept.content


# Reminders


def told() -> list[dict[str, Any]]:
    rows = OutboxDelivery.objects.filter(name=bill_reminders.BILL_REMINDED).order_by("id")
    return [row.payload for row in rows]


def test_remind__by_the_citys_day__once_each_for_a_due_date(
    waterworks: Waterworks, payer: city.Phone, at: datetime, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(outbox, "_subscriptions", {})
    outbox.subscribe(bill_reminders.BILL_REMINDED, "test.listener", lambda event: None)
    bill = waterworks.issue_to(payer)
    paid = waterworks.issue_to(payer)
    Bill.objects.filter(id=paid.id).update(paid_fen=8_500, state="paid")
    # Midnight in the city is 16:00 UTC.
    four_before = datetime.fromisoformat(f"{DUE - timedelta(days=4)}T15:59:59+00:00")
    organisation = str(waterworks.shop.merchant.organisation_id)

    assert bill_reminders.remind_due(at=four_before) == 0
    three_before = four_before + timedelta(seconds=1)
    assert [bill_reminders.remind_due(at=three_before) for _ in range(2)] == [1, 0]
    after = three_before + timedelta(days=4)
    assert [bill_reminders.remind_due(at=after) for _ in range(2)] == [1, 0]

    assert told() == [
        {"bill": str(bill.id), "organisation": organisation, "kind": kind, "days": days}
        for kind, days in (("due_soon", 3), ("overdue", -1))
    ]
    # Put off: reminded of the new date again.
    Bill.objects.filter(id=bill.id).update(due_date=DUE + timedelta(days=3))
    assert bill_reminders.remind_due(at=after) == 1
    assert BillReminder.objects.count() == 3


def test_upload__canaries__nothing_of_the_payer_in_the_tables(waterworks: Waterworks):
    number = city.PEOPLE[5].id_number
    waterworks.upload(
        asked(payer={"kind": "id_number", "value": number}),
        asked(payer={"kind": "customer", "value": "canary-17"}),
    )

    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT string_agg(b::text || v::text || c::text, '') FROM payments_bill b"
            " JOIN payments_billversion v ON v.bill_id = b.id"
            " JOIN payments_billchange c ON c.bill_id = b.id"
        )
        whole = cursor.fetchone()[0]
    assert "水费" in whole
    assert "canary-17" not in whole and number not in whole
