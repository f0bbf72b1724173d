"""Organisations of the demo city and who works there, with fresh log-ins."""

import base64
import secrets
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django.contrib.auth.models import User
from django_otp.plugins.otp_totp.models import TOTPDevice

from identity import organisations
from identity.models import Desk, Entitlement, Organisation, Staff, Terminal


def open_organisation(
    parent: Organisation,
    kind: str,
    name_zh: str,
    name_en: str,
    purposes: Sequence[tuple[str, str, str, list[str]]] = (),
    *,
    scene: str = "id",
) -> Organisation:
    """An organisation with what it may see in `scene`: (code, Chinese, English, attributes)."""
    made = Organisation.objects.create(parent=parent, kind=kind, name_zh=name_zh, name_en=name_en)
    for code, purpose_zh, purpose_en, attributes in purposes:
        Entitlement.objects.create(
            organisation=made,
            scene=scene,
            purpose=code,
            purpose_zh=purpose_zh,
            purpose_en=purpose_en,
            attributes=attributes,
        )
    return made


def hire(
    organisation: Organisation, username: str, *, roles: list[str] | None = None
) -> dict[str, Any]:
    """Somebody who works there; returns the log-in."""
    password, totp_key = secrets.token_urlsafe(18), secrets.token_hex(20)
    user = User.objects.create_user(username=username, password=password)
    TOTPDevice.objects.create(user=user, name="authenticator", key=totp_key)
    Staff.objects.create(user=user, organisation=organisation, roles=roles or [])
    totp_secret = base64.b32encode(bytes.fromhex(totp_key)).decode()
    return {"username": username, "password": password, "totp_secret": totp_secret}


def desk_code_of(desk: Desk, *, at: datetime) -> str:
    """The code by which one browser becomes this desk."""
    return organisations.issue_desk_code(desk=desk, actor="seed", at=at)


def terminal_code_of(terminal: Terminal, *, at: datetime) -> str:
    """The code by which one machine enrols its key."""
    return organisations.issue_terminal_code(terminal=terminal, actor="seed", at=at)
