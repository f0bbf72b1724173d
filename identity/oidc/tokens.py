"""Answers relying parties: tokens for a code, who somebody is, and the end of a login."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from urllib.parse import parse_qs

from django.conf import settings
from django.db import transaction
from oauthlib.common import add_params_to_uri
from oauthlib.oauth2 import OAuth2Error

from identity import disclosure, logins
from identity.access_log import write_line
from identity.models import Login, LoginAccessToken, RelyingParty, SigningKey
from identity.oidc.claims import CLAIMS, LEVELS, SCOPES
from identity.oidc.engine import ID_TOKEN_TYPE, LoginServer, hash_of, subject_of
from identity.oidc.requests import AUTHORIZE_PATH
from identity.queries import find_rule
from vpass.common import limits
from vpass.common.errors import DomainError, NotAuthenticated
from vpass.common.signing import BadToken, decode_jws, jws_claims, jws_header, public_from_point

TOKEN_PATH: Final = "/oidc/token"  # noqa: S105  a path
USERINFO_PATH: Final = "/oidc/userinfo"
REVOCATION_PATH: Final = "/oidc/revoke"
LOGOUT_PATH: Final = "/oidc/logout"
KEYS_PATH: Final = "/.well-known/vpass-keys.json"
# Each look is a line in the resident's log.
LOOKS_PER_LOGIN = limits.Limit("login.user_info", maximum=60, per=timedelta(hours=1))


class LogoutRefused(DomainError):
    """This names no login of this relying party, or no address registered for it."""

    code = "login.logout_refused"
    status = 400
    title_zh = "退出请求无效"


class BearerRefused(NotAuthenticated):
    """The access token is not known or no longer valid."""

    code = "login.token_refused"
    title_zh = "访问令牌无效"


@dataclass(frozen=True)
class EngineAnswer:
    """What the engine answers: JSON text, or nothing, and its headers."""

    status: int
    body: str
    headers: Mapping[str, str]


def discovery() -> dict[str, Any]:
    """Return the provider's metadata (OpenID Connect Discovery 1.0)."""
    base = settings.PUBLIC_URL
    return {
        "issuer": base,
        "authorization_endpoint": base + AUTHORIZE_PATH,
        "token_endpoint": base + TOKEN_PATH,
        "userinfo_endpoint": base + USERINFO_PATH,
        "revocation_endpoint": base + REVOCATION_PATH,
        "end_session_endpoint": base + LOGOUT_PATH,
        "jwks_uri": base + KEYS_PATH,
        "scopes_supported": list(SCOPES),
        "claims_supported": ["sub", "acr", "amr", "auth_time", *CLAIMS.values()],
        "claims_parameter_supported": True,
        "acr_values_supported": list(LEVELS.values()),
        "response_types_supported": ["code"],
        "response_modes_supported": ["query"],
        "grant_types_supported": ["authorization_code", "refresh_token"],
        "subject_types_supported": ["pairwise"],
        "id_token_signing_alg_values_supported": ["ES256"],
        "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
        "code_challenge_methods_supported": ["S256"],
        "prompt_values_supported": ["login", "consent", "none"],
        "request_parameter_supported": False,
        "request_uri_parameter_supported": False,
        "authorization_response_iss_parameter_supported": True,
        "ui_locales_supported": ["zh", "en"],
    }


def give_tokens(*, body: str, authorization: str, at: datetime) -> EngineAnswer:
    """Answer a token request (form-encoded `body`), one that is refused too."""
    return _run("create_token_response", TOKEN_PATH, body, authorization, at=at)


def revoke(*, body: str, authorization: str, at: datetime) -> EngineAnswer:
    """Answer a revocation (RFC 7009)."""
    return _run("create_revocation_response", REVOCATION_PATH, body, authorization, at=at)


