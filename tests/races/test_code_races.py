"""Grants against suspensions, one refresh token in many hands, limits under threads."""

from collections import Counter
from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest

from identity import (
    codes,
    devices,
    grants,
    keys,
    lost_phones,
    queries,
    server_codes,
    status_list,
    suspensions,
)
from identity.models import (
    AccessToken,
    Device,
    Grant,
    RefreshToken,
    Resident,
    StatusEntry,
    Suspension,
    TokenFamily,
)
from tests import city
from tests.races.test_redeem_race import rounds, tell
from tests.together import together
from vpass.common.limits import LimitReached

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def many_grants(monkeypatch: pytest.MonkeyPatch) -> None:
    """As many grants a day as a long race wants."""
    monkeypatch.setattr(grants, "GRANTS_PER_DAY", replace(grants.GRANTS_PER_DAY, maximum=100_000))


# A grant and what blocks it


def suspend(phone: city.Phone, *, at: datetime) -> Suspension:
    return suspensions.suspend(
        resident_id=phone.device.resident_id,
        source="risk",
        scope="pay",
        reason="t",
        actor="t",
        at=at,
    )


def is_told(*, at: datetime) -> bool:
    """Whether every living grant's place says what its person's and its phone's rows say."""
    known = dict(StatusEntry.objects.values_list("index", "value"))
    living = Grant.objects.select_related("resident", "device").filter(expires_at__gt=at)
    return all(known.get(each.status_index, 0) == status_list.status_of(each) for each in living)


def again() -> None:
    Grant.objects.update(expires_at="2020-01-01T00:00:00Z")
    StatusEntry.objects.all().delete()
    Suspension.objects.all().delete()
    Resident.objects.update(suspended_scenes=0)
    Device.objects.update(state="active")


@pytest.mark.parametrize("blocks", ["suspend", "freeze"])
def test_grants__while_the_person_is_blocked__none_slips_past_the_list(
    phone: city.Phone, at: datetime, blocks: str
):
    keys.current_signer(at=at)
    tried = rounds(short=12)
    broken = 0

    def work(index: int) -> Any:
        if index:
            return phone.grant(at=at)
        if blocks == "suspend":
            return suspend(phone, at=at)
        return lost_phones.freeze_device(
            resident_id=phone.device.resident_id, device_id=phone.device.id, actor="t", at=at
        )

    for _ in range(tried):
        found = together(4, work)
        refused = [each for each in found if isinstance(each, Exception)]
        broken += any(not isinstance(each, grants.DeviceNotActive) for each in refused)
        broken += not is_told(at=at)
        again()

    tell(f"grant-and-{blocks}", tried=tried, broken=broken)
    assert broken == 0


def test_grants__guard_off__one_slips_past(
    phone: city.Phone, at: datetime, monkeypatch: pytest.MonkeyPatch
):
    """Without the person's lock a grant can read the row before and be written after."""
    keys.current_signer(at=at)
    insert = queries.insert_grant

    def slowly(grant: Grant, **asked: Any) -> bool:
        # What the scheduler may do at any time: another transaction in between.
        together(1, lambda _: suspend(phone, at=at))
        return insert(grant, **asked)

    monkeypatch.setattr(queries, "insert_grant", slowly)
    unlocked = queries._LOCK_HOLDER.replace("FOR NO KEY UPDATE OF resident", "")
    monkeypatch.setattr(queries, "_LOCK_HOLDER", unlocked)

    phone.grant(at=at)

    assert not is_told(at=at), "without the guard the list must miss it"


def test_grants__twelve_threads_and_five_allowed__exactly_five(
    phone: city.Phone, at: datetime, monkeypatch: pytest.MonkeyPatch
):
    keys.current_signer(at=at)
    monkeypatch.setattr(grants, "GRANTS_PER_DAY", replace(grants.GRANTS_PER_DAY, maximum=5))
    tried = rounds(short=3)
    broken = 0

    for _ in range(tried):
        found = together(12, lambda _: phone.grant(at=at))
        broken += Counter(type(each) for each in found) != {city.HeldGrant: 5, LimitReached: 7}
        Grant.objects.update(issued_at="2020-01-01T00:00:00Z")

    tell("grant-limit", tried=tried, broken=broken)
    assert broken == 0


# One refresh token in many hands


def outcome(result: Any) -> str:
    if isinstance(result, devices.TokenIssued):
        return "token"
    return getattr(result, "code", None) or repr(result)


def refresh_at_once(phone: city.Phone, *, at: datetime) -> Counter[str]:
    token = devices.issue_token(device=phone.device, at=at).refresh_token
    found = together(
        10,
        lambda _: devices.refresh_token(refresh_token=token, thumbprint=phone.thumbprint, at=at),
    )
    return Counter(map(outcome, found))


def test_refresh__one_token_in_ten_threads__one_wins_and_the_family_ends(
    phone: city.Phone, at: datetime
):
    expected = {"token": 1, "token.refresh_reused": 1, "token.refresh_refused": 8}
    tried = rounds(short=5)
    broken = 0

    for _ in range(tried):
        broken += refresh_at_once(phone, at=at) != expected
        broken += AccessToken.objects.filter(family__state="reused").exists()

    tell("refresh-reuse", tried=tried, broken=broken)
    assert broken == 0


def test_refresh__guard_off__the_same_race_shows(
    phone: city.Phone, at: datetime, monkeypatch: pytest.MonkeyPatch
):
    """Without the family's lock, and with look-then-write instead of the atomic use."""

    def look_then_write(hashed: bytes, *, at: datetime) -> bool:
        token = RefreshToken.objects.get(token_hash=hashed)
        if token.used_at is not None:
            return False
        RefreshToken.objects.filter(token_hash=hashed).update(used_at=at)
        return True

    monkeypatch.setattr(devices, "_use_up", look_then_write)
    rows = type(TokenFamily.objects.all())
    lock = rows.select_for_update
    monkeypatch.setattr(
        rows,
        "select_for_update",
        lambda self, **options: self if self.model is TokenFamily else lock(self, **options),
    )

    worst = 0
    for _ in range(10):
        worst = max(worst, refresh_at_once(phone, at=at)["token"])
        if worst > 1:
            break

    assert worst > 1, "without the guard two must win, or the race was none"


# A code that the server issued


def test_server_code__twenty_scanners__one_wins(
    phone: city.Phone, counter: city.DeskBrowser, at: datetime, monkeypatch: pytest.MonkeyPatch
):
    limit = replace(server_codes.PER_MINUTE, maximum=100_000)
    monkeypatch.setattr(server_codes, "PER_MINUTE", limit)
    caller = counter.caller
    tried = rounds(short=5)
    broken = 0

    for _ in range(tried):
        code = server_codes.issue_code(
            caller=phone.caller,
            scenes=["id"],
            idempotency_key=city.idempotency(phone.caller.scope),
            at=at,
        ).code

        def redeem(_: int, code: str = code) -> codes.Scan:
            return codes.redeem_code(
                caller=caller,
                code=code,
                purpose=city.PURPOSE,
                case_number=None,
                idempotency_key=city.idempotency(caller.scope),
                at=at,
            )

        seen = Counter(
            "accepted" if isinstance(each, codes.Scan) else getattr(each, "code", repr(each))
            for each in together(20, redeem)
        )
        broken += seen != {"accepted": 1, "code.already_used": 19}

    tell("server-code-race", tried=tried, broken=broken)
    assert broken == 0
