"""Writes, reads and checks status lists, byte by byte as docs/status-list.md lays down.

Pure Python without Django or database, so that a scanner can carry it. A list is a Status List
Token in its CWT form (IETF Token Status List, section 5.2) with 4 bits for each of 2^20 grants:

    list        d2 array(4) [protected bstr, map(0), payload bstr, signature bstr 64 (r || s)]
    protected   a3 01 26 04 44 kkkkkkkk 10 78 1a "application/statuslist+cwt"
                {1: -7 (ES256), 4: kid bstr 4, 16: typ}
    payload     map(5)
                       2  subject       tstr, the address of the list; ends in "/" and its number
                       4  expires at    uint, seconds since the epoch, at most 24 hours after 6
                       6  issued at     uint, seconds since the epoch
                   65533  status list   map(2) {"lst": bstr, "bits": 4}
                   65534  time to live  uint, seconds: when to fetch it again
    lst         zlib (RFC 1950) of 2^19 bytes; entry n is the low half of byte n // 2 for an even
                n, the high half for an odd one
    signed      ["Signature1", protected, h'', payload]
"""

import re
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import ClassVar, Final

from identity.strict_cbor import NotDeterministic, read_item
from vpass.common.signing import P256Private, P256Public, es256_sign, es256_verify

ENTRIES: Final = 1 << 20
MAX_LIFE_S: Final = 24 * 3600
MAY_RUN_AHEAD_S: Final = 30
CONTENT_TYPE: Final = "application/statuslist+cwt"

VALID, REVOKED, SUSPENDED, NO_PAY = 0, 1, 2, 3
NO_BUS, NO_DOOR, NO_PAY_NO_BUS, ID_ONLY = 12, 13, 14, 15

# The scenes each value closes; those of a value that is not listed here are all closed.
CLOSED_SCENES: Final[Mapping[int, frozenset[str]]] = MappingProxyType(
    {
        VALID: frozenset(),
        NO_PAY: frozenset({"pay"}),
        NO_BUS: frozenset({"bus"}),
        NO_DOOR: frozenset({"door"}),
        NO_PAY_NO_BUS: frozenset({"pay", "bus"}),
        ID_ONLY: frozenset({"pay", "bus", "door", "library", "check_in"}),
    }
)

_SIZE: Final = ENTRIES // 2
_MAX_BYTES: Final = 1 << 20
_HEADER_START: Final = bytes.fromhex("a301260444")
_HEADER_END: Final = bytes.fromhex("10781a") + CONTENT_TYPE.encode("ascii")
_TAG: Final = b"\xd2"
_SUBJECT: Final = re.compile(r"https?://[!-~]{1,200}/[0-9]{1,4}", re.ASCII)


class ListRefused(Exception):
    """The status list may not be used; `reason` is the stable word for it."""

    reason: ClassVar[str]


class ListUnreadable(ListRefused):
    """The bytes are no status list of this format."""

    reason = "list_unreadable"


class ListKeyUnknown(ListRefused):
    """The key set holds no key with the list's key id."""

    reason = "list_key_unknown"


class ListSignatureInvalid(ListRefused):
    """The city did not sign the list."""

    reason = "list_signature_invalid"


class ListExpired(ListRefused):
    """The list has lapsed, lives longer than a day, or is dated ahead."""

    reason = "list_expired"


class IndexUnknown(ListRefused):
    """The grant's place is not in this list."""

    reason = "index_unknown"


@dataclass(frozen=True, kw_only=True)
class StatusList:
    """A list as read, signature and time not yet checked; `entries` are 2^19 bytes."""

    subject: str
    issued_at: int
    expires_at: int
    ttl_s: int
    kid: bytes
    entries: bytes = field(repr=False)
    payload: bytes = field(repr=False)
    signature: bytes = field(repr=False)

    @property
    def number(self) -> int:
        """The list's number: a grant's place is in the list status index >> 20."""
        return int(self.subject.rpartition("/")[2])

    def status(self, index: int) -> int:
        """The value of a grant's status index; raises IndexUnknown when it is another list's."""
        if index >> 20 != self.number:
            raise IndexUnknown("another list's index")
        place = index & (ENTRIES - 1)
        return self.entries[place >> 1] >> (4 * (place & 1)) & 0xF


def pack(statuses: Iterable[tuple[int, int]]) -> bytes:
    """The `lst` of (place, value) pairs, all other places valid: zlib at its tightest.

    Raises ValueError for a place or a value out of range.
    """
    entries = bytearray(_SIZE)
    for place, value in statuses:
        if not 0 <= place < ENTRIES or not 0 <= value <= 15:
            raise ValueError("no such place or value")
        shift = 4 * (place & 1)
        entries[place >> 1] = entries[place >> 1] & (0xF0 >> shift) | value << shift
    return zlib.compress(bytes(entries), 9)


