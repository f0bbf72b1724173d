"""Those who use the program: a resident's phone, a clerk at a counter, a kiosk.

Each keeps what it would keep in life (keys, token, cookie, grant) and knows of the program only
what docs/phone-proofs.md, docs/http-signatures.md and docs/code-format.md tell. Methods return the
Reply as it came, refusals included, unless they say otherwise.
"""

import base64
import hmac
import json
import secrets
import struct
import uuid
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from hashlib import sha1, sha256
from typing import Any

from identity import code_format
from vpass.common import clock, http_signatures, signing
from vpass.common.encodings import b64url_decode, b64url_encode
from vpass.common.http_signatures import Parts
from vpass.day.transport import Reply, Transport, Unexpected

RESIDENT = "/api/resident/v1"
COUNTER = "/api/counter/v1"
TERMINAL = "/api/terminal/v1"
TOTP_STEP_S = 30

JSON = "application/json"


def new_key() -> str:
    """An idempotency key for a new piece of work."""
    return str(uuid.uuid4())


@dataclass
class Phone:
    """A resident's phone with its key; the app on it is the resident's to use."""

    transport: Transport
    key: signing.P256Private = field(default_factory=signing.generate_p256)
    access_token: str | None = None
    grant: bytes = b""
    _grant_key: signing.P256Private = field(default_factory=signing.generate_p256)
    _ahead: timedelta = timedelta()  # of the phone's clock, by which the server's is

    def start_enrolment(self, *, phone: str) -> Reply:
        """Asks for a one-time code to a phone number."""
        return self.send("POST", "/enrolments", {"phone": phone}, signed_in=False)

    def confirm_phone(self, *, enrolment_id: str, one_time_code: str) -> Reply:
        """Gives the one-time code back; with success the phone is signed in at level 1."""
        path = f"/enrolments/{enrolment_id}/phone-proof"
        reply = self.send("POST", path, {"one_time_code": one_time_code}, signed_in=False)
        return self._keep_token(reply)

    def renew_token(self) -> Reply:
        """Signs in again with the phone's key alone (RFC 7523)."""
        thumbprint = signing.thumbprint(signing.jwk_of(self.key))
        claims = {"iss": thumbprint, "sub": thumbprint, **self.request_claims("/tokens")}
        assertion = signing.encode_jws(claims, self.key, typ="vpass-token+jwt")
        reply = self.send("POST", "/tokens", {"assertion": assertion}, signed_in=False)
        return self._keep_token(reply)

    def prove_identity(self, *, real_name: str, id_number: str, key: str | None = None) -> Reply:
        """Has the population register asked; `key` repeats an earlier request."""
        body = {"real_name": real_name, "id_number": id_number}
        return self.send("POST", "/identity-proofs", body, idempotency_key=key or new_key())

    def me(self) -> Reply:
        """The account as the resident sees it."""
        return self.send("GET", "/me")

    def fetch_grant(self, *, on_behalf_of: str | None = None) -> Reply:
        """Asks for a day grant to a fresh key; with success the phone can show codes.

        With the id of a delegation, the codes speak for whom the resident acts.
        """
        fresh = signing.generate_p256()
        claims = {"cnf": {"jwk": signing.jwk_of(fresh)}, **self.request_claims("/grants")}
        if on_behalf_of is not None:
            claims["on_behalf_of"] = on_behalf_of
        signed = signing.encode_jws(claims, self.key, typ="vpass-grant+jwt")
        reply = self.send("POST", "/grants", {"request": signed}, idempotency_key=new_key())
        if reply.status == 201:
            self.grant, self._grant_key = b64url_decode(reply.body["grant"]), fresh
            self._ahead = datetime.fromisoformat(reply.body["server_time"]) - clock.now()
        return reply

    def show_code(
        self, *, scenes: int = code_format.ALL_SCENES, clock_offset: timedelta = timedelta()
    ) -> str:
        """The text of a fresh code; `clock_offset` is by how much the phone's clock is wrong."""
        if not self.grant:
            raise Unexpected("this phone has no grant to make codes of")
        at = clock.now() + self._ahead + clock_offset
        return code_format.present(
            self.grant,
            private=self._grant_key,
            issued_at=int(at.timestamp()),
            scenes=scenes,
            nonce=secrets.token_bytes(6),
        )

    def access_log(self) -> Reply:
        """Who has looked at the resident's record, newest first."""
        return self.send("GET", "/access-log")

    def access_line(self, line_id: str) -> Reply:
        """One line of the access log."""
        return self.send("GET", f"/access-log/{line_id}")

    def _keep_token(self, reply: Reply) -> Reply:
        if reply.status == 200:
            self.access_token = reply.body["access_token"]
        return reply

    def request_claims(self, path: str) -> dict[str, Any]:
        """What everything has that the phone signs for a route: for whom, when, and once."""
        return {
            "aud": self.transport.public_url + RESIDENT + path,
            "iat": int((clock.now() + self._ahead).timestamp()),
            "jti": secrets.token_urlsafe(18),
        }

    def send(
        self,
        method: str,
        path: str,
        body: dict[str, Any] | None = None,
        *,
        signed_in: bool = True,
        idempotency_key: str | None = None,
    ) -> Reply:
        """One request of the app, with the phone's proof; `path` is under the residents' part."""
        if signed_in and self.access_token is None:
            raise Unexpected("this phone is not signed in")

        def send_once() -> Reply:
            headers, token_hash = {}, None
            if signed_in and self.access_token is not None:
                headers["Authorization"] = f"DPoP {self.access_token}"
                token_hash = b64url_encode(sha256(self.access_token.encode()).digest())
            headers["DPoP"] = key_proof(
                self.key,
                method=method,
                url=self.transport.public_url + RESIDENT + path,
                at=clock.now() + self._ahead,
                token_hash=token_hash,
            )
            return send_json(
                self.transport, method, RESIDENT + path, headers, body, key=idempotency_key
            )

        return self.transport.patience.ask(
            send_once, is_repeatable=method == "GET" or idempotency_key is not None
        )


