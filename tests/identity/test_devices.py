"""A phone's key opens its account: tokens, assertions, and what ends them."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.conf import settings

from identity import devices
from identity.models import AccessToken, Device, Resident
from tests import city
from tests.parameters import stable_id
from tests.statements import statements
from vpass.common import signing
from vpass.common.models import SeenOnce

pytestmark = pytest.mark.django_db(transaction=True)

AT = datetime(2026, 3, 1, 4, 0, tzinfo=UTC)
STRANGER = signing.generate_p256()


@pytest.fixture
def phone() -> city.Phone:
    return city.make_phone(0, at=AT)


def renew(phone: city.Phone, assertion: str, *, at: datetime = AT) -> devices.TokenIssued:
    return devices.renew_token(assertion=assertion, thumbprint=phone.thumbprint, at=at)


def test_renew__assertion_by_the_device__new_token_of_which_only_the_hash_stays(
    phone: city.Phone,
):
    issued = renew(phone, phone.assertion(at=AT))

    assert issued.expires_in_s == 900
    row = AccessToken.objects.get(token_hash=city.key_proofs.token_hash(issued.access_token))
    assert (row.device_id, row.expires_at) == (phone.device.id, AT + timedelta(minutes=15))
    assert AccessToken.objects.count() == 2


@pytest.mark.parametrize(
    "changes",
    [
        {"by": STRANGER},
        {"aud": "http://127.0.0.1:8000/api/resident/v1/grants"},
        {"iss": "someone"},
        {"sub": "someone"},
        {"iat": int(AT.timestamp()) - 61},
        {"iat": int(AT.timestamp()) + 31},
        {"iat": "now"},
        {"jti": None},
        {"exp": int(AT.timestamp()) - 31},
    ],
    ids=stable_id,
)
def test_renew__assertion_not_as_it_must_be__refused_and_no_token(
    phone: city.Phone, changes: dict[str, Any]
):
    with pytest.raises(devices.AssertionRefused):
        renew(phone, phone.assertion(at=AT, **changes))

    assert AccessToken.objects.count() == 1
    assert SeenOnce.objects.count() == 0


def test_renew__other_type_of_token__refused(phone: city.Phone):
    with pytest.raises(devices.AssertionRefused):
        renew(phone, phone.grant_request(STRANGER, at=AT, iss=phone.thumbprint))


def test_renew__same_assertion_twice__replayed(phone: city.Phone):
    assertion = phone.assertion(at=AT)
    renew(phone, assertion)

    with pytest.raises(devices.AssertionRefused):
        renew(phone, assertion, at=AT + timedelta(seconds=30))
    assert AccessToken.objects.count() == 2


@pytest.mark.parametrize("state", ["frozen", "ended"])
def test_renew__device_not_active__refused(phone: city.Phone, state: str):
    Device.objects.update(state=state)

    with pytest.raises(devices.AssertionRefused):
        renew(phone, phone.assertion(at=AT))


def test_renew__account_closed_or_key_unknown__refused(phone: city.Phone):
    with pytest.raises(devices.AssertionRefused):
        renew(city.Phone(), city.Phone().assertion(at=AT))
    Resident.objects.update(state="closed")
    with pytest.raises(devices.AssertionRefused):
        renew(phone, phone.assertion(at=AT))


def test_find_resident_caller__one_statement_and_the_whole_caller(phone: city.Phone):
    with statements() as sent:
        known = devices.find_resident_caller(city.key_proofs.token_hash(phone.token), AT)

    assert len(sent) == 1
    assert known.caller == phone.caller
    assert known.key.to_bytes() == signing.public_point(phone.key)


@pytest.mark.parametrize(
    ("seconds", "is_known"), [(0, True), (899, True), (900, False), (901, False)]
)
def test_find_resident_caller__by_the_clock(phone: city.Phone, seconds: int, is_known: bool):
    token_hash = city.key_proofs.token_hash(phone.token)

    found = devices.find_resident_caller(token_hash, AT + timedelta(seconds=seconds))

    assert (found is not None) is is_known


def test_find_resident_caller__suspended_resident__may_still_read(phone: city.Phone):
    Resident.objects.update(state="suspended")

    assert devices.find_resident_caller(city.key_proofs.token_hash(phone.token), AT) is not None


def test_bind_device__key_of_another_account__refused(phone: city.Phone):
    other = city.make_phone(1, at=AT)

    with pytest.raises(devices.DeviceTaken):
        devices.bind_device(
            resident=other.device.resident,
            point=signing.public_point(phone.key),
            thumbprint=phone.thumbprint,
            at=AT,
        )
    assert Device.objects.count() == 2


def test_renew__over_http__fresh_token_works(at: datetime):
    phone = city.make_phone(1, at=at - timedelta(hours=1))
    assert city.problem(phone.send("GET", f"{city.RESIDENT}/me")) == (401, "token.unknown")
    phone.token = None

    answer = phone.send("POST", f"{city.RESIDENT}/tokens", {"assertion": phone.assertion(at=at)})

    phone.token = answer.json()["access_token"]
    assert phone.send("GET", f"{city.RESIDENT}/me").status_code == 200
    assert answer.json()["expires_in"] == 900
    assert settings.SECRET_KEY not in answer.content.decode()
