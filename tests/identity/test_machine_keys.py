"""A machine's next key takes over while the old one is good, and all end at once when they must."""

import json
import uuid
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.conf import settings

from identity import machine_keys, organisations
from identity.models import MachineKey, Organisation, Terminal
from tests import city
from tests.administration import Office, open_city
from tests.statements import statements
from tests.together import together
from vpass.common import clock, http_signatures, signing
from vpass.common.http_signatures import Parts
from vpass.common.models import AuditEvent

pytestmark = pytest.mark.django_db(transaction=True)

PATH = f"{city.TERMINAL}/keys/rotation"


def thumbprint(key: Any) -> str:
    return signing.thumbprint(signing.jwk_of(key))


def proof(new: Any, old_id: str, *, at: datetime, typ: str = machine_keys.PROOF_TYPE,
          by: Any = None, **changes: Any) -> str:  # fmt: skip
    claims = {
        "aud": settings.PUBLIC_URL + PATH,
        "sub": old_id,
        "iat": int(at.timestamp()),
        "jti": uuid.uuid4().hex,
    } | changes
    return signing.encode_jws(claims, by or new, typ=typ, jwk=signing.jwk_of(new))


def send_as(key: Any, method: str, path: str, body: Any, *, key_id: str | None = None) -> Any:
    """A request signed by a P-256 key."""
    raw = json.dumps(body).encode()
    headers = {"content-type": "application/json", "idempotency-key": city.new_key()}
    added = http_signatures.sign_request(
        Parts(method=method, target_uri=settings.PUBLIC_URL + path, headers=headers, body=raw),
        key_id=key_id or thumbprint(key),
        private=key,
        algorithm="ecdsa-p256-sha256",
        at=clock.now(),
        nonce=uuid.uuid4().hex,
    )
    headers.pop("content-type")
    return city.send(method, path, raw, headers | added)


def scan_as(key: Any) -> tuple[int, str]:
    body = {"code": "VP1:X", "purpose": city.PURPOSE, "case_number": None}
    return city.problem(send_as(key, "POST", f"{city.TERMINAL}/scans", body))


def rotate(machine: city.Machine, new: Any, *, at: datetime) -> Any:
    body = {"proof": proof(new, machine.key_id, at=at)}
    return machine.send("POST", PATH, body, key=city.new_key())


def test_rotate__both_keys_good_for_a_day__then_the_old_is_refused(
    kiosk: city.Machine, at: datetime
):
    new = signing.generate_p256()

    answer = rotate(kiosk, new, at=at)

    assert answer.status_code == 201, answer.content
    body = answer.json()
    assert (body["key_id"], body["old_key_id"]) == (thumbprint(new), "kiosk-1")
    until = datetime.fromisoformat(body["old_key_good_until"])
    assert timedelta(hours=23) < until - at <= timedelta(hours=25)
    assert city.problem(kiosk.scan("VP1:X")) == scan_as(new) == (422, "code.unreadable")
    just_before, then = until - timedelta(seconds=1), until
    assert organisations.find_machine_caller("kiosk-1", just_before) is not None
    assert organisations.find_machine_caller("kiosk-1", then) is None
    with statements() as sent:
        found = organisations.find_machine_caller(thumbprint(new), then)
    assert found is not None
    assert found.caller.id == kiosk.terminal.id
    assert len(sent) == 1
    machine_keys.retire_due(at=just_before)
    assert set(MachineKey.objects.values_list("state", flat=True)) == {"active"}
    machine_keys.retire_due(at=then)
    assert dict(MachineKey.objects.values_list("id", "state")) == {
        "kiosk-1": "retired", thumbprint(new): "active",
    }  # fmt: skip
    assert AuditEvent.objects.get().action == "terminal.key_rotated"


def test_rotate__again_within_the_day__two_are_good_and_never_three(
    kiosk: city.Machine, at: datetime
):
    first, second = signing.generate_p256(), signing.generate_p256()
    rotate(kiosk, first, at=at)

    late = rotate(kiosk, second, at=at)
    body = {"proof": proof(second, thumbprint(first), at=at)}
    answer = send_as(first, "POST", PATH, body)

    assert city.problem(late) == (409, "machine_key.not_current")
    assert answer.status_code == 201, answer.content
    assert city.problem(kiosk.scan("VP1:X")) == (401, "signature.key_unknown")
    assert scan_as(first) == scan_as(second) == (422, "code.unreadable")


@pytest.mark.parametrize("fault", ["other key", "other sub", "old", "typ", "aud", "jti", "junk"])
def test_rotate__not_proven_by_the_new_key__refused_and_nothing_changed(
    kiosk: city.Machine, at: datetime, fault: str
):
    new = signing.generate_p256()
    changes: dict[str, Any] = {
        "other key": {"by": signing.generate_p256()},
        "other sub": {"sub": "kiosk-2"},
        "old": {"iat": int(at.timestamp()) - 90},
        "typ": {"typ": "dpop+jwt"},
        "aud": {"aud": "https://elsewhere.example/"},
        "jti": {"jti": None},
        "junk": {},
    }[fault]
    word = "a.b.c" if fault == "junk" else proof(new, kiosk.key_id, at=at, **changes)

    answer = kiosk.send("POST", PATH, {"proof": word}, key=city.new_key())

    assert city.problem(answer) == (422, "machine_key.proof_invalid")
    assert list(MachineKey.objects.values_list("id", "retires_at")) == [("kiosk-1", None)]


