"""Asks outside services over HTTP: signed, bounded in time and size, and quick to give up.

One exchange: JSON out, signed as RFC 9421 says; JSON in, at most 64 KiB; 1 s to connect, 3 s
without a byte, 5 s in all. No redirect, no proxy, no cookie, no compression, one connection each,
and only to the addresses of the settings. Never from within a database transaction. After five
failures in a row the circuit is open for 10 s: callers are told at once, then one question is let
through. After a 429 nobody asks for as long as it says, at most 60 s.
"""

import ipaddress
import json
import math
import re
import secrets
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeVar
from urllib.parse import urlsplit

from django.conf import settings

from vpass.common import http_signatures, signing
from vpass.common.encodings import b64url_encode, read_json_object
from vpass.common.errors import DomainError
from vpass.common.http_exchange import NoAnswer, NotAnAnswer, Received, send
from vpass.common.http_signatures import Parts
from vpass.common.observability import log
from vpass.common.signature_headers import SignatureRefused
from vpass.common.signing import VerificationKey
from vpass.common.transactions import require_autocommit

MAX_RETRY_AFTER_S = 60
FAILURES_TO_OPEN = 5
OPEN_FOR_S = 10.0

_JSON = "application/json"
_PATH = re.compile(r"(/[a-z0-9_-]+)+")
_SECONDS = re.compile(r"[0-9]{1,9}", re.ASCII)

T = TypeVar("T")


class PeerUnavailable(DomainError):
    """An outside service cannot be reached right now.

    The service may have done its work all the same, unless `was_sent` is False.
    """

    code = "peer.unavailable"
    status = 503
    title_zh = "外部服务暂时无法访问"

    def __init__(self, reason: str, *, was_sent: bool = True, retry_after: int = 10) -> None:
        super().__init__(retry_after=retry_after)
        self.reason = reason
        self.was_sent = was_sent


class PeerAnswerInvalid(DomainError):
    """An outside service gave an answer that cannot be believed."""

    code = "peer.answer_invalid"
    status = 502
    title_zh = "外部服务的答复无效"

    def __init__(self, reason: str) -> None:
        super().__init__()
        self.reason = reason


class PeerRefused(DomainError):
    """An outside service refused our request.

    `answered` is its HTTP status, 400 to 499; nothing else in a refusal is believed.
    """

    code = "peer.refused"
    status = 502
    title_zh = "外部服务拒绝了请求"

    def __init__(self, answered: int) -> None:
        super().__init__()
        self.answered = answered


@dataclass
class Circuit:
    """Whether a peer is worth asking, for this process."""

    failures: int = 0
    open_until: float = 0.0
    wait_until: float = 0.0
    lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def admit(self) -> None:
        """Returns if one may ask now; of an open circuit, one each 10 s. Raises PeerUnavailable."""
        with self.lock:
            moment = time.monotonic()
            if moment < self.wait_until:
                raise _refusal("told_to_wait", seconds=self.wait_until - moment)
            if self.failures < FAILURES_TO_OPEN:
                return
            if moment < self.open_until:
                raise _refusal("circuit_open", seconds=self.open_until - moment)
            self.open_until = moment + OPEN_FOR_S

    def wait(self, seconds: int) -> None:
        """Nobody asks for so long, as the peer's 429 says."""
        with self.lock:
            self.wait_until = time.monotonic() + seconds

    def note(self, *, is_success: bool) -> bool:
        """Counts how an exchange went; returns whether that closed or opened the circuit."""
        with self.lock:
            was_open = self.failures >= FAILURES_TO_OPEN
            self.failures = 0 if is_success else self.failures + 1
            is_open = self.failures >= FAILURES_TO_OPEN
            if is_open:
                self.open_until = time.monotonic() + OPEN_FOR_S
            return was_open != is_open


