"""Signs and verifies: ES256 with low-S, Ed25519, and compact JWS, strictly and without Django.

The module is pure so that a scanner can carry it; its errors are plain exceptions.
"""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

import jwt
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.utils import (
    decode_dss_signature,
    encode_dss_signature,
)
from jwt.algorithms import ECAlgorithm
from jwt.api_jws import PyJWS

from vpass.common.encodings import b64url_decode as b64url_decode
from vpass.common.encodings import b64url_encode as b64url_encode
from vpass.common.encodings import read_json_object

Algorithm = Literal["ES256", "Ed25519"]
P256Private = ec.EllipticCurvePrivateKey
P256Public = ec.EllipticCurvePublicKey
Ed25519Private = Ed25519PrivateKey
Ed25519Public = Ed25519PublicKey

MAX_TOKEN_CHARS = 8 * 1024

_P = 0xFFFFFFFF00000001000000000000000000000000FFFFFFFFFFFFFFFFFFFFFFFF
_N = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
_HALF_N = _N // 2
_PEM = serialization.Encoding.PEM
_DER = serialization.Encoding.DER
_ES256 = ec.ECDSA(hashes.SHA256())
_TOKEN = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+", re.ASCII)
# Headers which would move the choice of key or of meaning to the sender.
_REFUSED_HEADERS = frozenset({"crit", "jku", "x5u", "x5c", "x5t", "x5t#S256", "b64", "zip"})
_MAX_SECONDS = 1 << 40


class SignatureError(Exception):
    """A key or a signed text cannot be used; `reason` is a short constant word for programs."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class BadKey(SignatureError):
    """The key is malformed, of another kind, or not on its curve."""


class BadToken(SignatureError):
    """The signed token is malformed, forged, for somebody else, or out of its time."""


def generate_p256() -> P256Private:
    """A fresh P-256 private key."""
    return ec.generate_private_key(ec.SECP256R1())


def load_private(data: str | bytes) -> P256Private:
    """The P-256 private key in an unencrypted PEM or DER text; raises BadKey."""
    key = _load_any_private(data)
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
        raise BadKey("wrong_kind")
    return key


def private_der(key: P256Private | Ed25519Private) -> bytes:
    """The private key as unencrypted PKCS #8 DER, to be sealed before it is stored."""
    return key.private_bytes(_DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())


def private_pem(key: P256Private | Ed25519Private) -> str:
    """The private key as unencrypted PKCS #8 PEM."""
    pem = key.private_bytes(_PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return pem.decode("ascii")


def public_pem(public: P256Public | Ed25519Public) -> str:
    """The public key as SubjectPublicKeyInfo PEM."""
    pem = public.public_bytes(_PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return pem.decode("ascii")


def public_point(key: P256Private | P256Public) -> bytes:
    """The 33 bytes of the compressed public point (SEC 1 section 2.3.3)."""
    public = _public(key)
    form = serialization.PublicFormat.CompressedPoint
    return public.public_bytes(serialization.Encoding.X962, form)


def public_from_point(point: bytes) -> P256Public:
    """The public key of a 33-byte compressed point on P-256; raises BadKey."""
    if len(point) != 33 or point[0] not in (2, 3) or int.from_bytes(point[1:]) >= _P:
        raise BadKey("malformed")
    try:
        return ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), bytes(point))
    except ValueError as error:
        raise BadKey("not_on_curve") from error


def public_from_jwk(jwk: Mapping[str, Any]) -> P256Public:
    """The public key of a JWK with exactly kty, crv, x and y, on P-256; raises BadKey.

    Any other member is refused: a private `d` must never travel, and the rest would be ignored.
    """
    if not isinstance(jwk, Mapping) or set(jwk) != {"kty", "crv", "x", "y"}:
        raise BadKey("malformed")
    if jwk["kty"] != "EC" or jwk["crv"] != "P-256":
        raise BadKey("wrong_kind")
    try:
        octets = b64url_decode(jwk["x"]), b64url_decode(jwk["y"])
    except ValueError as error:
        raise BadKey("malformed") from error
    x, y = (int.from_bytes(coordinate) for coordinate in octets)
    if {len(coordinate) for coordinate in octets} != {32} or max(x, y) >= _P:
        raise BadKey("malformed")
    try:
        return ec.EllipticCurvePublicNumbers(x, y, ec.SECP256R1()).public_key()
    except ValueError as error:
        raise BadKey("not_on_curve") from error


def jwk_of(key: P256Private | P256Public) -> dict[str, str]:
    """The public JWK with exactly kty, crv, x and y."""
    public = _public(key)
    numbers = public.public_numbers()
    return {
        "kty": "EC",
        "crv": "P-256",
        "x": b64url_encode(numbers.x.to_bytes(32)),
        "y": b64url_encode(numbers.y.to_bytes(32)),
    }


