"""Every signed or secret text opens its own door and no other (RFC 8725 sections 3.11 and 3.12)."""

from collections.abc import Callable
from datetime import datetime

import pytest

from identity import (
    code_format,
    codes,
    devices,
    keys,
    offline,
    scanner_bundle,
    server_codes,
    status_format,
    status_list,
)
from tests import city
from vpass.common import signing
from vpass.common.encodings import b64url_encode
from vpass.common.errors import DomainError

pytestmark = pytest.mark.django_db(transaction=True)

KINDS = (
    "access token", "refresh token", "assertion", "grant request", "proof", "phone's code",
    "server's code", "bundle", "grant", "status list",
)  # fmt: skip
DOORS = ("as access token", "refresh", "sign in", "grant", "scan", "bundle")
OPENS = {
    ("access token", "as access token"),
    ("refresh token", "refresh"),
    ("assertion", "sign in"),
    ("grant request", "grant"),
    ("phone's code", "scan"),
    ("server's code", "scan"),
    ("bundle", "bundle"),
}


def made(
    kind: str, *, phone: city.Phone, grant: city.HeldGrant, kiosk: city.Machine, at: datetime
) -> str:
    """A genuine text of each kind, good at this moment."""
    issued = devices.issue_token(device=phone.device, at=at)
    phone.token = issued.access_token
    status_list.sign_due(at=at)
    number = status_list.numbers_of(at.date())[0]
    kinds: dict[str, Callable[[], str]] = {
        "access token": lambda: issued.access_token,
        "refresh token": lambda: issued.refresh_token,
        "assertion": lambda: phone.assertion(at=at),
        "grant request": lambda: phone.grant_request(signing.generate_p256(), at=at),
        "proof": lambda: city.key_proof(phone.key, method="POST", path="/x", token=None),
        "phone's code": lambda: grant.code(at),
        "server's code": lambda: (
            server_codes.issue_code(
                caller=phone.caller,
                scenes=["id"],
                idempotency_key=city.idempotency(phone.caller.scope),
                at=at,
            ).code
        ),
        "bundle": lambda: scanner_bundle.pack_bundle(caller=kiosk.caller, at=at).bundle,
        "grant": lambda: b64url_encode(grant.encoded),
        "status list": lambda: b64url_encode(
            bytes(status_list.find_list(number=number, at=at).token)
        ),
    }
    return kinds[kind]()


def is_let_in(
    text: str, door: str, *, phone: city.Phone, kiosk: city.Machine, at: datetime
) -> bool:
    """Whether this door opens for the text."""
    if door == "as access token":
        phone.token = text
        return bool(phone.send("GET", f"{city.RESIDENT}/me").status_code == 200)
    if door == "grant":
        answer = phone.send(
            "POST", f"{city.RESIDENT}/grants", {"request": text}, key=city.new_key()
        )
        return bool(answer.status_code == 201)
    try:
        if door == "refresh":
            devices.refresh_token(refresh_token=text, thumbprint=phone.thumbprint, at=at)
        elif door == "sign in":
            devices.renew_token(assertion=text, thumbprint=phone.thumbprint, at=at)
        elif door == "scan":
            codes.read_genuine(text, at=at)
        else:
            known = {keys.current_signer(at=at).key_id: keys.current_signer(at=at).private}
            offline.read_bundle(
                text,
                keys={kid: private.public_key() for kid, private in known.items()},
                terminal_id=str(kiosk.terminal.id),
                at=at,
            )
    except (DomainError, offline.BundleRefused):
        return False
    return True


@pytest.mark.parametrize("kind", KINDS)
def test_text__at_every_door__opens_its_own_alone(
    phone: city.Phone, grant: city.HeldGrant, kiosk: city.Machine, at: datetime, kind: str
):
    for door in DOORS:
        text = made(kind, phone=phone, grant=grant, kiosk=kiosk, at=at)

        opened = is_let_in(text, door, phone=phone, kiosk=kiosk, at=at)

        assert opened is ((kind, door) in OPENS), door


def test_grant_as_status_list_and_back__unreadable(grant: city.HeldGrant, at: datetime):
    status_list.sign_due(at=at)
    number = status_list.numbers_of(at.date())[0]
    token = bytes(status_list.find_list(number=number, at=at).token)

    with pytest.raises(status_format.ListUnreadable):
        status_format.decode_list(grant.encoded)
    with pytest.raises(status_format.ListUnreadable):
        status_format.decode_list(b"\xd2" + grant.encoded)
    with pytest.raises(code_format.Unreadable):
        code_format.decode_grant(token)
    with pytest.raises(code_format.Unreadable):
        code_format.decode_grant(token[1:])
