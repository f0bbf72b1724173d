"""Signs and verifies HTTP messages between machines: RFC 9421 signatures over RFC 9530 digests.

A strict subset, so that a message has exactly one reading (docs/http-signatures.md tells partners
what to send):

* one signature, under the agreed label; no other member, no comments, canonical spacing;
* covered components, in any order, each once: "@method" and "@target-uri" always, "content-digest"
  and "content-type" whenever there is a body, "idempotency-key" whenever that header is there;
  in answers "@status", the same two for the body, and `"signature";req;key="vpass"`, which ties an
  answer to its question; every other component and every component parameter is refused;
* parameters, in any order, each once: created, keyid, nonce and alg, and no other;
* `alg` must be the one the key is registered for: "ed25519" or "ecdsa-p256-sha256";
* `created` lies at most 60 s back and 30 s ahead; the nonce has 16 to 64 characters and the caller
  of `verify_request` spends it.

A high-S ECDSA signature is accepted here, since RFC 9421 section 3.3.4 allows it and common
libraries make them: what makes a message single is its nonce, not the bytes of its signature.
"""

import hashlib
import hmac
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from vpass.common import signing
from vpass.common.signature_headers import (
    Claimed,
    SignatureMalformed,
    SignatureMissing,
    SignatureRefused,
    byte_sequence,
    content_digest,
    read_claimed,
    read_content_digest,
    signature_bytes,
    write_headers,
    write_parameters,
)
from vpass.common.signing import VerificationKey

__all__ = [
    "DigestMissing",
    "DigestWrong",
    "Parts",
    "SignatureAlgorithmRefused",
    "SignatureClockWrong",
    "SignatureExpired",
    "SignatureIncomplete",
    "SignatureInvalid",
    "SignatureKeyUnknown",
    "SignatureMalformed",
    "SignatureMissing",
    "SignatureRefused",
    "SignatureReplayed",
    "VerifiedSignature",
    "content_digest",
    "sign_request",
    "sign_response",
    "signature_bytes",
    "verify_request",
    "verify_response",
]

MAX_AGE = timedelta(seconds=60)
MAX_AHEAD = timedelta(seconds=30)
LABEL = "vpass"

ALGORITHM_NAMES: dict[str, signing.Algorithm] = {
    "ed25519": "Ed25519",
    "ecdsa-p256-sha256": "ES256",
}

_FIELD_VALUE = re.compile(r"[!-~](?:[ -~]*[!-~])?")
_P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551

_HEADERS_SIGNED = ("content-digest", "content-type", "idempotency-key")
_REQUEST_COMPONENTS = frozenset(
    {'"@method"', '"@target-uri"', *(f'"{n}"' for n in _HEADERS_SIGNED)}
)
_IDEMPOTENCY = '"idempotency-key"'
_REQUEST_TIE = '"signature";req;key="vpass"'
_ANSWER_COMPONENTS = frozenset({'"@status"', '"content-digest"', '"content-type"', _REQUEST_TIE})


class SignatureIncomplete(SignatureRefused):
    """The signature does not cover all it must."""

    code = "signature.incomplete"
    title_zh = "签名未覆盖全部必需内容"


class SignatureExpired(SignatureRefused):
    """The signature is too old."""

    code = "signature.expired"
    title_zh = "签名已过期"


class SignatureClockWrong(SignatureRefused):
    """The signature was made in the future: the sender's clock is wrong."""

    code = "signature.clock_wrong"
    title_zh = "签名时间晚于当前时间，请校准时钟"


class SignatureKeyUnknown(SignatureRefused):
    """The key of the signature is not known or no longer valid."""

    code = "signature.key_unknown"
    title_zh = "签名密钥未知或已失效"


class SignatureAlgorithmRefused(SignatureRefused):
    """The algorithm is not the one this key is registered for."""

    code = "signature.algorithm_refused"
    title_zh = "签名算法与密钥登记不符"


class SignatureInvalid(SignatureRefused):
    """The signature does not match the message."""

    code = "signature.invalid"
    title_zh = "签名与报文不符"


class SignatureReplayed(SignatureRefused):
    """The nonce of this signature was used before."""

    code = "signature.replayed"
    title_zh = "签名随机数已被使用"


class DigestMissing(SignatureRefused):
    """A message with a body needs its Content-Digest."""

    code = "signature.digest_missing"
    title_zh = "报文缺少内容摘要"


