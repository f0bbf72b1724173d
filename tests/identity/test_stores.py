"""Stores are registered, renamed and opened again by two, closed by one; tills stand in them."""

from datetime import datetime
from importlib import import_module
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction

from identity.models import Organisation, Store, Terminal
from tests import city
from tests.administration import ADMINISTRATION, Office, open_city
from tests.statements import statements
from vpass.common.models import AuditEvent

pytestmark = pytest.mark.django_db(transaction=True)

STORE: dict[str, Any] = {
    "code": "S01", "name_zh": "胜利东街店", "name_en": "Shengli East Street",
    "address": "胜利东街118号", "longitude": 119.1438, "latitude": 36.7093,
}  # fmt: skip
WORDS = ("name_zh", "name_en", "address")
TILL = {"name_zh": "1号收银台", "name_en": "Till 1", "scene": "pay"}
STATEMENT = "/api/merchant/v1/statement"
STORES = "/api/merchant/v1/stores"


@pytest.fixture
def office(at: datetime) -> Office:
    return open_city(at=at)


@pytest.fixture
def shop(office: Office) -> Organisation:
    return Organisation.objects.create(
        parent=office.city, kind="merchant", name_zh="惠民超市", name_en="Huimin"
    )


def test_store__by_two_people__a_till_stands_in_it_and_all_is_on_record(
    office: Office, shop: Organisation
):
    made = office.agree("store.register", shop.id, STORE)["made"]
    store = Store.objects.get(id=made)
    assert {name: getattr(store, name) for name in STORE} == STORE
    assert (store.organisation_id, store.state) == (shop.id, "active")

    till = office.agree("terminal.register", shop.id, TILL | {"store": made})["made"]
    assert str(Terminal.objects.get(id=till).store_id) == made
    office.agree("terminal.place", till, {"store": None})
    assert Terminal.objects.get(id=till).store is None
    office.agree("terminal.place", till, {"store": made})
    words = {"name_zh": "胜利西街店", "name_en": "Shengli West Street", "address": "西街9号"}
    office.agree("store.rename", made, words)

    store.refresh_from_db()
    assert (store.code, store.name_zh, store.address) == ("S01", "胜利西街店", "西街9号")
    assert (store.longitude, store.latitude) == (None, None)
    listed = office.administrator.send("GET", f"{ADMINISTRATION}/stores?organisation={shop.id}")
    (shown,) = listed.json()["items"]
    assert (shown["id"], shown["code"], shown["state"]) == (made, "S01", "active")
    (row,) = office.administrator.send("GET", f"{ADMINISTRATION}/terminals").json()["items"]
    assert (row["id"], row["store"]) == (till, made)
    done = AuditEvent.objects.filter(
        action__regex=r"^(store|terminal)\.(registered|renamed|placed)"
    )
    assert list(done.order_by("id").values_list("action", flat=True)) == [
        "store.registered", "terminal.registered", "terminal.placed", "terminal.placed",
        "store.renamed",
    ]  # fmt: skip


def test_close__by_one__its_tills_refused_with_the_next_request_until_two_open_it(
    office: Office, shop: Organisation, at: datetime
):
    here, there = (
        Store.objects.create(organisation=shop, code=code, name_zh=code, name_en=code, address="")
        for code in ("S01", "S02")
    )
    till, other, server = (
        city.make_terminal(shop, scene="pay", key_id=f"till-{n}") for n in range(3)
    )
    Terminal.objects.filter(id=till.terminal.id).update(store=here)
    Terminal.objects.filter(id=other.terminal.id).update(store=there)
    with statements() as before:
        assert till.send("GET", STATEMENT).status_code == 200

    assert office.suspend("stores", here.id).json()["state"] == "suspended"
    assert office.suspend("stores", here.id).json()["state"] == "suspended"

    with statements() as closed:
        assert city.problem(till.send("GET", STATEMENT)) == (403, "store.closed")
    assert len(closed) < len(before), "the look that finds the key says it"
    paid = till.send("POST", "/api/merchant/v1/payments", {}, key=city.new_key())
    assert city.problem(paid) == (403, "store.closed")
    assert {each.send("GET", STATEMENT).status_code for each in (other, server)} == {200}
    shown = other.send("GET", STORES).json()["items"]
    assert [(each["code"], each["state"]) for each in shown] == [
        ("S01", "suspended"), ("S02", "active"),
    ]  # fmt: skip
    office.agree("store.lift", here.id, {})
    assert till.send("GET", STATEMENT).status_code == 200
    assert list(
        AuditEvent.objects.filter(subject=f"store:{here.id}")
        .order_by("id")
        .values_list("action", flat=True)
    ) == ["store.suspended", "store.lifted"]


