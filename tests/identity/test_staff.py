"""Staff sign in with two factors at an enrolled desk, and every wrong part looks the same."""

import re
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.conf import settings
from django.contrib.auth.hashers import Argon2PasswordHasher
from django.contrib.auth.models import User
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django_otp.oath import TOTP
from django_otp.plugins.otp_totp.models import TOTPDevice

from identity import staff
from identity.models import Organisation, Staff, StaffSession
from tests import city
from tests.statements import statements
from vpass.common import limits
from vpass.common.limits import LimitReached
from vpass.common.models import AuditEvent

pytestmark = pytest.mark.django_db(transaction=True)

PASSWORD = "correct horse battery staple"
TOTP_KEY = "3132333435363738393031323334353637383930"


@pytest.fixture
def desk(hall: Organisation) -> city.DeskBrowser:
    """A desk with nobody signed in, and a clerk who could."""
    user = User.objects.create_user(username="clerk", password=PASSWORD)
    TOTPDevice.objects.create(user=user, name="authenticator", key=TOTP_KEY)
    Staff.objects.create(user=user, organisation=hall)
    return city.make_desk(hall)


def one_time_code(*, steps: int = 0) -> str:
    generator = TOTP(bytes.fromhex(TOTP_KEY))
    generator.time = city.clock.now().timestamp() + 30 * steps
    return f"{generator.token():06d}"


def sign_in(desk: city.DeskBrowser, *, at: datetime, **changes: Any) -> staff.SignedIn:
    asked: dict[str, Any] = {
        "username": "clerk",
        "password": PASSWORD,
        "one_time_code": one_time_code(),
        "desk_thumbprint": desk.desk.key_thumbprint,
        "at": at,
    }
    return staff.sign_in(**asked | changes)


def test_sign_in__all_right__session_of_half_an_hour_and_audit(
    desk: city.DeskBrowser, at: datetime
):
    signed = sign_in(desk, at=at)

    session = StaffSession.objects.get()
    assert bytes(session.token_hash) == city.key_proofs.token_hash(signed.token)
    assert session.expires_at == at + timedelta(minutes=30)
    assert (session.desk_id, session.staff.user.username) == (desk.desk.id, "clerk")
    event = AuditEvent.objects.get()
    assert (event.action, event.subject) == ("staff.signed_in", f"desk:{desk.desk.id}")


@pytest.mark.parametrize(
    "fault",
    [
        "password", "username", "one-time code", "no factor", "no staff", "suspended", "inactive",
        "other hall",
    ],
)  # fmt: skip
def test_sign_in__any_wrong_part__same_refusal_and_no_session(
    desk: city.DeskBrowser, at: datetime, fault: str
):
    changes: dict[str, Any] = {}
    match fault:
        case "password":
            changes["password"] = PASSWORD + "r"
        case "username":
            changes["username"] = "clerc"
        case "one-time code":
            changes["one_time_code"] = f"{(int(one_time_code()) + 1) % 10**6:06d}"
        case "no factor":
            TOTPDevice.objects.all().delete()
        case "no staff":
            Staff.objects.all().delete()
        case "suspended":
            Staff.objects.update(state="suspended")
        case "inactive":
            User.objects.update(is_active=False)
        case "other hall":
            Staff.objects.update(organisation=city.make_organisation("别处"))

    with pytest.raises(staff.SignInRefused) as caught:
        sign_in(desk, at=at, **changes)

    assert (caught.value.detail, caught.value.members) == (None, {})
    assert StaffSession.objects.count() == AuditEvent.objects.count() == 0


def test_sign_in__same_one_time_code_twice__refused(desk: city.DeskBrowser, at: datetime):
    code = one_time_code()
    sign_in(desk, at=at, one_time_code=code)

    with pytest.raises(staff.SignInRefused):
        sign_in(desk, at=at, one_time_code=code)
    assert StaffSession.objects.count() == 1


