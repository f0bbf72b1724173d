"""Authenticates callers at the edge: residents by DPoP, machines by RFC 9421, staff at their desk.

Each way costs two SQL statements: the resolver finds caller and key in one, and once the signature
is good its nonce is spent in another, in autocommit, so that it stays spent when the work fails.
Nothing else is looked up on the way. Every refusal is a 401 with a stable code.

No CSRF token is needed anywhere: the cookie of staff alone opens nothing. Each request also carries
a Desk-Proof, a header signed over method, URL and session by the key the desk's browser holds and
will not export; a foreign page can neither read nor make it, nor send such a header without CORS.
"""

import re
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, Literal, cast

from django.conf import settings
from django.http import HttpRequest
from django.utils.encoding import escape_uri_path
from rest_framework.authentication import BaseAuthentication
from rest_framework.request import Request

from vpass.common import callers, clock, http_signatures, key_proofs, limits, signing
from vpass.common.callers import Caller, KnownCaller
from vpass.common.encodings import read_json_object
from vpass.common.errors import NotAuthenticated
from vpass.common.http_signatures import Parts, SignatureReplayed, VerifiedSignature
from vpass.common.key_proofs import KeyProof
from vpass.common.observability import note_caller
from vpass.common.signing import VerificationKey

ProofHeader = Literal["DPoP", "Desk-Proof"]

_TOKEN = re.compile(r"[A-Za-z0-9._~+/-]{16,512}=*", re.ASCII)
_SIGNED_HEADERS = (
    "signature",
    "signature-input",
    "content-digest",
    "content-type",
    "idempotency-key",
)


class TokenUnknown(NotAuthenticated):
    """The token or session is not known or no longer valid."""

    code = "token.unknown"
    title_zh = "令牌或会话无效"


class ResidentAuthentication(BaseAuthentication):
    """Authorization: DPoP <access token>, and a DPoP proof by the device's key (RFC 9449)."""

    def authenticate(self, request: Request) -> tuple[Caller, KeyProof]:
        """The resident and the proven key; raises a NotAuthenticated."""
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if not scheme:
            raise NotAuthenticated()
        if scheme.lower() != "dpop" or not _TOKEN.fullmatch(token):
            raise NotAuthenticated("Authorization: DPoP and one access token")
        at = moment_of(request)
        offered = key_proofs.read_proof(request.headers.get("DPoP", ""))
        known = callers.find_resident(key_proofs.token_hash(token), at)
        return _prove(request, offered, known, token=token, at=at)

    def authenticate_header(self, request: Request) -> str:
        """The challenge of RFC 9449 section 5.1."""
        return 'DPoP algs="ES256"'


class StaffAuthentication(BaseAuthentication):
    """The session cookie of a member of staff, and a Desk-Proof by the key of the desk."""

    def authenticate(self, request: Request) -> tuple[Caller, KeyProof]:
        """The member of staff and the proven key of the desk; raises a NotAuthenticated."""
        token = request.COOKIES.get(staff_cookie_name(), "")
        if not _TOKEN.fullmatch(token):
            raise NotAuthenticated()
        at = moment_of(request)
        offered = key_proofs.read_proof(request.headers.get("Desk-Proof", ""))
        known = callers.find_staff(key_proofs.token_hash(token), at)
        return _prove(request, offered, known, token=token, at=at)

    def authenticate_header(self, request: Request) -> str:
        """A challenge of our own: a session at an enrolled desk."""
        return 'Desk-Proof realm="V Pass", algs="ES256"'


class KeyAuthentication(BaseAuthentication):
    """A proof by a key and nothing else, for phones and desks on their way in."""

    proof_header: ProofHeader = "DPoP"

    def authenticate(self, request: Request) -> tuple[Caller, KeyProof]:
        """A caller of the kind "key", whose id is the thumbprint, and the key itself."""
        proof = device_proof(request, moment_of(request), header=self.proof_header)
        caller = Caller(kind="key", id=proof.thumbprint, key_id=proof.thumbprint)
        note_caller(caller.scope)
        return caller, proof

    def authenticate_header(self, request: Request) -> str:
        """The challenge: which header carries the proof."""
        return f'{self.proof_header} algs="ES256"'


class DeskKeyAuthentication(KeyAuthentication):
    """The same, with the proof in Desk-Proof."""

    proof_header = "Desk-Proof"