def user_info(*, access_token: str, at: datetime) -> dict[str, Any]:
    """Return `sub` and the claims that the token is for, as far as the right to them still stands.

    The resident's log gets a line in the same transaction. Raises BearerRefused,
    limits.LimitReached (60 an hour for each login).
    """
    known = LoginAccessToken.objects.filter(token_checksum=hash_of(access_token), expires__gt=at)
    login_id = known.values_list("login_id", flat=True).first()
    if login_id is None:
        raise BearerRefused
    limits.spend(LOOKS_PER_LOGIN, str(login_id), at=at)
    with transaction.atomic():
        token = known.select_related(
            "login__resident", "login__device", "login__relying_party__organisation"
        ).first()
        if token is None or not logins.is_signed_in(token.login, at=at):
            raise BearerRefused
        login: Login = token.login
        if not login.relying_party.is_usable(None):
            raise BearerRefused
        rule = find_rule(login.organisation_id, scene=logins.SCENE, purpose=login.purpose)
        if rule is None:
            raise BearerRefused
        allowed = {*rule.attributes, *rule.may_ask} & set(token.scope.split())
        fields = [name for name in login.fields if name in allowed]
        resident = logins.resident_of(login)
        if fields:
            write_line(
                resident_id=resident.id,
                caller=logins.asker(login),
                purpose=login.purpose,
                fields=fields,
                rule=rule,
                at=at,
            )
        shown = disclosure.disclose(resident=resident, attributes=fields, at=at)
        return {"sub": subject_of(login)} | {CLAIMS[name]: shown[name] for name in fields}


def log_out(*, sent: Mapping[str, str], at: datetime) -> str | None:
    """End the login that an id_token names; return where the browser goes, None to stay.

    `sent` may have `id_token_hint` (needed; one out of date will do), `client_id`,
    `post_logout_redirect_uri` (exactly as registered) and `state`. Raises LogoutRefused.
    """
    hint = sent.get("id_token_hint", "")
    said = _read_hint(hint)
    party = RelyingParty.objects.filter(client_id=said["aud"]).first()
    wanted = sent.get("post_logout_redirect_uri")
    if party is None or sent.get("client_id", party.client_id) != party.client_id:
        raise LogoutRefused
    if wanted is not None and wanted not in party.post_logout_redirect_uris.split():
        raise LogoutRefused
    with transaction.atomic():
        login = logins.find(said["sid"], relying_party_id=party.id)
        if login is None or subject_of(login) != said["sub"]:
            raise LogoutRefused
        logins.end(login, "ended", actor=logins.actor_of(login), at=at)
    if wanted is None:
        return None
    state = sent.get("state")
    return str(add_params_to_uri(wanted, [("state", state)])) if state else wanted


def _read_hint(hint: str) -> dict[str, str]:
    """The claims of an id_token of ours, judged as at its making: it may be out of date."""
    try:
        key = SigningKey.objects.get(id=bytes.fromhex(str(jws_header(hint).get("kid"))))
        issued_at = jws_claims(hint).get("iat")
        claims = decode_jws(
            hint,
            public_from_point(bytes(key.point)),
            typ=ID_TOKEN_TYPE,
            audience=str(jws_claims(hint).get("aud")),
            at=datetime.fromtimestamp(int(str(issued_at)), tz=key.published_at.tzinfo),
            required=("iss", "sub", "sid", "iat", "exp"),
        )
    except (BadToken, ValueError, OverflowError, OSError, SigningKey.DoesNotExist) as error:
        raise LogoutRefused from error
    if claims["iss"] != settings.PUBLIC_URL:
        raise LogoutRefused
    return {name: str(claims[name]) for name in ("aud", "sub", "sid")}


def _run(method: str, path: str, body: str, authorization: str, *, at: datetime) -> EngineAnswer:
    headers = {"HTTP_AUTHORIZATION": authorization, "Authorization": authorization}
    try:
        if any("\x00" in value for values in parse_qs(body).values() for value in values):
            raise ValueError("control characters")
        # What is refused may have ended a login: that stays, so nothing is raised through here.
        with transaction.atomic():
            found, text, status = getattr(LoginServer(at=at), method)(
                settings.PUBLIC_URL + path, "POST", body, headers
            )
    except OAuth2Error as error:
        return EngineAnswer(error.status_code, error.json, error.headers)
    except ValueError:
        return EngineAnswer(400, '{"error": "invalid_request"}', {})
    return EngineAnswer(status, text or "", found)