def thumbprint(jwk: Mapping[str, Any]) -> str:
    """The base64url SHA-256 thumbprint of a public P-256 JWK (RFC 7638); raises BadKey."""
    public_from_jwk(jwk)
    members = {name: jwk[name] for name in ("crv", "kty", "x", "y")}
    text = json.dumps(members, separators=(",", ":"), sort_keys=True)
    return b64url_encode(hashlib.sha256(text.encode("ascii")).digest())


def es256_sign(private: P256Private, data: bytes) -> bytes:
    """The 64 bytes r||s over `data`, with s in the lower half of the group order."""
    r, s = decode_dss_signature(private.sign(data, _ES256))
    if s > _HALF_N:
        s = _N - s
    return r.to_bytes(32) + s.to_bytes(32)


def es256_verify(public: P256Public, data: bytes, signature: bytes) -> bool:
    """Whether the 64 bytes r||s sign `data`; a high s is refused: a signature has one form."""
    if len(signature) != 64 or not isinstance(public.curve, ec.SECP256R1):
        return False
    r, s = int.from_bytes(signature[:32]), int.from_bytes(signature[32:])
    if not (0 < r < _N and 0 < s <= _HALF_N):
        return False
    try:
        public.verify(encode_dss_signature(r, s), data, _ES256)
    except InvalidSignature:
        return False
    return True


def generate_ed25519() -> Ed25519Private:
    """A fresh Ed25519 private key."""
    return Ed25519PrivateKey.generate()


def load_ed25519_private(data: str | bytes) -> Ed25519Private:
    """The Ed25519 private key in an unencrypted PEM or DER text; raises BadKey."""
    key = _load_any_private(data)
    if not isinstance(key, Ed25519PrivateKey):
        raise BadKey("wrong_kind")
    return key


def load_public(data: str | bytes) -> P256Public | Ed25519Public:
    """The P-256 or Ed25519 public key in a SubjectPublicKeyInfo PEM or DER text; raises BadKey."""
    raw = data.encode("utf-8") if isinstance(data, str) else bytes(data)
    is_pem = raw.lstrip().startswith(b"-----")
    read = serialization.load_pem_public_key if is_pem else serialization.load_der_public_key
    try:
        key = read(raw)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise BadKey("malformed") from error
    if isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP256R1):
        return key
    if not isinstance(key, Ed25519PublicKey):
        raise BadKey("wrong_kind")
    return key


def ed25519_public_bytes(key: Ed25519Private | Ed25519Public) -> bytes:
    """The 32 raw bytes of the public key (RFC 8032)."""
    public = key.public_key() if isinstance(key, Ed25519PrivateKey) else key
    return public.public_bytes_raw()


def ed25519_from_bytes(data: bytes) -> Ed25519Public:
    """The public key of 32 raw bytes; raises BadKey."""
    try:
        return Ed25519PublicKey.from_public_bytes(bytes(data))
    except ValueError as error:
        raise BadKey("malformed") from error


def ed25519_sign(private: Ed25519Private, data: bytes) -> bytes:
    """The 64-byte signature over `data` (RFC 8032)."""
    return private.sign(data)


def ed25519_verify(public: Ed25519Public, data: bytes, signature: bytes) -> bool:
    """Whether `signature` signs `data`."""
    try:
        public.verify(signature, data)
    except InvalidSignature:
        return False
    return True


@dataclass(frozen=True)
class VerificationKey:
    """A public key with the one algorithm it may be used with."""

    algorithm: Algorithm
    public: P256Public | Ed25519Public

    @classmethod
    def from_bytes(cls, algorithm: str, data: bytes) -> "VerificationKey":
        """From the 33-byte point (ES256) or the 32 raw bytes (Ed25519); raises BadKey."""
        if algorithm == "ES256":
            return cls("ES256", public_from_point(data))
        if algorithm == "Ed25519":
            return cls("Ed25519", ed25519_from_bytes(data))
        raise BadKey("wrong_kind")

    def to_bytes(self) -> bytes:
        """The bytes which `from_bytes` reads."""
        if isinstance(self.public, Ed25519PublicKey):
            return ed25519_public_bytes(self.public)
        return public_point(self.public)

    def verify(self, data: bytes, signature: bytes) -> bool:
        """Whether `signature` signs `data` under this key and its own algorithm."""
        if self.algorithm == "ES256" and isinstance(self.public, ec.EllipticCurvePublicKey):
            return es256_verify(self.public, data, signature)
        if self.algorithm == "Ed25519" and isinstance(self.public, Ed25519PublicKey):
            return ed25519_verify(self.public, data, signature)
        return False


class _LowSES256(ECAlgorithm):
    """ES256 as this city signs it, in the place of PyJWT's own."""

    def __init__(self) -> None:
        super().__init__(ECAlgorithm.SHA256, ec.SECP256R1)

    def sign(self, msg: bytes, key: P256Private) -> bytes:
        return es256_sign(key, msg)

    def verify(self, msg: bytes, key: P256Private | P256Public, sig: bytes) -> bool:
        public = _public(key)
        return es256_verify(public, msg, sig)


