"""What a terminal is given to decide alone, and that it decides like the city afterwards."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any

import pytest
from django.conf import settings

from identity import (
    code_format,
    grants,
    keys,
    lost_phones,
    offline,
    scanner_bundle,
    status_list,
)
from identity.code_format import BusRight, Rights
from identity.models import Organisation
from identity.offline import BundleRefused, Scanner, read_bundle
from tests import city
from vpass.common import contributions, outbox, signing
from vpass.common.encodings import b64url_encode

pytestmark = pytest.mark.django_db(transaction=True)

PATH = f"{city.TERMINAL}/scanner-bundle"
RIGHTS = Rights(bus=BusRight(concession_class=2, card_reference=b"12345678"), door_groups=(7, 9))


@pytest.fixture
def upper_floor(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A floor above that knows of a bus card, of doors, and of what this terminal opens for."""
    monkeypatch.setattr(contributions, "_contributors", {
        grants.GRANT_RIGHTS: {
            "test.cards": lambda *, resident_id, at: RIGHTS,
            "test.none": lambda *, resident_id, at: None,
        },
        scanner_bundle.DOOR_GROUPS: {"test.doors": lambda *, terminal_id: [9, 100]},
    })  # fmt: skip
    yield


def key_set() -> dict[bytes, Any]:
    """The keys a new terminal takes from the public key set."""
    return {
        bytes.fromhex(jwk["kid"]): signing.public_from_jwk(
            {name: jwk[name] for name in ("kty", "crv", "x", "y")}
        )
        for jwk in keys.public_key_set()["keys"]
    }


def fetched(machine: city.Machine, *, at: datetime) -> Scanner:
    """A scanner as a terminal makes it: the bundle and each of its lists, over HTTP."""
    keys.current_signer(at=at)
    body = machine.send("GET", PATH).json()
    bundle = read_bundle(
        body["bundle"], keys=key_set(), terminal_id=str(machine.terminal.id), at=at
    )
    scanner = Scanner(bundle)
    for number, digest in bundle.lists.items():
        path = bundle.lists_at.removeprefix(settings.PUBLIC_URL)
        answer = city.send("GET", f"{path}{number}", None, {})
        assert b64url_encode(sha256(answer.content).digest()) == digest
        scanner.load_list(number, answer.content, at=int(at.timestamp()) + 1)
    return scanner


def decide(scanner: Scanner, code: str, *, at: datetime) -> str | None:
    return scanner.decide(code, at=int(at.timestamp())).reason


def test_bundle__fetched_with_its_lists__decides_alone(
    kiosk: city.Machine, phone: city.Phone, grant: city.HeldGrant, at: datetime
):
    status_list.sign_due(at=at)
    neighbour = city.make_phone(1, at=at).grant(at=at)
    lost_phones.freeze_device(
        resident_id=phone.device.resident_id, device_id=phone.device.id, actor="t", at=at
    )
    outbox.deliver_due(at=at)

    scanner = fetched(kiosk, at=at)

    assert len(scanner.lists) == 12
    assert decide(scanner, grant.code(at), at=at) == "revoked"
    assert decide(scanner, neighbour.code(at), at=at) is None
    assert scanner.bundle.scene == "id"
    assert (scanner.bundle.max_list_age_s, scanner.bundle.stale_uses) == (3600, 0)


def test_bundle__rights_and_door_groups_from_the_floors_above(
    hall: Organisation, phone: city.Phone, at: datetime, upper_floor: None
):
    status_list.sign_due(at=at)
    held = phone.grant(at=at)

    for scene, key_id, expected in (("bus", "bus-1", None), ("door", "door-1", None)):
        scanner = fetched(city.make_terminal(hall, scene=scene, key_id=key_id), at=at)
        assert decide(scanner, held.code(at), at=at) is expected
        assert scanner.bundle.stale_uses == (2 if scene == "bus" else 0)
    assert code_format.decode_grant(held.encoded).claims.rights == RIGHTS


def test_bundle__without_a_floor_above__no_rights(
    hall: Organisation, phone: city.Phone, grant: city.HeldGrant, at: datetime
):
    status_list.sign_due(at=at)

    for scene in ("bus", "door"):
        scanner = fetched(city.make_terminal(hall, scene=scene, key_id=scene), at=at)
        assert decide(scanner, grant.code(at), at=at) == "right_missing"


