"""Takes a browser from a relying party to the resident's phone, and back with a code."""

import re
import secrets
import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from urllib.parse import parse_qsl, quote, urlencode

from django.conf import settings
from django.db import transaction
from oauthlib.common import add_params_to_uri
from oauthlib.oauth2 import FatalClientError, OAuth2Error
from oauthlib.oauth2.rfc6749 import errors

from identity import logins
from identity.models import Login, LoginCode, RelyingParty
from identity.oidc.claims import level_needed
from identity.oidc.engine import LoginServer
from identity.queries import find_rule
from vpass.common import audit, limits
from vpass.common.errors import Conflict, DomainError, NotFound

AUTHORIZE_PATH: Final = "/oidc/authorize"
HANDLE_PREFIX: Final = "VPL1."
MAX_QUERY: Final = 4096
BEGUN_BY_BROWSER = limits.Limit("login.begun", maximum=30, per=timedelta(minutes=10))
# A browser may come with a fresh secret each time, so what counts is where it wants to go.
BEGUN_AT_PARTY = limits.Limit("login.begun_at_party", maximum=1_200, per=timedelta(minutes=1))
OVER_ASKED = limits.Limit("login.over_asked", maximum=20, per=timedelta(hours=1))

_UNMET = "unmet_authentication_requirements"
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_KEPT: Final = {
    "response_type", "client_id", "redirect_uri", "scope", "state", "nonce", "code_challenge",
    "code_challenge_method",
}  # fmt: skip
_ENDED: Final = {
    "refused": ("access_denied", "the resident refused"),
    "expired": ("access_denied", "nobody approved in time"),
    "unmet": (_UNMET, "the resident's level of assurance is too low"),
}


class RequestRefused(DomainError):
    """This request to log in can't be answered, and not be sent back either."""

    code = "login.request_refused"
    status = 400
    title_zh = "登录请求无效，且无法返回来源网站"


class LoginWaiting(Conflict):
    """The resident has not answered yet."""

    code = "login.waiting"
    title_zh = "正在等待市民在手机上确认"


@dataclass(frozen=True, kw_only=True)
class Begun:
    """A login that waits for the phone: `handle` goes into the QR code, `number` onto the page."""

    login: Login
    handle: str


def begin(*, query: str, browser: str, at: datetime) -> Begun | str:
    """Open a login for an authorization request, or return where the browser has to go back to.

    `query` is the request's query string, `browser` the secret of the browser that brings it.
    Raises RequestRefused when the relying party or its redirect is not known, limits.LimitReached.
    """
    limits.spend(BEGUN_BY_BROWSER, browser, at=at)
    try:
        scopes, request = _read(query, at=at)
    except FatalClientError as error:
        raise RequestRefused(error.error) from error
    except OAuth2Error as error:
        if not error.redirect_uri:  # malformed `claims`: the engine does not say where it came from
            raise RequestRefused(error.error) from error
        return _back(error.redirect_uri, error)
    party: RelyingParty = request.client
    fields = sorted(set(scopes) - {"openid"})
    level = level_needed(request.acr_values, request.claims)
    if level is None:
        return _refused(request, _UNMET, "no such level of assurance")
    rule = find_rule(party.organisation_id, scene=logins.SCENE, purpose=party.purpose)
    if rule is None or not rule.knows_holder:
        return _refused(request, "unauthorized_client", "no right to have residents log in")
    if beyond := [name for name in fields if name not in {*rule.attributes, *rule.may_ask}]:
        _note_over_asking(party, beyond, at=at)
        return _refused(request, "invalid_scope", "beyond the right of this organisation")
    limits.spend(BEGUN_AT_PARTY, str(party.id), at=at)
    handle = HANDLE_PREFIX + secrets.token_urlsafe(32)
    login = Login.objects.create(
        relying_party=party,
        organisation_id=party.organisation_id,
        purpose=party.purpose,
        request=_kept(query),
        fields=fields,
        level_needed=level,
        number=f"{10 + secrets.randbelow(90)}",
        handle_hash=logins.secret_hash(handle),
        browser_hash=logins.secret_hash(browser),
        begun_at=at,
        expires_at=at + logins.ASK_LIFE,
    )
    return Begun(login=login, handle=handle)


