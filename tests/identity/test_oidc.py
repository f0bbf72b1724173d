"""Logging in with V Pass: from a relying party's page over the phone to tokens, and to the end."""

from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode

import joserfc.jwt
import pytest
import time_machine
from django.conf import settings
from django.db import IntegrityError, connection, transaction
from django.test import Client
from joserfc.jwk import KeySet

from identity import disclosure, logins, relying_parties
from identity.models import (
    AccessLine,
    Device,
    Entitlement,
    Login,
    LoginAccessToken,
    LoginCode,
    LoginRefreshToken,
    Organisation,
    Resident,
)
from identity.oidc import requests as oidc_requests
from identity.oidc import tokens as oidc_tokens
from tests import city, relying
from vpass.common import limits, signing
from vpass.common.models import AuditEvent

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def site(at: datetime) -> relying.Site:
    return relying.open_site(at=at)


def read_id_token(text: str) -> dict[str, Any]:
    """The claims, verified by an independent library with what anybody may fetch."""
    keys = KeySet.import_key_set(Client().get("/.well-known/vpass-keys.json").json())
    token = joserfc.jwt.decode(text, keys, algorithms=["ES256"])
    assert token.header["typ"] == "JWT"
    return dict(token.claims)


def test_login__approved_on_the_phone__tokens_claims_and_a_line_in_the_log(
    site: relying.Site, phone: city.Phone, at: datetime
):
    browser = relying.Browser()
    begun = browser.begin(site.query()).json()
    assert browser.state(begun["id"]) == "asked"
    assert city.problem(browser.go_back(begun["id"])) == (409, "login.waiting")
    shown = relying.look(phone, begun["handle"]).json()
    assert shown["fields"] == relying.FIELDS and shown["level"] == 1

    relying.approve(phone, begun, at=at)
    back = relying.sent_back(browser.go_back(begun["id"]))
    assert back["state"] == "st-1"
    given = site.exchange(back["code"])
    assert given.status_code == 200, given.content
    told = site.user_info(given.json()["access_token"])

    organisation_id = site.party.organisation_id
    subject = disclosure.pseudonym(
        resident_id=phone.device.resident_id, organisation_id=organisation_id
    )
    claims = read_id_token(given.json()["id_token"])
    assert claims["iss"] == settings.PUBLIC_URL
    assert (claims["sub"], claims["aud"]) == (subject, site.party.client_id)
    assert (claims["nonce"], claims["acr"], claims["amr"]) == ("n-1", "urn:vpass:level:2", ["swk"])
    assert told.json() == {"sub": subject, "name": city.PEOPLE[0].real_name, "over_18": True}
    signed_in, read = AccessLine.objects.filter(organisation=organisation_id).order_by("id")
    assert (signed_in.scene, signed_in.fields, signed_in.outcome) == ("login", [], "accepted")
    assert read.fields == relying.FIELDS
    login = Login.objects.get()
    assert login.state == "signed_in" and login.word and login.receipt
    assert city.problem(browser.go_back(begun["id"])) == (409, "login.over")


def test_subject__pairwise__differs_between_organisations_and_is_the_counters_own(
    site: relying.Site, phone: city.Phone, at: datetime
):
    other = relying.open_site(at=at, name="潍坊市文化旅游局")
    same = relying.open_site(site.party.organisation, at=at)

    subjects = [
        read_id_token(each.log_in(phone, at=at)["id_token"])["sub"] for each in (site, other, same)
    ]

    assert subjects[0] != subjects[1]
    assert subjects[0] == subjects[2]
    assert str(phone.device.resident_id) not in "".join(subjects)


# The authorization request


def test_begin__fresh_browser_each_time__limited_for_each_relying_party(
    site: relying.Site, at: datetime, monkeypatch: pytest.MonkeyPatch
):
    few = limits.Limit("login.begun_at_party", maximum=2, per=timedelta(minutes=1))
    monkeypatch.setattr(oidc_requests, "BEGUN_AT_PARTY", few)
    other = relying.open_site(at=at, name="潍坊市文化旅游局")

    answers = [relying.Browser().begin(site.query()) for _ in range(3)]

    assert [each.status_code for each in answers] == [201, 201, 429]
    assert city.problem(answers[2]) == (429, "limit.reached")
    assert Login.objects.count() == 2
    assert relying.Browser().begin(other.query()).status_code == 201


