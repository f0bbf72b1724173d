"""Writes, reads and checks the rotating code, byte by byte as docs/code-format.md lays down.

Pure Python without Django or database, so that a scanner can carry it. The text is

    "VP1:" + base45( array(2) [grant, presentation] )

and both items are untagged COSE_Sign1 (RFC 9052), ES256 with low s, deterministic CBOR
(RFC 8949, section 4.2.1):

    item          array(4) [protected bstr, map(0), payload bstr, signature bstr 64 (r || s)]

    grant         protected  a2 01 26 04 44 kkkkkkkk        {1: -7 (ES256), 4: kid bstr 4}
                  payload    map(5 or 6)
                     1  issuer          tstr, [a-z][a-z0-9-]{0,23}
                     4  expires at      uint, seconds since 1970-01-01T00:00:00Z, < 2^32
                     7  handle          bstr 16, random
                     8  public point    bstr 33, compressed P-256 point of the phone's fresh key
                     9  status index    uint < 2^32; shard = index >> 20
                    10  rights          map(1 to 3), only when there are any
                           1  bus concession class   uint <= 255   (1 and 2 stand together)
                           2  bus card reference     bstr 8
                           3  door groups            array(1 to 4) of ascending uint < 2^32
                  signed     ["Signature1", protected, h'', payload]

    presentation  protected  a1 01 26                       {1: -7 (ES256)}
                  payload    map(3)
                     6  issued at       uint, seconds since 1970-01-01T00:00:00Z, < 2^32
                    11  scenes          uint 1 to 63, a bit set: see SCENES
                    12  nonce           bstr 6, random
                  signed     ["Signature1", protected, the grant's encoded item, payload]

Checks run in a fixed order, the cheap ones first, and the first that fails gives the reason:
unreadable, other_city, key_unknown, expired, clock_wrong, signature_invalid.
"""

import re
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha256
from typing import ClassVar, Final, TypeVar

import base45
import cbor2

from identity.code_claims import (
    ALL_SCENES,
    SCENES,
    BusRight,
    GrantClaims,
    MalformedClaims,
    Presentation,
    Rights,
    grant_claims,
    grant_map,
    presentation_claims,
    presentation_map,
)
from identity.strict_cbor import NotDeterministic, read_item
from vpass.common.signing import (
    BadKey,
    P256Private,
    P256Public,
    es256_sign,
    es256_verify,
    public_from_point,
)

__all__ = [
    "ALL_SCENES",
    "LIVES_S",
    "MAX_LENGTH",
    "MAY_RUN_AHEAD_S",
    "PREFIX",
    "SCENES",
    "BusRight",
    "ClockWrong",
    "Code",
    "CodeError",
    "Expired",
    "GrantClaims",
    "KeyUnknown",
    "OtherCity",
    "ParsedGrant",
    "Presentation",
    "Rights",
    "SignatureInvalid",
    "Unreadable",
    "check_code",
    "decode_grant",
    "encode_grant",
    "present",
    "read_code",
]

PREFIX: Final = "VP1:"
MAX_LENGTH: Final = 600
LIVES_S: Final = 60
MAY_RUN_AHEAD_S: Final = 30

_Claims = TypeVar("_Claims")
_TEXT: Final = re.compile(r"VP1:[0-9A-Z $%*+\-./:]+")
_BASE45_DIGITS: Final = bytes.maketrans(
    b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ $%*+-./:", bytes(range(45))
)
_ARRAY_OF_TWO: Final = b"\x82"
_GRANT_HEADER: Final = bytes.fromhex("a201260444")
_PRESENTATION_HEADER: Final = bytes.fromhex("a10126")


class CodeError(Exception):
    """The code is refused; `reason` is the stable word for it."""

    reason: ClassVar[str]


class Unreadable(CodeError):
    """The text is no code of this format."""

    reason = "unreadable"


class OtherCity(CodeError):
    """Another city issued the code."""

    reason = "other_city"


class KeyUnknown(CodeError):
    """The key set holds no key with the grant's key id."""

    reason = "key_unknown"


class Expired(CodeError):
    """The grant has lapsed, or the presentation is older than 60 seconds."""

    reason = "expired"


class ClockWrong(CodeError):
    """The presentation is dated more than 30 seconds ahead."""

    reason = "clock_wrong"