_jws = PyJWS(algorithms=[])
_jws.register_algorithm("ES256", _LowSES256())


def encode_jws(
    claims: Mapping[str, Any],
    private: P256Private,
    *,
    typ: str,
    kid: str | None = None,
    jwk: Mapping[str, Any] | None = None,
) -> str:
    """The compact JWS of `claims` (JSON values), signed ES256; its header may carry kid and jwk."""
    offered = {"typ": typ, "kid": kid, "jwk": jwk}
    headers = {name: value for name, value in offered.items() if value is not None}
    payload = json.dumps(claims, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return _jws.encode(payload.encode("utf-8"), private, algorithm="ES256", headers=headers)


def jws_header(token: str) -> dict[str, Any]:
    """The header of a well-formed ES256 token, NOT verified: to find the key; raises BadToken."""
    return _parts(token)[0]


def jws_claims(token: str) -> dict[str, Any]:
    """The claims of a well-formed ES256 token, NOT verified: whom to lock; raises BadToken."""
    return _parts(token)[1]


def decode_jws(
    token: str,
    public: P256Public,
    *,
    typ: str,
    audience: str | None = None,
    at: datetime,
    leeway_s: int = 30,
    required: Sequence[str] = (),
) -> dict[str, Any]:
    """The claims of a compact JWS which `public` signed with ES256.

    Beyond PyJWT: canonical base64url and one JSON reading only, `typ` exact, low-S only, headers
    that name keys or extensions refused (RFC 8725 sections 3.1, 3.10, 3.11). exp, nbf and iat are
    whole seconds judged at `at` with `leeway_s`; those which must be there stand in `required`.
    With an `audience`, `aud` must be it or list it; without one a token with `aud` is refused.

    Raises BadToken with reason malformed, header_refused, algorithm_refused, typ_wrong,
    signature_invalid, claim_missing, claim_malformed, audience_wrong, expired or not_yet_valid.
    """
    header, claims = _parts(token)
    if header.get("typ") != typ:
        raise BadToken("typ_wrong")
    try:
        _jws.decode_complete(token, public, algorithms=["ES256"])
    except jwt.InvalidSignatureError as error:
        raise BadToken("signature_invalid") from error
    except jwt.PyJWTError as error:
        raise BadToken("malformed") from error
    for name in required:
        if claims.get(name) is None:
            raise BadToken("claim_missing")
    _judge_times(claims, at=at, leeway_s=leeway_s)
    _judge_audience(claims, audience=audience)
    return claims


def _judge_times(claims: Mapping[str, Any], *, at: datetime, leeway_s: int) -> None:
    moment = at.timestamp()
    for name in ("exp", "nbf", "iat"):
        if name not in claims:
            continue
        seconds = claims[name]
        if type(seconds) is not int or not 0 <= seconds < _MAX_SECONDS:
            raise BadToken("claim_malformed")
        if name == "exp" and moment >= seconds + leeway_s:
            raise BadToken("expired")
        if name != "exp" and moment < seconds - leeway_s:
            raise BadToken("not_yet_valid")


def _judge_audience(claims: Mapping[str, Any], *, audience: str | None) -> None:
    if "aud" not in claims and audience is None:
        return
    named = claims.get("aud")
    listed = named if isinstance(named, list) else [named]
    if audience is None or audience not in listed:
        raise BadToken("audience_wrong")


def _parts(token: str) -> tuple[dict[str, Any], dict[str, Any]]:
    if not isinstance(token, str) or len(token) > MAX_TOKEN_CHARS or not _TOKEN.fullmatch(token):
        raise BadToken("malformed")
    try:
        header_part, claims_part, signature_part = token.split(".")
        header = read_json_object(b64url_decode(header_part))
        claims = read_json_object(b64url_decode(claims_part))
        b64url_decode(signature_part)
    except ValueError as error:
        raise BadToken("malformed") from error
    if _REFUSED_HEADERS & header.keys():
        raise BadToken("header_refused")
    if header.get("alg") != "ES256":
        raise BadToken("algorithm_refused")
    if not isinstance(header.get("kid", ""), str) or not isinstance(header.get("jwk", {}), dict):
        raise BadToken("malformed")
    return header, claims


def _public(key: P256Private | P256Public) -> P256Public:
    return key.public_key() if isinstance(key, ec.EllipticCurvePrivateKey) else key


def _load_any_private(data: str | bytes) -> Any:
    raw = data.encode("utf-8") if isinstance(data, str) else bytes(data)
    is_pem = raw.lstrip().startswith(b"-----")
    read = serialization.load_pem_private_key if is_pem else serialization.load_der_private_key
    try:
        return read(raw, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise BadKey("malformed") from error
