"""A second reader of rotating codes, written from docs/code-format.md alone.

It shares nothing with the program: its own base45, its own CBOR, `cryptography` for the curve. It
answers "accepted" or the reason word of section 6.
"""

import base64
import re
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, utils

ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ $%*+-./:"
ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
GRANT_HEADER, PRESENTATION_HEADER = bytes.fromhex("a201260444"), bytes.fromhex("a10126")
UINT, BSTR, TSTR, ARRAY, MAP = 0, 2, 3, 4, 5


class Refused(Exception): ...


def must(is_so: bool, reason: str = "unreadable") -> None:
    if not is_so:
        raise Refused(reason)


def from_base45(text: str) -> bytes:
    must(all(character in ALPHABET for character in text) and len(text) % 3 != 1)
    out = bytearray()
    for start in range(0, len(text), 3):
        group = text[start : start + 3]
        number = sum(ALPHABET.index(c) * 45**place for place, c in enumerate(group))
        must(number < 256 ** (len(group) - 1))
        out += number.to_bytes(len(group) - 1, "big")
    return bytes(out)


class Reader:
    """Takes one expected thing after another from the front of a byte string."""

    def __init__(self, octets: bytes) -> None:
        self.octets, self.at = octets, 0

    def take(self, size: int) -> bytes:
        must(self.at + size <= len(self.octets))
        self.at += size
        return self.octets[self.at - size : self.at]

    def head(self, kind: int, least: int = 0, most: int = 2**32 - 1) -> int:
        first = self.take(1)[0]
        must(first >> 5 == kind and first & 31 <= 26)
        number = first & 31
        if number >= 24:
            size = 1 << (number - 24)
            number = int.from_bytes(self.take(size), "big")
            must(number >= (24 if size == 1 else 256 ** (size // 2)))
        must(least <= number <= most)
        return number

    def bstr(self, least: int, most: int) -> bytes:
        return self.take(self.head(BSTR, least, most))

    def claim(self, key: int, kind: int, least: int = 0, most: int = 2**32 - 1) -> Any:
        """Answers the number, or the bytes of a string, that stands under the key."""
        self.head(UINT, key, key)
        value = self.head(kind, least, most)
        return self.take(value) if kind in (BSTR, TSTR) else value


def read_item(reader: Reader) -> tuple[bytes, bytes, bytes, bytes]:
    """Answers one COSE_Sign1: header, payload, signature, and the whole item as it stands."""
    start = reader.at
    reader.head(ARRAY, 4, 4)
    header = reader.bstr(3, 9)
    reader.head(MAP, 0, 0)
    payload, signature = reader.bstr(0, 600), reader.bstr(64, 64)
    return header, payload, signature, reader.octets[start : reader.at]


def read_grant(reader: Reader) -> tuple[str, int, bytes]:
    """Answers the issuer, the expiry and the compressed point."""
    claims = reader.head(MAP, 5, 6)
    issuer = reader.claim(1, TSTR, 1, 24)
    must(re.fullmatch(rb"[a-z][a-z0-9-]*", issuer) is not None)
    expires_at = reader.claim(4, UINT)
    reader.claim(7, BSTR, 16, 16)
    point = reader.claim(8, BSTR, 33, 33)
    must(point[0] in (2, 3))
    reader.claim(9, UINT)
    if claims == 6:
        members = reader.claim(10, MAP, 1, 3)
        if members >= 2:
            reader.claim(1, UINT, 0, 255)
            reader.claim(2, BSTR, 8, 8)
        if members != 2:
            groups = [reader.head(UINT) for _ in range(reader.claim(3, ARRAY, 1, 4))]
            must(groups == sorted(set(groups)))
    must(reader.at == len(reader.octets))
    return issuer.decode(), expires_at, point


def bstr(octets: bytes) -> bytes:
    n = len(octets)
    return bytes([64 + n] if n < 24 else [88, n] if n < 256 else [89, *divmod(n, 256)]) + octets


def check_signature(key: Any, signature: bytes, *parts: bytes) -> None:
    r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
    must(0 < r < ORDER and 0 < s <= (ORDER - 1) // 2, "signature_invalid")
    signed = b"\x84\x6aSignature1" + b"".join(bstr(part) for part in parts)
    key.verify(utils.encode_dss_signature(r, s), signed, ec.ECDSA(hashes.SHA256()))


def key_at(point: bytes) -> ec.EllipticCurvePublicKey:
    return ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), point)


def verify(text: str, at: int, city: str, key_set: dict[str, Any]) -> str:
    """Answers "accepted", or the reason of the first check of section 6 that fails."""
    try:
        must(len(text) <= 600 and text.startswith("VP1:"))
        reader = Reader(from_base45(text[4:]))
        reader.head(ARRAY, 2, 2)
        header, payload, signature, item = read_item(reader)
        header2, payload2, signature2, _ = read_item(reader)
        must(reader.at == len(reader.octets) and header2 == PRESENTATION_HEADER)
        must(header[:5] == GRANT_HEADER and len(header) == 9)
        issuer, expires_at, point = read_grant(Reader(payload))
        reader = Reader(payload2)
        reader.head(MAP, 3, 3)
        issued_at = reader.claim(6, UINT)
        must(1 <= reader.claim(11, UINT) <= 63 and reader.claim(12, BSTR, 6, 6) != b"")
        must(reader.at == len(reader.octets))
        must(issuer == city, "other_city")
        jwk = {"kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": header[5:].hex()}
        found = [key for key in key_set["keys"] if jwk.items() <= key.items()]
        must(len(found) == 1, "key_unknown")
        x, y = (base64.urlsafe_b64decode(found[0][name] + "=") for name in ("x", "y"))
        must(at < expires_at and issued_at >= at - 60, "expired")
        must(issued_at <= at + 30, "clock_wrong")
        check_signature(key_at(b"\x04" + x + y), signature, header, b"", payload)
        check_signature(key_at(point), signature2, header2, item, payload2)
    except Refused as refused:
        return str(refused)
    except (InvalidSignature, ValueError):  # a ValueError: the point is not on the curve
        return "signature_invalid"
    return "accepted"