def encode_list(
    lst: bytes,
    *,
    subject: str,
    issued_at: int,
    expires_at: int,
    ttl_s: int,
    kid: bytes,
    private: P256Private,
) -> bytes:
    """The list of packed entries, signed with the city's key `kid` (4 bytes).

    Raises ValueError when something does not fit the format.
    """
    header = _HEADER_START + kid + _HEADER_END
    payload = b"\xa5" + b"".join(
        (
            b"\x02" + _text(subject),
            b"\x04" + _head(0, expires_at),
            b"\x06" + _head(0, issued_at),
            b"\x19\xff\xfd\xa2\x63lst" + _bytes(lst) + b"\x64bits\x04",
            b"\x19\xff\xfe" + _head(0, ttl_s),
        )
    )
    signature = es256_sign(private, _signed_bytes(header, payload))
    data = _TAG + b"\x84" + _bytes(header) + b"\xa0" + _bytes(payload) + _bytes(signature)
    # What cannot be read back must not leave the house.
    try:
        decode_list(data)
    except ListUnreadable as error:
        raise ValueError("the list does not fit the format") from error
    return data


def decode_list(data: bytes) -> StatusList:
    """The list in `data`, signature and time not yet checked; raises ListUnreadable."""
    if len(data) > _MAX_BYTES or data[:1] != _TAG:
        raise ListUnreadable("no status list")
    item = _read(data[1:])
    if type(item) is not list or len(item) != 4 or item[1] != {}:
        raise ListUnreadable("not a COSE_Sign1 item of this format")
    header, _, payload, signature = item
    if type(payload) is not bytes or type(signature) is not bytes or len(signature) != 64:
        raise ListUnreadable("not a COSE_Sign1 item of this format")
    kid = header[5:9] if type(header) is bytes else b""
    if len(kid) != 4 or header != _HEADER_START + kid + _HEADER_END:
        raise ListUnreadable("the header is not this format's")
    claims = _read(payload)
    if type(claims) is not dict or list(claims) != [2, 4, 6, 65533, 65534]:
        raise ListUnreadable("not the claims of this format")
    subject, inner = claims[2], claims[65533]
    if type(subject) is not str or not _SUBJECT.fullmatch(subject):
        raise ListUnreadable("malformed subject")
    if type(inner) is not dict or inner.keys() != {"lst", "bits"} or inner["bits"] != 4:
        raise ListUnreadable("not a list of 4 bits an entry")
    if any(type(claims[key]) is not int for key in (4, 6, 65534)):
        raise ListUnreadable("a time is no number")
    return StatusList(
        subject=subject,
        issued_at=claims[6],
        expires_at=claims[4],
        ttl_s=claims[65534],
        kid=kid,
        entries=_unpack(inner["lst"]),
        payload=payload,
        signature=signature,
    )


def check_list(found: StatusList, *, key: P256Public | None, at: int, subject: str) -> None:
    """Returns when the list is the city's, the one at the address `subject`, and good at `at`.

    `key` is the city's key with the list's kid, or None when the key set holds none. The time
    decides before anything in the list is believed. Raises ListUnreadable for another list's
    bytes, ListKeyUnknown, ListExpired or ListSignatureInvalid, checked in this order.
    """
    if found.subject != subject:
        raise ListUnreadable("the list of another address")
    if key is None:
        raise ListKeyUnknown("the key id is not known")
    if not at < found.expires_at <= found.issued_at + MAX_LIFE_S:
        raise ListExpired("lapsed, or good for longer than a day")
    if found.issued_at > at + MAY_RUN_AHEAD_S:
        raise ListExpired("dated ahead")
    signed = _signed_bytes(_HEADER_START + found.kid + _HEADER_END, found.payload)
    if not es256_verify(key, signed, found.signature):
        raise ListSignatureInvalid("the city did not sign the list")


def _signed_bytes(header: bytes, payload: bytes) -> bytes:
    """The Sig_structure of RFC 9052, section 4.4."""
    return b"\x84" + _text("Signature1") + _bytes(header) + b"\x40" + _bytes(payload)


def _head(kind: int, number: int) -> bytes:
    """A CBOR head in its shortest form; more than 32 bits do not fit the format."""
    start = kind << 5
    if number < 24:
        return bytes([start | number])
    for argument, width in ((24, 1), (25, 2), (26, 4)):
        if number < 256**width:
            return bytes([start | argument]) + number.to_bytes(width)
    raise ValueError("the number does not fit the format")


def _bytes(content: bytes) -> bytes:
    return _head(2, len(content)) + content


def _text(content: str) -> bytes:
    return _head(3, len(content.encode())) + content.encode()


def _read(data: bytes) -> object:
    try:
        return read_item(data, has_text_keys=True)
    except NotDeterministic as error:
        raise ListUnreadable("not deterministic CBOR") from error


def _unpack(lst: object) -> bytes:
    if type(lst) is not bytes:
        raise ListUnreadable("the entries are no byte string")
    stream = zlib.decompressobj()
    try:
        # One byte more than there may be: a bomb stops here.
        entries = stream.decompress(lst, _SIZE + 1)
    except zlib.error as error:
        raise ListUnreadable("the entries are not compressed as they must be") from error
    if len(entries) != _SIZE or not stream.eof or stream.unused_data:
        raise ListUnreadable("not 2^20 entries")
    return entries
