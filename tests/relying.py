"""A relying party for tests, and the way of a browser through it and the phone page."""

import base64
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from django.conf import settings
from django.test import Client

from identity import logins, relying_parties
from identity.models import Entitlement, Organisation, RelyingParty
from tests import city
from vpass.common.encodings import b64url_encode

CALLBACK = "https://library.example/callback"
GOODBYE = "https://library.example/goodbye"
FIELDS = ["over_18", "real_name"]
FORM = "application/x-www-form-urlencoded"


@dataclass
class Browser:
    """A browser with its cookies, at the login page."""

    client: Client = field(default_factory=Client)

    def post(self, path: str, body: Any) -> Any:
        return self.client.generic("POST", path, json.dumps(body), content_type="application/json")

    def begin(self, query: str | Mapping[str, Any]) -> Any:
        text = query if isinstance(query, str) else urlencode(query)
        return self.post("/oidc/logins", {"request": text})

    def state(self, login_id: str) -> str:
        return str(self.client.get(f"/oidc/logins/{login_id}").json()["state"])

    def go_back(self, login_id: str) -> Any:
        return self.post(f"/oidc/logins/{login_id}/return", {})


@dataclass
class Site:
    """A web service of an organisation that lets residents log in."""

    party: RelyingParty
    secret: str
    verifier: str = field(default_factory=lambda: secrets.token_urlsafe(48))

    def query(self, **changes: Any) -> dict[str, Any]:
        """An authorization request; a change to None leaves the parameter out."""
        digest = sha256(self.verifier.encode()).digest()
        whole = {
            "response_type": "code",
            "client_id": self.party.client_id,
            "redirect_uri": CALLBACK,
            "scope": "openid real_name over_18",
            "state": "st-1",
            "nonce": "n-1",
            "code_challenge": b64url_encode(digest),
            "code_challenge_method": "S256",
        } | changes
        return {name: value for name, value in whole.items() if value is not None}

    def post(self, path: str, body: Mapping[str, Any], *, secret: str | None = None) -> Any:
        pair = f"{self.party.client_id}:{secret or self.secret}".encode()
        basic = "Basic " + base64.b64encode(pair).decode()
        return Client(headers={"Authorization": basic}).generic(
            "POST", path, urlencode(body), content_type=FORM
        )

    def exchange(self, code: str, *, secret: str | None = None, **changes: Any) -> Any:
        whole = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": CALLBACK,
            "code_verifier": self.verifier,
        } | changes
        sent = {name: value for name, value in whole.items() if value is not None}
        return self.post("/oidc/token", sent, secret=secret)

    def refresh(self, token: str, **options: Any) -> Any:
        sent = {"grant_type": "refresh_token", "refresh_token": token}
        return self.post("/oidc/token", sent, **options)

    def user_info(self, token: str) -> Any:
        return Client(headers={"Authorization": f"Bearer {token}"}).get("/oidc/userinfo")

    def log_in(self, phone: city.Phone, *, at: datetime, **changes: Any) -> Any:
        """The tokens after a whole login through the phone."""
        browser = Browser()
        begun = browser.begin(self.query(**changes)).json()
        answer = approve(phone, begun, at=at)
        assert answer.status_code == 200, answer.content
        answer = self.exchange(code_of(browser.go_back(begun["id"])))
        assert answer.status_code == 200, answer.content
        return answer.json()


def open_site(
    organisation: Organisation | None = None, *, at: datetime, name: str = "潍坊市图书馆"
) -> Site:
    """A registered site whose organisation may have FIELDS, and ask for the phone number."""
    if organisation is None:
        organisation = city.make_organisation(name, kind="department", name_en="Weifang Library")
    Entitlement.objects.get_or_create(
        organisation=organisation,
        scene=logins.SCENE,
        purpose="reader",
        defaults={
            "purpose_zh": "读者服务",
            "purpose_en": "Readers",
            "attributes": FIELDS,
            "may_ask": ["phone"],
        },
    )
    registered = relying_parties.register(
        organisation=organisation,
        name="读者之家",
        purpose="reader",
        redirect_uris=[CALLBACK, "http://127.0.0.1:9000/callback"],
        post_logout_redirect_uris=[GOODBYE],
        actor="test",
        at=at,
    )
    return Site(registered.relying_party, registered.client_secret)


def look(phone: city.Phone, handle: str) -> Any:
    return phone.send("POST", f"{city.RESIDENT}/login-looks", {"handle": handle})


def word(
    phone: city.Phone, shown: Mapping[str, Any], number: str, /, *, at: datetime, **changes: Any
) -> str:
    """What the phone signs over a login as it was shown."""
    claims = {
        "login": shown["id"],
        "relying_party": shown["relying_party"]["client_id"],
        "organisation": shown["organisation"]["id"],
        "purpose": shown["purpose"]["code"],
        "fields": shown["fields"],
        "level": shown["level"],
        "number": number,
    } | changes
    path = f"/logins/{shown['id']}/approval"
    return phone.word(path, typ=logins.TYPE, at=at, **claims)


def approve(phone: city.Phone, begun: Mapping[str, Any], *, at: datetime, **changes: Any) -> Any:
    """The phone looks, and approves what it is shown with the page's number."""
    shown = look(phone, begun["handle"]).json()
    signed = word(phone, shown, begun["number"], at=at, **changes)
    path = f"{city.RESIDENT}/logins/{begun['id']}/approval"
    return phone.send("POST", path, {"approval": signed}, key=city.new_key())


def approve_again(phone: city.Phone, begun: Mapping[str, Any], *, at: datetime) -> tuple[int, str]:
    """The problem that a second approval meets, with any word."""
    path = f"{city.RESIDENT}/logins/{begun['id']}/approval"
    signed = phone.word(f"/logins/{begun['id']}/approval", typ=logins.TYPE, at=at)
    return city.problem(phone.send("POST", path, {"approval": signed}, key=city.new_key()))


def sent_back(answer: Any) -> dict[str, str]:
    """The parameters at the relying party's callback."""
    location = answer.json()["location"]
    parts = urlsplit(location)
    assert f"{parts.scheme}://{parts.netloc}{parts.path}" == CALLBACK, location
    found = dict(parse_qsl(parts.query))
    assert found["iss"] == settings.PUBLIC_URL
    return found


def code_of(answer: Any) -> str:
    return sent_back(answer)["code"]
