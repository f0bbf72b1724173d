"""Each payment keeps the store its till stood in; lists, statement and the resident tell it."""

from datetime import datetime
from typing import Any

import pytest

from identity.models import Store, Terminal
from payments.models import Order
from tests import city
from tests.paying import digits, make_qr, scan
from tests.shop import MERCHANT, RESIDENT, Shop, confirm
from tests.shops import enter, leave, make_door, open_store
from tests.statements import statements
from vpass.common.policy import StoreClosed

pytestmark = pytest.mark.django_db(transaction=True)


def of(shown: Any) -> Any:
    return Order.objects.get(id=shown.id).store_id


def test_payment__each_way_of_a_till__keeps_its_store_when_the_till_moves(
    shop: Shop, payer: city.Phone, grant: city.HeldGrant, at: datetime
):
    store, other = open_store(shop), open_store(shop, "S02", stands=False)
    door = make_door(shop)
    ways = {
        "code": shop.pay(grant.code(at), at=at).id,
        "digits": shop.pay(digits(payer, at=at), at=at).id,
        "qr": scan(payer, make_qr(shop, at=at).text, at=at).id,
        "visit": leave(shop, enter(shop, grant.code(at), at=at).id, 500, at=at).payment_id,
    }
    assert door.terminal_id == shop.till.terminal.id

    Terminal.objects.filter(id=shop.till.terminal.id).update(store=other)
    shop.till.terminal.refresh_from_db()
    later = shop.pay(grant.code(at), at=at)

    assert {way: Order.objects.get(id=found).store_id for way, found in ways.items()} == (
        dict.fromkeys(ways, store.id)
    )
    assert of(later) == other.id
    listed = shop.till.send("GET", f"{MERCHANT}/payments?store=S02").json()["items"]
    assert [each["id"] for each in listed] == [str(later.id)]
    assert len(shop.till.send("GET", f"{MERCHANT}/payments?store=S01").json()["items"]) == 4
    assert len(shop.till.send("GET", f"{MERCHANT}/payments").json()["items"]) == 5
    assert shop.till.send("GET", f"{MERCHANT}/payments?store=S09").json()["items"] == []
    assert city.problem(shop.till.send("GET", f"{MERCHANT}/payments?store=%00")) == (
        400, "request.invalid",
    )  # fmt: skip


def test_statement_and_receipt__of_a_store__name_it(
    shop: Shop, payer: city.Phone, grant: city.HeldGrant, at: datetime
):
    nowhere = shop.pay(grant.code(at), at=at, amount_fen=100)
    store = open_store(shop)
    paid = shop.pay(grant.code(at), at=at, amount_fen=700)
    shop.refund(paid.id, 200, at=at)

    whole = shop.till.send("GET", f"{MERCHANT}/statement").json()["items"]
    its = shop.till.send("GET", f"{MERCHANT}/statement?store=S01&limit=1").json()

    assert [(each["amount_fen"], each["store"]) for each in whole] == [
        (-200, "S01"), (700, "S01"), (100, None),
    ]  # fmt: skip
    rest = shop.till.send("GET", f"{MERCHANT}/statement?store=S01&limit=1&cursor={its['next']}")
    assert [each["amount_fen"] for each in its["items"] + rest.json()["items"]] == [-200, 700]
    with statements() as sent:
        mine = payer.send("GET", f"{RESIDENT}/payments").json()["items"]
    assert [(each["id"], each["store"]) for each in mine] == [
        (str(paid.id), {"zh": store.name_zh, "en": store.name_en, "address": store.address}),
        (str(nowhere.id), None),
    ]  # fmt: skip
    assert sum("payments_order" in each for each in sent) == 1


def test_qr__of_a_till_in_a_closed_store__refused_but_what_waits_may_be_confirmed(
    shop: Shop, payer: city.Phone, at: datetime
):
    store = open_store(shop)
    qr = make_qr(shop, at=at)
    waiting = scan(payer, qr.text, at=at)
    printed = make_qr(shop, kind="static", at=at)
    Store.objects.filter(id=store.id).update(state="suspended")

    with pytest.raises(StoreClosed):
        scan(payer, printed.text, amount_fen=100, at=at)

    assert Order.objects.count() == 1
    assert confirm(payer, waiting, at=at).state == "captured"
