"""Refresh tokens come in families bound to a phone's key; a reuse ends the family."""

from datetime import UTC, datetime, timedelta

import pytest

from identity import devices
from identity.models import AccessToken, Device, RefreshToken, StateChange, TokenFamily
from tests import city
from vpass.common import tasks
from vpass.common.key_proofs import token_hash

pytestmark = pytest.mark.django_db(transaction=True)

AT = datetime(2026, 3, 1, 4, 0, tzinfo=UTC)
LATER = AT + timedelta(minutes=10)


@pytest.fixture
def phone() -> city.Phone:
    return city.make_phone(0, at=AT)


def sign_in(phone: city.Phone, *, at: datetime = AT) -> devices.TokenIssued:
    return devices.renew_token(assertion=phone.assertion(at=at), thumbprint=phone.thumbprint, at=at)


def refresh(phone: city.Phone, token: str, *, at: datetime = LATER) -> devices.TokenIssued:
    return devices.refresh_token(refresh_token=token, thumbprint=phone.thumbprint, at=at)


def is_let_in(issued: devices.TokenIssued, *, at: datetime = LATER) -> bool:
    return devices.find_resident_caller(token_hash(issued.access_token), at) is not None


def test_refresh__unused_token__new_tokens_of_which_only_hashes_stay(phone: city.Phone):
    first = sign_in(phone)

    second = refresh(phone, first.refresh_token)

    assert is_let_in(first) and is_let_in(second)
    assert second.refresh_token != first.refresh_token
    assert (second.expires_in_s, second.refresh_expires_in_s) == (900, 30 * 86400)
    old = RefreshToken.objects.get(token_hash=token_hash(first.refresh_token))
    new = RefreshToken.objects.get(token_hash=token_hash(second.refresh_token))
    assert (old.used_at, new.used_at, old.family_id) == (LATER, None, new.family_id)
    assert new.expires_at == LATER + timedelta(days=30)


def test_refresh__used_token_again__family_and_its_access_tokens_end(phone: city.Phone):
    first = sign_in(phone)
    second = refresh(phone, first.refresh_token)

    with pytest.raises(devices.RefreshReused):
        refresh(phone, first.refresh_token)

    assert not is_let_in(first) and not is_let_in(second)
    with pytest.raises(devices.RefreshRefused):
        refresh(phone, second.refresh_token)
    with pytest.raises(devices.RefreshRefused):
        refresh(phone, first.refresh_token)
    family = TokenFamily.objects.get(refreshtoken__token_hash=token_hash(first.refresh_token))
    assert family.state == "reused"
    assert StateChange.objects.filter(object_kind="token_family", event="revoke").count() == 1
    assert is_let_in(sign_in(phone, at=LATER)), "the key alone still signs in"


def test_refresh__by_another_key__refused_and_the_token_stays_good(phone: city.Phone):
    first, stranger = sign_in(phone), city.make_phone(1, at=AT)

    with pytest.raises(devices.RefreshRefused):
        refresh(stranger, first.refresh_token)

    assert is_let_in(refresh(phone, first.refresh_token))


@pytest.mark.parametrize("case", ["unknown", "lapsed", "frozen", "closed", "an access token"])
def test_refresh__not_in_force__refused_and_nothing_made(phone: city.Phone, case: str):
    issued, at = sign_in(phone), LATER
    token = issued.refresh_token
    if case == "unknown":
        token = "A" * 43
    elif case == "lapsed":
        at = AT + timedelta(days=30)
    elif case == "frozen":
        Device.objects.update(state="frozen")
    elif case == "closed":
        type(phone.device.resident).objects.update(state="closed")
    else:
        token = issued.access_token
    before = RefreshToken.objects.count(), AccessToken.objects.count()

    with pytest.raises(devices.RefreshRefused):
        refresh(phone, token, at=at)

    assert (RefreshToken.objects.count(), AccessToken.objects.count()) == before


def test_sign_in__again__the_last_family_has_ended(phone: city.Phone):
    first = sign_in(phone)
    second = sign_in(phone, at=LATER)

    with pytest.raises(devices.RefreshRefused):
        refresh(phone, first.refresh_token)
    assert is_let_in(refresh(phone, second.refresh_token))
    assert TokenFamily.objects.filter(state="alive").count() == 1


def test_refresh_token__as_access_token__opens_nothing(phone: city.Phone):
    issued = sign_in(phone)

    assert devices.find_resident_caller(token_hash(issued.refresh_token), LATER) is None


def test_sign_out__every_token_ends_at_once(phone: city.Phone):
    issued = sign_in(phone)

    devices.sign_out(device_id=phone.device.id, at=LATER)

    assert AccessToken.objects.count() == 0
    with pytest.raises(devices.RefreshRefused):
        refresh(phone, issued.refresh_token)
    assert is_let_in(sign_in(phone, at=LATER))


def test_purge__past_tokens_and_empty_families__gone(phone: city.Phone):
    refresh(phone, sign_in(phone).refresh_token)

    devices.purge(at=AT + timedelta(hours=1))
    kept = AccessToken.objects.count(), RefreshToken.objects.count(), TokenFamily.objects.count()
    devices.purge(at=AT + timedelta(days=31))

    assert kept == (0, 3, 2)
    assert RefreshToken.objects.count() == TokenFamily.objects.count() == 0


def test_purge_expired__the_common_task__asks_identity_too(phone: city.Phone):
    tasks.purge_expired()

    assert AccessToken.objects.count() == RefreshToken.objects.count() == 0


# Over HTTP


def test_tokens__over_http__refreshed_signed_out_and_refused(at: datetime):
    phone = city.make_phone(0, at=at)
    issued = devices.issue_token(device=phone.device, at=at)
    path = f"{city.RESIDENT}/tokens/refresh"
    phone.token = None

    answer = phone.send("POST", path, {"refresh_token": issued.refresh_token})
    again = phone.send("POST", path, {"refresh_token": issued.refresh_token})

    body = answer.json()
    assert answer.status_code == 200
    assert body.keys() == {
        "access_token", "token_type", "expires_in", "refresh_token", "refresh_expires_in",
        "resident",
    }  # fmt: skip
    assert city.problem(again) == (401, "token.refresh_reused")
    phone.token = body["access_token"]
    assert city.problem(phone.send("GET", f"{city.RESIDENT}/me")) == (401, "token.unknown")


def test_sign_out__over_http__the_next_request_refused(phone: city.Phone, at: datetime):
    phone.token = devices.issue_token(device=phone.device, at=at).access_token

    answer = phone.send("DELETE", f"{city.RESIDENT}/tokens/own")

    assert answer.status_code == 204
    assert city.problem(phone.send("GET", f"{city.RESIDENT}/me")) == (401, "token.unknown")