def fault(site: relying.Site, **changes: Any) -> str:
    """The error that a request is sent back with; nothing waits afterwards."""
    answer = relying.Browser().begin(site.query(**changes))
    assert answer.status_code == 201, answer.content
    assert answer.json()["id"] is None and not Login.objects.exists()
    back = relying.sent_back(answer)
    assert back["state"] == "st-1" and "code" not in back
    return back["error"]


def test_request__bad__sent_back_with_its_error_and_nothing_waits(site: relying.Site):
    party_wants = {
        "unsupported_response_type": [{"response_type": "token"}, {"response_type": "id_token"}],
        "unauthorized_client": [
            {"response_type": "code id_token"},
            {"response_type": "code token"},
        ],
        "invalid_request": [
            {"code_challenge": None},
            {"code_challenge_method": None},
            {"code_challenge_method": "plain"},
            {"code_challenge_method": "S512"},
            {"code_challenge": "short"},
            {"response_type": None},
            {"response_mode": "fragment"},
            {"response_mode": "form_post"},
            {"nonce": "n" * 256},
            {"prompt": "none login"},
        ],
        "invalid_scope": [
            {"scope": "real_name"},
            {"scope": "openid profile"},
            {"scope": "openid id_number"},
        ],
        "login_required": [{"prompt": "none"}],
        "request_not_supported": [{"request": "e30.e30."}],
        "request_uri_not_supported": [{"request_uri": "https://x.example/r"}],
        "unmet_authentication_requirements": [
            {"acr_values": "urn:vpass:level:4"},
            {"claims": '{"id_token":{"acr":{"essential":true,"values":["gold"]}}}'},
        ],
    }
    for error, requests in party_wants.items():
        for changes in requests:
            assert fault(site, **changes) == error, changes


def test_request__unknown_party_or_way_back__refused_without_sending_the_browser_anywhere(
    site: relying.Site,
):
    whole = site.query()
    queries: list[Any] = [
        site.query(redirect_uri=uri)
        for uri in (
            None,
            "https://library.example/callback/",
            "https://library.example/callback?x=1",
            "https://library.example/callback#x",
            "https://LIBRARY.example/callback",
            "https://evil@library.example/callback",
            "https://evil.example/callback",
            "http://127.0.0.1:9001/callback",
            "javascript:alert(1)",
            "//library.example/callback",
        )
    ]
    queries += [
        site.query(client_id=None),
        site.query(claims="{"),
        site.query(claims="[" * 1000),
        site.query(client_id="vp-unknown"),
        site.query(client_id="\x00"),
        site.query(state="a\x00b"),
        urlencode(whole) + "&redirect_uri=https%3A%2F%2Fevil.example%2F",
        urlencode(whole) + "&client_id=x",
        "%%%",
        "a=%ff&" + urlencode(whole),
        "\N{SNOWMAN}=1&" + urlencode(whole),
    ]
    for query in queries:
        refused = relying.Browser().begin(query)
        assert city.problem(refused) == (400, "login.request_refused"), query
    assert not Login.objects.exists()


def test_request__loopback_with_a_registered_port__goes(site: relying.Site):
    begun = relying.Browser().begin(site.query(redirect_uri="http://127.0.0.1:9000/callback"))

    assert begun.json()["id"] is not None


def test_over_asking__refused_and_written_to_the_audit(site: relying.Site):
    assert fault(site, scope="openid real_name id_number birth_date") == "invalid_scope"

    (noted,) = AuditEvent.objects.filter(action="login.over_asked")
    assert noted.detail == {"fields": ["birth_date", "id_number"], "purpose": "reader"}


def test_right_to_log_in__none_or_not_to_know_people_again__refused(site: relying.Site):
    Entitlement.objects.update(knows_holder=False)
    assert fault(site) == "unauthorized_client"
    Entitlement.objects.all().delete()
    assert fault(site) == "unauthorized_client"


# The phone


