"""Seven ways in which a code is not good, each told by its own reason, online and offline."""

import secrets
from collections.abc import Callable
from datetime import datetime, timedelta

import pytest

from identity import code_format, keys, lost_phones, status_list, suspensions
from identity.models import SigningKey
from tests import city
from tests.identity.test_scanner_bundle import decide, fetched
from vpass.common import signing

pytestmark = pytest.mark.django_db(transaction=True)

MAX_LIST_AGE = timedelta(hours=1)  # of a kiosk


def suspended_person(phone: city.Phone, at: datetime) -> str:
    code = phone.grant(at=at).code(at)
    suspensions.suspend(
        resident_id=phone.caller.id, source="police", scope="all", reason="", actor="t", at=at
    )
    return code


def lost_phone(phone: city.Phone, at: datetime) -> str:
    assert phone.device is not None
    code = phone.grant(at=at).code(at)
    lost_phones.freeze_device(
        resident_id=phone.caller.id, device_id=phone.device.id, actor="t", at=at
    )
    return code


def old_key(phone: city.Phone, at: datetime) -> str:
    code = phone.grant(at=at).code(at)
    SigningKey.objects.filter(state="current").update(state="retired")
    keys.rotate(at=at)
    return code


def other_city(phone: city.Phone, at: datetime) -> str:
    fresh, signer = signing.generate_p256(), keys.current_signer(at=at)
    claims = code_format.GrantClaims(
        issuer="jinan",
        expires_at=int(at.timestamp()) + 3600,
        handle=secrets.token_bytes(16),
        public_point=signing.public_point(fresh),
        status_index=status_list.numbers_of(at.date())[0] << 20,
    )
    encoded = code_format.encode_grant(claims, kid=signer.key_id, private=signer.private)
    return city.HeldGrant(encoded, fresh).code(at)


def future_clock(phone: city.Phone, at: datetime) -> str:
    return phone.grant(at=at).code(at + timedelta(seconds=90))


def wrong_scene(phone: city.Phone, at: datetime) -> str:
    return phone.grant(at=at).code(at, scenes=code_format.SCENES["pay"])


def stale_status_list(phone: city.Phone, at: datetime) -> str:
    return phone.grant(at=at).code(at + MAX_LIST_AGE + timedelta(seconds=1))


REASONS: list[tuple[Callable[[city.Phone, datetime], str], str, int]] = [
    (suspended_person, "suspended", 403),
    (lost_phone, "revoked", 403),
    (old_key, "key_unknown", 422),
    (other_city, "other_city", 422),
    (future_clock, "clock_wrong", 409),
    (wrong_scene, "scene_not_allowed", 403),
    (stale_status_list, "offline_stale", 0),  # of no matter online
]


def test_reasons__each_its_own():
    assert len({reason for _, reason, _ in REASONS}) == len(REASONS) == 7


@pytest.mark.parametrize(
    ("fault", "reason", "status"), REASONS, ids=[fault.__name__ for fault, _, _ in REASONS]
)
def test_code__not_good__online_and_offline_the_same_reason(
    counter: city.DeskBrowser,
    kiosk: city.Machine,
    phone: city.Phone,
    at: datetime,
    fault: Callable[[city.Phone, datetime], str],
    reason: str,
    status: int,
):
    code = fault(phone, at)
    status_list.sign_due(at=at)
    scanner = fetched(kiosk, at=at)
    good = city.make_phone(1, at=at).grant(at=at)

    late = at + MAX_LIST_AGE + timedelta(seconds=1) if reason == "offline_stale" else at
    assert decide(scanner, code, at=late) == reason
    if status:
        assert city.problem(counter.scan(code)) == (status, f"code.{reason}")
        assert decide(scanner, good.code(at), at=at) is None
    else:
        assert decide(scanner, good.code(late), at=late) == reason  # whoever's code it is
    assert counter.scan(good.code(at)).status_code == 200
