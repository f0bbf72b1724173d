"""A key in a phone's chip: the maker's word for it and our challenge, or a code that says why."""

import base64
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.conf import settings

from identity import attestation
from identity.models import Device, Enrolment, Resident
from tests import city, proving
from vpass.common import signing
from vpass.common.encodings import b64url_encode

pytestmark = pytest.mark.django_db(transaction=True)

NUMBER = "13900000001"


def challenge() -> str:
    answer = city.send("GET", "/.well-known/vpass-attestation-challenge", None, {})
    assert (answer.status_code, answer["Cache-Control"]) == (200, "no-store")
    return str(answer.json()["challenge"])


def enrol(phone: city.Phone, chain: Any, *, number: str = NUMBER) -> Any:
    """Enrol a phone that brings this chain; an enrolment that has begun is gone on with."""
    row = Enrolment.objects.filter(thumbprint=phone.thumbprint, state="phone_given").first()
    if row is None:
        phone.send("POST", f"{city.RESIDENT}/enrolments", {"phone": number})
        row = Enrolment.objects.get(thumbprint=phone.thumbprint)
    body = {"one_time_code": row.one_time_code, "attestation": chain}
    return phone.send("POST", f"{city.RESIDENT}/enrolments/{row.id}/phone-proof", body)


def test_enrol__key_in_the_chip__grade_hardware():
    phone = city.Phone()

    answer = enrol(phone, proving.vouch(phone.key, challenge()))

    assert answer.status_code == 200
    device = Device.objects.get()
    assert device.grade == "hardware"
    assert device.attested_root == next(iter(attestation._roots(settings.ATTESTATION_ROOTS)))
    phone.token = answer.json()["access_token"]
    me = phone.send("GET", f"{city.RESIDENT}/me").json()
    assert me["device"]["grade"] == "hardware"


def test_enrol__without_a_chain__grade_software():
    phone = city.Phone()

    assert enrol(phone, None).status_code == 200

    device = Device.objects.get()
    assert (device.grade, device.attested_root) == ("software", None)


def test_enrol__chain_that_proves_nothing__its_own_code_and_nothing_made():
    phone, ours = city.Phone(), challenge()
    other = signing.generate_p256()
    good = proving.vouch(phone.key, ours)
    stale = attestation.new_challenge(at=city.clock.now() - timedelta(minutes=10, seconds=1))
    flipped = b64url_encode(bytes([*signing.b64url_decode(ours)][:-1]) + b"\0")
    expected = {
        "expired": (proving.vouch(phone.key, ours, "expired"), "attestation.not_valid_now"),
        "not_yet": (proving.vouch(phone.key, ours, "not_yet"), "attestation.not_valid_now"),
        "foreign": (proving.vouch(phone.key, ours, "foreign_root"), "attestation.root_unknown"),
        "broken": (proving.vouch(phone.key, ours, "broken"), "attestation.broken"),
        "no ca": (proving.vouch(phone.key, ours, "batch_no_ca"), "attestation.broken"),
        "long": (proving.vouch(phone.key, ours, "path_too_long"), "attestation.broken"),
        "leaf ca": (proving.vouch(phone.key, ours, "leaf_is_ca"), "attestation.broken"),
        "leaf use": (proving.vouch(phone.key, ours, "leaf_cannot_sign"), "attestation.broken"),
        "software": (proving.vouch(phone.key, ours, "software"), "attestation.not_hardware"),
        "silent": (proving.vouch(phone.key, ours, "no_statement"), "attestation.malformed"),
        "critical": (proving.vouch(phone.key, ours, "high_critical"), "attestation.malformed"),
        "other key": (proving.vouch(other, ours), "attestation.other_key"),
        "no challenge of ours": (
            proving.vouch(phone.key, b64url_encode(b"x" * 38)), "attestation.challenge_wrong",
        ),
        "changed challenge": (proving.vouch(phone.key, flipped), "attestation.challenge_wrong"),
        "stale challenge": (proving.vouch(phone.key, stale), "attestation.challenge_wrong"),
        "leaf alone": (good[:1], "attestation.root_unknown"),
        "upside down": (good[::-1], "attestation.root_unknown"),
        "root alone": (good[2:], "attestation.broken"),
        "no base64": (["§§"], "attestation.malformed"),
        "no certificate": ([base64.b64encode(b"0" * 99).decode()], "attestation.malformed"),
        "trailing byte": (
            [base64.b64encode(base64.b64decode(good[0]) + b"\0").decode(), *good[1:]],
            "attestation.malformed",
        ),
    }  # fmt: skip
    for name, (chain, code) in expected.items():
        status = 422
        assert city.problem(enrol(phone, chain)) == (status, code), name
    for malformed in ([], [7], "chain", [good[0]] * 6, [None]):
        assert city.problem(enrol(phone, malformed)) == (400, "request.invalid"), malformed
    # Refused before the one-time code was looked at: no try is gone, and the right chain goes on.
    assert Enrolment.objects.get().tries == 0
    assert Resident.objects.count() == Device.objects.count() == 0
    assert enrol(phone, proving.vouch(phone.key, ours, "no_root")).status_code == 200
    assert Device.objects.get().grade == "hardware"


def test_enrol__second_key_for_one_challenge__refused():
    ours, first, second = challenge(), city.Phone(), city.Phone()
    enrol(first, proving.vouch(first.key, ours))

    answer = enrol(second, proving.vouch(second.key, ours), number="13900000002")

    assert city.problem(answer) == (409, "attestation.challenge_used")
    assert Resident.objects.count() == Device.objects.count() == 1


def test_move__to_a_phone_with_a_chip__hardware_and_level_two(at: datetime):
    old = city.make_phone(0, level=3, at=at)
    person, phone = city.PEOPLE[0], city.Phone()
    phone.send("POST", f"{city.RESIDENT}/enrolments", {"phone": person.phone})
    row = Enrolment.objects.get()
    path = f"{city.RESIDENT}/enrolments/{row.id}/move"
    body = {
        "one_time_code": row.one_time_code,
        "real_name": person.real_name,
        "id_number": person.id_number,
    }

    bad = phone.send("POST", path, body | {"attestation": proving.vouch(old.key, challenge())})
    answer = phone.send("POST", path, body | {"attestation": proving.vouch(phone.key, challenge())})

    assert city.problem(bad) == (422, "attestation.other_key")
    # Nobody has seen the face of who holds the new phone: level 3 is proven anew.
    assert answer.json()["resident"] == {"level": 2}
    assert Device.objects.get(thumbprint=phone.thumbprint).grade == "hardware"
    assert Device.objects.get(id=old.device.id).state == "ended"
