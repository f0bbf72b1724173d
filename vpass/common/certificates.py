"""Judges certificate chains by which the maker of a phone's chip vouches for a key in it.

Pure like `signing`: no Django. Of X.509 (RFC 5280) only what such chains need is accepted: P-256
and ECDSA with SHA-256 throughout, each certificate signed by the next, the last by a known root.
The leaf carries the maker's statement as published for Android phones (OID below): security level,
the challenge for which the key was made, and that the chip itself made it, to sign with.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from itertools import pairwise

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.utils import CryptographyDeprecationWarning

from vpass.common.signing import P256Public, SignatureError, public_point

STATEMENT = x509.ObjectIdentifier("1.3.6.1.4.1.11129.2.1.17")
MAX_CERTIFICATES = 5
MAX_CERTIFICATE_BYTES = 4096
# What the statement calls a key outside, inside, and in a chip of its own: all but the first count.
SOFTWARE = 0
SECURITY_LEVELS = (1, 2)
# Of what the chip enforces: `purpose` [1] SET OF INTEGER, and `origin` [702] INTEGER. A key that
# was made elsewhere and brought in has another origin: whoever brought it may have it still.
PURPOSE, ORIGIN = b"\xa1", b"\xbf\x85\x3e"
SIGN, GENERATED = b"\x02", b"\x00"

# What the library says of bytes that are no certificate, or a bad one; the last is a word of
# warning, raised where warnings are errors.
_UNREADABLE = (
    ValueError,
    TypeError,
    UnsupportedAlgorithm,
    x509.InvalidVersion,
    x509.DuplicateExtension,
    CryptographyDeprecationWarning,
)
_ES256 = ec.ECDSA(hashes.SHA256())
_READ = frozenset({x509.BasicConstraints.oid, x509.KeyUsage.oid, STATEMENT})
_SEQUENCE, _SET, _INTEGER, _ENUMERATED, _OCTETS = 0x30, 0x31, 0x02, 0x0A, 0x04


class BadChain(SignatureError):
    """The chain does not vouch for a key.

    `reason` is malformed, broken, not_valid_now, root_unknown, not_hardware or no_statement.
    """


@dataclass(frozen=True)
class Vouched:
    """The key a chain vouches for: its 33-byte point, the challenge, the name of the root."""

    point: bytes
    challenge: bytes
    root: str


def root_name(public: P256Public) -> str:
    """The SHA-256 of a root's public key (its SubjectPublicKeyInfo), in hex."""
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return sha256(public.public_bytes(serialization.Encoding.DER, form)).hexdigest()


def read_chain(chain: Sequence[bytes], *, roots: Mapping[str, P256Public], at: datetime) -> Vouched:
    """What a chain of DER certificates, the leaf first, says of the leaf's key; raises BadChain.

    `roots` are the trusted public keys by their `root_name`. A root's own certificate may stand at
    the end; it is judged like the others.
    """
    if not 1 <= len(chain) <= MAX_CERTIFICATES:
        raise BadChain("malformed")
    try:
        return _read_chain(chain, roots=roots, at=at)
    except _UNREADABLE as error:
        # The library reads some parts only when they are asked for.
        raise BadChain("malformed") from error


def _read_chain(
    chain: Sequence[bytes], *, roots: Mapping[str, P256Public], at: datetime
) -> Vouched:
    certificates = [_read(data) for data in chain]
    for certificate in certificates:
        if not certificate.not_valid_before_utc <= at <= certificate.not_valid_after_utc:
            raise BadChain("not_valid_now")
    root = _signer_of(certificates[-1], roots)
    for below, (certificate, issuer) in enumerate(pairwise(certificates)):
        _judge_issuer(certificate, issuer, below=below)
    leaf = certificates[0]
    _judge_leaf(leaf)
    level, challenge, enforced = _read_statement(leaf)
    if level not in SECURITY_LEVELS or not _is_made_to_sign(enforced):
        raise BadChain("not_hardware")
    return Vouched(point=public_point(_key(leaf)), challenge=challenge, root=root)


def _read(data: bytes) -> x509.Certificate:
    if not 0 < len(data) <= MAX_CERTIFICATE_BYTES:
        raise BadChain("malformed")
    certificate = x509.load_der_x509_certificate(data)
    is_v3 = certificate.version is x509.Version.v3 and certificate.serial_number > 0
    algorithm = certificate.signature_hash_algorithm
    critical = {each.oid for each in certificate.extensions if each.critical}
    if not is_v3 or not isinstance(algorithm, hashes.SHA256) or critical - _READ:
        raise BadChain("malformed")
    # One reading of the bytes: what is kept or compared later is what was signed.
    if certificate.public_bytes(serialization.Encoding.DER) != data:
        raise BadChain("malformed")
    return certificate


def _key(certificate: x509.Certificate) -> P256Public:
    key = certificate.public_key()
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise BadChain("malformed")
    return key


