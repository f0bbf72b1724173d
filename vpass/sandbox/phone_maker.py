"""The maker of the sandbox's phones: its root, and the certificates by which it vouches for keys.

A real chip holds a key of its batch and makes its own certificate. Here the maker does, for any
key: X.509 (RFC 5280) written byte for byte, with the statement published for Android phones.
"""

import base64
import secrets
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from vpass.sandbox.keys import SigningKey, from_b64url
from vpass.sandbox.signatures import time_now

YEARS = timedelta(days=3650)
BATCH_NAME, ROOT_NAME = "Sandbox Phones, batch 7", "Sandbox Phones"

_ECDSA_SHA256 = "2a8648ce3d040302"
_EC_P256 = "301306072a8648ce3d020106082a8648ce3d030107"
_COMMON_NAME = "550403"
_CONSTRAINTS, _USAGE, _STATEMENT = "551d13", "551d0f", "2b06010401d679020111"
_DIGITAL_SIGNATURE, _KEY_CERT_SIGN = b"\x07\x80", b"\x02\x04"

# What can be asked to be wrong with a chain.
FAULTS = (
    "", "expired", "not_yet", "foreign_root", "broken", "software", "no_statement", "leaf_is_ca",
    "batch_no_ca", "path_too_long", "leaf_cannot_sign", "no_root", "high_critical",
    "imported", "silent_of_origin", "software_origin", "only_to_agree",
)  # fmt: skip


class PhoneMaker:
    """Vouches for keys."""

    def __init__(self, root: SigningKey) -> None:
        self._root = root
        self._batch = SigningKey()

    async def vouch(self, members: Mapping[str, Any]) -> dict[str, Any]:
        """The chain for a public key (JWK) and a challenge (base64url); raises ValueError.

        `fault`, one of FAULTS, is there to go wrong.
        """
        if members.keys() - {"public_key", "challenge", "fault"}:
            raise ValueError("unknown member")
        jwk, challenge = members.get("public_key"), members.get("challenge")
        fault = members.get("fault", "")
        if not isinstance(jwk, dict) or not isinstance(challenge, str) or fault not in FAULTS:
            raise ValueError("public_key, challenge, fault")
        x, y = from_b64url(str(jwk.get("x"))), from_b64url(str(jwk.get("y")))
        if len(x) != 32 or len(y) != 32 or not 0 < len(data := from_b64url(challenge)) <= 128:
            raise ValueError("public_key, challenge")
        chain = self._chain(b"\x04" + x + y, data, fault)
        return {"chain": [base64.b64encode(each).decode() for each in chain]}

    def _chain(self, point: bytes, challenge: bytes, fault: str) -> list[bytes]:
        root = SigningKey() if fault == "foreign_root" else self._root
        batch = self._batch
        signer = SigningKey() if fault == "broken" else batch
        leaf_extensions = [
            _extension(_USAGE, _der(0x03, _KEY_CERT_SIGN if fault == "leaf_cannot_sign"
                                    else _DIGITAL_SIGNATURE), critical=True),
        ]  # fmt: skip
        if fault == "leaf_is_ca":
            leaf_extensions.append(_authority(None))
        if fault == "high_critical":
            leaf_extensions.append(_extension("551d20", _der(0x30), critical=True))
        if fault != "no_statement":
            level = 0 if fault == "software" else 1
            leaf_extensions.append(_extension(_STATEMENT, _statement(level, challenge, fault)))
        leaf = _certificate(
            subject="Phone key", issuer=BATCH_NAME, point=point, signer=signer,
            extensions=leaf_extensions, shift=fault,
        )  # fmt: skip
        batch_extensions = [
            _extension(_USAGE, _der(0x03, _KEY_CERT_SIGN), critical=True),
            *([] if fault == "batch_no_ca" else [_authority(0)]),
        ]
        below = _certificate(
            subject=BATCH_NAME, issuer=ROOT_NAME, point=batch.point, signer=root,
            extensions=batch_extensions,
        )  # fmt: skip
        room = 0 if fault == "path_too_long" else 1
        top = _certificate(
            subject=ROOT_NAME, issuer=ROOT_NAME, point=root.point, signer=root,
            extensions=[_extension(_USAGE, _der(0x03, _KEY_CERT_SIGN), critical=True),
                        _authority(room)],
        )  # fmt: skip
        return [leaf, below] if fault == "no_root" else [leaf, below, top]


