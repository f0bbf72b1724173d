"""Describes the API in OpenAPI 3.1 from the endpoints themselves: audience, headers, problems."""

import re
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from django.utils.encoding import force_str
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.utils import OpenApiExample, OpenApiParameter
from rest_framework import serializers

from vpass.common import errors, http_signatures, idempotency, key_proofs, policy
from vpass.common.api import authentication, parsing, problems
from vpass.common.api.pages import PageQuery
from vpass.common.errors import DomainError
from vpass.common.policy import ADMISSIONS

Method = TypeVar("Method", bound=Callable[..., Any])
SerializerClass = type[serializers.Serializer[Any]]

_ALWAYS = [problems.ServerFault, problems.ServerBusy]
_WITH_BODY = [
    errors.BadRequest,
    parsing.TooLarge,
    parsing.MediaTypeRefused,
    parsing.LengthMissing,
]
_WITH_KEY = [
    idempotency.KeyMissing,
    idempotency.KeyInvalid,
    idempotency.KeyReused,
    idempotency.StillRunning,
]
_PROOF = [
    key_proofs.ProofMissing,
    key_proofs.ProofInvalid,
    key_proofs.ProofExpired,
    key_proofs.ProofReplayed,
]
_BY_CREDENTIAL: dict[policy.Credential, list[type[DomainError]]] = {
    "none": [],
    "own": [errors.NotAuthenticated, policy.AudienceWrong],
    "resident": [
        errors.NotAuthenticated, authentication.TokenUnknown, *_PROOF, policy.AudienceWrong,
    ],
    "staff": [
        errors.NotAuthenticated, authentication.TokenUnknown, *_PROOF, policy.AudienceWrong,
    ],
    "machine": [
        http_signatures.SignatureMissing,
        http_signatures.SignatureMalformed,
        http_signatures.SignatureIncomplete,
        http_signatures.SignatureExpired,
        http_signatures.SignatureClockWrong,
        http_signatures.SignatureKeyUnknown,
        http_signatures.SignatureAlgorithmRefused,
        http_signatures.SignatureInvalid,
        http_signatures.SignatureReplayed,
        http_signatures.DigestMissing,
        http_signatures.DigestWrong,
        policy.AudienceWrong,
    ],
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Description:
    """What `describes` says of one method."""

    request: SerializerClass | None = None
    query: SerializerClass | None = None
    answers: Mapping[Any, Any] = field(default_factory=dict)
    examples: Sequence[OpenApiExample] = ()
    problems: Sequence[type[DomainError]] = ()
    is_idempotent: bool = False


def describes(
    *,
    answers: Mapping[int, SerializerClass | None] | Mapping[tuple[int, str], Any],
    request: SerializerClass | None = None,
    query: SerializerClass | None = None,
    examples: Sequence[OpenApiExample] = (),
    problems: Sequence[type[DomainError]] = (),
    idempotent: bool = False,
    paged: bool = False,
) -> Callable[[Method], Method]:
    """Describe a method of an Endpoint for docs/openapi.json.

    `answers` has the serializer of each success by status, None for an empty one, or for an answer
    that is not JSON its OpenAPI type by status and media type. `problems` are
    those of this work; what the edge itself refuses is added. `idempotent` adds the header
    Idempotency-Key, `paged` the parameters `limit` and `cursor` (a `query` has them itself).
    """
    description = Description(
        request=request,
        query=query or (PageQuery if paged else None),
        answers=answers,
        examples=examples,
        problems=problems,
        is_idempotent=idempotent,
    )

    def attach(method: Method) -> Method:
        method.description = description  # type: ignore[attr-defined]
        return method

    return attach


class FieldError(serializers.Serializer[Any]):
    """What is wrong with one member of a request."""

    field = serializers.CharField(help_text='The member, as "a.b"; "" for the whole request.')
    code = serializers.CharField(
        help_text='E.g. "required", "unknown", "wrong_type", "max_length".'
    )


class Problem(serializers.Serializer[Any]):
    """Problem details (RFC 9457). Programs go by `code`; further members depend on it."""

    type = serializers.CharField(help_text="/problems#<code>")
    title = serializers.CharField(help_text="In English.")
    title_zh = serializers.CharField(help_text="In Chinese.")
    status = serializers.IntegerField()
    code = serializers.CharField(help_text="Stable.")
    detail = serializers.CharField(help_text="More on this case, for people.")
    request_id = serializers.CharField(help_text="Also in the header X-Request-ID.")
    errors = FieldError(many=True, required=False)  # type: ignore[assignment]


class AudienceSchema(AutoSchema):
    """Builds an operation from an Endpoint's audience and its methods' `describes`."""

    def get_operation_id(self) -> str:
        """E.g. terminal_scans_post: unique, since a class name is unique in its audience."""
        name = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", type(self.view).__name__).lower()
        return f"{self._audience}_{name}_{self.method.lower()}"

    def get_tags(self) -> list[str]:
        """The audience."""
        return [str(self._audience)]

    def get_request_serializer(self) -> Any:
        """The described request."""
        return self._described.request

    def get_response_serializers(self) -> Any:
        """The described successes."""
        return dict(self._described.answers)

    def get_examples(self) -> list[OpenApiExample]:
        """The described examples."""
        return list(self._described.examples)

    def get_override_parameters(self) -> list[Any]:
        """The headers that the audience has to send, and the described query."""
        found: list[Any] = [_header(*shown) for shown in self._headers()]
        if self._described.is_idempotent:
            found.append(_header("Idempotency-Key", "8 to 128 printable ASCII characters."))
        if self._described.query is not None:
            found.append(self._described.query)
        return found

    def _headers(self) -> list[tuple[str, str]]:
        credential = self._credential
        if credential == "resident":
            return [("DPoP", "A proof by the device's key, RFC 9449; docs/phone-proofs.md.")]
        if credential == "staff":
            return [("Desk-Proof", "A proof by the desk's key; docs/phone-proofs.md.")]
        if credential != "machine":
            return []
        shown = [
            ("Signature-Input", "RFC 9421, label vpass; docs/http-signatures.md."),
            ("Signature", "RFC 9421, label vpass."),
        ]
        if self.method in {"POST", "PUT", "PATCH"}:
            shown.append(("Content-Digest", "RFC 9530, sha-256 of the body."))
        return shown

    def _get_response_bodies(self, direction: Any = "response") -> Any:
        bodies = super()._get_response_bodies(direction)
        component = self.resolve_serializer(Problem, "response")
        for status, found in sorted(self._problems().items()):
            listed = "\n".join(f"* `{error.code}`: {error.title()}." for error in found)
            bodies[str(status)] = {
                "description": listed,
                "content": {problems.CONTENT_TYPE: {"schema": component.ref}},
            }
        return bodies

    def _problems(self) -> dict[int, list[type[DomainError]]]:
        described = self._described
        found: list[type[DomainError]] = [*described.problems, *_ALWAYS]
        found += _BY_CREDENTIAL[self._credential]
        if self._audience is policy.Audience.MERCHANT and getattr(self.view, "signed_in", True):
            found.append(policy.StoreClosed)
        if described.request is not None:
            found += _WITH_BODY
        if described.query is not None:
            found.append(errors.BadRequest)
        if described.is_idempotent:
            found += _WITH_KEY
        if getattr(self.view, "level", 0):
            found.append(policy.LevelTooLow)
        if getattr(self.view, "roles", None):
            found.append(policy.RoleMissing)
        by_status: dict[int, list[type[DomainError]]] = defaultdict(list)
        for error in sorted(set(found), key=lambda each: each.code):
            by_status[error.status].append(error)
        return by_status

    @property
    def _described(self) -> Description:
        method = getattr(self.view, self.method.lower(), None)
        described = getattr(method, "description", None)
        if isinstance(described, Description):
            return described
        raise TypeError(f"{type(self.view).__qualname__}.{self.method.lower()}: not described")

    @property
    def _audience(self) -> Any:
        return getattr(self.view, "audience", "")

    @property
    def _credential(self) -> policy.Credential:
        return ADMISSIONS[self._audience].credential


class ResidentScheme(OpenApiAuthenticationExtension):
    """How a resident's app authenticates."""

    target_class = "vpass.common.api.authentication.ResidentAuthentication"
    name = "resident"

    def get_security_definition(self, auto_schema: Any) -> dict[str, Any]:
        """An HTTP scheme of RFC 9449."""
        return {
            "type": "http",
            "scheme": "dpop",
            "description": "Access token bound to the device's key, with a proof in DPoP.",
        }


class StaffScheme(OpenApiAuthenticationExtension):
    """How staff authenticate."""

    target_class = "vpass.common.api.authentication.StaffAuthentication"
    name = "staff"

    def get_security_definition(self, auto_schema: Any) -> dict[str, Any]:
        """The session cookie; useless without a Desk-Proof."""
        return {
            "type": "apiKey",
            "in": "cookie",
            "name": "__Host-vpass-staff",
            "description": "Session at an enrolled desk, with a proof in Desk-Proof.",
        }


class MachineScheme(OpenApiAuthenticationExtension):
    """How machines authenticate."""

    target_class = "vpass.common.api.authentication.MachineAuthentication"
    name = "machine"

    def get_security_definition(self, auto_schema: Any) -> dict[str, Any]:
        """The signature header."""
        return {
            "type": "apiKey",
            "in": "header",
            "name": "Signature",
            "description": "HTTP message signature, RFC 9421; docs/http-signatures.md.",
        }


class MachineKeyScheme(OpenApiAuthenticationExtension):
    """How machines show a key that is not known yet."""

    target_class = "vpass.common.api.authentication.MachineKeyAuthentication"
    name = "key_signature"

    def get_security_definition(self, auto_schema: Any) -> dict[str, Any]:
        """The signature header; the key is in the body."""
        return {
            "type": "apiKey",
            "in": "header",
            "name": "Signature",
            "description": "RFC 9421, by the key whose public JWK is the body's member jwk.",
        }


class KeyScheme(OpenApiAuthenticationExtension):
    """How phones and desks show their key before they have a token or session."""

    target_class = "vpass.common.api.authentication.KeyAuthentication"
    match_subclasses = True

    def __init__(self, target: Any) -> None:
        super().__init__(target)
        self.name = "key_" + target.proof_header.lower().replace("-", "_")

    def get_security_definition(self, auto_schema: Any) -> dict[str, Any]:
        """The header with the proof."""
        return {
            "type": "apiKey",
            "in": "header",
            "name": force_str(self.target.proof_header),
            "description": "A proof by the key of the phone or desk; docs/phone-proofs.md.",
        }


def _header(name: str, description: str) -> OpenApiParameter:
    return OpenApiParameter(
        name=name,
        type=str,
        location=OpenApiParameter.HEADER,
        required=True,
        description=description,
    )
