"""A merchant is stopped by one and let go on by two: paid in no way meanwhile, and not paid out."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pytest
from django.db import transaction

from identity.models import Organisation
from payments import charges
from payments.confirmations import MerchantSuspended
from payments.models import Bill, Order, Proposal, SettingChange, Transaction
from tests import city
from tests.banking import make_accountants
from tests.billing import open_order, open_payment, open_waterworks
from tests.paying import digits, make_qr, scan
from tests.shop import MERCHANT, RESIDENT, Shop, confirm, signed
from tests.shops import enter, leave, make_door
from vpass.common.models import AuditEvent

pytestmark = pytest.mark.django_db(transaction=True)

FINANCE = "/api/finance/v1"
SUSPENDED = (403, "merchant.suspended")


@pytest.fixture
def people(at: datetime) -> list[city.DeskBrowser]:
    return make_accountants(at=at)


def post(who: city.DeskBrowser, path: str, body: Any) -> Any:
    return who.send("POST", FINANCE + path, body, key=city.new_key())


def owe(shop: Shop, payer: city.Phone, number: int, *, at: datetime) -> str:
    with transaction.atomic():
        owed = charges.charge(
            payer_id=payer.caller.id,
            organisation_id=shop.merchant.organisation_id,
            amount_fen=200,
            title="车费",
            reference=f"tap:{number:08d}-0000-0000-0000-000000000001",
            at=at,
        )
    return owed.state


@dataclass
class Asked:
    """What was asked of a shop before it is stopped: payments that wait for the payer's word, one
    that was paid, and what more can be paid by."""

    waiting: list[Order]
    paid: Order
    printed: str
    bill: Bill
    handle: str


@pytest.fixture
def before(shop: Shop, payer: city.Phone, at: datetime) -> Asked:
    body = {"merchant_id": str(shop.merchant.id)}
    given = payer.send("POST", f"{RESIDENT}/payer-handles", body, key=city.new_key()).json()
    bill = open_waterworks(shop).issue_to(payer)
    by_qr, paid = (scan(payer, make_qr(shop, at=at).text, at=at) for _ in range(2))
    by_link = scan(payer, make_qr(shop, kind="link", at=at).text, at=at)
    confirm(payer, paid, at=at)
    opened = app_order(shop, given["handle"]).json()["id"]
    return Asked(
        waiting=[
            by_qr, by_link, open_order(payer, bill, 500, at=at), Order.objects.get(id=opened),
        ],
        paid=paid,
        printed=make_qr(shop, kind="static", at=at).text,
        bill=bill,
        handle=given["handle"],
    )  # fmt: skip


def app_order(shop: Shop, handle: str) -> Any:
    asked = {"payer": handle, "amount_fen": 300, "title": "网上订单"}
    asked["merchant_reference"] = city.new_key()
    return shop.till.send("POST", f"{MERCHANT}/app-orders", asked, key=city.new_key())


def word(payer: city.Phone, order: Order, *, at: datetime) -> Any:
    path = f"{RESIDENT}/payments/{order.id}/confirmation"
    return payer.send(
        "POST", path, {"confirmation": signed(payer, order, at=at)}, key=city.new_key()
    )


def ways(shop: Shop, payer: city.Phone, before: Asked, *, at: datetime) -> list[tuple[int, str]]:
    """What each way of paying meets now, and a refund, over HTTP."""
    scanned = {"text": before.printed, "amount_fen": 100}
    answers = [
        shop.till.pay(digits(payer, at=at)),
        shop.till.pay(payer.grant(at=at).code(at)),
        *(word(payer, order, at=at) for order in before.waiting),
        payer.send("POST", f"{RESIDENT}/scanned-payments", scanned, key=city.new_key()),
        open_payment(payer, before.bill, 100),
        app_order(shop, before.handle),
        shop.till.refund(before.paid.id),
    ]
    return [city.problem(answer) for answer in answers]


def test_suspend__by_one_with_a_reason__refused_in_every_way_until_two_reinstate(
    people: list[city.DeskBrowser],
    shop: Shop,
    payer: city.Phone,
    before: Asked,
    at: datetime,
):
    path = f"/merchants/{shop.merchant.id}"
    make_door(shop, 2_000)
    inside = enter(shop, digits(payer, at=at), at=at)
    paid = Transaction.objects.count()
    assert city.problem(post(people[0], f"{path}/suspension", {})) == (400, "request.invalid")

    found = post(people[0], f"{path}/suspension", {"reason": "fraud-reported"})

    assert found.json() == {"id": str(shop.merchant.id), "state": "suspended"}
    again = post(people[1], f"{path}/suspension", {"reason": "again"})
    assert (again.status_code, again.json()["state"]) == (200, "suspended")
    assert ways(shop, payer, before, at=at) == [SUSPENDED] * 10
    with pytest.raises(MerchantSuspended):
        enter(shop, digits(payer, at=at), at=at)
    with pytest.raises(MerchantSuspended):
        leave(shop, inside.id, 100, at=at)
    assert owe(shop, payer, 1, at=at) == "due"
    assert (Transaction.objects.count(), charges.collect_due(at=at)) == (paid, 0)
    (line,) = AuditEvent.objects.filter(action="merchant.suspended")
    assert people[0].staff is not None
    assert (line.actor, line.detail) == (
        f"staff:{people[0].staff.id}",
        {"reason": "fraud-reported"},
    )

    reason = {"reason": "The report was about another shop."}
    proposed = post(people[0], f"{path}/reinstatement", reason).json()["id"]
    refused = post(people[0], f"/proposals/{proposed}/approval", {})
    assert city.problem(refused) == (403, "proposal.self_approval")
    assert city.problem(shop.till.pay(digits(payer, at=at))) == SUSPENDED
    assert post(people[1], f"/proposals/{proposed}/approval", {}).status_code == 200

    assert shop.till.pay(digits(payer, at=at)).json()["state"] == "captured"
    assert shop.till.refund(before.paid.id).status_code == 201
    assert leave(shop, inside.id, 100, at=at).state == "paid"
    assert charges.collect_due(at=at) == 1
    change = SettingChange.objects.get()
    assert (change.before, change.after) == ({"state": "suspended"}, {"state": "active"})
    twice = post(people[0], f"{path}/reinstatement", reason)
    assert city.problem(twice) == (409, "state.illegal_transition")
    assert Proposal.objects.count() == 1
    unknown = post(
        people[0], "/merchants/00000000-0000-0000-0000-000000000001/suspension", {"reason": "x"}
    )
    assert city.problem(unknown) == (404, "object.not_found")


def test_organisation_suspended_in_the_registry__nothing_is_paid_to_it_either(
    shop: Shop, payer: city.Phone, before: Asked, at: datetime
):
    organisation = Organisation.objects.filter(id=shop.merchant.organisation_id)
    organisation.update(state="suspended")

    assert city.problem(shop.till.pay(digits(payer, at=at))) == (401, "signature.key_unknown")
    assert [city.problem(word(payer, each, at=at)) for each in before.waiting] == [SUSPENDED] * 4
    assert owe(shop, payer, 2, at=at) == "due"
    assert charges.collect_due(at=at) == 0

    organisation.update(state="active")
    assert word(payer, before.waiting[0], at=at).json()["state"] == "captured"
    assert charges.collect_due(at=at) == 1