def _signer_of(certificate: x509.Certificate, roots: Mapping[str, P256Public]) -> str:
    for name, public in roots.items():
        if _is_signed(certificate, public):
            return name
    raise BadChain("root_unknown")


def _is_signed(certificate: x509.Certificate, public: P256Public) -> bool:
    try:
        public.verify(certificate.signature, certificate.tbs_certificate_bytes, _ES256)
    except InvalidSignature:
        return False
    return True


def _judge_issuer(certificate: x509.Certificate, issuer: x509.Certificate, *, below: int) -> None:
    """The issuer signed the certificate, and may: RFC 5280 sections 4.2.1.3, 4.2.1.9, 6.1.4.

    `below` counts the certificates between the leaf and this issuer.
    """
    if certificate.issuer != issuer.subject or not _is_signed(certificate, _key(issuer)):
        raise BadChain("broken")
    constraints, usage = _constraints(issuer), _usage(issuer)
    if constraints is None or not constraints.ca or usage is None or not usage.key_cert_sign:
        raise BadChain("broken")
    if constraints.path_length is not None and below > constraints.path_length:
        raise BadChain("broken")


def _judge_leaf(leaf: x509.Certificate) -> None:
    constraints, usage = _constraints(leaf), _usage(leaf)
    if constraints is not None and constraints.ca:
        raise BadChain("broken")
    if usage is None or not usage.digital_signature or usage.key_cert_sign:
        raise BadChain("broken")


def _constraints(certificate: x509.Certificate) -> x509.BasicConstraints | None:
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value
    except x509.ExtensionNotFound:
        return None


def _usage(certificate: x509.Certificate) -> x509.KeyUsage | None:
    try:
        return certificate.extensions.get_extension_for_class(x509.KeyUsage).value
    except x509.ExtensionNotFound:
        return None


def _read_statement(leaf: x509.Certificate) -> tuple[int, bytes, bytes]:
    """The lower of the two security levels, the challenge, and what the chip enforces.

    SEQUENCE { version INTEGER, level ENUMERATED, version INTEGER, level ENUMERATED, challenge
    OCTET STRING, uniqueId OCTET STRING, two SEQUENCEs of what the key may do: as the phone's
    system enforces it, and as the chip does }.
    """
    try:
        extension = leaf.extensions.get_extension_for_oid(STATEMENT).value
    except x509.ExtensionNotFound as error:
        raise BadChain("no_statement") from error
    if not isinstance(extension, x509.UnrecognizedExtension):
        raise BadChain("malformed")
    whole, rest = _element(extension.value, _SEQUENCE)
    _, inner = _element(whole, _INTEGER)
    level, inner = _element(inner, _ENUMERATED)
    _, inner = _element(inner, _INTEGER)
    chip_level, inner = _element(inner, _ENUMERATED)
    challenge, inner = _element(inner, _OCTETS)
    _, inner = _element(inner, _OCTETS)
    _, inner = _element(inner, _SEQUENCE)
    enforced, inner = _element(inner, _SEQUENCE)
    if rest or inner or len(level) != 1 or len(chip_level) != 1:
        raise BadChain("malformed")
    return min(level[0], chip_level[0]), challenge, enforced


def _is_made_to_sign(enforced: bytes) -> bool:
    """Whether the chip says that it made the key itself, and that the key may sign."""
    said: dict[bytes, bytes] = {}
    while enforced:
        tag = _tag(enforced)
        content, enforced = _after(enforced, tag)
        if tag in said:
            raise BadChain("malformed")
        said[tag] = content
    if PURPOSE not in said or ORIGIN not in said:
        return False
    origin, beyond = _element(said[ORIGIN], _INTEGER)
    purposes, rest = _element(said[PURPOSE], _SET)
    found = set()
    while purposes:
        purpose, purposes = _element(purposes, _INTEGER)
        found.add(purpose)
    if beyond or rest:
        raise BadChain("malformed")
    return origin == GENERATED and SIGN in found


def _tag(data: bytes) -> bytes:
    """The bytes of the tag at the beginning; a number from 31 on takes more than one (X.690)."""
    if data[0] & 0x1F != 0x1F:
        return data[:1]
    for end in range(1, min(len(data), 4)):
        if data[end] < 0x80:
            return data[: end + 1]
    raise BadChain("malformed")


def _element(data: bytes, tag: int) -> tuple[bytes, bytes]:
    """The content of the DER element of this tag at the beginning, and what follows it."""
    return _after(data, bytes([tag]))


def _after(data: bytes, tag: bytes) -> tuple[bytes, bytes]:
    start = len(tag) + 1
    if len(data) < start or not data.startswith(tag):
        raise BadChain("malformed")
    length = data[start - 1]
    if length >= 0x80:
        count = length - 0x80
        if count not in (1, 2):
            raise BadChain("malformed")
        length, start = int.from_bytes(data[start : start + count]), start + count
        if length < 0x80 or length < 1 << 8 * (count - 1):
            raise BadChain("malformed")
    if len(data) < start + length:
        raise BadChain("malformed")
    return data[start : start + length], data[start + length :]
