"""Binds the engine of django-oauth-toolkit and oauthlib to our rows, our keys and our clock.

Of the flows it knows, only the authorization code (with PKCE S256) and the refresh token are built
in. What is stored of a code or token is its SHA-256.
"""

import hashlib
import hmac
import secrets
import uuid
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from oauth2_provider.oauth2_validators import OAuth2Validator
from oauthlib.oauth2 import AuthorizationEndpoint, BearerToken, RevocationEndpoint, TokenEndpoint
from oauthlib.oauth2.rfc6749 import errors
from oauthlib.openid.connect.core.grant_types import AuthorizationCodeGrant, RefreshTokenGrant

from identity import disclosure, keys, logins
from identity.models import (
    Login,
    LoginAccessToken,
    LoginCode,
    LoginRefreshToken,
    RelyingParty,
)
from identity.oidc import claims
from vpass.common.encodings import b64url_encode
from vpass.common.signing import encode_jws

CODE_LIFE = timedelta(seconds=60)
TOKEN_LIFE = timedelta(minutes=10)
ID_TOKEN_TYPE = "JWT"  # noqa: S105  RFC 7519 section 5.1


class LoginServer(AuthorizationEndpoint, TokenEndpoint, RevocationEndpoint):
    """The engine for one request: code and refresh token, nothing else."""

    def __init__(self, *, at: datetime) -> None:
        validator = LoginValidator(at=at)
        code = AuthorizationCodeGrant(validator)
        bearer = BearerToken(
            validator,
            token_generator=lambda request: secrets.token_urlsafe(32),
            expires_in=int(TOKEN_LIFE.total_seconds()),
            refresh_token_generator=lambda request: secrets.token_urlsafe(32),
        )
        AuthorizationEndpoint.__init__(
            self,
            default_response_type="code",
            response_types={"code": code},
            default_token_type=bearer,
        )
        TokenEndpoint.__init__(
            self,
            default_grant_type="unsupported",
            grant_types={
                "authorization_code": code,
                "refresh_token": RefreshTokenGrant(validator),
                "unsupported": _NoGrant(),
            },
            default_token_type=bearer,
        )
        RevocationEndpoint.__init__(self, validator)


class _NoGrant:
    """Refuses every other grant type as what it is."""

    def create_token_response(self, request: Any, token_handler: Any) -> Any:
        """Raise; the caller answers it in JSON."""
        raise errors.UnsupportedGrantTypeError(request=request)


