"""Fifty scanners with one code: one wins. And the other races that identity has to settle."""

import os
import time
from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import psycopg2
import pytest

from identity import codes, devices, enrolment
from identity.models import (
    AccessLine,
    Device,
    Enrolment,
    Organisation,
    Redemption,
    Resident,
    StateChange,
)
from tests import city
from tests.together import together
from vpass.common import clock
from vpass.common.idempotency import StillRunning

pytestmark = pytest.mark.django_db(transaction=True)

ROUNDS = int(os.environ.get("VPASS_ROUNDS", "0"))
SCANNERS = 50


def rounds(short: int) -> int:
    """The full number of rounds under `make faults`, a short one in the suite."""
    return ROUNDS or short


def tell(name: str, *, tried: int, broken: int) -> None:
    print(f"faults {name}: {tried} tried, {broken} broken")


@pytest.fixture
def places(hall: Organisation, at: datetime) -> list[city.DeskBrowser | city.Machine]:
    """Fifty places to scan at: desks with clerks and kiosks, at two organisations."""
    other = city.make_organisation("潍坊市人民医院")
    found: list[city.DeskBrowser | city.Machine] = []
    for number in range(SCANNERS // 2):
        organisation = hall if number % 2 else other
        browser = city.make_desk(organisation, name=f"{number}号窗口")
        found.append(city.sign_in_clerk(browser, username=f"clerk-{number}", at=at))
        found.append(city.make_terminal(organisation, key_id=f"kiosk-{number}"))
    return found


@pytest.fixture
def scanners(places: list[city.DeskBrowser | city.Machine]) -> list[Any]:
    """Their callers."""
    return [each.caller for each in places]


def redeem(caller: Any, code: str, *, at: datetime, key: str | None = None) -> codes.Scan:
    return codes.redeem_code(
        caller=caller,
        code=code,
        purpose=city.PURPOSE,
        case_number=None,
        idempotency_key=city.idempotency(caller.scope, key),
        at=at,
    )


def outcome(result: Any) -> str:
    """What one thread met: "accepted", a problem's code, or an error by name."""
    if isinstance(result, codes.Scan):
        return "accepted"
    return getattr(result, "code", None) or repr(result)


def race_once(scanners: list[Any], code: str, *, at: datetime) -> Counter[str]:
    found = together(len(scanners), lambda index: redeem(scanners[index], code, at=at))
    return Counter(map(outcome, found))


def test_redeem__fifty_scanners_with_one_code__one_wins(
    scanners: list[Any], grant: city.HeldGrant, at: datetime
):
    tried = rounds(short=20)
    broken = 0

    for _ in range(tried):
        before = AccessLine.objects.count()
        seen = race_once(scanners, grant.code(at), at=at)
        lines = AccessLine.objects.count() - before
        broken += seen != {"accepted": 1, "code.already_used": SCANNERS - 1} or lines != SCANNERS

    tell("redeem-race", tried=tried, broken=broken)
    assert broken == 0
    assert Redemption.objects.count() == tried
    assert AccessLine.objects.filter(outcome="accepted").count() == tried
    assert AccessLine.objects.filter(reason="code.already_used").count() == tried * (SCANNERS - 1)


def test_redeem__over_http__one_wins_and_every_other_is_told_why(
    places: list[city.DeskBrowser | city.Machine], grant: city.HeldGrant, at: datetime
):
    tried, broken = min(rounds(short=2), 100), 0

    for _ in range(tried):
        code = grant.code(clock.now())
        found = together(SCANNERS, lambda index, code=code: places[index].scan(code))
        seen = Counter(
            (each.status_code, each.json().get("code", "")) if hasattr(each, "json") else repr(each)
            for each in found
        )
        broken += seen != {(200, ""): 1, (409, "code.already_used"): SCANNERS - 1}

    tell("redeem-http", tried=tried, broken=broken)
    assert broken == 0, seen
    assert Redemption.objects.count() == tried


@pytest.fixture
def unguarded(owner_url: str) -> Iterator[None]:
    """The single use done the wrong way, look first and insert then, with no key to stop it."""
    with psycopg2.connect(owner_url) as owner, owner.cursor() as cursor:
        cursor.execute(
            """
            CREATE TABLE race_redemption (jti bytea, grant_id bytea, scanner text, at timestamptz);
            CREATE FUNCTION race_look_then_insert(p_jti bytea, p_grant bytea, p_scanner text,
                                                  p_at timestamptz) RETURNS SETOF integer
            LANGUAGE plpgsql AS $$
            BEGIN
                IF EXISTS (SELECT FROM race_redemption WHERE jti = p_jti) THEN RETURN; END IF;
                INSERT INTO race_redemption VALUES (p_jti, p_grant, p_scanner, p_at);
                RETURN NEXT 1;
            END $$;
            """
        )
    try:
        yield
    finally:
        with psycopg2.connect(owner_url) as owner, owner.cursor() as cursor:
            cursor.execute("DROP FUNCTION race_look_then_insert; DROP TABLE race_redemption")


def test_redeem__guard_off__the_same_race_shows(
    scanners: list[Any],
    grant: city.HeldGrant,
    at: datetime,
    unguarded: None,
    monkeypatch: pytest.MonkeyPatch,
):
    from identity import access_log

    guarded = access_log._WRITE_USE
    start = guarded.index("INSERT INTO identity_redemption")
    end = guarded.index("RETURNING 1", start) + len("RETURNING 1")
    monkeypatch.setattr(
        access_log,
        "_WRITE_USE",
        guarded[:start]
        + "SELECT race_look_then_insert(%(jti)s, %(handle)s, %(scanner)s, %(at)s)"
        + guarded[end:],
    )

    worst = 0
    for _ in range(10):
        seen = race_once(scanners, grant.code(at), at=at)
        worst = max(worst, seen["accepted"])
        if worst > 1:
            break

    assert worst > 1, "without the guard two scanners must win, or the race was none"


def test_redeem__one_key_in_twenty_threads__one_answer_and_one_use(
    counter: city.DeskBrowser, grant: city.HeldGrant, at: datetime
):
    caller = counter.caller
    tried = rounds(short=5)
    broken = 0

    for _ in range(tried):
        code, key = grant.code(at), city.new_key()
        before = AccessLine.objects.count()

        def until_decided(_: int, code: str = code, key: str = key) -> codes.Scan:
            for _try in range(200):
                try:
                    return redeem(caller, code, at=at, key=key)
                except StillRunning:
                    time.sleep(0.02)
            raise AssertionError("never decided")

        found = together(20, until_decided)
        lines = AccessLine.objects.count() - before
        broken += any(isinstance(each, Exception) for each in found) or lines != 1
        broken += len({repr(each) for each in found}) != 1

    tell("redeem-same-key", tried=tried, broken=broken)
    assert broken == 0
    assert Redemption.objects.count() == tried


def test_redeem__while_the_device_is_frozen__accepted_before_or_revoked_after(
    scanners: list[Any], phone: city.Phone, grant: city.HeldGrant, at: datetime
):
    tried = rounds(short=5)
    broken = 0

    for _ in range(tried):
        Device.objects.update(state="active")
        fresh = [grant.code(at) for _ in range(10)]

        def work(index: int, fresh: list[str] = fresh) -> Any:
            if index == 10:
                return Device.objects.update(state="frozen")
            return redeem(scanners[index], fresh[index], at=at)

        seen = Counter(map(outcome, together(11, work)[:10]))
        broken += not set(seen) <= {"accepted", "code.revoked"}
        after = outcome_of(scanners[0], grant.code(at), at=at)
        broken += after != "code.revoked"

    tell("freeze-and-scan", tried=tried, broken=broken)
    assert broken == 0


def outcome_of(caller: Any, code: str, *, at: datetime) -> str:
    try:
        return outcome(redeem(caller, code, at=at))
    except codes.ScanRefused as refused:
        return refused.code


def test_confirm_phone__twenty_proofs_at_once__one_account(db: None, at: datetime):
    tried = rounds(short=5)
    broken = 0

    for number in range(tried):
        phone = city.Phone()
        started = enrolment.start_enrolment(
            public=phone.key.public_key(),
            thumbprint=phone.thumbprint,
            phone=f"138{number:08d}",
            at=at,
        )

        def prove(_: int, phone: city.Phone = phone, started: Enrolment = started) -> Any:
            return enrolment.confirm_phone(
                enrolment_id=started.id,
                thumbprint=phone.thumbprint,
                one_time_code=started.one_time_code,
                at=at,
            )

        found = together(20, prove)
        seen = Counter(
            "token" if isinstance(each, devices.TokenIssued) else outcome(each) for each in found
        )
        broken += seen != {"token": 1, "enrolment.over": 19}

    tell("phone-proof-race", tried=tried, broken=broken)
    assert broken == 0
    assert Resident.objects.count() == Device.objects.count() == tried
    assert StateChange.objects.filter(event="confirm_phone").count() == tried


def test_confirm_phone__two_phones_with_one_number__one_account(db: None, at: datetime):
    tried = rounds(short=5)
    broken = 0

    for number in range(tried):
        phones = [city.Phone() for _ in range(8)]
        started = [
            Enrolment.objects.create(
                thumbprint=phone.thumbprint,
                point=b"\2" * 33,
                phone=f"137{number:08d}",
                one_time_code="123456",
                created_at=at,
                expires_at=at + enrolment.ENROLMENT_LIFE,
            )
            for phone in phones
        ]

        def prove(index: int, phones: Any = phones, started: Any = started) -> Any:
            return enrolment.confirm_phone(
                enrolment_id=started[index].id,
                thumbprint=phones[index].thumbprint,
                one_time_code="123456",
                at=at,
            )

        seen = Counter(
            "token" if isinstance(each, devices.TokenIssued) else outcome(each)
            for each in together(8, prove)
        )
        broken += seen != {"token": 1, "enrolment.phone_taken": 7}

    tell("phone-number-race", tried=tried, broken=broken)
    assert broken == 0
    assert Resident.objects.count() == tried


def test_prove_identity__one_person_in_ten_accounts__one_wins(db: None, at: datetime):
    tried = min(rounds(short=5), 100)
    person, register = city.PEOPLE[100], city.StubRegister()
    broken = 0

    for number in range(tried):
        Resident.objects.exclude(census_hash=None).update(state="closed")
        phones = []
        for index in range(10):
            resident = Resident.objects.create(
                phone="13600000000",
                phone_hash=city.digest_of(bytes([index]), str(number).encode()),
                created_at=at,
            )
            phone = city.Phone()
            phone.device = devices.bind_device(
                resident=resident, point=b"\2" * 33, thumbprint=phone.thumbprint, at=at
            )
            phones.append(phone)
        callers = [phone.caller for phone in phones]

        def prove(index: int, callers: list[Any] = callers) -> int:
            return enrolment.prove_identity(
                caller=callers[index],
                register=register,
                real_name=person.real_name,
                id_number=person.id_number,
                idempotency_key=city.idempotency(callers[index].scope),
                at=at,
            )

        seen = Counter(
            each if isinstance(each, int) else outcome(each) for each in together(10, prove)
        )
        broken += seen != {2: 1, "identity.taken": 9}

    tell("identity-race", tried=tried, broken=broken)
    assert broken == 0
    assert Resident.objects.filter(level=2).exclude(state="closed").count() == 1


def test_renew_token__one_assertion_in_ten_threads__one_token(phone: city.Phone, at: datetime):
    assertion = phone.assertion(at=at)

    found = together(
        10,
        lambda _: devices.renew_token(assertion=assertion, thumbprint=phone.thumbprint, at=at),
    )

    seen = Counter(
        "token" if isinstance(each, devices.TokenIssued) else outcome(each) for each in found
    )
    assert seen == {"token": 1, "token.assertion_refused": 9}