def test_phone__signs_anything_else_than_shown__refused_and_the_login_still_waits(
    site: relying.Site, phone: city.Phone, at: datetime
):
    begun = relying.Browser().begin(site.query()).json()
    nowhere = "00000000-0000-0000-0000-000000000001"
    for changes in (
        {"login": nowhere},
        {"organisation": nowhere},
        {"relying_party": "vp-other"},
        {"purpose": "visitor-pass"},
        {"fields": ["real_name"]},
        {"fields": ["over_18", "phone", "real_name"]},
        {"level": 2},
        {"aud": settings.PUBLIC_URL + "/api/resident/v1/consents"},
        {"iat": int((at - timedelta(seconds=120)).timestamp())},
        {"by": signing.generate_p256()},
    ):
        answer = relying.approve(phone, begun, at=at, **changes)
        assert city.problem(answer) == (422, "word.invalid"), changes

    assert Login.objects.get().state == "asked"
    assert not AccessLine.objects.exists()


def test_number__not_the_pages__the_login_is_refused_and_in_the_log(
    site: relying.Site, phone: city.Phone, at: datetime
):
    browser = relying.Browser()
    begun = browser.begin(site.query()).json()
    number = f"{(int(begun['number']) + 1) % 100:02}"

    answer = relying.approve(phone, begun, at=at, number=number)

    assert city.problem(answer) == (422, "login.number_wrong")
    assert relying.sent_back(browser.go_back(begun["id"]))["error"] == "access_denied"
    line = AccessLine.objects.get()
    assert (line.reason, line.asked, line.fields) == (
        "login.number_wrong", relying.FIELDS, [],
    )  # fmt: skip
    assert relying.approve_again(phone, begun, at=at) == (409, "login.over")


def test_refused_on_the_phone__access_denied_and_in_the_log(
    site: relying.Site, phone: city.Phone, at: datetime
):
    browser = relying.Browser()
    begun = browser.begin(site.query()).json()

    path = f"{city.RESIDENT}/logins/{begun['id']}/refusal"
    answer = phone.send("POST", path, {}, key=city.new_key())

    assert answer.json()["state"] == "refused"
    assert relying.sent_back(browser.go_back(begun["id"]))["error"] == "access_denied"
    assert AccessLine.objects.get().reason == "login.refused"
    assert relying.sent_back(browser.go_back(begun["id"]))["error"] == "access_denied"
    assert not LoginCode.objects.exists()


@pytest.mark.parametrize(
    "changes",
    [
        {"acr_values": "urn:vpass:level:3"},
        {"claims": '{"id_token":{"acr":{"essential":true,"value":"urn:vpass:level:3"}}}'},
    ],
    ids=["acr_values", "essential"],
)
def test_level__below_what_is_needed__unmet_until_stepped_up(
    site: relying.Site, phone: city.Phone, at: datetime, changes: dict[str, str]
):
    browser = relying.Browser()
    begun = browser.begin(site.query(**changes)).json()

    answer = relying.approve(phone, begun, at=at)

    assert city.problem(answer) == (403, "caller.level_too_low")
    assert answer.json()["level_needed"] == 3
    back = relying.sent_back(browser.go_back(begun["id"]))
    assert back["error"] == "unmet_authentication_requirements"
    assert AccessLine.objects.get().reason == "caller.level_too_low"
    Resident.objects.update(level=3)
    again = site.log_in(phone, at=at, **changes)
    assert read_id_token(again["id_token"])["acr"] == "urn:vpass:level:3"


def test_each_login__approved_afresh__auth_time_is_now(
    site: relying.Site, phone: city.Phone, at: datetime
):
    site.log_in(phone, at=at)
    browser = relying.Browser()

    begun = browser.begin(site.query(prompt="login", max_age="0")).json()

    assert browser.state(begun["id"]) == "asked"
    relying.approve(phone, begun, at=at)
    given = site.exchange(relying.code_of(browser.go_back(begun["id"]))).json()
    assert abs(read_id_token(given["id_token"])["auth_time"] - at.timestamp()) < 60


# The browser


def test_browser__another_than_began_it__gets_neither_state_nor_code(
    site: relying.Site, phone: city.Phone, at: datetime
):
    browser, thief = relying.Browser(), relying.Browser()
    begun = browser.begin(site.query()).json()
    thief.begin(site.query())
    relying.approve(phone, begun, at=at)

    assert city.problem(thief.go_back(begun["id"])) == (404, "object.not_found")
    assert city.problem(thief.client.get(f"/oidc/logins/{begun['id']}")) == (
        404, "object.not_found",
    )  # fmt: skip
    assert relying.code_of(browser.go_back(begun["id"]))


