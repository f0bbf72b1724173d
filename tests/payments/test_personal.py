"""What Cloud Pay keeps of how a resident pays: told in an export, and forgotten in a deletion."""

from datetime import datetime
from typing import Any

import pytest

from payments import owed, payer_handles, personal
from payments.models import BillFollow, PayerHandle, PaymentPin, RiskCase, Spending
from tests import city
from tests.billing import open_order, open_waterworks, pay
from tests.paying import make_qr, rule, scan, set_pin
from tests.shop import RESIDENT, Shop, confirm, resident_of

pytestmark = pytest.mark.django_db(transaction=True)

OWN = ("bill_follows", "payer_handles", "payment_pin", "spending")
KEPT = ("bill_payments", "bill_receipts", "risk_cases")


def told(phone: city.Phone) -> dict[str, list[dict[str, Any]]]:
    sections = personal.export(resident_id=resident_of(phone))
    return {
        name: [dict(sections[name].render(row)) for row in sections[name].rows.order_by("-pk")]
        for name in (*OWN, *KEPT)
    }


def test_export_and_forget__ways_of_paying__told_and_only_records_of_money_stay(
    shop: Shop, payer: city.Phone, at: datetime
):
    assert told(payer) == {name: [] for name in (*OWN, *KEPT)}
    set_pin(payer, at=at)
    payer_handles.give(
        caller=payer.caller,
        merchant_id=shop.merchant.id,
        idempotency_key=city.idempotency(payer.caller.scope),
        at=at,
    )
    waterworks = open_waterworks(shop)
    bill = waterworks.issue()
    payer.send("POST", f"{RESIDENT}/bill-follows", {"notice_code": bill.notice_code})
    order = pay(payer, bill, 8_500, at=at)
    rule("every", "amount_fen", 0, "review")
    confirm(payer, scan(payer, make_qr(shop, at=at).text, at=at), at=at)

    found = told(payer)

    assert {name: len(rows) for name, rows in found.items()} == dict.fromkeys((*OWN, *KEPT), 1)
    assert found["bill_payments"][0]["order_id"] == order.id
    assert found["payment_pin"] == [{"set_at": at, "tries": 0}]
    personal.forget(resident_id=resident_of(payer), at=at)
    found = told(payer)
    assert {name for name, rows in found.items() if rows} == set(KEPT)
    for model in (BillFollow, PayerHandle, PaymentPin, Spending):
        assert not model._default_manager.exists()
    assert RiskCase.objects.count() == 1


def test_unfollow__the_customers_bills_are_no_more_ones_own(
    shop: Shop, payer: city.Phone, at: datetime
):
    bill = open_waterworks(shop).issue()
    payer.send("POST", f"{RESIDENT}/bill-follows", {"notice_code": bill.notice_code})
    path = f"{RESIDENT}/bill-follows/{bill.id}"
    stranger = city.make_phone(1, at=at)
    assert city.problem(stranger.send("DELETE", path)) == (404, "object.not_found")
    assert payer.send("GET", f"{RESIDENT}/bills/{bill.id}").status_code == 200

    assert payer.send("DELETE", path).status_code == 204

    assert city.problem(payer.send("GET", f"{RESIDENT}/bills/{bill.id}"))[0] == 404
    assert city.problem(payer.send("DELETE", path)) == (404, "object.not_found")


def test_owed__more_bills_than_are_shown_and_one_under_way__not_whole(
    shop: Shop, payer: city.Phone, at: datetime, monkeypatch: pytest.MonkeyPatch
):
    waterworks = open_waterworks(shop)
    bills = [waterworks.issue_to(payer) for _ in range(2)]
    open_order(payer, bills[0], 8_500, at=at)
    assert owed.everything_owed(caller=payer.caller, at=at).is_whole
    monkeypatch.setattr(owed, "MOST", 1)

    assert not owed.everything_owed(caller=payer.caller, at=at).is_whole
