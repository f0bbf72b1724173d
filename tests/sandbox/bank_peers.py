"""Both ends around the sandbox's bank: its process, a caller, and a V Pass that hears notices.

Signs and verifies with our own code, never with the sandbox's library.
"""

import http.client
import json
import os
import secrets
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from vpass.common import clock, http_signatures, signing
from vpass.common.encodings import b64url_encode
from vpass.common.http_signatures import Parts
from vpass.common.signing import Ed25519Private, VerificationKey
from vpass.programs import ROOT

JSON = "application/json"

Reply = tuple[int, dict[str, Any]] | None


def order(**members: Any) -> dict[str, Any]:
    """A payout that is accepted and booked later, unless told otherwise."""
    return {
        "payout_id": str(uuid.uuid4()),
        "account_token": "tok_7Qm2xV9dKc4hZs6b",
        "amount_fen": 25_000,
        "currency": "CNY",
        "purpose": "withdrawal",
        "reference": "V PASS W-17",
        "business_date": "2026-03-02",
        **members,
    }


def debit(**members: Any) -> dict[str, Any]:
    """A debit of a card that is booked at once, unless told otherwise."""
    asked = order(debit_id=str(uuid.uuid4()), purpose="payment", reference="V PASS P-17")
    del asked["payout_id"]
    return asked | members