class DigestWrong(SignatureRefused):
    """The Content-Digest does not match the body."""

    code = "signature.digest_wrong"
    title_zh = "内容摘要与报文不符"


@dataclass(frozen=True, kw_only=True)
class Parts:
    """A request as it is signed: its method, absolute URL with query, headers by lower-case name
    and the raw body."""

    method: str
    target_uri: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


@dataclass(frozen=True, kw_only=True)
class VerifiedSignature:
    """A signature that was found good; `signature` is its 64 bytes, to tie an answer to them."""

    key_id: str
    nonce: str
    created: datetime
    signature: bytes


def sign_request(
    parts: Parts,
    *,
    key_id: str,
    private: signing.P256Private | signing.Ed25519Private,
    algorithm: str,
    at: datetime,
    nonce: str,
    label: str = LABEL,
) -> dict[str, str]:
    """The headers to add to `parts`: Signature-Input, Signature and, with a body, Content-Digest.

    `algorithm` is "ed25519" or "ecdsa-p256-sha256". A request with a body must have its
    content-type among `parts.headers`, and its idempotency-key if it takes one.
    """
    added = {"Content-Digest": content_digest(parts.body)} if parts.body else {}
    headers = {**parts.headers, **{name.lower(): value for name, value in added.items()}}
    names = [name for name in _HEADERS_SIGNED if name in headers]
    components = ['"@method"', '"@target-uri"', *(f'"{name}"' for name in names)]
    values = {'"@method"': parts.method, '"@target-uri"': parts.target_uri} | _quoted(headers)
    parameters = write_parameters(
        components, created=at, key_id=key_id, nonce=nonce, algorithm=algorithm
    )
    signature = _sign(_base(components, values, parameters), private=private, algorithm=algorithm)
    return added | write_headers(label=label, parameters=parameters, signature=signature)


def verify_request(
    parts: Parts, *, find_key: Callable[[str], VerificationKey | None], at: datetime
) -> VerifiedSignature:
    """The verified signature of `parts`, as of the moment `at`; raises SignatureRefused.

    `find_key` is asked once, after everything that needs no look-up has been judged, and answers
    None for a key that is unknown or withdrawn. The nonce is still to be spent by the caller.
    """
    claimed = read_claimed(parts.headers, label=LABEL, known=_REQUEST_COMPONENTS, needs_nonce=True)
    values = {'"@method"': parts.method, '"@target-uri"': parts.target_uri} | _quoted(parts.headers)
    required = {'"@method"', '"@target-uri"'} | (_quoted(parts.headers).keys() & {_IDEMPOTENCY})
    _judge_coverage(claimed, required, headers=parts.headers, body=parts.body)
    _judge_time(claimed.created, at=at)
    _judge_digest(parts.headers, body=parts.body)
    return _judge_signature(claimed, _base_of(claimed, values), find_key=find_key)


def sign_response(
    status: int,
    headers: Mapping[str, str],
    body: bytes,
    *,
    request_signature: bytes | None,
    key_id: str,
    private: signing.P256Private | signing.Ed25519Private,
    algorithm: str,
    at: datetime,
    label: str = LABEL,
) -> dict[str, str]:
    """The headers to add to an answer: Signature-Input, Signature and, with a body, Content-Digest.

    `headers` has lower-case names, with the content-type of a body. `request_signature` is
    `VerifiedSignature.signature` of the request which is answered (RFC 9421 section 2.4).
    """
    added = {"Content-Digest": content_digest(body)} if body else {}
    digested = {**headers, **{name.lower(): value for name, value in added.items()}}
    names = [name for name in ("content-digest", "content-type") if name in digested]
    components = ['"@status"', *(f'"{name}"' for name in names)]
    components += [_REQUEST_TIE] if request_signature is not None else []
    values = _answer_values(status, digested, request_signature)
    parameters = write_parameters(
        components, created=at, key_id=key_id, nonce=None, algorithm=algorithm
    )
    signature = _sign(_base(components, values, parameters), private=private, algorithm=algorithm)
    return added | write_headers(label=label, parameters=parameters, signature=signature)