def test_sign_in__browser_that_is_no_desk__refused_and_the_clerk_not_locked_out(
    desk: city.DeskBrowser, at: datetime
):
    for _ in range(12):
        with pytest.raises(staff.DeskUnknown):
            sign_in(desk, at=at, desk_thumbprint="stranger", password="guess")

    sign_in(desk, at=at)


@pytest.mark.parametrize("part", ["desk", "organisation"])
def test_sign_in__desk_out_of_service__refused(desk: city.DeskBrowser, at: datetime, part: str):
    row = desk.desk if part == "desk" else desk.desk.organisation
    type(row).objects.filter(id=row.id).update(state="suspended")

    with pytest.raises(staff.DeskUnknown):
        sign_in(desk, at=at)


def test_sign_in__eleventh_try__refused_even_when_right(desk: city.DeskBrowser, at: datetime):
    for _ in range(10):
        with pytest.raises(staff.SignInRefused):
            sign_in(desk, at=at, password="guess guess guess")

    with pytest.raises(LimitReached):
        sign_in(desk, at=at)
    assert StaffSession.objects.count() == 0
    sign_in(desk, at=at + timedelta(minutes=15))


def test_sign_in__guessed_slowly__ends_at_a_hundred(desk: city.DeskBrowser, at: datetime):
    limits.spend(staff.SIGN_INS_FAILED, "clerk", at=at, amount=95)
    later = at + timedelta(days=1)
    for _ in range(5):
        with pytest.raises(staff.SignInRefused):
            sign_in(desk, at=later, password="guess")

    with pytest.raises(LimitReached):
        sign_in(desk, at=later)
    assert StaffSession.objects.count() == 0
    sign_in(desk, at=at + timedelta(days=365))


def test_sign_in__success_between__the_hundred_begin_anew(desk: city.DeskBrowser, at: datetime):
    with pytest.raises(staff.SignInRefused):
        sign_in(desk, at=at, password="guess")
    sign_in(desk, at=at)

    assert limits.remaining(staff.SIGN_INS_FAILED, "clerk", at=at) == 100


def test_sign_in__many_names_at_one_desk__the_desk_is_stopped_and_no_other(
    desk: city.DeskBrowser, hall: Organisation, at: datetime
):
    for number in range(60):
        with pytest.raises(staff.SignInRefused):
            sign_in(desk, at=at, username=f"clerk-{number}")

    with pytest.raises(LimitReached):
        sign_in(desk, at=at)
    sign_in(city.make_desk(hall, name="2号窗口"), at=at)


def test_sign_in__unknown_user_or_wrong_password__same_answer_and_same_work(
    desk: city.DeskBrowser, monkeypatch: pytest.MonkeyPatch
):
    hashed: list[str] = []
    encode = Argon2PasswordHasher.encode
    verify = Argon2PasswordHasher.verify
    monkeypatch.setattr(
        Argon2PasswordHasher, "encode", lambda *args: (hashed.append("one"), encode(*args))[1]
    )
    monkeypatch.setattr(
        Argon2PasswordHasher, "verify", lambda *args: (hashed.append("one"), verify(*args))[1]
    )
    seen = []

    for username in ("clerk", "nobody"):
        body = {"username": username, "password": PASSWORD + "r", "one_time_code": one_time_code()}
        with statements() as sent:
            answer = desk.send("POST", f"{city.COUNTER}/sessions", body)
        told = answer.json()
        told.pop("request_id")
        shapes = [re.sub(r"'[^']*'(::\w+)?|\b\d+\b", "?", each) for each in sent]
        seen.append((answer.status_code, told, shapes, len(hashed)))
        hashed.clear()

    assert seen[0] == seen[1]
    assert (seen[0][0], seen[0][1]["code"], seen[0][3]) == (401, "staff.sign_in_refused", 1)


