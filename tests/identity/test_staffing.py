"""Staff are invited, come in with a password and a second factor, and are locked out at once."""

import base64
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.conf import settings
from django.contrib.auth.models import User
from django.urls import get_resolver
from django_otp.oath import TOTP
from django_otp.plugins.otp_totp.models import TOTPDevice

from identity import staff, staffing
from identity.models import Invitation, Staff, StaffSession
from tests import city
from tests.administration import Office, open_city
from vpass.common import clock, limits
from vpass.common.api import Endpoint

pytestmark = pytest.mark.django_db(transaction=True)

PASSWORD = "four plain words are enough"
COMMON = "1q2w3e4r5t6y7u8i9o0p"


@pytest.fixture
def office(at: datetime) -> Office:
    return open_city(at=at)


@pytest.fixture
def browser(office: Office) -> city.DeskBrowser:
    """A desk of the city at which nobody is signed in."""
    return city.make_desk(office.city, name="新窗口")


def code_of(secret: str, *, steps: int = 0) -> str:
    generator = TOTP(base64.b32decode(secret))
    generator.time = clock.now().timestamp() + 30 * steps
    return f"{generator.token():06d}"


def invite(office: Office, username: str = "liu.min") -> Any:
    body = {"organisation": str(office.city.id), "username": username}
    return office.post("invitations", body)


def choose(browser: city.DeskBrowser, code: str, password: str = PASSWORD) -> Any:
    body = {"invitation_code": code, "password": password}
    return browser.send("POST", f"{city.COUNTER}/invitations/password", body)


def accept(browser: city.DeskBrowser, code: str, one_time_code: str) -> Any:
    body = {"invitation_code": code, "one_time_code": one_time_code}
    return browser.send("POST", f"{city.COUNTER}/invitations/acceptance", body)


def sign_in(browser: city.DeskBrowser, secret: str, password: str = PASSWORD) -> Any:
    # The second factor's last step is used up; it is not what is tested here.
    TOTPDevice.objects.update(last_t=-1, throttling_failure_count=0)
    body = {"username": "liu.min", "password": password, "one_time_code": code_of(secret)}
    answer = browser.send("POST", f"{city.COUNTER}/sessions", body)
    if answer.status_code == 201:
        browser.token = answer.cookies["vpass-staff"].value
    return answer


def test_invitation__password_then_factor__signs_in_without_any_role(
    office: Office, browser: city.DeskBrowser
):
    made = invite(office).json()
    assert made["code"].encode() not in bytes(Invitation.objects.get().code_hash)
    factor = choose(browser, made["code"]).json()
    assert factor["totp_url"].endswith(f"?secret={factor['totp_secret']}&issuer=V%20Pass")
    assert city.problem(sign_in(browser, factor["totp_secret"])) == (401, "staff.sign_in_refused")

    joined = accept(browser, made["code"], code_of(factor["totp_secret"]))

    assert joined.json() == {"staff": made["staff"], "username": "liu.min"}
    assert city.problem(choose(browser, made["code"])) == (422, "invitation.refused")
    signed = sign_in(browser, factor["totp_secret"])
    assert signed.status_code == 201, signed.content
    assert signed.json()["staff"]["roles"] == []


@pytest.mark.parametrize("fault", ["unknown", "late", "other desk", "suspended", "wrong factor"])
def test_invitation__not_good__refused_and_nobody_comes_in(
    office: Office, browser: city.DeskBrowser, at: datetime, fault: str
):
    code = invite(office).json()["code"]
    secret = choose(browser, code).json()["totp_secret"]
    one_time_code = code_of(secret)
    match fault:
        case "unknown":
            code = "A" * 16
        case "late":
            Invitation.objects.update(expires_at=at)
        case "other desk":
            browser = city.make_desk(city.make_organisation("别处", parent=office.city))
        case "suspended":
            Staff.objects.filter(user__username="liu.min").update(state="suspended")
        case "wrong factor":
            one_time_code = f"{(int(one_time_code) + 1) % 10**6:06d}"

    answer = accept(browser, code, one_time_code)

    assert city.problem(answer) == (422, "invitation.refused")
    assert not User.objects.get(username="liu.min").is_active