def waiting(*, login_id: uuid.UUID, browser: str, at: datetime) -> str:
    """Return the state of a login for the browser that began it. Raises NotFound."""
    login = Login.objects.filter(id=login_id, browser_hash=logins.secret_hash(browser)).first()
    if login is None:
        raise NotFound
    return logins.state_of(login, at=at)


def go_back(*, login_id: uuid.UUID, browser: str, at: datetime) -> str:
    """Return the URL at the relying party, with a code once, or with the error it ended in.

    Only the browser that began the login gets it. Raises NotFound, LoginWaiting, logins.LoginOver,
    RequestRefused when the relying party was suspended meanwhile.
    """
    with transaction.atomic():
        login = (
            Login.objects.select_for_update(of=("self",))
            .filter(id=login_id, browser_hash=logins.secret_hash(browser))
            .first()
        )
        if login is None:
            raise NotFound
        state = logins.state_of(login, at=at)
        if state == "asked":
            raise LoginWaiting
        if state != "approved" and state not in _ENDED:
            raise logins.LoginOver
        if LoginCode.objects.filter(login=login).exists():
            raise logins.LoginOver
        try:
            scopes, request = _read(login.request, at=at)
            if state in _ENDED:
                return _refused(request, *_ENDED[state])
            headers, _, _ = LoginServer(at=at).create_authorization_response(
                _url(login.request), "GET", "", {}, scopes=scopes, credentials={"login": login}
            )
        except OAuth2Error as error:
            raise RequestRefused(error.error) from error
        return _back(headers["Location"])


def _read(query: str, *, at: datetime) -> tuple[list[str], Any]:
    """The scopes and the request; raises an OAuth2Error, a FatalClientError if not to be sent on.

    What is refused beyond the engine's own rules: values that no column takes, request objects,
    and other ways back than the query.
    """
    if len(query) > MAX_QUERY:
        raise errors.InvalidRequestFatalError(description="too long")
    try:
        sent = dict(parse_qsl(query, keep_blank_values=True, errors="strict"))
        if any(_CONTROL.search(value) for value in sent.values()):
            raise errors.InvalidRequestFatalError(description="control characters")
        scopes, found = LoginServer(at=at).validate_authorization_request(_url(query), "GET")
    except ValueError as error:
        raise errors.InvalidRequestFatalError(description="not readable") from error
    request = found["request"]
    for name, problem in (
        ("request", "request_not_supported"),
        ("request_uri", "request_uri_not_supported"),
    ):
        if name in sent:
            raise _error(request, problem)
    if sent.get("response_mode", "query") != "query" or len(sent.get("nonce", "")) > 255:
        raise errors.InvalidRequestError(request=request)
    if request.code_challenge_method != "S256" or not re.fullmatch(
        r"[A-Za-z0-9_-]{43}", request.code_challenge, re.ASCII
    ):
        raise errors.InvalidRequestError(description="PKCE with S256 only", request=request)
    return scopes, request


def _kept(query: str) -> str:
    """What of a request is needed to answer it; hints at a person are not kept."""
    sent = parse_qsl(query, keep_blank_values=True, errors="strict")
    return urlencode([(name, value) for name, value in sent if name in _KEPT], quote_via=quote)


def _error(request: Any, error: str, description: str = "") -> OAuth2Error:
    found = errors.CustomOAuth2Error(error=error, description=description, request=request)
    found.redirect_uri = request.redirect_uri
    return found


def _refused(request: Any, error: str, description: str) -> str:
    return _back(request.redirect_uri, _error(request, error, description))


def _back(uri: str, error: OAuth2Error | None = None) -> str:
    """With the issuer, so that a relying party of several cities can't mix them (RFC 9207)."""
    told = [] if error is None else error.twotuples
    return str(add_params_to_uri(uri, [*told, ("iss", settings.PUBLIC_URL)]))


def _url(query: str) -> str:
    return f"{settings.PUBLIC_URL}{AUTHORIZE_PATH}?{query}"


def _note_over_asking(party: RelyingParty, beyond: list[str], *, at: datetime) -> None:
    """Write down that more was asked for than allowed; not more often than is of use."""
    try:
        limits.spend(OVER_ASKED, str(party.id), at=at)
    except limits.LimitReached:
        return
    with transaction.atomic():
        audit.record(
            actor=f"relying_party:{party.id}",
            action="login.over_asked",
            subject=f"organisation:{party.organisation_id}",
            detail={"fields": beyond, "purpose": party.purpose},
            at=at,
        )
