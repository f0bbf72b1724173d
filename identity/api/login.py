"""What browsers and relying parties ask of the OpenID Connect provider; docs/login-with-vpass.md.

The relying parties' own routes take forms and answer as their standards say, so they are plain
views; what our pages ask is JSON like the rest of the API.
"""

import json
import re
import secrets
from collections.abc import Callable
from typing import Any
from uuid import UUID

from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.http.response import HttpResponseBase
from django.views.decorators.http import require_http_methods
from django.views.generic import TemplateView
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from identity import logins
from identity.api import login_examples as examples
from identity.api.my_log import Nothing
from identity.oidc import requests, tokens
from identity.oidc.tokens import EngineAnswer
from vpass.common import clock, limits
from vpass.common.api import Audience, Endpoint, StrictSerializer, describes
from vpass.common.errors import NotFound

MAX_FORM_BYTES = 16 * 1024
BROWSER_LIFE_S = 600
FORM = "application/x-www-form-urlencoded"

_SECRET = re.compile(r"[A-Za-z0-9_-]{43}", re.ASCII)
_BEARER = re.compile(r"Bearer ([A-Za-z0-9._~+/-]{16,512}=*)", re.ASCII | re.IGNORECASE)


class LoginRequest(StrictSerializer):
    request = serializers.CharField(
        max_length=requests.MAX_QUERY, help_text="The query of /oidc/authorize, as it came."
    )


class PartyNames(StrictSerializer):
    name = serializers.CharField()
    zh = serializers.CharField()
    en = serializers.CharField()


class LoginBegun(StrictSerializer):
    id = serializers.UUIDField(allow_null=True)
    handle = serializers.CharField(allow_null=True, help_text="For the QR code and the link.")
    number = serializers.CharField(allow_null=True, help_text="What the phone asks for.")
    relying_party = PartyNames(allow_null=True)
    expires_at = serializers.DateTimeField(allow_null=True)
    location = serializers.CharField(
        allow_null=True, help_text="Set when there is nothing to wait for: go back there at once."
    )


class LoginState(StrictSerializer):
    state = serializers.CharField()


class WayBack(StrictSerializer):
    location = serializers.CharField(help_text="At the relying party, with code or error.")


class LogoutRequest(StrictSerializer):
    id_token_hint = serializers.CharField(max_length=4096)
    client_id = serializers.CharField(max_length=255, required=False)
    post_logout_redirect_uri = serializers.CharField(max_length=2048, required=False)
    state = serializers.CharField(max_length=1024, required=False)


class LoggedOut(StrictSerializer):
    location = serializers.CharField(allow_null=True, help_text="Null: stay on the page.")


class Discovered(StrictSerializer):
    issuer = serializers.CharField()
    authorization_endpoint = serializers.CharField()
    token_endpoint = serializers.CharField()
    userinfo_endpoint = serializers.CharField()
    revocation_endpoint = serializers.CharField()
    end_session_endpoint = serializers.CharField()
    jwks_uri = serializers.CharField()
    scopes_supported = serializers.ListField(child=serializers.CharField())
    acr_values_supported = serializers.ListField(child=serializers.CharField())


class Discovery(Endpoint):
    """How to log in with V Pass."""

    audience = Audience.PUBLIC

    @describes(answers={200: Discovered}, examples=examples.DISCOVERY)
    def get(self, request: Request) -> Response:
        """Return the provider's metadata (OpenID Connect Discovery 1.0); more than shown here."""
        return Response(tokens.discovery())


class Logins(Endpoint):
    """The login page opens a login."""

    audience = Audience.PUBLIC

    @describes(
        request=LoginRequest,
        answers={201: LoginBegun},
        problems=[requests.RequestRefused, limits.LimitReached],
        examples=examples.BEGUN,
    )
    def post(self, request: Request) -> Response:
        """Open a login for an authorization request; the browser gets a secret of its own."""
        browser = _browser(request) or secrets.token_urlsafe(32)
        begun = requests.begin(
            query=self.read(LoginRequest)["request"], browser=browser, at=self.at
        )
        answer = Response(_begun(begun), status=201)
        answer.set_cookie(
            browser_cookie_name(),
            browser,
            max_age=BROWSER_LIFE_S,
            secure=settings.IS_HTTPS,
            httponly=True,
            samesite="Strict",
        )
        return answer


class OneLogin(Endpoint):
    """The login that a page waits for."""

    audience = Audience.PUBLIC

    @describes(answers={200: LoginState}, problems=[NotFound], examples=examples.STATE)
    def get(self, request: Request, login_id: UUID) -> Response:
        """Tell the state, to the browser that began it."""
        state = requests.waiting(login_id=login_id, browser=_browser(request), at=self.at)
        return Response({"state": state})