def test_invitation__at_a_browser_that_is_no_desk__refused(office: Office):
    stranger = city.DeskBrowser(city.make_desk(office.city).desk, city.signing.generate_p256())

    assert city.problem(choose(stranger, invite(office).json()["code"])) == (403, "desk.unknown")


def test_invitation__tried_out_at_a_desk__locked_after_twenty(
    office: Office, browser: city.DeskBrowser, at: datetime
):
    thumbprint = str(browser.desk.key_thumbprint)
    for _ in range(20):
        with pytest.raises(staffing.InvitationRefused):
            staffing.accept(
                invitation_code="A" * 16, one_time_code="0", desk_thumbprint=thumbprint, at=at
            )

    with pytest.raises(limits.LimitReached):
        staffing.choose_password(
            invitation_code=invite(office).json()["code"], password=PASSWORD,
            desk_thumbprint=thumbprint, at=at,
        )  # fmt: skip


@pytest.mark.parametrize(
    ("password", "reasons"),
    [
        ("短密码", ["password_too_short"]),
        ("fourteen chars", ["password_too_short"]),
        (COMMON, ["password_too_common"]),
        ("x" * 15, None),
        ("只有汉字也可以作为密码十五字以上", None),
        (" " * 3 + "any character, also spaces " + "y" * 200, None),
    ],
    ids=["han short", "14", "common", "15 alike", "han", "long"],
)
def test_password__length_and_common_ones_count_and_nothing_else(
    office: Office, browser: city.DeskBrowser, password: str, reasons: list[str] | None
):
    code = invite(office).json()["code"]

    answer = choose(browser, code, password)

    if reasons is None:
        assert answer.status_code == 200, answer.content
        assert User.objects.get(username="liu.min").check_password(password)
    else:
        assert city.problem(answer) == (422, "staff.password_refused")
        assert answer.json()["reasons"] == reasons
        assert password not in answer.content.decode()
        assert not User.objects.get(username="liu.min").has_usable_password()


def test_invite__name_taken__refused_and_same_key_same_code(office: Office):
    body = {"organisation": str(office.city.id), "username": "liu.min"}
    first = office.post("invitations", body, key="invite-1")

    assert office.post("invitations", body, key="invite-1").json() == first.json()
    assert city.problem(invite(office)) == (409, "staff.username_taken")
    assert city.problem(invite(office, "Liu Min")) == (400, "request.invalid")
    assert Invitation.objects.count() == 1


def join(office: Office, browser: city.DeskBrowser) -> str:
    made = invite(office).json()
    secret = str(choose(browser, made["code"]).json()["totp_secret"])
    accept(browser, made["code"], code_of(secret))
    assert sign_in(browser, secret).status_code == 201
    return secret


def test_password_change__both_factors__every_session_ends(
    office: Office, browser: city.DeskBrowser
):
    secret = join(office, browser)
    path = f"{city.COUNTER}/password"
    body = {"password": PASSWORD, "new_password": PASSWORD + "!", "one_time_code": code_of(secret)}
    TOTPDevice.objects.update(last_t=-1)
    wrong = browser.send("POST", path, body | {"password": "no such password"})
    TOTPDevice.objects.update(last_t=-1, throttling_failure_count=0)
    short = browser.send("POST", path, body | {"new_password": "short"})
    TOTPDevice.objects.update(last_t=-1, throttling_failure_count=0)

    changed = browser.send("POST", path, body)

    assert city.problem(wrong) == (401, "staff.sign_in_refused")
    assert city.problem(short) == (422, "staff.password_refused")
    assert changed.status_code == 204, changed.content
    gone = browser.send("GET", f"{city.COUNTER}/sessions/current")
    assert city.problem(gone) == (401, "token.unknown")
    browser.token = None
    assert city.problem(sign_in(browser, secret)) == (401, "staff.sign_in_refused")
    assert sign_in(browser, secret, PASSWORD + "!").status_code == 201


