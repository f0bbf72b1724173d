"""Doors of unmanned shops: opened by two on a machine in a store, closed by one."""

import uuid
from datetime import datetime
from typing import Any

import pytest

from identity.models import StateChange
from payments.models import Proposal, ShopDoor, Visit
from payments.visits import DoorClosed, NoShopDoor
from tests import city
from tests.banking import make_accountants
from tests.paying import digits
from tests.shop import Shop
from tests.shops import enter, held_fen, leave, make_door, open_store
from vpass.common.models import AuditEvent

pytestmark = pytest.mark.django_db(transaction=True)

DOORS = "/api/finance/v1/shop-doors"


@pytest.fixture
def people(at: datetime) -> list[city.DeskBrowser]:
    return make_accountants(at=at)


def asked(shop: Shop, **changes: Any) -> dict[str, Any]:
    return {
        "terminal_id": str(shop.till.terminal.id),
        "hold_fen": 2_000,
        "stay_minutes": 30,
        "reason": "The shop opens on Monday.",
    } | changes


def post(who: city.DeskBrowser, path: str, body: Any) -> Any:
    return who.send("POST", path, body, key=city.new_key())


def agree(people: list[city.DeskBrowser], body: Any) -> Any:
    proposed = post(people[0], DOORS, body).json()["id"]
    return post(people[1], f"/api/finance/v1/proposals/{proposed}/approval", {})


def test_door__opened_by_two_closed_by_one__lets_in_and_then_nobody_but_out(
    people: list[city.DeskBrowser], shop: Shop, payer: city.Phone, at: datetime
):
    store = open_store(shop)
    with pytest.raises(NoShopDoor):
        enter(shop, digits(payer, at=at), at=at)
    assert agree(people, asked(shop)).status_code == 200
    inside = enter(shop, digits(payer, at=at), at=at)
    assert held_fen(payer) == 2_000
    closing = f"{DOORS}/{shop.till.terminal.id}/closing"

    shown = post(people[0], closing, {"reason": "broken-lock"}).json()

    assert shown == {
        "terminal_id": str(shop.till.terminal.id),
        "shop": {"zh": "惠民超市", "en": "Books"},
        "store": {"zh": store.name_zh, "en": store.name_en},
        "hold_fen": 2_000,
        "stay_minutes": 30,
        "state": "closed",
    }
    assert post(people[1], closing, {"reason": "again"}).json() == shown
    code = digits(payer, at=at)
    with pytest.raises(DoorClosed):
        enter(shop, code, at=at)
    assert leave(shop, inside.id, 700, at=at).paid_fen == 700
    assert people[0].send("GET", DOORS).json()["items"] == [shown]

    assert agree(people, asked(shop, hold_fen=900)).status_code == 200
    again = enter(shop, code, at=at)  # the closed door has not used the code up
    assert (again.held_fen, Visit.objects.count()) == (900, 2)
    assert list(
        StateChange.objects.filter(object_kind="shop_door")
        .order_by("id")
        .values_list("to_state", flat=True)
    ) == ["closed", "open"]
    (line,) = AuditEvent.objects.filter(action="shop_door.closed")
    assert line.detail == {"reason": "broken-lock"}


def test_door__cannot_be_opened__its_own_code_and_nothing_kept(
    people: list[city.DeskBrowser], shop: Shop, at: datetime
):
    hall = city.make_organisation("大厅")
    kiosk = city.make_terminal(hall).terminal
    needs_store, invalid = (422, "shop_door.needs_store"), (400, "request.invalid")
    refused: list[tuple[dict[str, Any], tuple[int, str]]] = [
        ({}, needs_store),  # the till stands nowhere
        ({"terminal_id": str(kiosk.id)}, needs_store),
        ({"terminal_id": str(uuid.UUID(int=1))}, (404, "object.not_found")),
        ({"hold_fen": 0}, invalid),
        ({"hold_fen": 5_000_001}, invalid),
        ({"stay_minutes": 1_441}, invalid),
        ({"terminal_id": "door-1"}, invalid),
    ]
    for changes, expected in refused:
        assert city.problem(post(people[0], DOORS, asked(shop, **changes))) == expected, changes
    open_store(shop)
    make_door(shop, 2_000)
    ShopDoor.objects.update(stay_minutes=30)
    assert city.problem(post(people[0], DOORS, asked(shop))) == (409, "change.nothing")
    nowhere = post(people[0], f"{DOORS}/{kiosk.id}/closing", {"reason": "x"})
    assert city.problem(nowhere) == (404, "object.not_found")
    assert (Proposal.objects.count(), ShopDoor.objects.get().state) == (0, "open")