def test_store__cannot_be_done__its_own_code_and_nothing_done(
    office: Office, shop: Organisation, at: datetime
):
    rival = Organisation.objects.create(
        parent=office.city, kind="merchant", name_zh="鸢都", name_en="Kite"
    )
    mine, theirs = (
        Store.objects.create(organisation=each, code="S01", name_zh="店", name_en="S", address="")
        for each in (shop, rival)
    )
    till = city.make_terminal(shop, scene="pay").terminal
    hall = city.make_organisation("大厅", parent=office.city)
    invalid, missing = (400, "request.invalid"), (404, "object.not_found")
    taken, words = (409, "registration.name_taken"), dict.fromkeys(WORDS, "a")
    refused: list[tuple[str, Any, Any, tuple[int, str]]] = [
        ("store.register", hall.id, STORE, (422, "organisation.kind_not_below")),
        ("store.register", shop.id, STORE, taken),
        ("store.register", shop.id, STORE | {"code": "S02", "name_zh": "店"}, taken),
        ("store.register", shop.id, STORE | {"code": "一号"}, invalid),
        ("store.register", shop.id, STORE | {"longitude": None}, invalid),
        ("store.register", shop.id, STORE | {"latitude": 91}, invalid),
        ("store.register", shop.id, STORE | {"address": ""}, invalid),
        ("store.rename", mine.id, STORE, invalid),
        ("store.rename", shop.id, words, missing),
        ("store.lift", mine.id, {}, (409, "state.illegal_transition")),
        ("terminal.place", till.id, {"store": str(theirs.id)}, missing),
        ("terminal.place", till.id, {}, invalid),
        ("terminal.register", shop.id, TILL | {"store": str(theirs.id)}, missing),
    ]  # fmt: skip
    for action, subject, detail, expected in refused:
        assert city.problem(office.ask(action, subject, detail)) == expected, (action, detail)
    assert (Store.objects.count(), Terminal.objects.filter(store=None).count()) == (2, 1)
    below = open_city(at=at, parent=office.city)
    foreign = below.post(f"stores/{mine.id}/suspension", {"reason": "test"})
    assert city.problem(foreign) == (404, "object.not_found")
    with pytest.raises(IntegrityError), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(
            "UPDATE identity_terminal SET store_id = %s WHERE id = %s", [theirs.id, till.id]
        )


def test_migration__merchants_with_tills__get_a_first_store(office: Office, shop: Organisation):
    biller = Organisation.objects.create(
        parent=office.city, kind="merchant", name_zh="水务", name_en="Water"
    )
    till, system = (
        city.make_terminal(each, scene=scene, key_id=scene).terminal
        for each, scene in ((shop, "pay"), (biller, "department"))
    )

    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(import_module("identity.migrations.0008_stores").FIRST_STORES)

    store = Store.objects.get()
    assert (store.organisation_id, store.code, store.name_zh) == (shop.id, "S01", "惠民超市")
    assert list(Terminal.objects.filter(store=store)) == [till]
    assert Terminal.objects.get(id=system.id).store is None