def test_page__out_of_time__expired_and_the_phone_is_told(
    site: relying.Site, phone: city.Phone, at: datetime
):
    browser = relying.Browser()
    begun = browser.begin(site.query()).json()
    Login.objects.update(expires_at=at)

    assert city.problem(relying.look(phone, begun["handle"])) == (409, "login.over")
    assert browser.state(begun["id"]) == "expired"
    assert relying.sent_back(browser.go_back(begun["id"]))["error"] == "access_denied"
    assert logins.expire_old(at=at) == 1
    assert Login.objects.get().state == "expired"


# Codes


def given_code(site: relying.Site, phone: city.Phone, *, at: datetime) -> str:
    browser = relying.Browser()
    begun = browser.begin(site.query()).json()
    assert relying.approve(phone, begun, at=at).status_code == 200
    return relying.code_of(browser.go_back(begun["id"]))


def error_of(answer: Any) -> tuple[int, str]:
    assert answer["Cache-Control"] == "no-store"
    return answer.status_code, answer.json()["error"]


def test_code__with_anything_wrong__invalid_grant_and_no_tokens(
    site: relying.Site, phone: city.Phone, at: datetime
):
    other = relying.open_site(at=at, name="潍坊市文化旅游局")
    cases: list[tuple[dict[str, Any], tuple[int, str]]] = [
        ({"code_verifier": "x" * 43}, (400, "invalid_grant")),
        ({"code_verifier": None}, (400, "invalid_request")),
        ({"redirect_uri": "http://127.0.0.1:9000/callback"}, (400, "invalid_request")),
        ({"redirect_uri": None}, (400, "invalid_request")),
        ({"grant_type": "password"}, (400, "unsupported_grant_type")),
        ({"grant_type": "client_credentials"}, (400, "unsupported_grant_type")),
        ({"secret": "wrong"}, (401, "invalid_client")),
    ]
    for changes, expected in cases:
        answer = site.exchange(given_code(site, phone, at=at), **changes)
        assert error_of(answer) == expected, changes
    other.verifier = site.verifier
    assert error_of(other.exchange(given_code(site, phone, at=at))) == (400, "invalid_grant")
    assert error_of(site.exchange("unknown")) == (400, "invalid_grant")
    code = given_code(site, phone, at=at)
    LoginCode.objects.update(expires=at)
    assert error_of(site.exchange(code)) == (400, "invalid_grant")
    assert not LoginAccessToken.objects.exists()


def test_code__a_wrong_verifier_first__used_up_all_the_same(
    site: relying.Site, phone: city.Phone, at: datetime
):
    code = given_code(site, phone, at=at)
    site.exchange(code, code_verifier="x" * 43)

    assert error_of(site.exchange(code)) == (400, "invalid_grant")
    assert not LoginAccessToken.objects.exists()


def test_code__twice__the_tokens_of_the_first_die(
    site: relying.Site, phone: city.Phone, at: datetime
):
    code = given_code(site, phone, at=at)
    tokens = site.exchange(code).json()
    assert site.user_info(tokens["access_token"]).status_code == 200

    assert error_of(site.exchange(code)) == (400, "invalid_grant")

    assert error_of(site.user_info(tokens["access_token"])) == (401, "invalid_token")
    assert error_of(site.refresh(tokens["refresh_token"])) == (400, "invalid_grant")
    assert Login.objects.get().state == "reused"


def test_token_route__what_is_no_form__invalid_request(site: relying.Site):
    for body, kind in (
        (b"{}", "application/json"),
        (b"grant_type=\xff", relying.FORM),
        (b"a" * 20_000, relying.FORM),
        (b"grant_type=authorization_code&code=%00", relying.FORM),
        (b"", relying.FORM),
    ):
        answer = Client().generic("POST", "/oidc/token", body, content_type=kind)
        assert answer.status_code == 400, (body[:20], answer.content)
        assert answer.json()["error"] in ("invalid_request", "unsupported_grant_type")
    assert Client().get("/oidc/token").status_code == 405


# Tokens


def test_refresh__new_tokens__and_a_used_one_ends_the_login(
    site: relying.Site, phone: city.Phone, at: datetime
):
    first = site.log_in(phone, at=at)

    second = site.refresh(first["refresh_token"]).json()

    assert read_id_token(second["id_token"])["sub"] == read_id_token(first["id_token"])["sub"]
    assert site.user_info(second["access_token"]).status_code == 200
    assert error_of(site.refresh(first["refresh_token"])) == (400, "invalid_grant")
    assert error_of(site.user_info(second["access_token"])) == (401, "invalid_token")
    assert error_of(site.refresh(second["refresh_token"])) == (400, "invalid_grant")
    assert Login.objects.get().state == "reused"