def test_reset__by_two__old_password_and_factor_end_and_a_new_invitation_brings_back(
    office: Office, browser: city.DeskBrowser
):
    secret = join(office, browser)
    who = Staff.objects.get(user__username="liu.min")

    made = office.agree("staff.reset", who.id, {})

    gone = browser.send("GET", f"{city.COUNTER}/sessions/current")
    assert city.problem(gone) == (401, "token.unknown")
    browser.token = None
    assert city.problem(sign_in(browser, secret)) == (401, "staff.sign_in_refused")
    fresh = choose(browser, made["code"]).json()["totp_secret"]
    assert accept(browser, made["code"], code_of(fresh)).status_code == 201
    assert sign_in(browser, fresh).status_code == 201


def test_roles_of_the_city__before_the_invitation_is_accepted__refused(
    office: Office, browser: city.DeskBrowser
):
    made = invite(office).json()
    asked = ("staff.grant_roles", made["staff"])

    early = office.ask(*asked, {"roles": ["finance"]})
    office.agree(*asked, {"roles": ["privacy"]})
    secret = choose(browser, made["code"]).json()["totp_secret"]
    accept(browser, made["code"], code_of(secret))
    office.agree(*asked, {"roles": ["finance"]})

    assert city.problem(early) == (409, "staff.not_joined")
    assert Staff.objects.get(id=made["staff"]).roles == ["finance", "privacy"]


def test_reset_and_lift__somebody_with_roles_of_the_city__by_the_city_alone(
    office: Office, at: datetime
):
    hall = open_city(at=at, parent=office.city)
    clerk = city.sign_in_clerk(city.make_desk(hall.city), at=at).staff
    office.agree("staff.grant_roles", clerk.id, {"roles": ["finance"]})
    password = User.objects.get(staff=clerk).password

    refused = hall.ask("staff.reset", clerk.id, {})
    half = hall.approve(office.propose("staff.reset", clerk.id, {})["id"])
    hall.suspend("staff", clerk.id)
    lifted = hall.ask("staff.lift", clerk.id, {})

    assert {city.problem(each) for each in (refused, half, lifted)} == {
        (403, "staff.role_of_city"),
    }  # fmt: skip
    assert refused.json()["roles"] == ["finance"]
    assert not Invitation.objects.exists()
    assert User.objects.get(staff=clerk).password == password
    assert Staff.objects.get(id=clerk.id).state == "suspended"
    office.agree("staff.lift", clerk.id, {})
    assert Staff.objects.get(id=clerk.id).state == "active"


def test_lockouts__per_account_in_the_long_run_and_per_desk(
    office: Office, browser: city.DeskBrowser, at: datetime, monkeypatch: pytest.MonkeyPatch
):
    def attempt(username: str, at: datetime) -> None:
        staff.sign_in(
            username=username, password="wrong wrong wrong", one_time_code="000000",
            desk_thumbprint=str(browser.desk.key_thumbprint), at=at,
        )  # fmt: skip

    monkeypatch.setattr(staff, "authenticate", lambda **_: None)
    for name in range(60):
        with pytest.raises(staff.SignInRefused):
            attempt(f"name-{name}", at)
    with pytest.raises(limits.LimitReached):
        attempt("name-60", at)

    for number in range(100):
        with pytest.raises(staff.SignInRefused):
            attempt("victim", at + timedelta(hours=number + 1))
    with pytest.raises(limits.LimitReached):
        attempt("victim", at + timedelta(hours=200))
    staff.forget_failures("victim")
    with pytest.raises(staff.SignInRefused):
        attempt("victim", at + timedelta(hours=200))
    assert StaffSession.objects.filter(desk=browser.desk).count() == 0


def test_roles__each_that_a_route_asks_for_can_be_given():
    asked = {
        role
        for pattern in get_resolver().url_patterns
        if isinstance(view := getattr(pattern.callback, "cls", None), type)
        and issubclass(view, Endpoint)
        for role in view.roles
    }

    assert asked <= staffing.LOCAL_ROLES | staffing.CITY_ROLES
    assert not staffing.LOCAL_ROLES & staffing.CITY_ROLES


def test_no_default_accounts__a_fresh_database_has_nobody():
    assert User.objects.count() == Staff.objects.count() == 0
    assert settings.AUTH_PASSWORD_VALIDATORS[0]["OPTIONS"]["min_length"] == 15