class SignatureInvalid(CodeError):
    """The city did not sign the grant, or the grant's key did not sign the presentation."""

    reason = "signature_invalid"


@dataclass(frozen=True, kw_only=True)
class ParsedGrant:
    """A grant as read, its signature not yet checked; `encoded` is the whole COSE_Sign1 item."""

    claims: GrantClaims
    kid: bytes
    payload: bytes = field(repr=False)
    signature: bytes = field(repr=False)
    encoded: bytes = field(repr=False)

    @property
    def signed_bytes(self) -> bytes:
        """The bytes under the city's signature."""
        return _signed_bytes(_GRANT_HEADER + self.kid, b"", self.payload)


@dataclass(frozen=True, kw_only=True)
class Code:
    """A code as read, its signatures and times not yet checked."""

    parsed_grant: ParsedGrant
    presentation: Presentation
    presentation_payload: bytes = field(repr=False)
    presentation_signature: bytes = field(repr=False)

    @property
    def grant(self) -> GrantClaims:
        """The city's claims."""
        return self.parsed_grant.claims

    @property
    def kid(self) -> bytes:
        """The four bytes naming the city's key."""
        return self.parsed_grant.kid

    @property
    def grant_bytes(self) -> bytes:
        """The grant's encoded COSE_Sign1 item."""
        return self.parsed_grant.encoded

    @property
    def jti(self) -> bytes:
        """The 32 bytes which stand for this one code: SHA-256 of both payloads.

        Never the text or a signature: whoever holds the key can make many of those.
        """
        return sha256(self.parsed_grant.payload + self.presentation_payload).digest()

    @property
    def signed_bytes(self) -> bytes:
        """The bytes under the phone's signature."""
        return _signed_bytes(_PRESENTATION_HEADER, self.grant_bytes, self.presentation_payload)


# Writing


def encode_grant(claims: GrantClaims, *, kid: bytes, private: P256Private) -> bytes:
    """The grant of `claims` signed with the city's key `kid` (4 bytes), as a COSE_Sign1 item.

    Raises ValueError when a claim does not fit the format.
    """
    payload = cbor2.dumps(grant_map(claims))
    header = _GRANT_HEADER + kid
    signature = es256_sign(private, _signed_bytes(header, b"", payload))
    grant = cbor2.dumps([header, {}, payload, signature])
    # What cannot be read back as the same claims must not leave the house.
    try:
        if decode_grant(grant).claims == claims:
            return grant
    except Unreadable as error:
        raise ValueError("the claims do not fit the format") from error
    raise ValueError("the claims do not fit the format")


def present(
    grant: bytes, *, private: P256Private, issued_at: int, scenes: int, nonce: bytes
) -> str:
    """The text of one code: the grant and a presentation signed with the grant's own key.

    `issued_at` in seconds since the epoch, `scenes` a bit set of SCENES, `nonce` six random bytes.
    Raises ValueError when one of them, or the grant, does not fit the format.
    """
    presentation = Presentation(issued_at=issued_at, scenes=scenes, nonce=nonce)
    payload = cbor2.dumps(presentation_map(presentation))
    signature = es256_sign(private, _signed_bytes(_PRESENTATION_HEADER, grant, payload))
    try:
        decode_grant(grant)
        _claims(presentation_claims, payload)
    except Unreadable as error:
        raise ValueError("the grant or the presentation does not fit the format") from error
    item = cbor2.dumps([_PRESENTATION_HEADER, {}, payload, signature])
    encoded: bytes = base45.b45encode(_ARRAY_OF_TWO + grant + item)
    return PREFIX + encoded.decode("ascii")


# Reading


def decode_grant(data: bytes) -> ParsedGrant:
    """The grant in a COSE_Sign1 item, its signature not yet checked; raises Unreadable."""
    return _grant(_read(data))


def read_code(text: str) -> Code:
    """The code in a scanned text, its signatures and times not yet checked.

    Only the one spelling which `present` writes is read. No cryptography is done here, so that
    rubbish costs nothing. Raises Unreadable.
    """
    if len(text) > MAX_LENGTH or not _TEXT.fullmatch(text):
        raise Unreadable("no code text")
    items = _read(_from_base45(text[len(PREFIX) :]))
    if type(items) is not list or len(items) != 2:
        raise Unreadable("not a grant and a presentation")
    protected, payload, signature = _sign1(items[1])
    if protected != _PRESENTATION_HEADER:
        raise Unreadable("the presentation's header is not this format's")
    return Code(
        parsed_grant=_grant(items[0]),
        presentation=_claims(presentation_claims, payload),
        presentation_payload=payload,
        presentation_signature=signature,
    )