def test_tokens__out_of_time__refused(site: relying.Site, phone: city.Phone, at: datetime):
    tokens = site.log_in(phone, at=at)

    with time_machine.travel(at + timedelta(minutes=12)):
        assert error_of(site.user_info(tokens["access_token"])) == (401, "invalid_token")
        newer = site.refresh(tokens["refresh_token"]).json()
        assert site.user_info(newer["access_token"]).status_code == 200
    with time_machine.travel(at + logins.LOGIN_LIFE + timedelta(minutes=2)):
        assert error_of(site.refresh(newer["refresh_token"])) == (400, "invalid_grant")

    assert logins.expire_old(at=at + logins.LOGIN_LIFE + timedelta(minutes=2)) == 1
    assert Login.objects.get().state == "lapsed"


def test_tokens__each_kind_good_for_its_own_use_only(
    site: relying.Site, phone: city.Phone, counter: city.DeskBrowser, at: datetime
):
    tokens = site.log_in(phone, at=at)
    access, refresh, id_token = (
        tokens[name] for name in ("access_token", "refresh_token", "id_token")
    )
    code = phone.grant(at=at).code(at)
    other = relying.open_site(at=at, name="潍坊市文化旅游局")

    for wrong in (refresh, id_token, code, phone.token, "x" * 43, "", f"{access}="):
        assert error_of(site.user_info(str(wrong))) == (401, "invalid_token")
    for wrong in (access, id_token, phone.token, code):
        assert error_of(site.refresh(str(wrong))) == (400, "invalid_grant")
    assert error_of(other.refresh(refresh)) == (400, "invalid_grant")
    for wrong in (id_token, access, refresh):
        assert city.problem(counter.scan(wrong)) == (422, "code.unreadable")
    stranger = city.Phone(key=phone.key, device=phone.device, token=access)
    assert city.problem(stranger.send("GET", f"{city.RESIDENT}/me")) == (401, "token.unknown")
    assert Client().get("/oidc/userinfo", {"access_token": access}).status_code == 401
    # None of that has cost the rightful holder anything.
    assert site.user_info(access).status_code == 200
    assert site.refresh(refresh).status_code == 200


@pytest.mark.parametrize(
    "what", ["party", "organisation", "county", "resident", "phone", "right", "time"]
)
def test_tokens__what_they_rest_on_is_gone__refused_with_the_next_request(
    site: relying.Site, phone: city.Phone, at: datetime, what: str
):
    tokens = site.log_in(phone, at=at)
    if what == "party":
        relying_parties.set_state(
            relying_party_id=site.party.id, state="suspended", actor="test", at=at
        )
        assert city.problem(relying.Browser().begin(site.query())) == (400, "login.request_refused")
    elif what == "organisation":
        Organisation.objects.update(state="suspended")
    elif what == "county":
        county = Organisation.objects.create(
            kind="county", name_zh="寒亭区", name_en="Hanting", state="suspended"
        )
        Organisation.objects.filter(id=site.party.organisation_id).update(parent=county)
        assert city.problem(relying.Browser().begin(site.query())) == (400, "login.request_refused")
    elif what == "resident":
        Resident.objects.update(state="suspended")
    elif what == "phone":
        Device.objects.update(state="frozen")
    elif what == "right":
        Entitlement.objects.all().delete()
    else:
        Login.objects.update(expires_at=at)
        assert logins.expire_old(at=at) == 1

    assert error_of(site.user_info(tokens["access_token"])) == (401, "invalid_token")
    if what != "right":
        assert site.refresh(tokens["refresh_token"]).status_code in (400, 401)


def test_right__smaller_than_at_the_login__no_more_is_told(
    site: relying.Site, phone: city.Phone, at: datetime
):
    tokens = site.log_in(phone, at=at)
    Entitlement.objects.update(attributes=["over_18"], may_ask=[])

    told = site.user_info(tokens["access_token"]).json()

    assert sorted(told) == ["over_18", "sub"]
    assert AccessLine.objects.latest("id").fields == ["over_18"]


