"""Fills a small city to work with: the same names every time, with fresh log-ins."""

import base64
import json
import secrets
from datetime import datetime
from pathlib import Path
from typing import Any

from django.conf import settings
from django.contrib.auth.models import User
from django.db import transaction
from django_otp.plugins.otp_totp.models import TOTPDevice

from identity import keys, organisations
from identity.models import Desk, Entitlement, MachineKey, Organisation, Staff, Terminal
from payments import merchants, orders
from payments.models import Bank
from payments.settlement import windows
from vpass.common.signing import (
    Ed25519Public,
    ed25519_public_bytes,
    generate_ed25519,
    load_public,
    private_pem,
)
from vpass.secrets import write_once

LOGINS = "demo.json"

_HALL_PURPOSES = [
    ("residence-permit", "办理居住证", "Residence permit", ["real_name", "id_last4", "over_18"]),
    ("name-only", "核对姓名", "Check the name", ["real_name"]),
    ("adult-only", "核验成年", "Proof of age", ["over_18"]),
]
_HOSPITAL_PURPOSES = [
    ("registration", "挂号登记", "Hospital registration", ["real_name", "id_number", "sex"]),
]


def fill_city(*, state_dir: Path, at: datetime) -> None:
    """Make the demo organisations, desks, staff and terminal, once, with their log-ins.

    A city that has its organisations already is left as it is.
    """
    keys.current_signer(at=at)
    if Organisation.objects.filter(kind="city").exists():
        return
    with transaction.atomic():
        city = Organisation.objects.create(kind="city", name_zh="潍坊市", name_en="Weifang")
        hall = _organisation(
            city, "hall", "潍坊市政务服务中心", "Weifang Government Service Hall", _HALL_PURPOSES
        )
        hospital = _organisation(
            city, "department", "潍坊市人民医院", "Weifang People's Hospital", _HOSPITAL_PURPOSES
        )
        desks = [
            Desk.objects.create(organisation=hall, name_zh=f"{n}号窗口", name_en=f"Desk {n}")
            for n in (1, 2)
        ]
        terminal = Terminal.objects.create(
            organisation=hospital, scene="id", name_zh="自助挂号机", name_en="Registration kiosk"
        )
        private = generate_ed25519()
        MachineKey.objects.create(
            id="kiosk-1",
            terminal=terminal,
            algorithm="Ed25519",
            public_key=ed25519_public_bytes(private),
        )
        office = _organisation(city, "department", "潍坊市财政局", "Weifang Finance Bureau", [])
        tills = _shop(city, bank=_bank(city))
        logins = {
            "clerk": _staff(hall, "clerk"),
            "desk_enrolment_code": _desk_code(desks[0], at=at),
            "till_enrolment_code": _till_code(tills[0], at=at),
            "finance": _accountants(office, "finance", rooms=(1, 2), at=at),
            "day": {
                "clerk": _staff(hall, "day-clerk"),
                "desk_enrolment_code": _desk_code(desks[1], at=at),
                "till_enrolment_code": _till_code(tills[1], at=at),
                "finance": _accountants(office, "day-finance", rooms=(3, 4), at=at),
            },
            "terminal": {"key_id": "kiosk-1", "private_key_pem": private_pem(private)},
        }
        windows.ensure_open(at=at)
        write_once(state_dir / LOGINS, json.dumps(logins, indent=1, ensure_ascii=False))


def _organisation(
    parent: Organisation,
    kind: str,
    name_zh: str,
    name_en: str,
    purposes: list[tuple[str, str, str, list[str]]],
) -> Organisation:
    made = Organisation.objects.create(parent=parent, kind=kind, name_zh=name_zh, name_en=name_en)
    for code, purpose_zh, purpose_en, attributes in purposes:
        Entitlement.objects.create(
            organisation=made,
            scene="id",
            purpose=code,
            purpose_zh=purpose_zh,
            purpose_en=purpose_en,
            attributes=attributes,
        )
    return made


def _bank(city: Organisation) -> Bank:
    """The partner bank that the settings lead to, with its key for calling us."""
    organisation = Organisation.objects.create(
        parent=city, kind="bank", name_zh="潍坊沙盒银行", name_en="Weifang Sandbox Bank"
    )
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


def _shop(city: Organisation, *, bank: Bank) -> list[Terminal]:
    """A merchant and its two tills."""
    organisation = Organisation.objects.create(
        parent=city, kind="merchant", name_zh="惠民超市", name_en="Huimin Supermarket"
    )
    Entitlement.objects.create(
        organisation=organisation,
        scene="pay",
        purpose=orders.PURPOSE,
        purpose_zh="付款",
        purpose_en="Payment",
        attributes=[],
    )
    merchants.open_merchant(
        organisation=organisation, bank=bank, payout_account="tok_huimin_supermarket_8017"
    )
    return [
        Terminal.objects.create(
            organisation=organisation, scene="pay", name_zh=f"{n}号收银台", name_en=f"Till {n}"
        )
        for n in (1, 2)
    ]


def _accountants(
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
        "staff": [_staff(office, f"{name}-{which}", roles=["finance"]) for which in "ab"],
        "desk_enrolment_codes": [_desk_code(desk, at=at) for desk in desks],
    }


def _staff(
    organisation: Organisation, username: str, *, roles: list[str] | None = None
) -> dict[str, Any]:
    password, totp_key = secrets.token_urlsafe(18), secrets.token_hex(20)
    user = User.objects.create_user(username=username, password=password)
    TOTPDevice.objects.create(user=user, name="authenticator", key=totp_key)
    Staff.objects.create(user=user, organisation=organisation, roles=roles or [])
    totp_secret = base64.b32encode(bytes.fromhex(totp_key)).decode()
    return {"username": username, "password": password, "totp_secret": totp_secret}


def _desk_code(desk: Desk, *, at: datetime) -> str:
    return organisations.issue_desk_code(desk=desk, actor="seed", at=at)


def _till_code(till: Terminal, *, at: datetime) -> str:
    return organisations.issue_terminal_code(terminal=till, actor="seed", at=at)