def test_rotate__repeated_when_the_proof_is_old__the_same_answer(kiosk: city.Machine, at: datetime):
    word = proof(signing.generate_p256(), kiosk.key_id, at=at)
    key, late = city.idempotency(kiosk.caller.scope), at + timedelta(seconds=90)
    asked: Any = {"caller": kiosk.caller, "proof": word, "path": PATH}

    made = machine_keys.rotate(**asked, idempotency_key=key, at=at)
    again = machine_keys.rotate(**asked, idempotency_key=key, at=late)

    assert again == made
    assert MachineKey.objects.filter(state="active").count() == 2
    with pytest.raises(machine_keys.NextKeyInvalid):
        machine_keys.rotate(**asked, idempotency_key=city.idempotency(kiosk.caller.scope), at=late)


def test_rotate__to_a_key_of_another_machine__refused(
    kiosk: city.Machine, hall: Organisation, at: datetime
):
    other, new = city.make_terminal(hall, key_id="kiosk-2"), signing.generate_p256()
    rotate(other, new, at=at)

    answer = rotate(kiosk, new, at=at)

    assert city.problem(answer) == (409, "terminal.key_taken")
    assert MachineKey.objects.get(id="kiosk-1").retires_at is None


def test_rotate__five_at_once__one_takes_over(kiosk: city.Machine, at: datetime):
    proofs = [proof(signing.generate_p256(), kiosk.key_id, at=at) for _ in range(5)]

    found = together(
        5,
        lambda index: machine_keys.rotate(
            caller=kiosk.caller, proof=proofs[index], path=PATH, at=at,
            idempotency_key=city.idempotency(kiosk.caller.scope),
        ),
    )  # fmt: skip

    assert sum(isinstance(each, machine_keys.Rotated) for each in found) == 1
    assert sum(isinstance(each, machine_keys.KeyNotCurrent) for each in found) == 4
    assert MachineKey.objects.filter(state="active").count() == 2


def test_revoke__by_one_administrator__every_key_refused_at_once(at: datetime):
    office = open_city(at=at)
    kiosk, new = city.make_terminal(office.city), signing.generate_p256()
    rotate(kiosk, new, at=at)

    code = organisations.issue_terminal_code(terminal=kiosk.terminal, actor="test", at=at)

    path = f"terminals/{kiosk.terminal.id}/key-revocation"
    answer = office.post(path, {"reason": "stolen"})

    assert answer.json() == {"keys": 2}
    assert city.problem(kiosk.scan("VP1:X")) == (401, "signature.key_unknown")
    assert scan_as(new) == (401, "signature.key_unknown")
    assert set(MachineKey.objects.values_list("state", flat=True)) == {"revoked"}
    late = send_as(new := signing.generate_p256(), "POST", f"{city.TERMINAL}/keys",
                   {"enrolment_code": code, "jwk": signing.jwk_of(new)})  # fmt: skip
    assert city.problem(late) == (422, "terminal.code_refused")
    assert office.post(path, {"reason": "stolen"}).json() == {"keys": 0}


@pytest.mark.parametrize(
    ("kind", "scene", "part"),
    [
        ("department", "department", "department"),
        ("bank", "issuer", "issuer"),
        ("bank", "id", "bank"),
        ("hall", "door", "terminal"),
    ],
    ids=["department", "issuer", "bank", "terminal"],
)
def test_enrol__by_two_and_the_machines_own_key__calls_as_its_kind_and_no_other(
    at: datetime, kind: str, scene: str, part: str
):
    office: Office = open_city(at=at)
    where = Organisation.objects.create(
        parent=office.city, kind=kind, name_zh="某单位", name_en="Some office"
    )
    place = {"name_zh": "系统", "name_en": "System", "scene": scene}
    made = office.agree("terminal.register", where.id, place)
    key = signing.generate_p256()
    body = {"enrolment_code": made["code"], "jwk": signing.jwk_of(key)}

    elsewhere = "terminal" if part != "terminal" else "department"
    wrong = send_as(key, "POST", f"/api/{elsewhere}/v1/keys", body)
    right = send_as(key, "POST", f"/api/{part}/v1/keys", body)
    again = send_as(key, "POST", f"/api/{part}/v1/keys", body)

    assert city.problem(wrong) == city.problem(again) == (422, "terminal.code_refused")
    assert right.status_code == 201, right.content
    assert right.json()["key_id"] == thumbprint(key)
    found = organisations.find_machine_caller(thumbprint(key), at)
    assert found is not None
    assert (found.caller.kind, found.caller.id) == (part, Terminal.objects.get().id)
