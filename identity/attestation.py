"""Tells keys that live in a phone's chip from others: by the maker's word, for our challenge.

A challenge is random, good for ten minutes, and known again by its own seal, so that a phone can
have one before it makes its key: many chips take it while the key is made. It serves one key: the
database keeps that.
"""

import base64
import binascii
import hmac
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache

from django.conf import settings

from vpass.common import certificates
from vpass.common.certificates import BadChain
from vpass.common.encodings import b64url_encode
from vpass.common.errors import DomainError
from vpass.common.sealed_fields import lookup_hash
from vpass.common.signing import BadKey, P256Public, load_public

CHALLENGE_LIFE = timedelta(minutes=10)

_RANDOM_BYTES, _TIME_BYTES, _SEAL_BYTES = 16, 6, 16
_PEM = re.compile(r"-----BEGIN PUBLIC KEY-----.+?-----END PUBLIC KEY-----", re.DOTALL)


class AttestationRefused(DomainError):
    """The proof that the key lives in the phone's chip is refused; each reason is a class."""

    code = "attestation.refused"
    status = 422
    title_zh = "硬件密钥证明未通过验证"


class AttestationMalformed(AttestationRefused):
    """This is not a chain of certificates as phones give."""

    code = "attestation.malformed"
    title_zh = "硬件密钥证明格式不正确"


class AttestationBroken(AttestationRefused):
    """A certificate of the chain is not signed by the next, or that one may not sign it."""

    code = "attestation.broken"
    title_zh = "硬件密钥证明的证书链无效"


class AttestationNotValidNow(AttestationRefused):
    """A certificate of the chain is not valid at this time."""

    code = "attestation.not_valid_now"
    title_zh = "硬件密钥证明的证书不在有效期内"


class AttestationRootUnknown(AttestationRefused):
    """The chain ends at a maker that this city does not know."""

    code = "attestation.root_unknown"
    title_zh = "硬件密钥证明的根证书不受信任"


class AttestationNotHardware(AttestationRefused):
    """The maker does not say that the phone's chip made this key, to sign with, and holds it."""

    code = "attestation.not_hardware"
    title_zh = "该密钥不在硬件安全模块中"


class AttestationOfOtherKey(AttestationRefused):
    """The chain vouches for another key than the phone's."""

    code = "attestation.other_key"
    title_zh = "硬件密钥证明与本机密钥不符"


class AttestationChallengeWrong(AttestationRefused):
    """The key was not made for a challenge of this city, or for one that has lapsed."""

    code = "attestation.challenge_wrong"
    title_zh = "硬件密钥证明的挑战值不正确或已过期"


class AttestationChallengeUsed(AttestationRefused):
    """Another key was made for this challenge."""

    code = "attestation.challenge_used"
    status = 409
    title_zh = "该挑战值已用于其他密钥"


REFUSALS = [*AttestationRefused.__subclasses__()]
_BY_REASON: dict[str, type[AttestationRefused]] = {
    "malformed": AttestationMalformed,
    "no_statement": AttestationMalformed,
    "broken": AttestationBroken,
    "not_valid_now": AttestationNotValidNow,
    "root_unknown": AttestationRootUnknown,
    "not_hardware": AttestationNotHardware,
}


@dataclass(frozen=True)
class Attested:
    """That a key lives in a chip: which root vouches, and the hash of the challenge it took."""

    root: str
    challenge_hash: bytes


def new_challenge(*, at: datetime) -> str:
    """Return a fresh challenge, base64url of 38 bytes: random (16), expiry (6), seal (16)."""
    expires_at = int((at + CHALLENGE_LIFE).timestamp())
    head = secrets.token_bytes(_RANDOM_BYTES) + expires_at.to_bytes(_TIME_BYTES)
    return b64url_encode(head + _seal(head))


def judge_chain(chain: Sequence[str] | None, *, point: bytes, at: datetime) -> Attested | None:
    """Return what a chain proves of the key at `point`; None without a chain.

    `chain` is base64 DER, the leaf first. Raises an AttestationRefused.
    """
    if chain is None:
        return None
    try:
        ders = [base64.b64decode(each, validate=True) for each in chain]
        vouched = certificates.read_chain(ders, roots=_roots(settings.ATTESTATION_ROOTS), at=at)
    except (binascii.Error, ValueError) as error:
        raise AttestationMalformed from error
    except BadChain as error:
        raise _BY_REASON[error.reason] from error
    if not hmac.compare_digest(vouched.point, point):
        raise AttestationOfOtherKey
    if not _is_ours(vouched.challenge, at=at):
        raise AttestationChallengeWrong
    hashed = lookup_hash("attestation-challenge", vouched.challenge.hex())
    return Attested(root=vouched.root, challenge_hash=hashed)


def _is_ours(challenge: bytes, *, at: datetime) -> bool:
    head, seal = challenge[:-_SEAL_BYTES], challenge[-_SEAL_BYTES:]
    if len(head) != _RANDOM_BYTES + _TIME_BYTES or not hmac.compare_digest(_seal(head), seal):
        return False
    return at.timestamp() < int.from_bytes(head[_RANDOM_BYTES:])


def _seal(head: bytes) -> bytes:
    return lookup_hash("attestation-challenge-seal", head.hex())[:_SEAL_BYTES]


@cache
def _roots(pems: str) -> dict[str, P256Public]:
    """The trusted roots of the settings: P-256 public keys in PEM, one after the other."""
    roots: dict[str, P256Public] = {}
    for pem in _PEM.findall(pems):
        public = load_public(pem)
        if not isinstance(public, P256Public):
            raise BadKey("wrong_kind")
        roots[certificates.root_name(public)] = public
    return roots
