"""Reads and writes the headers of a signed HTTP message, in exactly one spelling.

The subset of structured fields (RFC 9651) that RFC 9421 signatures and RFC 9530 digests need here:
one dictionary member, an inner list of strings, parameters that are strings or whole numbers, and
byte sequences in canonical base64. Whatever has another spelling is refused rather than understood,
so that signer, proxy and verifier cannot read one header in two ways.
"""

import base64
import binascii
import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from vpass.common.errors import DomainError

_KEY = r"[a-z*][a-z0-9_.*-]{0,31}"
_STRING = r'"[ !#-\[\]-~]{0,256}"'  # printable ASCII; our values need no quote and no backslash
_COMPONENT = rf"{_STRING}(?:;{_KEY}(?:={_STRING})?)*"
_BYTES = r":([A-Za-z0-9+/]{86}==):"  # both algorithms make 64 bytes
_INPUT = re.compile(
    rf"({_KEY})=(\(({_COMPONENT}(?: {_COMPONENT})*)?\)((?:;{_KEY}=(?:{_STRING}|\d{{1,15}}))*))",
    re.ASCII,
)
_ONE_COMPONENT = re.compile(_COMPONENT)
_ONE_PARAMETER = re.compile(rf";({_KEY})=({_STRING}|\d{{1,15}})", re.ASCII)
_SIGNATURE = re.compile(rf"({_KEY})={_BYTES}")
_DIGEST = re.compile(r"sha-256=:([A-Za-z0-9+/]{43}=):")
_SECONDS = re.compile(r"0|[1-9]\d{0,11}", re.ASCII)
_NONCE = re.compile(r'"([!#-\[\]-~]{16,64})"')
_WORD = re.compile(r'"([!#-\[\]-~]{1,128})"')
_MAX_INPUT_CHARS = 1024


class SignatureRefused(DomainError):
    """The message signature is refused."""

    code = "signature.refused"
    status = 401
    title_zh = "报文签名被拒绝"


class SignatureMissing(SignatureRefused):
    """The message is not signed."""

    code = "signature.missing"
    title_zh = "报文未签名"


class SignatureMalformed(SignatureRefused):
    """The signature headers cannot be read."""

    code = "signature.malformed"
    title_zh = "签名头格式错误"


@dataclass(frozen=True, kw_only=True)
class Claimed:
    """What Signature-Input and Signature say, read but not believed.

    `components` are spelled as received, e.g. '"@method"'; `parameters` is the inner list with its
    parameters as received, which is the last line of the signature base; `signature` is 64 bytes.
    """

    components: tuple[str, ...]
    parameters: str
    key_id: str
    created: datetime
    nonce: str | None
    algorithm: str | None
    signature: bytes


def read_claimed(
    headers: Mapping[str, str], *, label: str, known: frozenset[str], needs_nonce: bool
) -> Claimed:
    """The one signature under `label`; raises SignatureMissing or SignatureMalformed.

    `headers` has lower-case names, `known` are the components which may be covered. created and
    keyid are required, nonce and alg too when `needs_nonce`; every other parameter is refused.
    """
    described, signed = headers.get("signature-input", ""), headers.get("signature", "")
    if not described and not signed:
        raise SignatureMissing()
    if len(described) > _MAX_INPUT_CHARS or (read := _INPUT.fullmatch(described)) is None:
        raise SignatureMalformed("Signature-Input: one inner list with created, keyid, nonce, alg")
    signature = _SIGNATURE.fullmatch(signed)
    if signature is None:
        raise SignatureMalformed("Signature: one byte sequence of 64 bytes")
    if read[1] != label or signature[1] != label:
        raise SignatureMalformed(f"the label is {label}")
    components = tuple(_ONE_COMPONENT.findall(read[3] or ""))
    if len(set(components)) != len(components):
        raise SignatureMalformed("a component is covered twice")
    if not known.issuperset(components):
        raise SignatureMalformed("an unknown component is covered")
    parameters = _read_parameters(read[4], needs_nonce=needs_nonce)
    nonce, algorithm = parameters.get("nonce"), parameters.get("alg")
    return Claimed(
        components=components,
        parameters=read[2],
        key_id=_text(_WORD, parameters["keyid"], "keyid"),
        created=_moment(parameters["created"]),
        nonce=None if nonce is None else _text(_NONCE, nonce, "nonce"),
        algorithm=None if algorithm is None else _text(_WORD, algorithm, "alg"),
        signature=_strict_base64(signature[2]),
    )


