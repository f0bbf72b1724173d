"""A merchant is stopped by one and let go on by two: paid in no way meanwhile, and not paid out."""

from datetime import datetime
from typing import Any

import pytest
from django.db import transaction

from identity.models import Organisation
from payments import charges
from payments.confirmations import MerchantSuspended
from payments.models import Order, Proposal, SettingChange, Transaction
from tests import city
from tests.banking import make_accountants
from tests.paying import digits, make_qr, scan
from tests.shop import RESIDENT, Shop, confirm, signed
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


def ways(shop: Shop, payer: city.Phone, waiting: list[Order], printed: str, *, at: datetime) -> Any:
    """What each way of paying meets now, over HTTP."""
    path = f"/payments/{waiting[0].id}/confirmation"
    word = {"confirmation": signed(payer, waiting[0], at=at)}
    body = {"text": printed, "amount_fen": 100}
    answers = {
        "digits": shop.till.pay(digits(payer, at=at)),
        "code": shop.till.pay(payer.grant(at=at).code(at)),
        "waiting": payer.send("POST", RESIDENT + path, word, key=city.new_key()),
        "printed": payer.send("POST", f"{RESIDENT}/scanned-payments", body, key=city.new_key()),
        "refund": shop.till.refund(waiting[1].id),
    }
    return {way: city.problem(answer) for way, answer in answers.items()}


@pytest.fixture
def waiting(shop: Shop, payer: city.Phone, at: datetime) -> list[Order]:
    """A payment that waits for its payer's word, and one that was paid."""
    found = [scan(payer, make_qr(shop, at=at).text, at=at) for _ in range(2)]
    confirm(payer, found[1], at=at)
    return found


def test_suspend__by_one_with_a_reason__refused_in_every_way_until_two_reinstate(
    people: list[city.DeskBrowser],
    shop: Shop,
    payer: city.Phone,
    waiting: list[Order],
    at: datetime,
):
    path, printed = f"/merchants/{shop.merchant.id}", make_qr(shop, kind="static", at=at).text
    make_door(shop, 2_000)
    inside = enter(shop, digits(payer, at=at), at=at)
    paid = Transaction.objects.count()
    assert city.problem(post(people[0], f"{path}/suspension", {})) == (400, "request.invalid")

    found = post(people[0], f"{path}/suspension", {"reason": "fraud-reported"})

    assert found.json() == {"id": str(shop.merchant.id), "state": "suspended"}
    again = post(people[1], f"{path}/suspension", {"reason": "again"})
    assert (again.status_code, again.json()["state"]) == (200, "suspended")
    assert set(ways(shop, payer, waiting, printed, at=at).values()) == {SUSPENDED}
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
    assert shop.till.refund(waiting[1].id).status_code == 201
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
    shop: Shop, payer: city.Phone, waiting: list[Order], at: datetime
):
    organisation = Organisation.objects.filter(id=shop.merchant.organisation_id)
    organisation.update(state="suspended")

    assert city.problem(shop.till.pay(digits(payer, at=at))) == (401, "signature.key_unknown")
    with pytest.raises(MerchantSuspended):
        confirm(payer, waiting[0], at=at)
    assert owe(shop, payer, 2, at=at) == "due"
    assert charges.collect_due(at=at) == 0

    organisation.update(state="active")
    assert confirm(payer, waiting[0], at=at).state == "captured"
    assert charges.collect_due(at=at) == 1