@dataclass
class BankProcess:
    """The sandbox in a folder of its own, as a process that can be killed and started again."""

    folder: Path
    vpass_key: Ed25519Private
    bank_key: Ed25519Private
    books_after_s: float = 3600.0
    url: str = ""
    process: subprocess.Popen[str] | None = None

    def start(self, *, vpass_url: str = "") -> None:
        for name, text in {
            "register_private.pem": signing.private_pem(self.bank_key),
            "bank_private.pem": signing.private_pem(self.bank_key),
            "issuers_private.pem": signing.private_pem(self.bank_key),
            "vpass_public.pem": signing.public_pem(self.vpass_key.public_key()),
        }.items():
            (self.folder / name).write_text(text)
        environ = {name: value for name, value in os.environ.items() if "SANDBOX" not in name}
        environ |= {
            "VPASS_SANDBOX_DIR": str(self.folder),
            "VPASS_SANDBOX_PORT": "0",
            "VPASS_SANDBOX_BANK_BOOKS_AFTER_S": str(self.books_after_s),
            "VPASS_URL": vpass_url,
        }
        command = [sys.executable, "-m", "vpass.sandbox"]
        self.process = subprocess.Popen(
            command, cwd=ROOT, env=environ, stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        self.url = json.loads(self.process.stdout.readline())["bank_url"]

    def end(self, number: signal.Signals = signal.SIGTERM) -> None:
        if self.process is None:
            return
        self.process.send_signal(number)
        self.process.wait(10)
        assert self.process.stdout is not None
        self.process.stdout.close()
        self.process = None

    def send(
        self, route: str, members: Any, *, private: Ed25519Private | None = None
    ) -> tuple[int, dict[str, Any]]:
        """A signed question; the answer's status and members, a 200 only if signed for it."""
        url, body = f"{self.url}{route}", json.dumps(members, ensure_ascii=False).encode()
        headers = {"content-type": JSON}
        headers |= http_signatures.sign_request(
            Parts(method="POST", target_uri=url, headers=headers, body=body),
            key_id="vpass-1",
            private=private or self.vpass_key,
            algorithm="ed25519",
            at=clock.now(),
            nonce=b64url_encode(secrets.token_bytes(16)),
        )
        status, content, answered = _exchange("POST", url, body, headers)
        if status == 200:
            http_signatures.verify_response(
                status,
                answered,
                content,
                request_signature=http_signatures.signature_bytes(
                    {"signature": headers["Signature"]}
                ),
                find_key=lambda key_id: self._public(key_id),
                at=clock.now(),
                label="bank",
            )
        return status, json.loads(content)

    def control(self, what: str, members: Any = None) -> tuple[int, dict[str, Any]]:
        """A control route: a GET, or with members a POST."""
        url = f"{self.url}/control/{what}"
        if members is None:
            status, content, _ = _exchange("GET", url, b"", {})
        else:
            status, content, _ = _exchange(
                "POST", url, json.dumps(members).encode(), {"content-type": JSON}
            )
        return status, json.loads(content)

    def breaks(self, site: str, mode: str, **options: Any) -> None:
        url = self.url.replace("/bank", "/faults")
        body = json.dumps({"site": site, "mode": mode, **options}).encode()
        status, content, _ = _exchange("POST", url, body, {"content-type": JSON})
        assert status == 200, content

    def _public(self, key_id: str) -> VerificationKey | None:
        known = VerificationKey("Ed25519", self.bank_key.public_key())
        return known if key_id == "bank-1" else None


@dataclass(frozen=True)
class Heard:
    """One message of the bank as V Pass met it; `problem` says why it was refused with 401."""

    path: str
    key: str
    body: bytes
    nonce: str
    problem: str = ""

    @property
    def members(self) -> dict[str, Any]:
        return json.loads(self.body)


def takes_all(heard: Heard) -> Reply:
    """A V Pass that credits everything and takes every payout's outcome."""
    if heard.path.endswith("credit-notices"):
        return 200, {"notice_id": heard.members["notice_id"], "status": "credited"}
    named = ("payout_id", "debit_id", "status")
    return 200, {name: heard.members[name] for name in named if name in heard.members}


@dataclass
class VPass:
    """Hears the bank's notices: verifies each, and answers signed what `answers` says.

    `answers` returns status and members, or None to close the connection. With `spoil` the answer
    is changed after it has been signed.
    """

    private: Ed25519Private
    bank_key: Ed25519Private
    answers: Callable[[Heard], Reply] = takes_all
    spoil: Callable[[dict[str, str], bytes], tuple[dict[str, str], bytes]] | None = None
    heard: list[Heard] = field(default_factory=list)
    url: str = ""
    _server: ThreadingHTTPServer | None = None

    def start(self) -> None:
        vpass = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if len(body) == int(self.headers["Content-Length"]):
                    vpass._serve(self, body)

            def log_message(self, *_arguments: Any) -> None:
                pass

            def handle(self) -> None:
                try:
                    super().handle()
                except ConnectionError:
                    self.close_connection = True

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def end(self) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()

    def await_heard(self, count: int, *, within_s: float = 8.0) -> list[Heard]:
        """What has been heard, once it is `count` messages."""
        end = time.monotonic() + within_s
        while len(self.heard) < count and time.monotonic() < end:
            time.sleep(0.02)
        assert len(self.heard) >= count, self.heard
        return list(self.heard)

    def _serve(self, handler: BaseHTTPRequestHandler, body: bytes) -> None:
        headers = {name.lower(): value for name, value in handler.headers.items()}
        at, known = clock.now(), VerificationKey("Ed25519", self.bank_key.public_key())
        path, key = handler.path, headers.get("idempotency-key", "")
        try:
            proof = http_signatures.verify_request(
                Parts(method="POST", target_uri=self.url + path, headers=headers, body=body),
                find_key=lambda key_id: known if key_id == "bank-1" else None,
                at=at,
            )
            if proof.nonce in [earlier.nonce for earlier in self.heard]:
                raise http_signatures.SignatureReplayed
        except http_signatures.SignatureRefused as error:
            self.heard.append(Heard(path, key, body, "", error.code))
            _answer(handler, 401, {"content-type": "application/problem+json"}, b"{}")
            return
        heard = Heard(path, key, body, proof.nonce)
        self.heard.append(heard)
        reply = self.answers(heard)
        if reply is None:
            handler.close_connection = True
            return
        status, members = reply
        content, answered = json.dumps(members).encode(), {"content-type": JSON}
        answered |= http_signatures.sign_response(
            status,
            answered,
            content,
            request_signature=proof.signature,
            key_id="vpass-1",
            private=self.private,
            algorithm="ed25519",
            at=at,
        )
        if self.spoil is not None:
            answered, content = self.spoil(answered, content)
        _answer(handler, status, answered, content)


def _answer(
    handler: BaseHTTPRequestHandler, status: int, headers: dict[str, str], body: bytes
) -> None:
    handler.send_response(status)
    for name, value in {**headers, "Content-Length": str(len(body))}.items():
        handler.send_header(name, value)
    handler.end_headers()
    handler.wfile.write(body)


def _exchange(
    method: str, url: str, body: bytes, headers: dict[str, str]
) -> tuple[int, bytes, dict[str, str]]:
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=10)
    try:
        connection.request(method, parts.path, body=body, headers=headers)
        answer = connection.getresponse()
        received = {name.lower(): value for name, value in answer.getheaders()}
        return answer.status, answer.read(), received
    finally:
        connection.close()