def signature_bytes(headers: Mapping[str, str]) -> bytes:
    """The 64 bytes of a Signature header (lower-case names); raises SignatureMalformed."""
    match = _SIGNATURE.fullmatch(headers.get("signature", ""))
    if match is None:
        raise SignatureMalformed("Signature: one byte sequence of 64 bytes")
    return _strict_base64(match[2])


def content_digest(body: bytes) -> str:
    """The Content-Digest header of `body` (RFC 9530 section 2), SHA-256."""
    return f"sha-256={byte_sequence(hashlib.sha256(body).digest())}"


def read_content_digest(value: str) -> bytes:
    """The 32 bytes of a Content-Digest with one sha-256 member; raises SignatureMalformed."""
    match = _DIGEST.fullmatch(value)
    if match is None:
        raise SignatureMalformed("Content-Digest: one sha-256 member")
    return _strict_base64(match[1])


def write_parameters(
    components: Sequence[str], *, created: datetime, key_id: str, nonce: str | None, algorithm: str
) -> str:
    """The inner list with its parameters, as it stands in Signature-Input and ends the base.

    Raises ValueError for a value that `read_claimed` would refuse.
    """
    nonce_text = "" if nonce is None else f';nonce="{nonce}"'
    seconds = int(created.timestamp())
    listed = " ".join(components)
    text = f'({listed});created={seconds};keyid="{key_id}"{nonce_text};alg="{algorithm}"'
    is_readable = _INPUT.fullmatch(f"x={text}") and _WORD.fullmatch(f'"{key_id}"')
    if not is_readable or not (nonce is None or _NONCE.fullmatch(f'"{nonce}"')):
        raise ValueError("the key id, nonce or algorithm cannot stand in a signature")
    return text


def write_headers(*, label: str, parameters: str, signature: bytes) -> dict[str, str]:
    """The headers Signature-Input and Signature."""
    return {
        "Signature-Input": f"{label}={parameters}",
        "Signature": f"{label}={byte_sequence(signature)}",
    }


def byte_sequence(data: bytes) -> str:
    """`data` as a structured-field byte sequence: base64 between colons."""
    return f":{base64.b64encode(data).decode('ascii')}:"


def _read_parameters(text: str, *, needs_nonce: bool) -> dict[str, str]:
    given = _ONE_PARAMETER.findall(text)
    parameters = dict(given)
    required = {"created", "keyid"} | ({"nonce", "alg"} if needs_nonce else set())
    if len(parameters) != len(given) or not required <= parameters.keys():
        raise SignatureMalformed(f"parameters: each of {', '.join(sorted(required))} once")
    if not parameters.keys() <= {"created", "keyid", "nonce", "alg"}:
        raise SignatureMalformed("an unknown parameter is given")
    return parameters


def _text(form: re.Pattern[str], value: str, name: str) -> str:
    match = form.fullmatch(value)
    if match is None:
        raise SignatureMalformed(f"the parameter {name} is malformed")
    return match[1]


def _moment(value: str) -> datetime:
    if not _SECONDS.fullmatch(value):
        raise SignatureMalformed("created is a whole number of seconds")
    try:
        return datetime.fromtimestamp(int(value), tz=UTC)
    except (ValueError, OverflowError, OSError) as error:
        raise SignatureMalformed("created is out of range") from error


def _strict_base64(text: str) -> bytes:
    try:
        data = base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise SignatureMalformed("base64") from error
    if base64.b64encode(data).decode("ascii") != text:
        raise SignatureMalformed("base64 is not canonical")
    return data