def verify_response(
    status: int,
    headers: Mapping[str, str],
    body: bytes,
    *,
    request_signature: bytes | None,
    find_key: Callable[[str], VerificationKey | None],
    at: datetime,
    label: str = LABEL,
) -> VerifiedSignature:
    """The verified signature of an answer, as of the moment `at`; raises SignatureRefused.

    `headers` has lower-case names. With `request_signature` (the 64 bytes of the signature our
    request carried) the answer must be tied to it; without, it must not claim to be tied. The
    nonce is "" unless the answer carries one; `alg` may be left out, since the key decides.
    """
    known = (
        _ANSWER_COMPONENTS if request_signature is not None else _ANSWER_COMPONENTS - {_REQUEST_TIE}
    )
    claimed = read_claimed(headers, label=label, known=known, needs_nonce=False)
    required = {'"@status"'} | (known & {_REQUEST_TIE})
    values = _answer_values(status, headers, request_signature)
    _judge_coverage(claimed, required, headers=headers, body=body)
    _judge_time(claimed.created, at=at)
    _judge_digest(headers, body=body)
    return _judge_signature(claimed, _base_of(claimed, values), find_key=find_key)


# Judging


def _judge_coverage(
    claimed: Claimed, required: set[str], *, headers: Mapping[str, str], body: bytes
) -> None:
    if body:
        if "content-digest" not in headers:
            raise DigestMissing()
        required = required | {'"content-digest"', '"content-type"'}
    missing = sorted(required - set(claimed.components))
    if missing:
        raise SignatureIncomplete(f"not covered: {' '.join(missing)}")


def _judge_time(created: datetime, *, at: datetime) -> None:
    if at - created > MAX_AGE:
        raise SignatureExpired()
    if created - at > MAX_AHEAD:
        raise SignatureClockWrong()


def _judge_digest(headers: Mapping[str, str], *, body: bytes) -> None:
    given = headers.get("content-digest")
    if given is None:
        return
    if not hmac.compare_digest(read_content_digest(given), hashlib.sha256(body).digest()):
        raise DigestWrong()


def _judge_signature(
    claimed: Claimed, base: bytes, *, find_key: Callable[[str], VerificationKey | None]
) -> VerifiedSignature:
    if claimed.algorithm is not None and claimed.algorithm not in ALGORITHM_NAMES:
        raise SignatureAlgorithmRefused()
    key = find_key(claimed.key_id)
    if key is None:
        raise SignatureKeyUnknown()
    if claimed.algorithm is not None and ALGORITHM_NAMES[claimed.algorithm] != key.algorithm:
        raise SignatureAlgorithmRefused()
    signature = claimed.signature if key.algorithm == "Ed25519" else _low_s(claimed.signature)
    if not key.verify(base, signature):
        raise SignatureInvalid()
    return VerifiedSignature(
        key_id=claimed.key_id,
        nonce=claimed.nonce or "",
        created=claimed.created,
        signature=claimed.signature,
    )


# The signature base (RFC 9421 section 2.5)


def _base_of(claimed: Claimed, values: Mapping[str, str]) -> bytes:
    for component in claimed.components:
        value = values.get(component)
        if value is None:
            raise SignatureIncomplete(f"covered, but not there: {component}")
        if not _FIELD_VALUE.fullmatch(value):
            raise SignatureMalformed(f"cannot be signed: {component}")
    return _base(claimed.components, values, claimed.parameters)


def _base(components: Sequence[str], values: Mapping[str, str], parameters: str) -> bytes:
    lines = [f"{component}: {values[component]}" for component in components]
    return "\n".join([*lines, f'"@signature-params": {parameters}']).encode("ascii")


def _answer_values(
    status: int, headers: Mapping[str, str], request_signature: bytes | None
) -> dict[str, str]:
    values = {'"@status"': str(status)} | _quoted(headers)
    if request_signature is not None:
        values[_REQUEST_TIE] = byte_sequence(request_signature)
    return values


def _quoted(headers: Mapping[str, str]) -> dict[str, str]:
    return {f'"{name}"': headers[name] for name in _HEADERS_SIGNED if name in headers}


def _sign(
    base: bytes, *, private: signing.P256Private | signing.Ed25519Private, algorithm: str
) -> bytes:
    if algorithm == "ed25519" and isinstance(private, signing.Ed25519Private):
        return signing.ed25519_sign(private, base)
    if algorithm == "ecdsa-p256-sha256" and isinstance(private, signing.P256Private):
        return signing.es256_sign(private, base)
    raise ValueError(f"{algorithm!r} does not fit the key")


def _low_s(signature: bytes) -> bytes:
    s = int.from_bytes(signature[32:])
    if not _P256_ORDER // 2 < s < _P256_ORDER:
        return signature
    return signature[:32] + (_P256_ORDER - s).to_bytes(32)
