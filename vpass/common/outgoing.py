"""Asks the outside world over HTTP: signed, bounded in time and size, and quick to give up on a dead peer.

One exchange: JSON out, signed as RFC 9421 says; JSON in, at most 64 KiB within 5 s; no redirect, no
proxy, no cookie. Never from within a database transaction. After five failures in a row the circuit is
open for 10 s: callers are told at once, then one question is let through.
"""

import json
import secrets
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import requests
from django.conf import settings

from vpass.common import clock, http_signatures, signature_headers, signing
from vpass.common.encodings import b64url_encode, read_json_object
from vpass.common.errors import DomainError
from vpass.common.http_signatures import Parts
from vpass.common.signature_headers import SignatureRefused
from vpass.common.signing import VerificationKey
from vpass.common.transactions import require_autocommit

CONNECT_TIMEOUT_S = 1.0
READ_TIMEOUT_S = 3.0
DEADLINE_S = 5.0
MAX_ANSWER_BYTES = 64 * 1024
FAILURES_TO_OPEN = 5
OPEN_FOR_S = 10.0

_JSON = "application/json"


class PeerUnavailable(DomainError):
    """An outside service cannot be reached right now."""

    code = "peer.unavailable"
    status = 503
    title_zh = "外部服务暂时无法访问"


class PeerAnswerInvalid(DomainError):
    """An outside service gave an answer that cannot be believed."""

    code = "peer.answer_invalid"
    status = 502
    title_zh = "外部服务的答复无效"


@dataclass(frozen=True)
class Answer:
    """What a peer answered: the HTTP status, and the JSON object of a status that was expected."""

    status: int
    body: dict[str, Any]


@dataclass
class Circuit:
    """Whether a peer is worth asking, for this process."""

    failures: int = 0
    open_until: float = 0.0
    lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def admit(self) -> None:
        """Return if one may ask now; of an open circuit, one question each 10 s. Raises PeerUnavailable."""
        with self.lock:
            if self.failures < FAILURES_TO_OPEN:
                return
            moment = time.monotonic()
            if moment < self.open_until:
                raise PeerUnavailable(retry_after=int(self.open_until - moment) + 1)
            self.open_until = moment + OPEN_FOR_S

    def note(self, *, is_success: bool) -> None:
        """Count how an exchange went."""
        with self.lock:
            if is_success:
                self.failures = 0
                return
            self.failures += 1
            if self.failures >= FAILURES_TO_OPEN:
                self.open_until = time.monotonic() + OPEN_FOR_S


@dataclass(frozen=True)
class Peer:
    """An outside service. With `key` its answers are signed under `label`, tied to our question."""

    base_url: str
    label: str = ""
    key_id: str = ""
    key: VerificationKey | None = None
    circuit: Circuit = field(default_factory=Circuit, compare=False)

    def post(self, path: str, body: Mapping[str, Any], *, expected: int, at: datetime) -> Answer:
        """Send a signed question; `path` begins with a slash.

        Returns the answer: its body is empty when the status is not the expected one but the peer's own
        refusal (4xx). Raises PeerUnavailable (no answer, 429, 5xx) and PeerAnswerInvalid.
        """
        require_autocommit("a call to the outside")
        self.circuit.admit()
        try:
            answer = self._exchange(self.base_url + path, _encode(body), expected=expected, at=at)
        except (PeerUnavailable, PeerAnswerInvalid):
            self.circuit.note(is_success=False)
            raise
        self.circuit.note(is_success=True)
        return answer

    def _exchange(self, url: str, body: bytes, *, expected: int, at: datetime) -> Answer:
        headers = {"content-type": _JSON}
        headers |= http_signatures.sign_request(
            Parts(method="POST", target_uri=url, headers=headers, body=body),
            key_id=settings.SECRETS.machine_key_id,
            private=signing.load_ed25519_private(settings.SECRETS.machine_private_key_pem),
            algorithm="ed25519",
            at=at,
            nonce=b64url_encode(secrets.token_bytes(16)),
        )
        status, received, content = _send(url, headers, body)
        if status == 429 or status >= 500:
            raise PeerUnavailable(retry_after=_retry_after(received))
        if 400 <= status < 500:
            return Answer(status, {})
        if status != expected:
            raise PeerAnswerInvalid(f"status {status}")
        if self.key is not None:
            self._verify(status, received, content, question=headers["Signature"])
        if received.get("content-type") != _JSON:
            raise PeerAnswerInvalid("not JSON")
        try:
            return Answer(status, read_json_object(content))
        except ValueError as error:
            raise PeerAnswerInvalid("malformed JSON") from error

    def _verify(
        self, status: int, headers: Mapping[str, str], body: bytes, *, question: str
    ) -> None:
        try:
            http_signatures.verify_response(
                status,
                headers,
                body,
                request_signature=signature_headers.signature_bytes({"signature": question}),
                find_key=lambda key_id: self.key if key_id == self.key_id else None,
                at=clock.now(),
                label=self.label,
            )
        except SignatureRefused as error:
            raise PeerAnswerInvalid(error.code) from error


def _send(url: str, headers: Mapping[str, str], body: bytes) -> tuple[int, dict[str, str], bytes]:
    deadline = time.monotonic() + DEADLINE_S
    try:
        with requests.Session() as session:
            session.trust_env = False
            answer = session.post(
                url,
                data=body,
                headers={**headers, "Accept-Encoding": "identity", "Connection": "close"},
                timeout=(CONNECT_TIMEOUT_S, READ_TIMEOUT_S),
                allow_redirects=False,
                stream=True,
            )
            with answer:
                return answer.status_code, _headers_of(answer), _read(answer, deadline=deadline)
    except requests.RequestException as error:
        raise PeerUnavailable(type(error).__name__) from error


def _headers_of(answer: requests.Response) -> dict[str, str]:
    names = [name.lower() for name in answer.raw.headers]
    if "content-encoding" in names:
        raise PeerAnswerInvalid("compressed")
    return {name: answer.headers[name].strip(" \t") for name in names}


def _read(answer: requests.Response, *, deadline: float) -> bytes:
    content = b""
    for piece in answer.iter_content(8192):
        content += piece
        if len(content) > MAX_ANSWER_BYTES:
            raise PeerAnswerInvalid("too large")
        if time.monotonic() > deadline:
            raise PeerUnavailable("too slow")
    return content


def _retry_after(headers: Mapping[str, str]) -> int:
    text = headers.get("retry-after", "")
    return min(int(text), 60) if text.isascii() and text.isdigit() else 10


def _encode(body: Mapping[str, Any]) -> bytes:
    return json.dumps(body, separators=(",", ":"), ensure_ascii=False).encode()