def _certificate(
    *,
    subject: str,
    issuer: str,
    point: bytes,
    signer: SigningKey,
    extensions: list[bytes],
    shift: str = "",
) -> bytes:
    now = datetime.fromtimestamp(time_now(), tz=UTC)
    begins, ends = now - timedelta(days=30), now + YEARS
    if shift == "expired":
        ends = now - timedelta(days=1)
    if shift == "not_yet":
        begins = now + timedelta(days=1)
    algorithm = _der(0x30, _oid(_ECDSA_SHA256))
    public = _der(0x30, bytes.fromhex(_EC_P256), _der(0x03, b"\x00", point))
    signed = _der(
        0x30,
        _der(0xA0, _integer(2)),
        _integer(secrets.randbits(120) | 1),
        algorithm,
        _name(issuer),
        _der(0x30, _moment(begins), _moment(ends)),
        _name(subject),
        public,
        _der(0xA3, _der(0x30, *extensions)),
    )
    r, s = signer.sign(signed)
    return _der(0x30, signed, algorithm, _der(0x03, b"\x00", _der(0x30, _integer(r), _integer(s))))


def _statement(level: int, challenge: bytes, fault: str) -> bytes:
    """KeyDescription: attestation version 4, Keymaster 4.1, and what the key may do.

    The system enforces nothing; the chip says: purpose SIGN (or AGREE_KEY), algorithm EC, of 256
    bits, with SHA-256, no authentication needed, origin GENERATED (or IMPORTED).
    """
    security = _der(0x0A, bytes([level]))
    origin = _tagged(702, _integer(2 if fault == "imported" else 0))
    system = [origin] if fault == "software_origin" else []
    chip = [
        _tagged(1, _der(0x31, _integer(6 if fault == "only_to_agree" else 2))),
        _tagged(2, _integer(3)),
        _tagged(3, _integer(256)),
        _tagged(5, _der(0x31, _integer(4))),
        _tagged(503, _der(0x05)),
        *([] if fault in ("silent_of_origin", "software_origin") else [origin]),
    ]
    return _der(
        0x30,
        _integer(4),
        security,
        _integer(41),
        security,
        _der(0x04, challenge),
        _der(0x04),
        _der(0x30, *system),
        _der(0x30, *chip),
    )


def _tagged(number: int, inner: bytes) -> bytes:
    """An EXPLICIT context tag; the numbers here are below 2^14."""
    if number < 31:
        return _der(0xA0 | number, inner)
    whole = _der(0xBF, inner)
    return whole[:1] + bytes([0x80 | number >> 7, number & 0x7F]) + whole[1:]


def _authority(room: int | None) -> bytes:
    """basicConstraints of an authority, with room for so many certificates between."""
    limit = b"" if room is None else _integer(room)
    return _extension(_CONSTRAINTS, _der(0x30, _der(0x01, b"\xff"), limit), critical=True)


def _extension(oid: str, value: bytes, *, critical: bool = False) -> bytes:
    flag = _der(0x01, b"\xff") if critical else b""
    return _der(0x30, _oid(oid), flag, _der(0x04, value))


def _name(text: str) -> bytes:
    return _der(0x30, _der(0x31, _der(0x30, _oid(_COMMON_NAME), _der(0x0C, text.encode()))))


def _moment(at: datetime) -> bytes:
    return _der(0x17, f"{at:%y%m%d%H%M%S}Z".encode())


def _oid(hexadecimal: str) -> bytes:
    return _der(0x06, bytes.fromhex(hexadecimal))


def _integer(value: int) -> bytes:
    return _der(0x02, value.to_bytes(value.bit_length() // 8 + 1))


def _der(tag: int, *parts: bytes) -> bytes:
    content = b"".join(parts)
    length = len(content)
    if length < 0x80:
        return bytes([tag, length]) + content
    size = length.to_bytes((length.bit_length() + 7) // 8)
    return bytes([tag, 0x80 | len(size)]) + size + content