def test_user_info__token_for_less_than_the_login__no_more_is_told(
    site: relying.Site, phone: city.Phone, at: datetime
):
    tokens = site.log_in(phone, at=at)
    LoginAccessToken.objects.update(scope="openid over_18")

    told = site.user_info(tokens["access_token"]).json()

    assert sorted(told) == ["over_18", "sub"]
    assert AccessLine.objects.latest("id").fields == ["over_18"]


def test_user_info__again_and_again__limited_for_each_login(
    site: relying.Site, phone: city.Phone, at: datetime, monkeypatch: pytest.MonkeyPatch
):
    few = limits.Limit("login.user_info", maximum=1, per=timedelta(hours=1))
    monkeypatch.setattr(oidc_tokens, "LOOKS_PER_LOGIN", few)
    first, second = site.log_in(phone, at=at), site.log_in(phone, at=at)

    assert site.user_info(first["access_token"]).status_code == 200
    lines = AccessLine.objects.count()
    refused = site.user_info(first["access_token"])
    assert error_of(refused) == (429, "slow_down")
    assert 3500 < int(refused["Retry-After"]) <= 3600
    assert AccessLine.objects.count() == lines
    assert site.user_info(second["access_token"]).status_code == 200


# The end


def test_withdrawn_on_the_phone__the_tokens_die_at_once(
    site: relying.Site, phone: city.Phone, at: datetime
):
    tokens = site.log_in(phone, at=at)
    (shown,) = phone.send("GET", f"{city.RESIDENT}/logins").json()["items"]
    path = f"{city.RESIDENT}/logins/{shown['id']}/withdrawal"
    stranger = city.make_phone(1, at=at)
    assert city.problem(stranger.send("POST", path, {}, key=city.new_key())) == (
        404, "object.not_found",
    )  # fmt: skip

    answer = phone.send("POST", path, {}, key=city.new_key())

    assert (shown["state"], answer.json()["state"]) == ("signed_in", "withdrawn")
    assert error_of(site.user_info(tokens["access_token"])) == (401, "invalid_token")
    assert error_of(site.refresh(tokens["refresh_token"])) == (400, "invalid_grant")
    assert city.problem(phone.send("POST", path, {}, key=city.new_key())) == (409, "login.over")


def test_logout__with_the_id_token__tokens_die_and_only_registered_ways_lead_back(
    site: relying.Site, phone: city.Phone, at: datetime
):
    tokens = site.log_in(phone, at=at)
    hint = tokens["id_token"]
    head, body, _ = hint.split(".")
    refused = [
        {},
        {"id_token_hint": "x"},
        {"id_token_hint": tokens["access_token"]},
        {"id_token_hint": f"{head}.{body}.{'A' * 86}"},
        {"id_token_hint": f"eyJhbGciOiJub25lIn0.{body}."},
        {"id_token_hint": Login.objects.get().receipt},
        {"id_token_hint": hint, "client_id": "vp-other"},
        {"id_token_hint": hint, "post_logout_redirect_uri": relying.GOODBYE + "/x"},
        {"id_token_hint": hint, "post_logout_redirect_uri": relying.CALLBACK},
    ]
    for sent in refused:
        answer = Client().post("/oidc/logout", sent)
        assert (answer.status_code, answer.json()["code"]) == (400, "login.logout_refused"), sent
    assert site.user_info(tokens["access_token"]).status_code == 200

    # An id_token that ran out still names its login.
    with time_machine.travel(at + timedelta(hours=2)):
        answer = Client().post(
            "/oidc/logout",
            {"id_token_hint": hint, "post_logout_redirect_uri": relying.GOODBYE, "state": "s"},
        )

    assert (answer.status_code, answer["Location"]) == (303, f"{relying.GOODBYE}?state=s")
    assert Login.objects.get().state == "ended"
    assert error_of(site.user_info(tokens["access_token"])) == (401, "invalid_token")
    assert error_of(site.refresh(tokens["refresh_token"])) == (400, "invalid_grant")
    page = relying.Browser().post("/oidc/logouts", {"id_token_hint": hint})
    assert page.json() == {"location": None}