@dataclass(frozen=True)
class Peer:
    """An outside service, named for the log.

    `base_url` is https, or http to a loopback address; without query or closing slash. With `key`
    its answers are signed under `label` and `key_id`, and tied to our question; `next_keys` are
    good as well, by key id, while the peer changes its key.
    """

    name: str
    base_url: str
    label: str = ""
    key_id: str = ""
    key: VerificationKey | None = None
    next_keys: Mapping[str, VerificationKey] = field(default_factory=dict, compare=False)
    circuit: Circuit = field(default_factory=Circuit, compare=False)

    def __post_init__(self) -> None:
        parts = urlsplit(self.base_url)
        is_plain = re.fullmatch(r"https?://[a-z0-9.\[\]:-]+(/[A-Za-z0-9._~-]+)*", self.base_url)
        if not is_plain or not parts.hostname or parts.port == 0:
            raise ValueError(f"{self.name}: not a base URL")
        if parts.scheme == "http" and not _is_loopback(parts.hostname):
            raise ValueError(f"{self.name}: plain http leads no further than this machine")

    def post(
        self,
        path: str,
        body: Mapping[str, Any],
        *,
        expected: int,
        read: Callable[[dict[str, Any]], T],
        at: datetime,
    ) -> T:
        """Sends a signed question and returns what `read` makes of the answer's JSON object.

        `path` is a constant of the protocol, like "/v1/matches"; `expected` is the one good status.
        `read` raises PeerAnswerInvalid for a form the protocol does not know. Raises
        PeerUnavailable (no answer, 429, 5xx), PeerAnswerInvalid and PeerRefused (other 4xx).
        """
        require_autocommit("a call to the outside")
        if not _PATH.fullmatch(path):
            raise ValueError("a path is a constant of the protocol")
        self.circuit.admit()
        is_success = False
        try:
            answer = self._exchange(path, _encode(body), expected=expected, at=at)
            result = read(answer)
            is_success = True
        except PeerRefused as error:
            is_success = True  # the service works; it is we who do not please it
            log.error("peer_refused", site=self.name, status=error.answered)
            raise
        except (PeerUnavailable, PeerAnswerInvalid) as error:
            log.warning("peer_failed", site=self.name, code=error.code, reason=error.reason)
            raise
        finally:
            if self.circuit.note(is_success=is_success):
                state = "closed" if is_success else "open"
                log.warning("circuit_changed", site=self.name, state=state)
        return result

    def _exchange(self, path: str, body: bytes, *, expected: int, at: datetime) -> dict[str, Any]:
        url = self.base_url + path
        headers = {"content-type": _JSON}
        headers |= http_signatures.sign_request(
            Parts(method="POST", target_uri=url, headers=headers, body=body),
            key_id=settings.SECRETS.machine_key_id,
            private=signing.load_ed25519_private(settings.SECRETS.machine_private_key_pem),
            algorithm="ed25519",
            at=at,
            nonce=b64url_encode(secrets.token_bytes(16)),
        )
        received = _send(url, headers, body)
        if received.status == 429 or received.status >= 500:
            wait_s = _retry_after(received.headers)
            if received.status == 429:
                self.circuit.wait(wait_s)
            raise PeerUnavailable(f"status_{received.status}", retry_after=wait_s)
        if 400 <= received.status < 500:
            raise PeerRefused(received.status)
        if received.status != expected:
            raise PeerAnswerInvalid(f"status_{received.status}")
        self._verify(received, question=headers["Signature"], at=at)
        if received.headers.get("content-type") != _JSON:
            raise PeerAnswerInvalid("media_type")
        try:
            return read_json_object(received.body)
        except ValueError as error:
            raise PeerAnswerInvalid("json") from error

    def _verify(self, received: Received, *, question: str, at: datetime) -> None:
        if self.key is None:
            return
        try:
            verified = http_signatures.verify_response(
                received.status,
                received.headers,
                received.body,
                request_signature=http_signatures.signature_bytes({"signature": question}),
                find_key={**self.next_keys, self.key_id: self.key}.get,
                at=at,
                label=self.label,
            )
        except SignatureRefused as error:
            raise PeerAnswerInvalid(error.code) from error
        # The protocols name the parameters: created, keyid and alg, all of them and no other.
        if verified.nonce or ';alg="' not in received.headers["signature-input"]:
            raise PeerAnswerInvalid("parameters")


def _send(url: str, headers: Mapping[str, str], body: bytes) -> Received:
    try:
        return send(url, headers=headers, body=body)
    except NoAnswer as error:
        raise PeerUnavailable(error.reason, was_sent=error.was_sent) from error
    except NotAnAnswer as error:
        raise PeerAnswerInvalid(error.reason) from error


def _refusal(reason: str, *, seconds: float) -> PeerUnavailable:
    return PeerUnavailable(reason, was_sent=False, retry_after=math.ceil(seconds))


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _retry_after(headers: Mapping[str, str]) -> int:
    text = headers.get("retry-after", "")
    return min(int(text), MAX_RETRY_AFTER_S) if _SECONDS.fullmatch(text) else int(OPEN_FOR_S)


def _encode(body: Mapping[str, Any]) -> bytes:
    return json.dumps(body, separators=(",", ":"), ensure_ascii=False).encode()
