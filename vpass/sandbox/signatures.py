"""Checks the caller's signature and signs the answers, with a library V Pass does not use."""

import re
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from http_message_signatures import (
    HTTPMessageSigner,
    HTTPMessageVerifier,
    InvalidSignature,
    MappingKeyResolver,
)
from http_message_signatures.algorithms import ED25519
from multidict import CIMultiDict, CIMultiDictProxy

MAX_AGE_S = 60
MAX_AHEAD_S = 30
NONCE_KEPT_S = 120

REQUEST_COMPONENTS = frozenset({'"@method"', '"@target-uri"', '"content-digest"', '"content-type"'})
REQUEST_PARAMETERS = frozenset({"created", "keyid", "nonce", "alg"})
TIE_TO_REQUEST = '"signature";req;key="vpass"'
QUESTION_LABEL = "vpass"
NOTICE_COMPONENTS = ("@method", "@target-uri", "content-digest", "content-type", "idempotency-key")
ANSWER_COMPONENTS = ("@status", "content-digest", "content-type", TIE_TO_REQUEST)

_NONCE = re.compile(r"[A-Za-z0-9_-]{22}", re.ASCII)
_DIGEST = re.compile(r"sha-256=:[A-Za-z0-9+/]{43}=:", re.ASCII)


class SignatureRefused(Exception):
    """The message is not signed as the protocol wants it; `code` goes into the 401 answer."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


@dataclass(frozen=True)
class Question:
    """A request as the signature library wants to see it."""

    method: str
    url: str
    headers: CIMultiDictProxy[str] | CIMultiDict[str]


@dataclass
class _Answer:
    status_code: int
    headers: CIMultiDict[str] | CIMultiDictProxy[str]
    request: Question


class _Verifier(HTTPMessageVerifier):
    max_clock_skew = timedelta(seconds=MAX_AHEAD_S)


class Signatures:
    """The keys of one site: the caller's public one and the site's own."""

    def __init__(
        self,
        *,
        caller_key_id: str,
        caller_public_pem: bytes,
        own_key_id: str,
        own_private_pem: bytes,
        label: str = "register",
    ) -> None:
        self.label = label
        self.caller_key_id = caller_key_id
        self.own_key_id = own_key_id
        resolver = MappingKeyResolver(
            public_keys={caller_key_id: caller_public_pem},
            private_keys={own_key_id: own_private_pem, "stranger-1": own_private_pem},
        )
        self._verifier = _Verifier(signature_algorithm=ED25519, key_resolver=resolver)
        self._signer = HTTPMessageSigner(signature_algorithm=ED25519, key_resolver=resolver)
        self._nonces: dict[str, float] = {}

    def check(self, question: Question, *, body: bytes) -> None:
        """Accepts the request's signature and uses up its nonce, or raises SignatureRefused."""
        for name in ("Signature-Input", "Signature", "Content-Digest", "Content-Type"):
            values = question.headers.getall(name, [])
            if not values:
                raise SignatureRefused("signature_missing")
            if len(values) > 1:
                raise SignatureRefused("signature_invalid")
        if not _DIGEST.fullmatch(question.headers["Content-Digest"]):
            raise SignatureRefused("signature_invalid")
        try:
            results = self._verifier.verify(question, max_age=None, body=body)
        except InvalidSignature as error:
            raise SignatureRefused(self._reason(question)) from error
        (result,) = results
        parameters = result.parameters
        if (
            result.label != "vpass"
            or result.covered_components.keys() - {'"@signature-params"'} != REQUEST_COMPONENTS
            or parameters.keys() != REQUEST_PARAMETERS
            or not _NONCE.fullmatch(str(result.nonce))
        ):
            raise SignatureRefused("signature_invalid")
        if int(parameters["created"]) < time_now() - MAX_AGE_S:
            raise SignatureRefused("signature_expired")
        self._use_up(str(result.nonce))

    def sign(
        self,
        *,
        status: int,
        headers: Mapping[str, str],
        body: bytes,
        question: Question,
        key_id: str | None = None,
        created_ago_s: int = 0,
        is_tied: bool = True,
    ) -> CIMultiDict[str] | CIMultiDictProxy[str]:
        """The headers with digest and signature; the last three arguments are there to go wrong."""
        message = _Answer(status, CIMultiDict(headers), question)
        self._signer.sign(
            message,
            key_id=key_id or self.own_key_id,
            created=datetime.fromtimestamp(time_now() - created_ago_s, tz=UTC),
            label=self.label,
            covered_component_ids=ANSWER_COMPONENTS if is_tied else ANSWER_COMPONENTS[:3],
            body=body,
        )
        return message.headers

    def sign_question(
        self,
        *,
        url: str,
        headers: Mapping[str, str],
        body: bytes,
        key_id: str | None = None,
        created_ago_s: int = 0,
    ) -> Question:
        """A POST of our own to V Pass, signed; the last two arguments are there to go wrong."""
        question = Question("POST", url, CIMultiDict(headers))
        self._signer.sign(
            question,
            key_id=key_id or self.own_key_id,
            created=datetime.fromtimestamp(time_now() - created_ago_s, tz=UTC),
            nonce=secrets.token_urlsafe(16),
            label=QUESTION_LABEL,
            covered_component_ids=NOTICE_COMPONENTS,
            body=body,
        )
        return question

    def check_answer(
        self,
        question: Question,
        *,
        status: int,
        headers: CIMultiDictProxy[str],
        body: bytes,
    ) -> None:
        """Accepts V Pass's answer to a question of our own, or raises SignatureRefused."""
        for name in ("Signature-Input", "Signature", "Content-Digest", "Content-Type"):
            if len(headers.getall(name, [])) != 1:
                raise SignatureRefused("signature_missing")
        try:
            results = self._verifier.verify(
                _Answer(status, headers, question), max_age=None, body=body
            )
        except InvalidSignature as error:
            raise SignatureRefused("signature_invalid") from error
        (result,) = results
        expected = {item if ";" in item else f'"{item}"' for item in ANSWER_COMPONENTS}
        if (
            result.label != QUESTION_LABEL
            or result.covered_components.keys() - {'"@signature-params"'} != expected
            or result.parameters.keys() != {"created", "keyid", "alg"}
        ):
            raise SignatureRefused("signature_invalid")
        if int(result.parameters["created"]) < time_now() - MAX_AGE_S:
            raise SignatureRefused("signature_expired")

    def _use_up(self, nonce: str) -> None:
        moment = time.monotonic()
        while self._nonces:
            oldest, used_at = next(iter(self._nonces.items()))
            if used_at >= moment - NONCE_KEPT_S:
                break
            del self._nonces[oldest]
        if nonce in self._nonces:
            raise SignatureRefused("nonce_used")
        self._nonces[nonce] = moment

    def _reason(self, question: Question) -> str:
        # The library tells its reasons in words only; the two that help a caller are found here.
        parameters = _parameters(question.headers["Signature-Input"])
        if parameters.get("keyid") not in (None, f'"{self.caller_key_id}"'):
            return "key_unknown"
        created = parameters.get("created", "")
        if created.isdigit() and int(created) > time_now() + MAX_AHEAD_S:
            return "signature_expired"
        return "signature_invalid"


def time_now() -> int:
    """Whole seconds since 1970. The sandbox is a system of its own, with its own clock."""
    return int(time.time())  # noqa: TID251


def _parameters(signature_input: str) -> dict[str, Any]:
    return dict(
        part.split("=", 1) for part in signature_input.split(")")[-1].split(";") if "=" in part
    )
