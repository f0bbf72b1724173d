"""The resident at a web site that lets people log in with V Pass: a browser, and the phone beside.

The browser keeps the cookies of both sides. What the phone signs is told by
docs/login-with-vpass.md.
"""

import json
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import requests

from vpass.common import signing
from vpass.day.actors import Phone, new_key
from vpass.day.outside import Outside
from vpass.day.transport import NoAnswer, Reply, Transport


@dataclass
class SiteBrowser:
    """A browser that visits one of the sandbox's sites."""

    transport: Transport
    outside: Outside
    site: str
    _cookies: dict[str, str] = field(default_factory=dict)  # the site's
    _vpass_cookies: dict[str, str] = field(default_factory=dict)

    def open_login(self) -> Reply:
        """Asks the site to log in, follows it to V Pass, and has a login opened there."""
        visited = self._visit("login")
        if visited.status_code != 302:
            raise NoAnswer(f"the site says {visited.json()}", was_sent=True)
        query = urlsplit(visited.headers["Location"]).query
        return self._vpass("POST", "/oidc/logins", {"request": query})

    def go_back(self, login_id: str) -> Any:
        """Goes back to the site with what V Pass gives; returns what the site then shows."""
        reply = self._vpass("POST", f"/oidc/logins/{login_id}/return", {})
        if reply.code == "login.over":
            return {"error": reply.code}  # the answer was lost: a code is given once
        parts = urlsplit(reply.expect(200)["location"])
        answer = self.outside.visit(f"{parts.path}?{parts.query}", cookies=self._cookies)
        if answer.status_code != 302:
            return answer.json()
        return self.me()

    def me(self) -> Any:
        """Whom the site takes this browser for."""
        return self._visit("me").json()

    def refresh(self) -> Any:
        """Has the site ask V Pass anew."""
        return self._visit("refresh").json()

    def _visit(self, page: str) -> requests.Response:
        answer = self.outside.visit(f"/sites/{self.site}/{page}", cookies=self._cookies)
        self._cookies |= answer.cookies.get_dict()
        return answer

    def _vpass(self, method: str, path: str, body: dict[str, Any]) -> Reply:
        cookies = "; ".join(f"{name}={value}" for name, value in self._vpass_cookies.items())
        headers = {"Content-Type": "application/json", "Cookie": cookies}
        data = json.dumps(body).encode()
        reply = self.transport.patience.ask(
            lambda: self.transport.send(method, path, headers=headers, body=data),
            is_repeatable=True,
        )
        self._vpass_cookies |= reply.cookies
        return reply


@dataclass
class Approver:
    """The resident whose phone this is, asked to log in somewhere."""

    phone: Phone

    def look(self, handle: str) -> Reply:
        """What a page asks."""
        return self.phone.send("POST", "/login-looks", {"handle": handle})

    def approve(self, shown: dict[str, Any], *, number: str) -> Reply:
        """Approves what the phone shows, with the number read on the page."""
        path = f"/logins/{shown['id']}/approval"
        claims = {
            "login": shown["id"],
            "relying_party": shown["relying_party"]["client_id"],
            "organisation": shown["organisation"]["id"],
            "purpose": shown["purpose"]["code"],
            "fields": shown["fields"],
            "level": shown["level"],
            "number": number,
        }
        whole = {**claims, **self.phone.request_claims(path)}
        word = signing.encode_jws(whole, self.phone.key, typ="vpass-login+jwt")
        return self.phone.send("POST", path, {"approval": word}, idempotency_key=new_key())

    def logins(self) -> Reply:
        """Where the resident is logged in, newest first."""
        return self.phone.send("GET", "/logins")

    def end(self, login_id: str) -> Reply:
        """Ends a login from the phone."""
        path = f"/logins/{login_id}/withdrawal"
        return self.phone.send("POST", path, {}, idempotency_key=new_key())
