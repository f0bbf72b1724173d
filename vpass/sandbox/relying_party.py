"""Two web sites where residents log in with V Pass, written from docs/login-with-vpass.md.

Each keeps a browser's login under a cookie of its own. What V Pass says is believed only after the
id_token is verified: signature by the published keys, issuer, audience, nonce, time, at_hash.
"""

import hashlib
import json
import secrets
from base64 import urlsafe_b64encode
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import aiohttp
from aiohttp import web
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from vpass.sandbox.faults import json_bytes
from vpass.sandbox.signatures import time_now

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

COOKIE = "site"
ANSWER_WITHIN_S = 10.0
MAX_VISITORS = 1_000


class LoginFailed(Exception):
    """V Pass said no, or said something that does not hold; the text is a short code."""


@dataclass
class Visitor:
    """One browser at one site: what it waits for, and who it turned out to be."""

    state: str = ""
    nonce: str = ""
    verifier: str = ""
    id_token: str = ""
    access_token: str = ""
    refresh_token: str = ""
    me: dict[str, Any] = field(default_factory=dict)


class RelyingSites:
    """The sites by name; their client ids and secrets stand in `registrations`, written later."""

    def __init__(self, *, vpass_url: str, registrations: Path) -> None:
        self.base_url = ""  # known when the port is
        self._vpass_url = vpass_url
        self._registrations = registrations
        self._visitors: dict[str, Visitor] = {}

    def routes(self) -> list[web.RouteDef]:
        """What a browser may ask of a site."""
        pages = {
            "login": self._login,
            "callback": self._callback,
            "me": self._me,
            "refresh": self._refresh,
            "logout": self._logout,
        }
        return [
            web.get(f"/sites/{{name}}/{page}", _telling(handler)) for page, handler in pages.items()
        ]

    async def _login(self, request: web.Request) -> web.StreamResponse:
        """Sends the browser to V Pass; `scope` and `acr_values` may be chosen."""
        client = self._client(request)
        state, nonce, verifier = (secrets.token_urlsafe(32) for _ in range(3))
        visitor = Visitor(state=state, nonce=nonce, verifier=verifier)
        digest = hashlib.sha256(visitor.verifier.encode()).digest()
        asked = {
            "response_type": "code",
            "client_id": client["client_id"],
            "redirect_uri": self._address(request, "callback"),
            "scope": request.query.get("scope", "openid real_name over_18"),
            "state": visitor.state,
            "nonce": visitor.nonce,
            "code_challenge": urlsafe_b64encode(digest).decode().rstrip("="),
            "code_challenge_method": "S256",
        }
        if acr_values := request.query.get("acr_values"):
            asked["acr_values"] = acr_values
        found = await self._discovered()
        answer = web.Response(
            status=302,
            headers={
                "Location": f"{found['authorization_endpoint']}?{urlencode(asked, quote_via=quote)}"
            },
        )
        self._remember(answer, visitor)
        return answer

    async def _callback(self, request: web.Request) -> web.StreamResponse:
        """Takes the code, or the error, that V Pass sent the browser back with."""
        visitor = self._visitor(request)
        said = request.query
        found = await self._discovered()
        if not visitor.state or not secrets.compare_digest(said.get("state", ""), visitor.state):
            return _failed("state")
        visitor.state = ""  # good once
        if said.get("iss") != found["issuer"]:
            return _failed("issuer")
        if "error" in said:
            return _failed(said["error"])
        client = self._client(request)
        tokens = await self._tokens(
            client,
            grant_type="authorization_code",
            code=said.get("code", ""),
            redirect_uri=self._address(request, "callback"),
            code_verifier=visitor.verifier,
        )
        claims = await self._verified(tokens, client_id=client["client_id"])
        if claims.get("nonce") != visitor.nonce:
            raise LoginFailed("nonce")
        visitor.id_token = tokens["id_token"]
        await self._learn(visitor, tokens, claims)
        return web.Response(status=302, headers={"Location": self._address(request, "me")})

    async def _me(self, request: web.Request) -> web.StreamResponse:
        """Who is logged in here."""
        visitor = self._visitor(request)
        return _json(visitor.me) if visitor.me else _failed("logged_out")

    async def _refresh(self, request: web.Request) -> web.StreamResponse:
        """Asks V Pass anew, as a site does after ten minutes."""
        visitor, client = self._visitor(request), self._client(request)
        visitor.me = {}
        tokens = await self._tokens(
            client, grant_type="refresh_token", refresh_token=visitor.refresh_token
        )
        claims = await self._verified(tokens, client_id=client["client_id"])
        await self._learn(visitor, tokens, claims)
        return _json(visitor.me)

    async def _logout(self, request: web.Request) -> web.StreamResponse:
        """Forgets the visitor and sends the browser to V Pass to log out there too."""
        visitor, found = self._visitor(request), await self._discovered()
        sent = {
            "id_token_hint": visitor.id_token,
            "post_logout_redirect_uri": self._address(request, "me"),
        }
        visitor.me = {}
        location = f"{found['end_session_endpoint']}?{urlencode(sent)}"
        return web.Response(status=302, headers={"Location": location})

    async def _learn(
        self, visitor: Visitor, tokens: Mapping[str, Any], claims: Mapping[str, Any]
    ) -> None:
        visitor.access_token = str(tokens["access_token"])
        visitor.refresh_token = str(tokens["refresh_token"])
        found = await self._discovered()
        told = await self._asked(
            "GET",
            found["userinfo_endpoint"],
            headers={"Authorization": f"Bearer {visitor.access_token}"},
        )
        if told.get("sub") != claims["sub"]:
            raise LoginFailed("subject")
        visitor.me = {"acr": claims["acr"], "amr": claims["amr"], **told}

    async def _verified(self, tokens: Mapping[str, Any], *, client_id: str) -> dict[str, Any]:
        """The claims of an id_token that holds; raises LoginFailed."""
        found = await self._discovered()
        keys = KeySet.import_key_set(await self._asked("GET", found["jwks_uri"]))  # type: ignore[arg-type]
        try:
            token = jwt.decode(str(tokens["id_token"]), keys, algorithms=["ES256"])
        except (JoseError, ValueError, KeyError) as error:
            raise LoginFailed("signature") from error
        claims: dict[str, Any] = dict(token.claims)
        half = hashlib.sha256(str(tokens["access_token"]).encode()).digest()[:16]
        is_good = (
            token.header.get("typ") == "JWT"
            and claims.get("iss") == found["issuer"]
            and claims.get("aud") == client_id
            and isinstance(claims.get("exp"), int)
            and claims["exp"] > time_now()
            and claims.get("at_hash") == urlsafe_b64encode(half).decode().rstrip("=")
        )
        if not is_good:
            raise LoginFailed("claims")
        return claims

    async def _tokens(self, client: Mapping[str, str], **sent: str) -> dict[str, Any]:
        found = await self._discovered()
        auth = aiohttp.BasicAuth(client["client_id"], client["client_secret"])
        return await self._asked("POST", found["token_endpoint"], data=sent, auth=auth)

    async def _discovered(self) -> dict[str, Any]:
        return await self._asked("GET", f"{self._vpass_url}/.well-known/openid-configuration")

    async def _asked(self, method: str, url: str, **options: Any) -> dict[str, Any]:
        limits = aiohttp.ClientTimeout(total=ANSWER_WITHIN_S)
        try:
            async with (
                aiohttp.ClientSession(timeout=limits) as session,
                session.request(method, url, allow_redirects=False, **options) as answer,
            ):
                body: dict[str, Any] = json.loads(await answer.read())
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            raise LoginFailed("no_answer") from error
        if answer.status == 503:
            raise LoginFailed("no_answer")
        if answer.status != 200:
            raise LoginFailed(str(body.get("error", answer.status)))
        return body

    def _client(self, request: web.Request) -> dict[str, str]:
        try:
            registered = json.loads(self._registrations.read_text("utf-8"))
            found: dict[str, str] = registered[request.match_info["name"]]
        except (OSError, KeyError) as error:
            raise web.HTTPNotFound from error
        return found

    def _address(self, request: web.Request, page: str) -> str:
        return f"{self.base_url}/sites/{request.match_info['name']}/{page}"

    def _visitor(self, request: web.Request) -> Visitor:
        return self._visitors.get(request.cookies.get(COOKIE, ""), Visitor())

    def _remember(self, answer: web.Response, visitor: Visitor) -> None:
        while len(self._visitors) >= MAX_VISITORS:
            self._visitors.pop(next(iter(self._visitors)))
        name = secrets.token_urlsafe(32)
        self._visitors[name] = visitor
        answer.set_cookie(COOKIE, name, httponly=True, samesite="Lax", path="/sites")


def _telling(handler: Handler) -> Handler:
    """Answers 403 with the code of what failed."""

    async def answer(request: web.Request) -> web.StreamResponse:
        try:
            return await handler(request)
        except LoginFailed as error:
            return _failed(str(error))

    return answer


def _json(members: dict[str, Any]) -> web.Response:
    return web.Response(body=json_bytes(members), content_type="application/json", charset="utf-8")


def _failed(code: str) -> web.Response:
    return web.json_response({"error": code}, status=403)