def test_revocation__of_a_refresh_token__both_die_and_anothers_stays(
    site: relying.Site, phone: city.Phone, at: datetime
):
    tokens = site.log_in(phone, at=at)
    other = relying.open_site(at=at, name="潍坊市文化旅游局")

    assert other.post("/oidc/revoke", {"token": tokens["refresh_token"]}).status_code == 200
    assert site.user_info(tokens["access_token"]).status_code == 200
    assert site.post("/oidc/revoke", {"token": tokens["refresh_token"]}).status_code == 200

    assert error_of(site.user_info(tokens["access_token"])) == (401, "invalid_token")
    assert site.post("/oidc/revoke", {"token": "x"}, secret="wrong").status_code == 401


# What is kept


def test_database__no_code_token_secret_or_handle_in_clear(
    site: relying.Site, phone: city.Phone, at: datetime
):
    browser = relying.Browser()
    earlier = site.log_in(phone, at=at)["id_token"]
    hints = {"id_token_hint": earlier, "login_hint": "13900000001"}
    begun = browser.begin(site.query(**hints)).json()
    relying.approve(phone, begun, at=at)
    code = relying.code_of(browser.go_back(begun["id"]))
    tokens = site.exchange(code).json()
    newer = site.refresh(tokens["refresh_token"]).json()
    cookie = browser.client.cookies["vpass-login"].value
    canaries = [code, begun["handle"], cookie, site.secret, *hints.values()] + [
        each[name]
        for each in (tokens, newer)
        for name in ("access_token", "refresh_token", "id_token")
    ]

    with connection.cursor() as cursor:
        cursor.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        for (table,) in cursor.fetchall():
            cursor.execute(f'SELECT t::text FROM "{table}" t')
            text = "\n".join(row[0] for row in cursor.fetchall())
            assert not [each for each in canaries if each in text], table

    with pytest.raises(IntegrityError), transaction.atomic():
        LoginAccessToken.objects.update(token="in clear")
    with pytest.raises(IntegrityError), transaction.atomic():
        LoginCode.objects.update(code="in clear")
    assert LoginRefreshToken.objects.filter(revoked=None).count() == 2  # one a login


def test_purge__long_ended__hashes_go_and_the_login_stays(
    site: relying.Site, phone: city.Phone, at: datetime
):
    site.log_in(phone, at=at)
    ended = at + logins.LOGIN_LIFE + timedelta(minutes=1)
    assert logins.expire_old(at=ended) == 1

    assert logins.purge(at=ended) == 0
    assert logins.purge(at=ended + logins.KEEP_FOR) == 1

    assert not LoginCode.objects.exists() and not LoginRefreshToken.objects.exists()
    assert Login.objects.get().state == "lapsed"


def test_purge__logins_that_nobody_answered__gone_after_a_day(
    site: relying.Site, phone: city.Phone, at: datetime
):
    relying.Browser().begin(site.query())
    ended = at + logins.ASK_LIFE + timedelta(minutes=1)
    answered = relying.Browser().begin(site.query()).json()["id"]
    phone.send("POST", f"{city.RESIDENT}/logins/{answered}/refusal", {}, key=city.new_key())
    logins.expire_old(at=ended)

    logins.purge(at=ended)
    assert Login.objects.count() == 2
    logins.purge(at=ended + logins.KEEP_UNANSWERED_FOR)

    assert [str(each.id) for each in Login.objects.all()] == [answered]


def test_discovery__names_what_there_is_and_nothing_else():
    found = Client().get("/.well-known/openid-configuration").json()

    assert found["issuer"] == settings.PUBLIC_URL
    assert found["response_types_supported"] == ["code"]
    assert found["grant_types_supported"] == ["authorization_code", "refresh_token"]
    assert found["subject_types_supported"] == ["pairwise"]
    assert found["id_token_signing_alg_values_supported"] == ["ES256"]
    assert found["code_challenge_methods_supported"] == ["S256"]
    assert Client().get("/oidc/authorize").status_code == 200
    assert Client().get("/oidc/logout").status_code == 200


def test_registration__unsafe_ways_back__refused(site: relying.Site, at: datetime):
    for uri in (
        "http://library.example/callback",
        "https://library.example/callback#x",
        "https://user@library.example/",
        "com.example:/callback",
        "/callback",
    ):
        with pytest.raises(relying_parties.RedirectUnsafe):
            relying_parties.register(
                organisation=site.party.organisation, name="x", purpose="reader",
                redirect_uris=[uri], actor="test", at=at,
            )  # fmt: skip