class LoginReturns(Endpoint):
    """The browser goes back to the relying party."""

    audience = Audience.PUBLIC

    @describes(
        request=Nothing,
        answers={200: WayBack},
        problems=[
            NotFound,
            requests.LoginWaiting,
            logins.LoginOver,
            requests.RequestRefused,
        ],
        examples=examples.WAY_BACK,
    )
    def post(self, request: Request, login_id: UUID) -> Response:
        """Give the way back: with a code, once, or with the error the login ended in."""
        self.read(Nothing)
        location = requests.go_back(login_id=login_id, browser=_browser(request), at=self.at)
        return Response({"location": location})


class Logouts(Endpoint):
    """The logout page ends a login."""

    audience = Audience.PUBLIC

    @describes(
        request=LogoutRequest,
        answers={200: LoggedOut},
        problems=[tokens.LogoutRefused],
        examples=examples.LOGOUT,
    )
    def post(self, request: Request) -> Response:
        """End the login that the id_token names: its tokens die."""
        return Response({"location": tokens.log_out(sent=self.read(LogoutRequest), at=self.at)})


class EndSession(TemplateView):
    """RP-initiated logout: a page that ends the login, or a form posted straight to it."""

    template_name = "login/logout.html"
    http_method_names = ["get", "post"]

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        """Add the address which every page knows."""
        return super().get_context_data(**kwargs, public_url=settings.PUBLIC_URL)

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """Answer, and keep the answer out of every cache."""
        response = super().dispatch(request, *args, **kwargs)
        response["Cache-Control"] = "no-store"
        return response

    def post(self, request: HttpRequest) -> HttpResponseBase:
        """End the login and send the browser on."""
        try:
            location = tokens.log_out(sent=request.POST.dict(), at=clock.now())
        except tokens.LogoutRefused as error:
            return JsonResponse({"error": "invalid_request", "code": error.code}, status=400)
        if location is None:
            return HttpResponse(status=204)
        return HttpResponseRedirect(location, status=303)


@require_http_methods(["POST"])
def token(request: HttpRequest) -> HttpResponse:
    """Give tokens for a code or a refresh token (RFC 6749)."""
    return _answer_form(request, tokens.give_tokens)


@require_http_methods(["POST"])
def revoke(request: HttpRequest) -> HttpResponse:
    """Revoke a token (RFC 7009)."""
    return _answer_form(request, tokens.revoke)


@require_http_methods(["GET", "POST"])
def user_info(request: HttpRequest) -> HttpResponse:
    """Say who logged in, to who holds the access token (OpenID Connect Core 5.3)."""
    match = _BEARER.fullmatch(request.headers.get("Authorization", ""))
    try:
        if match is None:
            raise tokens.BearerRefused
        answer = JsonResponse(
            tokens.user_info(access_token=match[1], at=clock.now()),
            json_dumps_params={"ensure_ascii": False},
        )
    except tokens.BearerRefused as error:
        answer = JsonResponse({"error": "invalid_token", "code": error.code}, status=401)
        answer["WWW-Authenticate"] = 'Bearer realm="V Pass", error="invalid_token"'
    except limits.LimitReached as error:
        answer = JsonResponse({"error": "slow_down", "code": error.code}, status=error.status)
        answer["Retry-After"] = str(error.retry_after)
    answer["Cache-Control"] = "no-store"
    return answer


def browser_cookie_name() -> str:
    """The name of the cookie that holds a browser's secret: bound to this host where it can be."""
    return "__Host-vpass-login" if settings.IS_HTTPS else "vpass-login"


def _browser(request: Request) -> str:
    """The browser's secret, "" when it has none of ours."""
    found = request.COOKIES.get(browser_cookie_name(), "")
    return found if _SECRET.fullmatch(found) else ""


def _begun(begun: requests.Begun | str) -> dict[str, Any]:
    if isinstance(begun, str):
        nothing = ("id", "handle", "number", "relying_party", "expires_at")
        return {"location": begun, **dict.fromkeys(nothing)}
    login = begun.login
    organisation = login.relying_party.organisation
    return {
        "id": login.id,
        "handle": begun.handle,
        "number": login.number,
        "relying_party": {
            "name": login.relying_party.name,
            "zh": organisation.name_zh,
            "en": organisation.name_en,
        },
        "expires_at": login.expires_at,
        "location": None,
    }


def _answer_form(request: HttpRequest, work: Callable[..., EngineAnswer]) -> HttpResponse:
    try:
        body = _form(request)
    except ValueError:
        found = EngineAnswer(400, json.dumps({"error": "invalid_request"}), {})
    else:
        authorization = request.headers.get("Authorization", "")
        found = work(body=body, authorization=authorization, at=clock.now())
    answer = HttpResponse(found.body, status=found.status, content_type="application/json")
    if "WWW-Authenticate" in found.headers:
        answer["WWW-Authenticate"] = found.headers["WWW-Authenticate"]
    answer["Cache-Control"] = "no-store"
    return answer


def _form(request: HttpRequest) -> str:
    """The body of a form as text; raises ValueError for anything else."""
    length = request.headers.get("Content-Length", "0")
    if not length.isdecimal() or int(length) > MAX_FORM_BYTES or request.content_type != FORM:
        raise ValueError("not a small form")
    return request.body.decode("ascii")