class LoginValidator(OAuth2Validator):
    """The toolkit's rules where they hold for us, ours where residents, hashes or time differ."""

    def __init__(self, *, at: datetime) -> None:
        super().__init__()
        self.at = at

    # Who asks, and for what

    def _check_secret(self, provided_secret: str, stored_secret: str) -> bool:
        """A random secret of 256 bits needs no slow hash."""
        return hmac.compare_digest(hash_of(provided_secret), stored_secret)

    def get_default_redirect_uri(self, client_id: str, request: Any, *args: Any) -> None:
        """None: it is always named (OpenID Connect Core 3.1.2.1)."""

    def validate_scopes(self, client_id: str, scopes: Any, client: Any, request: Any) -> bool:
        """`openid`, and names of attributes; the relying party's right is judged afterwards."""
        return "openid" in scopes and set(scopes) <= set(claims.SCOPES)

    def get_default_scopes(self, client_id: str, request: Any, *args: Any) -> list[str]:
        """Nothing but who it is."""
        return ["openid"]

    def validate_silent_login(self, request: Any) -> bool:
        """Never: each login is approved on the phone."""
        return False

    def validate_user_match(self, *args: Any) -> bool:
        """A hint at a person changes nothing: the phone says who it is."""
        return True

    # Codes

    def save_authorization_code(self, client_id: str, code: Any, request: Any, *args: Any) -> None:
        """Keep the hash of a code, bound to its login."""
        LoginCode.objects.create(
            application=request.client,
            login=request.login,
            code=hash_of(code["code"]),
            expires=self.at + CODE_LIFE,
            redirect_uri=request.redirect_uri,
            scope=" ".join(request.scopes),
            code_challenge=request.code_challenge,
            code_challenge_method=request.code_challenge_method,
            nonce=request.nonce or "",
        )

    def validate_code(self, client_id: str, code: str, client: Any, request: Any) -> bool:
        """Use a code up: the first try is the only one, whatever comes of it.

        A second one ends the login with all its tokens (RFC 6749 section 4.1.2).
        """
        found = LoginCode.objects.filter(code=hash_of(code), application=client)
        is_first = found.filter(used_at=None).update(used_at=self.at)
        row = found.select_related("login__resident", "login__device").first()
        if row is None:
            return False
        login = logins.lock(row.login_id)
        if not is_first:
            logins.end(login, "reused", actor=logins.actor_of(login), at=self.at)
            return False
        if row.expires <= self.at or login.state != "approved" or not logins.holds(login):
            return False
        request.code_row, request.login = row, login
        request.scopes = row.scope.split()
        return True

    def get_code_challenge(self, code: str, request: Any) -> str:
        """The challenge that came with the authorization request."""
        return str(request.code_row.code_challenge)

    def get_code_challenge_method(self, code: str, request: Any) -> str:
        """Always S256."""
        return str(request.code_row.code_challenge_method)

    def confirm_redirect_uri(
        self, client_id: str, code: str, redirect_uri: str, client: Any, request: Any
    ) -> bool:
        """The same text as at the authorization request."""
        return bool(request.code_row.redirect_uri == redirect_uri)

    def get_authorization_code_nonce(self, *args: Any) -> str | None:
        """The nonce that came with the authorization request."""
        return args[-1].code_row.nonce or None

    def invalidate_authorization_code(self, client_id: str, code: str, request: Any) -> None:
        """Nothing more to do: `validate_code` used it up."""

    # Tokens

    def save_bearer_token(self, token: Any, request: Any, *args: Any, **options: Any) -> Any:
        """Keep the hashes of the tokens; with a code's first ones the login begins to count."""
        if request.grant_type == "authorization_code":
            logins.sign_in(request.login, at=self.at)
        return super().save_bearer_token(token, request, *args, **options)

    def _create_access_token(
        self, expires: datetime, request: Any, token: Any, source_refresh_token: Any = None
    ) -> LoginAccessToken:
        row = LoginAccessToken(
            login=request.login,
            scope=token["scope"],
            expires=self.at + TOKEN_LIFE,
            application=request.client,
            source_refresh_token=source_refresh_token,
        )
        self._set_token_value(row, token["access_token"])
        row.save()
        return row

    def _create_refresh_token(
        self, request: Any, refresh_token_code: str, access_token: Any, previous: Any
    ) -> LoginRefreshToken:
        row = LoginRefreshToken(
            login=request.login,
            application=request.client,
            access_token=access_token,
            token_family=previous.token_family if previous else uuid.uuid4(),
        )
        self._set_token_value(row, refresh_token_code)
        row.save()
        return row

    def validate_refresh_token(self, refresh_token: str, client: Any, request: Any) -> bool:
        """Judge a refresh token under its login's lock; one that was used ends the login."""
        known = LoginRefreshToken.objects.filter(
            token_checksum=hash_of(refresh_token), application=client
        )
        login_id = known.values_list("login_id", flat=True).first()
        if login_id is None:
            return False
        login = logins.lock(login_id)
        if known.get().revoked is not None:
            logins.end(login, "reused", actor=logins.actor_of(login), at=self.at)
            return False
        request.login = login
        is_alive = logins.is_signed_in(login, at=self.at)
        return is_alive and bool(super().validate_refresh_token(refresh_token, client, request))

    def revoke_token(self, token: str, token_type_hint: str, request: Any, *args: Any) -> None:
        """End the login of any token of this client; an unknown one is no matter (RFC 7009)."""
        for model in (LoginRefreshToken, LoginAccessToken):
            known = model.objects.filter(token_checksum=hash_of(token), application=request.client)
            login_id = known.values_list("login_id", flat=True).first()
            if login_id is not None:
                login = logins.lock(login_id)
                logins.end(login, "ended", actor=logins.actor_of(login), at=self.at)

    def get_id_token(self, token: Any, token_handler: Any, request: Any) -> str:
        """The id_token of a login: a JWS by the city's current key, ES256, `kid` as published.

        Claims: iss, sub (pairwise), aud, iat, exp, auth_time, acr, amr, sid, jti, at_hash, and
        nonce when the request had one.
        """
        login: Login = request.login
        party: RelyingParty = request.client
        signer = keys.current_signer(at=self.at)
        digest = hashlib.sha256(token["access_token"].encode()).digest()
        said: dict[str, Any] = {
            "iss": settings.PUBLIC_URL,
            "sub": subject_of(login),
            "aud": party.client_id,
            "iat": int(self.at.timestamp()),
            "exp": int((self.at + TOKEN_LIFE).timestamp()),
            "auth_time": int(logins.approved_at(login).timestamp()),
            "acr": claims.LEVELS[login.level or 1],
            "amr": [claims.AMR[logins.device_of(login).grade]],
            "sid": str(login.id),
            "jti": b64url_encode(secrets.token_bytes(16)),
            "at_hash": b64url_encode(digest[:16]),
        }
        if request.grant_type == "authorization_code" and request.code_row.nonce:
            said["nonce"] = request.code_row.nonce
        return encode_jws(said, signer.private, typ=ID_TOKEN_TYPE, kid=signer.key_id.hex())


def subject_of(login: Login) -> str:
    """Return the name by which this organisation knows the resident, as its counters do."""
    return disclosure.pseudonym(
        resident_id=logins.resident_of(login).id, organisation_id=login.organisation_id
    )


def hash_of(text: str) -> str:
    """Return what is stored of a code, token or secret: its SHA-256, hexadecimal."""
    return hashlib.sha256(text.encode()).hexdigest()
