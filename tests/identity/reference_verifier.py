"""A second reader of rotating codes and status lists, written from docs/code-format.md,
docs/status-list.md and docs/offline.md alone.

It shares nothing with the program: its own base45, its own CBOR, `cryptography` for the curve. It
answers "accepted" or the reason word of the page.
"""

import base64
import hashlib
import re
import zlib
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


def read_grant(reader: Reader) -> tuple[str, int, bytes, bytes, int, bool, list[int]]:
    """Answers issuer, expiry, point, handle, status index, has a bus right, door groups."""
    claims = reader.head(MAP, 5, 6)
    issuer = reader.claim(1, TSTR, 1, 24)
    must(re.fullmatch(rb"[a-z][a-z0-9-]*", issuer) is not None)
    expires_at = reader.claim(4, UINT)
    handle = reader.claim(7, BSTR, 16, 16)
    point = reader.claim(8, BSTR, 33, 33)
    must(point[0] in (2, 3))
    index = reader.claim(9, UINT)
    has_bus, groups = False, []
    if claims == 6:
        members = reader.claim(10, MAP, 1, 3)
        has_bus = members >= 2
        if has_bus:
            reader.claim(1, UINT, 0, 255)
            reader.claim(2, BSTR, 8, 8)
        if members != 2:
            groups = [reader.head(UINT) for _ in range(reader.claim(3, ARRAY, 1, 4))]
            must(groups == sorted(set(groups)))
    must(reader.at == len(reader.octets))
    return issuer.decode(), expires_at, point, handle, index, has_bus, groups


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


def key_of(kid: bytes, key_set: dict[str, Any], reason: str) -> ec.EllipticCurvePublicKey:
    """Answers the one key of the set that has this id, or refuses for the reason."""
    jwk = {"kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": kid.hex()}
    found = [key for key in key_set["keys"] if jwk.items() <= key.items()]
    must(len(found) == 1, reason)
    x, y = (base64.urlsafe_b64decode(found[0][name] + "=") for name in ("x", "y"))
    return key_at(b"\x04" + x + y)


def verify(text: str, at: int, city: str, key_set: dict[str, Any]) -> str:
    """Answers "accepted", or the reason of the first check of section 6 that fails."""
    answer = read_and_check(text, at, city, key_set)
    return answer if isinstance(answer, str) else "accepted"


def read_and_check(text: str, at: int, city: str, key_set: dict[str, Any]) -> Any:
    """Answers the reason, or the jti, issue time, scenes and grant of a genuine code."""
    try:
        must(len(text) <= 600 and text.startswith("VP1:"))
        reader = Reader(from_base45(text[4:]))
        reader.head(ARRAY, 2, 2)
        header, payload, signature, item = read_item(reader)
        header2, payload2, signature2, _ = read_item(reader)
        must(reader.at == len(reader.octets) and header2 == PRESENTATION_HEADER)
        must(header[:5] == GRANT_HEADER and len(header) == 9)
        grant = read_grant(Reader(payload))
        issuer, expires_at, point = grant[:3]
        reader = Reader(payload2)
        reader.head(MAP, 3, 3)
        issued_at = reader.claim(6, UINT)
        scenes = reader.claim(11, UINT)
        must(1 <= scenes <= 63 and reader.claim(12, BSTR, 6, 6) != b"")
        must(reader.at == len(reader.octets))
        must(issuer == city, "other_city")
        city_key = key_of(header[5:], key_set, "key_unknown")
        must(at < expires_at and issued_at >= at - 60, "expired")
        must(issued_at <= at + 30, "clock_wrong")
        check_signature(city_key, signature, header, b"", payload)
        check_signature(key_at(point), signature2, header2, item, payload2)
    except Refused as refused:
        return str(refused)
    except (InvalidSignature, ValueError):  # a ValueError: the point is not on the curve
        return "signature_invalid"
    return hashlib.sha256(payload + payload2).digest(), issued_at, scenes, grant


LIST_HEADER = (
    bytes.fromhex("a301260444"), bytes.fromhex("10781a") + b"application/statuslist+cwt",
)  # fmt: skip
PLACES = 1 << 20
CLOSED: dict[int, set[str]] = {
    0: set(), 3: {"pay"}, 12: {"bus"}, 13: {"door"}, 14: {"pay", "bus"},
    15: {"pay", "bus", "door", "library", "check_in"},
}  # fmt: skip


