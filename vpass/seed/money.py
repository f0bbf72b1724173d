"""The demo city's bank, its shop and its accountants."""

from datetime import datetime
from typing import Any

from django.conf import settings

from identity.models import Desk, MachineKey, Organisation, Terminal
from payments import merchants, orders
from payments.models import Bank
from vpass.common.signing import Ed25519Public, ed25519_public_bytes, load_public
from vpass.seed.people import desk_code_of, hire, open_organisation
from vpass.seed.stores import open_store


def open_bank(city: Organisation) -> Bank:
    """The partner bank that the settings lead to, with its key for calling us."""
    organisation = open_organisation(city, "bank", "潍坊沙盒银行", "Weifang Sandbox Bank")
    system = Terminal.objects.create(
        organisation=organisation, scene="bank", name_zh="银行系统", name_en="Bank system"
    )
    public = load_public(settings.BANK_PUBLIC_KEY_PEM)
    if not isinstance(public, Ed25519Public):
        raise TypeError("a bank signs with Ed25519")
    MachineKey.objects.create(
        id=settings.BANK_KEY_ID,
        terminal=system,
        algorithm="Ed25519",
        public_key=ed25519_public_bytes(public),
    )
    return Bank.objects.create(organisation=organisation, code=settings.BANK_CODE)


def open_shop(city: Organisation, *, bank: Bank) -> list[Terminal]:
    """A merchant and its two tills."""
    organisation = open_organisation(
        city,
        "merchant",
        "惠民超市",
        "Huimin Supermarket",
        [(orders.PURPOSE, "付款", "Payment", [])],
        scene="pay",
    )
    merchants.open_merchant(
        organisation=organisation, bank=bank, payout_account="tok_huimin_supermarket_8017"
    )
    store = open_store(
        organisation,
        "胜利东街店",
        "Shengli East Street",
        "潍坊市奎文区胜利东街118号",
        point=(119.1438, 36.7093),
    )
    return [
        Terminal.objects.create(
            organisation=organisation,
            store=store,
            scene="pay",
            name_zh=f"{n}号收银台",
            name_en=f"Till {n}",
        )
        for n in (1, 2)
    ]


def hire_accountants(
    office: Organisation, name: str, *, rooms: tuple[int, int], at: datetime
) -> dict[str, Any]:
    """Two accountants and two desks, so that one can propose and another approve."""
    desks = [
        Desk.objects.create(
            organisation=office,
            name_zh=f"财务室{n}",
            name_en=f"Finance office {n}",
            scene="finance",
        )
        for n in rooms
    ]
    return {
        "staff": [hire(office, f"{name}-{which}", roles=["finance"]) for which in "ab"],
        "desk_enrolment_codes": [desk_code_of(desk, at=at) for desk in desks],
    }