@pytest.mark.parametrize(
    ("password", "is_good"),
    [
        ("short but odd!", False),  # 14 characters
        ("fifteen of them", True),  # no digit, no capital letter asked for
        ("潍坊市政务服务中心窗口的密码短语", True),
        ("correct horse " * 5, True),
        ("1qaz2wsx3edc4rfv", False),  # common
        ("x" * 256, True),
    ],
)
def test_password__long_and_not_common__is_all_that_is_asked(
    desk: city.DeskBrowser, at: datetime, password: str, is_good: bool
):
    user = User.objects.get(username="clerk")
    if not is_good:
        with pytest.raises(ValidationError):
            validate_password(password, user)
        return

    validate_password(password, user)

    user.set_password(password)
    user.save()
    body = {"username": "clerk", "password": password, "one_time_code": one_time_code()}
    assert desk.send("POST", f"{city.COUNTER}/sessions", body).status_code == 201


def test_sign_out__session__ended_and_refused(desk: city.DeskBrowser, at: datetime):
    signed = sign_in(desk, at=at)
    token_hash = city.key_proofs.token_hash(signed.token)
    caller = staff.find_staff_caller(token_hash, at).caller

    staff.sign_out(caller=caller, token=signed.token, at=at)

    assert staff.find_staff_caller(token_hash, at) is None
    assert StaffSession.objects.get().ended_at == at
    assert {event.action for event in AuditEvent.objects.all()} == {
        "staff.signed_in", "staff.signed_out",
    }  # fmt: skip


def test_password_changed__however__signed_out_everywhere_and_nobody_else(
    desk: city.DeskBrowser, hall: Organisation, at: datetime
):
    signed = sign_in(desk, at=at)
    other = city.sign_in_clerk(city.make_desk(hall, name="2号窗口"), username="other", at=at)
    token_hash = city.key_proofs.token_hash(signed.token)
    user = User.objects.get(username="clerk")
    user.save()
    assert staff.find_staff_caller(token_hash, at) is not None

    user.set_password("another fine pass phrase")
    user.save()

    assert staff.find_staff_caller(token_hash, at) is None
    assert staff.find_staff_caller(city.key_proofs.token_hash(other.token), at) is not None


def test_find_staff_caller__one_statement_and_the_whole_caller(
    counter: city.DeskBrowser, at: datetime
):
    with statements() as sent:
        known = staff.find_staff_caller(city.key_proofs.token_hash(counter.token), at)

    assert len(sent) == 1
    assert known.caller == counter.caller
    assert known.key.to_bytes() == city.signing.public_point(counter.key)


def test_find_staff_caller__after_half_an_hour__nobody(counter: city.DeskBrowser, at: datetime):
    token_hash = city.key_proofs.token_hash(counter.token)

    assert staff.find_staff_caller(token_hash, at + timedelta(seconds=1799)) is not None
    assert staff.find_staff_caller(token_hash, at + timedelta(seconds=1800)) is None


def test_sessions__over_http__cookie_that_no_script_reads(desk: city.DeskBrowser):
    body = {"username": "clerk", "password": PASSWORD, "one_time_code": one_time_code()}

    answer = desk.send("POST", f"{city.COUNTER}/sessions", body)

    assert answer.status_code == 201, answer.content
    cookie = answer.cookies["vpass-staff"]
    assert (cookie["httponly"], cookie["samesite"], cookie["max-age"]) == (True, "Strict", 1800)
    assert bool(cookie["secure"]) is settings.IS_HTTPS
    assert cookie.value not in answer.content.decode()
    assert [each["code"] for each in answer.json()["purposes"]] == [city.PURPOSE]
    desk.token = cookie.value
    assert desk.send("GET", f"{city.COUNTER}/sessions/current").status_code == 200
    assert desk.send("DELETE", f"{city.COUNTER}/sessions/current").status_code == 204
    gone = desk.send("GET", f"{city.COUNTER}/sessions/current")
    assert city.problem(gone) == (401, "token.unknown")


def test_session__cookie_at_another_desk__refused(counter: city.DeskBrowser, hall: Organisation):
    thief = city.make_desk(hall, name="2号窗口")
    thief.token = counter.token

    answer = thief.send("GET", f"{city.COUNTER}/sessions/current")

    assert city.problem(answer) == (401, "proof.invalid")