def unpacked(lst: bytes) -> bytes:
    unzip = zlib.decompressobj()
    try:
        octets = unzip.decompress(lst, PLACES // 2 + 1)
    except zlib.error:
        raise Refused("list_unreadable") from None
    must(len(octets) == PLACES // 2 and unzip.eof and unzip.unused_data == b"", "list_unreadable")
    return octets


def read_list(octets: bytes) -> tuple[bytes, bytes, bytes, str, int, int, bytes]:
    """Answers header, payload, signature, subject, expiry, time of issue, and the entries."""
    must(len(octets) <= PLACES and octets[:1] == b"\xd2")
    reader = Reader(octets[1:])
    reader.head(ARRAY, 4, 4)
    header = reader.bstr(38, 38)
    reader.head(MAP, 0, 0)
    payload, signature = reader.bstr(0, PLACES), reader.bstr(64, 64)
    must(reader.at == len(reader.octets))
    must(header[:5] == LIST_HEADER[0] and header[9:] == LIST_HEADER[1])
    reader = Reader(payload)
    reader.head(MAP, 5, 5)
    subject = reader.claim(2, TSTR, 0, 300)
    must(re.fullmatch(rb"https?://[!-~]{1,200}/[0-9]{1,4}", subject) is not None)
    expires_at, issued_at = reader.claim(4, UINT), reader.claim(6, UINT)
    reader.head(UINT, 65533, 65533)
    must(reader.take(5) == b"\xa2\x63lst")
    entries = unpacked(reader.bstr(0, PLACES))
    must(reader.take(6) == b"\x64bits\x04")
    reader.claim(65534, UINT)
    must(reader.at == len(reader.octets))
    return header, payload, signature, subject.decode(), expires_at, issued_at, entries


def verify_list(octets: bytes, at: int, address: str, key_set: dict[str, Any]) -> Any:
    """Answers (issued at, expires at, entries), or the reason of the first check that fails."""
    try:
        header, payload, signature, subject, expires_at, issued_at, entries = read_list(octets)
        must(subject == address)
        key = key_of(header[5:9], key_set, "list_key_unknown")
        must(at < expires_at <= issued_at + 86400 and issued_at <= at + 30, "list_expired")
        check_signature(key, signature, header, b"", payload)
    except Refused as refused:
        reason = str(refused)
        return reason if reason.startswith("list_") else f"list_{reason}"
    except (InvalidSignature, ValueError):
        return "list_signature_invalid"
    return issued_at, expires_at, entries


def entry(entries: bytes, index: int) -> int:
    place = index & (PLACES - 1)
    return entries[place >> 1] >> 4 * (place & 1) & 15


SCENES = {"id": 1, "pay": 2, "bus": 4, "door": 8, "library": 16, "check_in": 32}


class OfflineReader:
    """Decides as docs/offline.md says; `lists` are (issued at, expires at, entries) by number."""

    def __init__(self, city: str, key_set: dict[str, Any], scene: str, rules: dict[str, Any]):
        self.city, self.key_set, self.scene, self.rules = city, key_set, scene, rules
        self.lists: dict[int, tuple[int, int, bytes]] = {}
        self.seen: dict[bytes, int] = {}
        self.stale: dict[bytes, int] = {}

    def decide(self, text: str, at: int) -> str:
        """Answers "accepted", "capped", or the reason of the first check that fails."""
        answer = read_and_check(text, at, self.city, self.key_set)
        if isinstance(answer, str):
            return answer
        jti, issued_at, scenes, (_, _, _, handle, index, has_bus, groups) = answer
        try:
            must(jti not in self.seen, "already_used")
            self.seen[jti] = issued_at
            must(index >> 20 in self.lists, "offline_stale")
            list_issued, list_expires, entries = self.lists[index >> 20]
            age = at - list_issued
            must(at < list_expires and age >= -30, "offline_stale")
            value = entry(entries, index)
            must(value == 2 or value in CLOSED, "revoked")
            must(value != 2, "suspended")
            must(scenes & SCENES[self.scene] != 0, "scene_not_allowed")
            own = self.scene in ("pay", "bus", "door")
            must(self.scene not in CLOSED[value], f"{self.scene}_suspended" if own else "id_only")
            must(self.scene != "bus" or has_bus, "right_missing")
            must(
                self.scene != "door" or bool(set(groups) & set(self.rules["door_groups"])),
                "right_missing",
            )
            if age <= self.rules["max_list_age_s"]:
                return "accepted"
            must(self.stale.get(handle, 0) < self.rules["stale_uses"], "offline_stale")
        except Refused as refused:
            return str(refused)
        self.stale[handle] = self.stale.get(handle, 0) + 1
        return "capped"