@dataclass
class Clerk:
    """A clerk with a password and an authenticator, at a desk whose browser holds a key."""

    transport: Transport
    desk_key: signing.P256Private
    username: str
    password: str
    totp_secret: str  # base32, as in an authenticator's QR code
    _cookie: str = ""
    _session_hash: str = ""

    def enrol_desk(self, *, enrolment_code: str) -> Reply:
        """Makes this browser the desk that the administrator's code names."""
        return self.send("POST", "/desk-keys", {"enrolment_code": enrolment_code}, signed_in=False)

    def sign_in(self, *, at: datetime) -> Reply:
        """Signs in with the one-time code of the moment `at`; with success the session is kept."""
        body = {
            "username": self.username,
            "password": self.password,
            "one_time_code": totp(self.totp_secret, at=at),
        }
        reply = self.send("POST", "/sessions", body, signed_in=False)
        if reply.status == 201:
            ((name, value),) = reply.cookies.items()
            self._cookie = f"{name}={value}"
            self._session_hash = reply.body["session_hash"]
        return reply

    def session(self) -> Reply:
        """Who is signed in where, and for which purposes."""
        return self.send("GET", "/sessions/current")

    def scan(self, code: str, *, purpose: str, case_number: str, key: str | None = None) -> Reply:
        """Scans a code; `key` repeats an earlier request, whose body must be the same."""
        body = {"code": code, "purpose": purpose, "case_number": case_number}
        return self.send("POST", "/scans", body, idempotency_key=key or new_key())

    def sign_out(self) -> Reply:
        """Ends the session at the server; a stolen cookie would stay here, and so does this one."""
        return self.send("DELETE", "/sessions/current")

    def send(
        self,
        method: str,
        path: str,
        body: dict[str, Any] | None = None,
        *,
        signed_in: bool = True,
        idempotency_key: str | None = None,
        part: str = COUNTER,
    ) -> Reply:
        """One request of the desk's browser, with its proof; `path` is under this `part`."""
        if signed_in and not self._cookie:
            raise Unexpected("this clerk is not signed in")

        def send_once() -> Reply:
            proof = key_proof(
                self.desk_key,
                method=method,
                url=self.transport.public_url + part + path,
                at=clock.now(),
                token_hash=self._session_hash if signed_in else None,
            )
            headers = {"Desk-Proof": proof}
            if signed_in:
                headers["Cookie"] = self._cookie
            return send_json(
                self.transport, method, part + path, headers, body, key=idempotency_key
            )

        return self.transport.patience.ask(
            send_once, is_repeatable=method == "GET" or idempotency_key is not None
        )


