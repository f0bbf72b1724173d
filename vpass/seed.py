"""Fills a small city to work with: the same names every time, with fresh log-ins."""

import base64
import json
import secrets
from datetime import datetime
from pathlib import Path
from typing import Any

from django.contrib.auth.models import User
from django.db import transaction
from django_otp.plugins.otp_totp.models import TOTPDevice

from identity import keys, organisations
from identity.models import Desk, Entitlement, MachineKey, Organisation, Staff, Terminal
from vpass.common.signing import ed25519_public_bytes, generate_ed25519, private_pem
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
        logins = {
            "clerk": _staff(hall, "clerk"),
            "desk_enrolment_code": _desk_code(desks[0], at=at),
            "day": {
                "clerk": _staff(hall, "day-clerk"),
                "desk_enrolment_code": _desk_code(desks[1], at=at),
            },
            "terminal": {"key_id": "kiosk-1", "private_key_pem": private_pem(private)},
        }
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


def _staff(organisation: Organisation, username: str) -> dict[str, Any]:
    password, totp_key = secrets.token_urlsafe(18), secrets.token_hex(20)
    user = User.objects.create_user(username=username, password=password)
    TOTPDevice.objects.create(user=user, name="authenticator", key=totp_key)
    Staff.objects.create(user=user, organisation=organisation)
    totp_secret = base64.b32encode(bytes.fromhex(totp_key)).decode()
    return {"username": username, "password": password, "totp_secret": totp_secret}


def _desk_code(desk: Desk, *, at: datetime) -> str:
    return organisations.issue_desk_code(desk=desk, actor="seed", at=at)
