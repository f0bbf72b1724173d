"""The demo city's unmanned shop."""

from identity.models import Organisation, Terminal
from payments import merchants, orders
from payments.models import Bank, ShopDoor
from vpass.seed.people import open_organisation
from vpass.seed.stores import open_store

HOLD_FEN = 20_000


def open_unmanned_shop(city: Organisation, *, bank: Bank) -> list[Terminal]:
    """A merchant with two doors, each of which holds ¥200 of whoever comes in."""
    organisation = open_organisation(
        city,
        "merchant",
        "鸢都无人店",
        "Kite City Unmanned Store",
        [(orders.PURPOSE, "付款", "Payment", [])],
        scene="pay",
    )
    merchants.open_merchant(
        organisation=organisation, bank=bank, payout_account="tok_kite_city_store_6140"
    )
    store = open_store(
        organisation,
        "鸢飞路店",
        "Yuanfei Road",
        "潍坊市奎文区鸢飞路56号",
        point=(119.1297, 36.7151),
    )
    doors = [
        Terminal.objects.create(
            organisation=organisation,
            store=store,
            scene="pay",
            name_zh=f"{n}号门",
            name_en=f"Door {n}",
        )
        for n in (1, 2)
    ]
    for door in doors:
        ShopDoor.objects.create(terminal=door, hold_fen=HOLD_FEN)
    return doors