def test_bundle__same_version__304_and_another_when_a_list_is_signed_anew(
    kiosk: city.Machine, at: datetime
):
    status_list.sign_due(at=at)
    first = kiosk.send("GET", PATH)

    same = kiosk.send("GET", PATH, **{"If-None-Match": first["ETag"]})
    status_list.sign_due(at=at + timedelta(minutes=5))
    other = kiosk.send("GET", PATH, **{"If-None-Match": first["ETag"]})

    assert first["ETag"] == f'"{first.json()["version"]}"'
    assert (same.status_code, same.content) == (304, b"")
    assert other.status_code == 200
    assert other["ETag"] != first["ETag"]


def test_bundle__of_before_a_rotation__reads_what_the_next_key_signs(
    kiosk: city.Machine, phone: city.Phone
):
    """The next key is published a day before it signs, so no scanner ever fails."""
    start = datetime(2026, 3, 1, tzinfo=UTC)
    keys.rotate(at=start)
    old = keys.current_signer(at=start)
    later = start + keys.SIGNS_FOR
    packed = scanner_bundle.pack_bundle(caller=kiosk.caller, at=later - timedelta(seconds=1))
    bundle = read_bundle(
        packed.bundle, keys=key_set(), terminal_id=str(kiosk.terminal.id), at=later
    )

    keys.rotate(at=later)
    held = phone.grant(at=later)
    status_list.sign_due(at=later)

    assert keys.current_signer(at=later).key_id != old.key_id
    scanner = Scanner(bundle)
    number = code_format.decode_grant(held.encoded).claims.status_index >> 20
    token = bytes(status_list.find_list(number=number, at=later).token)
    scanner.load_list(number, token, at=int(later.timestamp()))
    assert decide(scanner, held.code(later), at=later) is None
    with pytest.raises(BundleRefused):
        read_bundle(packed.bundle, keys={}, terminal_id=str(kiosk.terminal.id), at=later)


@pytest.mark.parametrize("case", ["terminal", "key", "type", "lapsed", "changed", "rubbish"])
def test_read_bundle__not_for_this_terminal_or_not_the_citys__refused(
    kiosk: city.Machine, at: datetime, case: str
):
    packed = scanner_bundle.pack_bundle(caller=kiosk.caller, at=at)
    token, known, terminal_id = packed.bundle, key_set(), str(kiosk.terminal.id)
    read_bundle(token, keys=known, terminal_id=terminal_id, at=at)
    signer = keys.current_signer(at=at)
    match case:
        case "terminal":
            terminal_id = "00000000-0000-0000-0000-000000000001"
        case "key":
            known = {}
        case "type":
            claims = signing.decode_jws(
                token, signer.private.public_key(), typ=offline.BUNDLE_TYPE, audience=terminal_id,
                at=at,
            )  # fmt: skip
            token = signing.encode_jws(
                claims, signer.private, typ="vpass-grant+jwt", kid=signer.key_id.hex()
            )
        case "lapsed":
            at += timedelta(hours=24, seconds=31)
        case "changed":
            token = token[:-1] + ("A" if token[-1] != "A" else "Q")
        case "rubbish":
            token = "a.b.c"

    with pytest.raises(BundleRefused):
        read_bundle(token, keys=known, terminal_id=terminal_id, at=at)


@pytest.mark.parametrize("name", ["rules", "keys", "lists", "ver", "scene", "lists_at"])
def test_read_bundle__a_claim_missing_or_of_another_kind__refused(
    kiosk: city.Machine, at: datetime, name: str
):
    signer = keys.current_signer(at=at)
    token = scanner_bundle.pack_bundle(caller=kiosk.caller, at=at).bundle
    claims = signing.decode_jws(
        token, signer.private.public_key(), typ=offline.BUNDLE_TYPE,
        audience=str(kiosk.terminal.id), at=at,
    )  # fmt: skip
    changes: list[dict[str, Any]] = [{each: claims[each] for each in claims if each != name}]
    if name in ("rules", "keys", "lists"):
        changes.append(claims | {name: 7})

    for changed in changes:
        again = signing.encode_jws(
            changed, signer.private, typ=offline.BUNDLE_TYPE, kid=signer.key_id.hex()
        )
        with pytest.raises(BundleRefused):
            read_bundle(again, keys=key_set(), terminal_id=str(kiosk.terminal.id), at=at)