class MachineAuthentication(BaseAuthentication):
    """An HTTP message signature (RFC 9421) by the key of a terminal, partner or department."""

    def authenticate(self, request: Request) -> tuple[Caller, VerifiedSignature]:
        """The machine and its verified signature; raises a SignatureRefused."""
        at = moment_of(request)
        found: list[Caller] = []

        def find_key(key_id: str) -> VerificationKey | None:
            known = callers.find_machine(key_id, at)
            if known is None:
                return None
            found.append(known.caller)
            return known.key

        signature = _verified(request, find_key=find_key, at=at)
        note_caller(found[0].scope)
        return found[0], signature

    def authenticate_header(self, request: Request) -> str:
        """A challenge which names what has to be signed."""
        return 'Signature realm="V Pass", label="vpass", algs="ed25519 ecdsa-p256-sha256"'


class MachineKeyAuthentication(BaseAuthentication):
    """A signature (RFC 9421) by a P-256 key nobody knows yet, for machines on their way in.

    The public JWK stands in the body's member `jwk`, and its thumbprint is the `keyid`.
    """

    def authenticate(self, request: Request) -> tuple[Caller, KeyProof]:
        """A caller of the kind "key", whose id is the thumbprint, and the key itself."""
        found: list[KeyProof] = []

        def find_key(key_id: str) -> VerificationKey | None:
            try:
                jwk = read_json_object(_http_request(request).body)["jwk"]
                public = signing.public_from_jwk(jwk if isinstance(jwk, dict) else {})
            except (ValueError, KeyError, signing.BadKey):
                return None
            offered = KeyProof(
                jwk=jwk, thumbprint=signing.thumbprint(jwk), point=signing.public_point(public)
            )
            if offered.thumbprint != key_id:
                return None
            found.append(offered)
            return VerificationKey("ES256", public)

        _verified(request, find_key=find_key, at=moment_of(request))
        (proof,) = found
        caller = Caller(kind="key", id=proof.thumbprint, key_id=proof.thumbprint)
        note_caller(caller.scope)
        return caller, proof

    def authenticate_header(self, request: Request) -> str:
        """The challenge of machines."""
        return MachineAuthentication().authenticate_header(request)


def device_proof(request: Request, at: datetime, *, header: ProofHeader = "DPoP") -> KeyProof:
    """The key that the proof in `header` proves for this request, without any token.

    Costs one SQL statement, which uses the proof up. Raises ProofMissing, ProofInvalid,
    ProofExpired or ProofReplayed.
    """
    offered = key_proofs.read_proof(request.headers.get(header, ""))
    return key_proofs.prove_key(offered, method=_method(request), url=_url(request), at=at)


def staff_cookie_name() -> str:
    """The name of the session cookie of staff: bound to this host alone where there is https."""
    return "__Host-vpass-staff" if settings.PUBLIC_URL.startswith("https://") else "vpass-staff"


def moment_of(request: Request) -> datetime:
    """The one moment at which this request is judged."""
    view = (request.parser_context or {}).get("view")
    at = getattr(view, "at", None)
    return at if isinstance(at, datetime) else clock.now()


def target_uri(request: Request) -> str:
    """The absolute URL with query as the caller signed it: our own public name, never Host."""
    query = request.META.get("QUERY_STRING", "")
    return f"{_url(request)}?{query}" if query else _url(request)


def _prove(
    request: Request,
    offered: key_proofs.OfferedProof,
    known: KnownCaller | None,
    *,
    token: str,
    at: datetime,
) -> tuple[Caller, KeyProof]:
    if known is None:
        raise TokenUnknown()
    proof = key_proofs.prove_key(
        offered,
        method=_method(request),
        url=_url(request),
        at=at,
        access_token=token,
        bound_to=known.key,
    )
    note_caller(known.caller.scope)
    return known.caller, proof


def _verified(
    request: Request, *, find_key: Callable[[str], VerificationKey | None], at: datetime
) -> VerifiedSignature:
    signature = http_signatures.verify_request(_parts(request), find_key=find_key, at=at)
    is_first = limits.spend_once(
        f"signature:{signature.key_id}",
        signature.nonce,
        expires_at=signature.created + http_signatures.MAX_AGE + timedelta(seconds=60),
    )
    if not is_first:
        raise SignatureReplayed()
    return signature


def _url(request: Request) -> str:
    return f"{settings.PUBLIC_URL}{escape_uri_path(request.path)}"


def _method(request: Request) -> str:
    return str(request.method)


def _http_request(request: Request) -> HttpRequest:
    return cast(HttpRequest, cast(Any, request)._request)


def _parts(request: Request) -> Parts:
    http_request = _http_request(request)
    headers = {
        name: value.strip(" \t")
        for name in _SIGNED_HEADERS
        if (value := http_request.headers.get(name))
    }
    return Parts(
        method=_method(request),
        target_uri=target_uri(request),
        headers=headers,
        body=http_request.body,
    )
