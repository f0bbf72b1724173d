"""Checks that a phone or a desk holds its key: one DPoP proof a request (RFC 9449 section 4).

A proof is a JWS, typ "dpop+jwt", signed ES256 with low-S by the key whose public JWK stands in its
header. Claims: jti (16 to 64 characters, good once), htm (method), htu (URL without query), iat
(at most 60 s back, 5 s ahead) and, with a token, ath (base64url SHA-256 of the token). Phones send
it in the header DPoP, desks in Desk-Proof. docs/phone-proofs.md shows one byte by byte.
"""

import hashlib
import hmac
import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from vpass.common import limits, signing
from vpass.common.errors import NotAuthenticated
from vpass.common.signing import VerificationKey

MAX_AGE = timedelta(seconds=60)
MAX_AHEAD = timedelta(seconds=5)
PROOF_TYPE = "dpop+jwt"

_JTI = re.compile(r"[!#-\[\]-~]{16,64}")


class ProofMissing(NotAuthenticated):
    """The request carries no proof of the key."""

    code = "proof.missing"
    title_zh = "请求缺少密钥证明"


class ProofInvalid(NotAuthenticated):
    """The proof does not prove the key for this request."""

    code = "proof.invalid"
    title_zh = "密钥证明无效"


class ProofExpired(NotAuthenticated):
    """The proof is too old or from the future.

    The member `server_time` tells the right time, so that a phone can set its own and try again.
    """

    code = "proof.expired"
    title_zh = "密钥证明已过期或时钟不准，请校准时钟"


class ProofReplayed(NotAuthenticated):
    """The proof was used before."""

    code = "proof.replayed"
    title_zh = "密钥证明已被使用"


@dataclass(frozen=True, kw_only=True)
class KeyProof:
    """A key that was proven: its public JWK (kty, crv, x, y), RFC 7638 thumbprint and 33-byte
    compressed point."""

    jwk: dict[str, str]
    thumbprint: str
    point: bytes


@dataclass(frozen=True, kw_only=True)
class OfferedProof:
    """A well-formed proof whose signature has not been checked yet: see `prove_key`."""

    token: str
    jwk: dict[str, str]
    public: signing.P256Public


def read_proof(token: str) -> OfferedProof:
    """The proof in a DPoP or Desk-Proof header; raises ProofMissing or ProofInvalid."""
    if not token:
        raise ProofMissing()
    try:
        header = signing.jws_header(token)
        if header.keys() != {"typ", "alg", "jwk"} or header["typ"] != PROOF_TYPE:
            raise ProofInvalid("the header has exactly typ, alg and jwk")
        return OfferedProof(
            token=token, jwk=header["jwk"], public=signing.public_from_jwk(header["jwk"])
        )
    except signing.SignatureError as error:
        raise ProofInvalid(f"the proof cannot be read: {error.reason}") from error


def prove_key(
    offered: OfferedProof,
    *,
    method: str,
    url: str,
    at: datetime,
    access_token: str | None = None,
    bound_to: VerificationKey | None = None,
) -> KeyProof:
    """The key that `offered` proves for this one request; the proof is then used up.

    `url` has no query. `bound_to` is the key that the access or session token is bound to; without
    a token the proof must not name one. The use is one SQL statement in autocommit, so that it
    stays used when the work fails. Raises ProofInvalid, ProofExpired or ProofReplayed.
    """
    point = signing.public_point(offered.public)
    if bound_to is not None and bound_to.to_bytes() != point:
        raise ProofInvalid("another key is bound to this token")
    claims = _verified_claims(offered, at=at)
    if at.timestamp() - claims["iat"] > MAX_AGE.total_seconds():
        raise ProofExpired(server_time=_spoken(at))
    if claims["htm"] != method or claims["htu"] != url:
        raise ProofInvalid("the proof is for another method or URL")
    if not isinstance(claims["jti"], str) or not _JTI.fullmatch(claims["jti"]):
        raise ProofInvalid("jti is 16 to 64 printable characters")
    _judge_token_hash(claims.get("ath"), access_token=access_token)
    thumbprint = signing.thumbprint(offered.jwk)
    if not limits.spend_once(f"proof:{thumbprint}", claims["jti"], expires_at=at + 2 * MAX_AGE):
        raise ProofReplayed()
    return KeyProof(jwk=offered.jwk, thumbprint=thumbprint, point=point)


def token_hash(token: str) -> bytes:
    """The 32 bytes under which an access or session token is stored: its SHA-256."""
    return hashlib.sha256(token.encode("ascii")).digest()


def _verified_claims(offered: OfferedProof, *, at: datetime) -> dict[str, Any]:
    try:
        return signing.decode_jws(
            offered.token,
            offered.public,
            typ=PROOF_TYPE,
            at=at,
            leeway_s=int(MAX_AHEAD.total_seconds()),
            required=("jti", "htm", "htu", "iat"),
        )
    except signing.BadToken as error:
        if error.reason in {"expired", "not_yet_valid"}:
            raise ProofExpired(server_time=_spoken(at)) from error
        raise ProofInvalid(f"the proof is refused: {error.reason}") from error


def _spoken(at: datetime) -> str:
    return at.isoformat(timespec="milliseconds")


def _judge_token_hash(named: Any, *, access_token: str | None) -> None:
    if access_token is None:
        if named is not None:
            raise ProofInvalid("ath is given, but no token")
        return
    expected = signing.b64url_encode(token_hash(access_token))
    if not isinstance(named, str) or not hmac.compare_digest(named.encode(), expected.encode()):
        raise ProofInvalid("ath is not the hash of this token")
