"""Signs with P-256 through a library that V Pass does not use, in the forms its protocols want."""

import base64
import json
from collections.abc import Mapping
from typing import Any

from jwcrypto.jwa import JWA
from jwcrypto.jwk import JWK

_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


class SigningKey:
    """A P-256 private key."""

    def __init__(self, private_pem: bytes | None = None) -> None:
        """The key of a PEM, or a fresh one."""
        self._key = (
            JWK.generate(kty="EC", crv="P-256")
            if private_pem is None
            else JWK.from_pem(private_pem)
        )

    @property
    def point(self) -> bytes:
        """The 65 bytes of the uncompressed public point (SEC 1 section 2.3.3)."""
        public = self._key.export_public(as_dict=True)
        return b"\x04" + from_b64url(public["x"]) + from_b64url(public["y"])

    def sign(self, data: bytes) -> tuple[int, int]:
        """r and s over `data` (SHA-256), s in the lower half of the order."""
        raw: bytes = JWA.signing_alg("ES256").sign(self._key, data)
        r, s = int.from_bytes(raw[:32]), int.from_bytes(raw[32:])
        return r, min(s, _ORDER - s)

    def jws(self, header: Mapping[str, Any], claims: Mapping[str, Any]) -> str:
        """The compact JWS of the claims (RFC 7515)."""
        parts = [json.dumps(part, separators=(",", ":")).encode() for part in (header, claims)]
        signed = ".".join(b64url(part) for part in parts)
        r, s = self.sign(signed.encode())
        return f"{signed}.{b64url(r.to_bytes(32) + s.to_bytes(32))}"


def b64url(data: bytes) -> str:
    """Base64url without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def from_b64url(text: str) -> bytes:
    """The bytes of base64url without padding; raises ValueError."""
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
