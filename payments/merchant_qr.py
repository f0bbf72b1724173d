"""Makes and reads merchant QR codes in the EMVCo form (EMV QRCPS Merchant-Presented Mode v1.1).

A code is data objects one after the other: two digits of id, two digits of length, the value. All
of ours is in QR's alphanumeric alphabet. In this order, and no other object:

    00  "01", the payload format
    01  "11" for a code that is printed, "12" for one that is made for one payment
    26  a template: 00 GUID; 01 the code's reference, 32 hexadecimal digits in capitals; 02 the
        tag, 16 hexadecimal digits: HMAC-SHA256 by the city over kind, reference, amount and bill,
        its first 8 bytes
    52  "0000", no merchant category is told
    53  "156", the yuan
    54  the amount in yuan with two decimals, no leading zeros; only where 01 is "12"
    58  "CN"
    59  the payee's English name in capitals, 1 to 25 characters; for reading by other wallets
    60  the city, 1 to 15 characters
    62  a template: 01 the bill number, the merchant's own reference; only where 01 is "12"
    63  "04" and the CRC-16/CCITT-FALSE of everything before it, "6304" included, in capitals

docs/merchant-qr.md has vectors. Pure Python: what a reference means is looked up elsewhere.
"""

import re
from dataclasses import dataclass
from typing import Final

GUID: Final = "CN.WEIFANG.VPASS"
CITY: Final = "WEIFANG"
MAX_LENGTH: Final = 300

STATIC, DYNAMIC = "11", "12"
_OWN, _NAMES = "26", re.compile(r"[^0-9A-Z $*+\-./:]")
_ALPHABET = re.compile(r"[0-9A-Z $%*+\-./:]+", re.ASCII)
_REFERENCE = re.compile(r"[0-9A-F]{32}", re.ASCII)
_TAG = re.compile(r"[0-9A-F]{16}", re.ASCII)
_AMOUNT = re.compile(r"(0|[1-9][0-9]{0,7})\.([0-9]{2})", re.ASCII)
_BILL = re.compile(r"[0-9A-Z.:-]{1,25}", re.ASCII)


class QrUnreadable(ValueError):
    """Not a well-formed merchant QR of any wallet: `reason` is "form" or "checksum"."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class QrForeign(ValueError):
    """A merchant QR of another wallet, without our template."""


@dataclass(frozen=True, kw_only=True)
class MerchantCode:
    """What stands in a code. `amount_fen` and `bill` are None in a printed one."""

    reference: str
    tag: str
    payee: str
    amount_fen: int | None = None
    bill: str | None = None


def encode(code: MerchantCode) -> str:
    """The text of a code. Raises ValueError for a member that has no place in it."""
    is_dynamic = code.amount_fen is not None
    if not _REFERENCE.fullmatch(code.reference) or not _TAG.fullmatch(code.tag):
        raise ValueError("malformed reference or tag")
    if is_dynamic != (code.bill is not None) or not _fits(code):
        raise ValueError("an amount goes with a bill number, and both have their form")
    objects = [
        ("00", "01"),
        ("01", DYNAMIC if is_dynamic else STATIC),
        (_OWN, _joined([("00", GUID), ("01", code.reference), ("02", code.tag)])),
        ("52", "0000"),
        ("53", "156"),
    ]
    if code.amount_fen is not None:
        objects.append(("54", f"{code.amount_fen // 100}.{code.amount_fen % 100:02d}"))
    objects += [("58", "CN"), ("59", code.payee), ("60", CITY)]
    if code.bill is not None:
        objects.append(("62", _joined([("01", code.bill)])))
    body = _joined(objects) + "6304"
    return body + crc(body)


def decode(text: str) -> MerchantCode:
    """Read a code of ours: what `encode` gives, and nothing else.

    Raises QrUnreadable, and QrForeign for a sound code that is another wallet's.
    """
    if not text.isascii() or not 20 <= len(text) <= MAX_LENGTH or text[-8:-4] != "6304":
        raise QrUnreadable("form")
    if crc(text[:-4]) != text[-4:]:
        raise QrUnreadable("checksum")
    found = _objects(text[:-8])
    own = {} if _OWN not in found else _objects(found[_OWN])
    if own.get("00") != GUID:
        raise QrForeign("no template of ours")
    amount = _AMOUNT.fullmatch(found.get("54", ""))
    bill = _objects(found["62"]).get("01") if "62" in found else None
    code = MerchantCode(
        reference=own.get("01", ""),
        tag=own.get("02", ""),
        payee=found.get("59", ""),
        amount_fen=None if amount is None else int(amount[1]) * 100 + int(amount[2]),
        bill=bill,
    )
    try:
        is_ours = encode(code) == text
    except ValueError:
        is_ours = False
    if not is_ours:
        raise QrUnreadable("form")
    return code


def payee_name(name: str) -> str:
    """An English name as it stands in a code: capitals of the alphabet, at most 25."""
    cleaned = " ".join(_NAMES.sub(" ", name.upper()).split())[:25].strip()
    return cleaned or "MERCHANT"


def crc(text: str) -> str:
    """CRC-16/CCITT-FALSE (polynomial 1021, first FFFF) as four hexadecimal digits in capitals."""
    value = 0xFFFF
    for byte in text.encode("ascii"):
        value ^= byte << 8
        for _ in range(8):
            value = (value << 1) ^ 0x1021 if value & 0x8000 else value << 1
        value &= 0xFFFF
    return f"{value:04X}"


def _fits(code: MerchantCode) -> bool:
    is_name = bool(_ALPHABET.fullmatch(code.payee)) and len(code.payee) <= 25
    if code.amount_fen is None:
        return is_name
    is_amount = 1 <= code.amount_fen <= 9_999_999_999
    return is_name and is_amount and bool(_BILL.fullmatch(code.bill or ""))


def _joined(objects: list[tuple[str, str]]) -> str:
    return "".join(f"{number}{len(value):02d}{value}" for number, value in objects)


def _objects(text: str) -> dict[str, str]:
    """The objects of a text or template, each id once. Raises QrUnreadable."""
    found: dict[str, str] = {}
    place = 0
    while place < len(text):
        head = text[place : place + 4]
        if len(head) < 4 or not head.isdigit() or head[:2] in found:
            raise QrUnreadable("form")
        value = text[place + 4 : place + 4 + int(head[2:])]
        if len(value) != int(head[2:]) or not value:
            raise QrUnreadable("form")
        found[head[:2]] = value
        place += 4 + len(value)
    return found