@dataclass
class Kiosk:
    """A machine that scans codes by itself, known by an Ed25519 key."""

    transport: Transport
    key_id: str
    private: signing.Ed25519Private

    def scan(
        self, code: str, *, purpose: str, case_number: str | None = None, key: str | None = None
    ) -> Reply:
        """Scans a code; the request is signed as RFC 9421 says."""
        body = {"code": code, "purpose": purpose, "case_number": case_number}
        return send_signed(
            self.transport,
            "POST",
            f"{TERMINAL}/scans",
            body,
            key=key or new_key(),
            key_id=self.key_id,
            private=self.private,
        )


def totp(secret: str, *, at: datetime) -> str:
    """The six digits an authenticator shows at a moment (RFC 6238, SHA-1, 30 s)."""
    counter = struct.pack(">Q", int(at.timestamp()) // TOTP_STEP_S)
    digest = hmac.digest(base64.b32decode(secret), counter, sha1)
    place = digest[-1] & 0xF
    number = struct.unpack(">I", digest[place : place + 4])[0] & 0x7FFFFFFF
    return f"{number % 10**6:06d}"


def key_proof(
    private: signing.P256Private, *, method: str, url: str, at: datetime, token_hash: str | None
) -> str:
    """The value of DPoP or Desk-Proof for one request; a query in `url` is not covered."""
    claims = {
        "jti": secrets.token_urlsafe(18),
        "htm": method,
        "htu": url.partition("?")[0],
        "iat": int(at.timestamp()),
    }
    if token_hash is not None:
        claims["ath"] = token_hash
    return signing.encode_jws(claims, private, typ="dpop+jwt", jwk=signing.jwk_of(private))


def send_json(
    transport: Transport,
    method: str,
    path: str,
    headers: dict[str, str],
    body: dict[str, Any] | None,
    *,
    key: str | None,
) -> Reply:
    """Sends `body` as JSON with these headers, and with an idempotency key when one is given."""
    raw = b""
    if body is not None:
        headers["Content-Type"] = JSON
        raw = json.dumps(body, ensure_ascii=False).encode()
    if key is not None:
        headers["Idempotency-Key"] = key
    return transport.send(method, path, headers=headers, body=raw)


def send_signed(
    transport: Transport,
    method: str,
    path: str,
    body: dict[str, Any] | None,
    *,
    key: str | None,
    key_id: str,
    private: signing.Ed25519Private | signing.P256Private,
) -> Reply:
    """Sends a machine's request, signed as RFC 9421 says and anew for each try, with patience."""
    raw = b"" if body is None else json.dumps(body, ensure_ascii=False).encode()
    kept = {"content-type": JSON} if raw else {}
    if key is not None:
        kept["idempotency-key"] = key

    def send() -> Reply:
        added = http_signatures.sign_request(
            Parts(method=method, target_uri=transport.public_url + path, headers=kept, body=raw),
            key_id=key_id,
            private=private,
            algorithm=(
                "ed25519" if isinstance(private, signing.Ed25519Private) else "ecdsa-p256-sha256"
            ),
            at=clock.now(),
            nonce=secrets.token_urlsafe(18),
        )
        return transport.send(method, path, headers=kept | added, body=raw)

    return transport.patience.ask(send, is_repeatable=method == "GET" or key is not None)