def check_code(code: Code, *, key: P256Public | None, at: int, issuer: str) -> None:
    """Returns when the code is genuine and good at `at`, in whole seconds since the epoch.

    `key` is the city's key with the code's kid, or None when the key set holds none. The issue
    time may lie in [at - 60, at + 30]; the grant is good before its expiry, not at it. Costs two
    signature checks, and none at all when a cheaper check fails.

    Raises OtherCity, KeyUnknown, Expired, ClockWrong or SignatureInvalid, checked in this order.
    """
    if code.grant.issuer != issuer:
        raise OtherCity("another city issued the code")
    if key is None:
        raise KeyUnknown("the key id is not known")
    if at >= code.grant.expires_at:
        raise Expired("the grant has lapsed")
    if code.presentation.issued_at < at - LIVES_S:
        raise Expired("the code is too old")
    if code.presentation.issued_at > at + MAY_RUN_AHEAD_S:
        raise ClockWrong("the code is dated ahead")
    grant = code.parsed_grant
    if not es256_verify(key, grant.signed_bytes, grant.signature):
        raise SignatureInvalid("the city did not sign the grant")
    try:
        phone_key = public_from_point(code.grant.public_point)
    except BadKey as error:
        raise SignatureInvalid("the grant's point is not on the curve") from error
    if not es256_verify(phone_key, code.signed_bytes, code.presentation_signature):
        raise SignatureInvalid("the grant's key did not sign the presentation")


def _signed_bytes(protected: bytes, external: bytes, payload: bytes) -> bytes:
    """The Sig_structure of RFC 9052, section 4.4."""
    return cbor2.dumps(["Signature1", protected, external, payload])


def _from_base45(text: str) -> bytes:
    """The bytes of RFC 9285, whose alphabet was checked before; raises Unreadable.

    Ten times as fast as the package that writes it, which matters to a bus.
    """
    digits = text.encode("ascii").translate(_BASE45_DIGITS)
    whole = len(digits) // 3
    first, second, third = digits[0 : whole * 3 : 3], digits[1 : whole * 3 : 3], digits[2::3]
    numbers = [x + 45 * y + 2025 * z for x, y, z in zip(first, second, third, strict=True)]
    rest = digits[whole * 3 :]
    last = rest[0] + 45 * rest[1] if len(rest) == 2 else 0
    if len(rest) == 1 or last > 0xFF or max(numbers, default=0) > 0xFFFF:
        raise Unreadable("no base45")
    return struct.pack(f">{whole}H", *numbers) + (bytes([last]) if rest else b"")


def _grant(item: object) -> ParsedGrant:
    protected, payload, signature = _sign1(item)
    if len(protected) != len(_GRANT_HEADER) + 4 or not protected.startswith(_GRANT_HEADER):
        raise Unreadable("the grant's header is not this format's")
    return ParsedGrant(
        claims=_claims(grant_claims, payload),
        kid=protected[len(_GRANT_HEADER) :],
        payload=payload,
        signature=signature,
        encoded=cbor2.dumps(item),
    )


def _sign1(item: object) -> tuple[bytes, bytes, bytes]:
    if type(item) is not list or len(item) != 4:
        raise Unreadable("not a COSE_Sign1 item")
    protected, unprotected, payload, signature = item
    if type(protected) is not bytes or type(payload) is not bytes or unprotected != {}:
        raise Unreadable("not a COSE_Sign1 item of this format")
    if type(signature) is not bytes or len(signature) != 64:
        raise Unreadable("not a COSE_Sign1 item of this format")
    return protected, payload, signature


def _claims(read_claims: Callable[[object], _Claims], payload: bytes) -> _Claims:
    try:
        return read_claims(_read(payload))
    except MalformedClaims as error:
        raise Unreadable("malformed claims") from error


def _read(data: bytes) -> object:
    try:
        item = read_item(data)
    except NotDeterministic as error:
        raise Unreadable("not deterministic CBOR") from error
    # A second opinion: what cbor2 writes must be what was read.
    if cbor2.dumps(item) != data:
        raise Unreadable("not deterministic CBOR")
    return item
