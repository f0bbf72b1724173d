"""The web edge: what every endpoint inherits, so that it only has to parse, call and render.

class Scans(Endpoint):
    audience = Audience.TERMINAL

    @describes(request=ScanRequest, answers={200: ScanResult}, idempotent=True,
               problems=[codes.CodeExpired])
    def post(self, request: Request) -> Response:
        asked = self.read(ScanRequest)
        outcome = codes.redeem_code(
            caller=self.caller, **asked, idempotency=self.idempotency(), at=self.at
        )
        return Response(outcome.as_json())
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from functools import cached_property
from typing import Any, ClassVar, cast

from django.conf import settings
from django.db.models import QuerySet
from django.http import HttpRequest
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import MethodNotAllowed
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.parsers import BaseParser
from rest_framework.renderers import BaseRenderer, JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import Serializer
from rest_framework.views import APIView

from vpass.common import clock, http_signatures, policy, signing
from vpass.common.api import pages, parsing
from vpass.common.api.authentication import (
    DeskKeyAuthentication,
    KeyAuthentication,
    MachineAuthentication,
    MachineKeyAuthentication,
    ResidentAuthentication,
    StaffAuthentication,
)
from vpass.common.api.openapi import AudienceSchema, describes
from vpass.common.api.pages import PageQuery, page_serializer
from vpass.common.api.problems import render_exception
from vpass.common.api.serializers import QuerySerializer, StrictSerializer, read_into
from vpass.common.callers import Caller
from vpass.common.http_signatures import VerifiedSignature
from vpass.common.idempotency import IdempotencyKey, request_digest
from vpass.common.key_proofs import KeyProof
from vpass.common.policy import ADMISSIONS, Audience

__all__ = [
    "Audience",
    "Endpoint",
    "PageQuery",
    "QuerySerializer",
    "StrictSerializer",
    "describes",
    "page_serializer",
]

_AUTHENTICATION: dict[policy.Credential, list[type[BaseAuthentication]]] = {
    "none": [],
    "resident": [ResidentAuthentication],
    "staff": [StaffAuthentication],
    "machine": [MachineAuthentication],
}
_KEY_ALONE: dict[policy.Credential, list[type[BaseAuthentication]]] = {
    "resident": [KeyAuthentication],
    "staff": [DeskKeyAuthentication],
    "machine": [MachineKeyAuthentication],
}
_METHODS = ["get", "head", "post", "put", "patch", "delete"]


class OnlyJSON(BaseContentNegotiation):
    """Answers JSON whatever Accept says (RFC 9110 section 12.5.1 allows it): there is no other."""

    def select_parser(self, request: Request, parsers: Iterable[BaseParser]) -> BaseParser:
        """The one parser; it refuses another content type itself."""
        return next(iter(parsers))

    def select_renderer(
        self, request: Request, renderers: Iterable[BaseRenderer], format_suffix: str | None = None
    ) -> tuple[BaseRenderer, str]:
        """The one renderer."""
        renderer = next(iter(renderers))
        return renderer, renderer.media_type


class Endpoint(APIView):
    """One address of the API, for one audience.

    `audience` is required; how callers authenticate follows from it. `signed_in = False` is for
    phones, desks and machines on their way in: their key alone is proven (`self.proof`), no token
    or session is asked for. `level` is the least a resident must have; of `roles` staff need one.
    `max_bytes` caps the body. Every answer is JSON and says `Cache-Control: no-store`, unless a
    public one sets its own; unlisted methods, OPTIONS among them, are 405 before anything is looked
    up.
    """

    audience: ClassVar[Audience]
    signed_in: ClassVar[bool] = True
    level: ClassVar[int] = 0
    roles: ClassVar[frozenset[str]] = frozenset()
    max_bytes: ClassVar[int] = parsing.MAX_BODY_BYTES

    http_method_names = _METHODS
    parser_classes = [parsing.StrictJSONParser]
    renderer_classes = [JSONRenderer]
    content_negotiation_class = OnlyJSON
    permission_classes = ()
    throttle_classes = ()
    metadata_class = None
    versioning_class = None
    schema = AudienceSchema()

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if not isinstance(getattr(cls, "audience", None), Audience):
            raise TypeError(f"{cls.__qualname__}: an endpoint names its audience")
        credential = ADMISSIONS[cls.audience].credential
        brings_own = "authentication_classes" in cls.__dict__
        if credential == "own":
            if not cls.authentication_classes:
                raise TypeError(f"{cls.__qualname__}: this audience brings its authentication")
            return
        if brings_own:
            raise TypeError(f"{cls.__qualname__}: authentication follows from the audience")
        offered = _AUTHENTICATION if cls.signed_in else _KEY_ALONE
        if credential not in offered:
            raise TypeError(f"{cls.__qualname__}: {cls.audience} has no way in without signing in")
        cls.authentication_classes = offered[credential]

    # What a method works with

    @cached_property
    def at(self) -> datetime:
        """The one moment at which this request is judged and done."""
        return clock.now()

    @property
    def caller(self) -> Caller:
        """Who calls; on public endpoints a caller of the kind "public" without an id."""
        caller = self.request.user
        return caller if isinstance(caller, Caller) else Caller(kind="public", id="", key_id="")

    @property
    def proof(self) -> KeyProof:
        """The key the phone or desk has proven for this request."""
        if not isinstance(self.request.auth, KeyProof):
            raise TypeError(f"{type(self).__qualname__}: callers prove no key here")
        return self.request.auth

    def read(self, serializer: type[Serializer[Any]]) -> dict[str, Any]:
        """The validated body; raises BadRequest with `errors`, or MediaTypeRefused."""
        return read_into(serializer, self.request.data)

    def read_query(self, serializer: type[QuerySerializer]) -> dict[str, Any]:
        """The validated parameters of the URL; raises BadRequest with `errors`."""
        return read_into(serializer, self.request.query_params)

    def idempotency(self) -> IdempotencyKey:
        """Which request this is; raises KeyMissing or KeyInvalid."""
        request = self._http_request
        digest = request_digest(
            method=str(request.method), path=request.get_full_path(), body=request.body
        )
        key = request.headers.get("Idempotency-Key", "")
        return IdempotencyKey(caller=self.caller.scope, key=key, digest=digest)

    def page(
        self,
        rows: QuerySet[Any],
        *,
        render: Callable[[Any], Mapping[str, Any]],
        order: Sequence[str] = ("-at", "-id"),
        query: type[PageQuery] = PageQuery,
    ) -> Response:
        """One page of `rows` as {"items": [...], "next": cursor or null}: one SQL statement.

        `order` are model fields, unique together, all rising or all falling. The URL takes `limit`
        (1 to 100) and `cursor`, and what else `query` has.
        """
        salt = f"{type(self).__module__}.{type(self).__qualname__}:{self.caller.scope}"
        asked = pages.read_page_request(self.request.query_params, salt=salt, query=query)
        return Response(pages.cut_page(rows, asked=asked, order=order, render=render, salt=salt))

    # How a request passes

    @property
    def allowed_methods(self) -> list[str]:
        """The methods this address takes, for the header Allow."""
        return [name.upper() for name in self.http_method_names if hasattr(self, name)]

    @property
    def default_response_headers(self) -> dict[str, str]:
        """None: Allow belongs to a 405 only."""
        return {}

    def get_exception_handler(self) -> Callable[..., Response]:
        """Problems, whatever the settings say."""
        return render_exception

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Judge method and size before reading, then authenticate, then admit."""
        self.format_kwarg = None
        request.accepted_renderer, request.accepted_media_type = self.perform_content_negotiation(
            request
        )
        if request.method not in self.allowed_methods:
            raise MethodNotAllowed(str(request.method))
        parsing.judge_body(self._http_request, max_bytes=self.max_bytes)
        # Kept raw from the start: the digest of an idempotent request and the parser both want it.
        _ = self._http_request.body
        self.perform_authentication(request)
        if self.signed_in:
            caller = request.user if isinstance(request.user, Caller) else None
            policy.admit(caller, audience=self.audience, level=self.level, roles=self.roles)

    def finalize_response(
        self, request: Request, response: Response, *args: Any, **kwargs: Any
    ) -> Response:
        """Keep answers out of every cache, and sign those which are to be signed."""
        answer = super().finalize_response(request, response, *args, **kwargs)
        if self.audience is not Audience.PUBLIC or "Cache-Control" not in answer:
            answer["Cache-Control"] = "no-store"
        answer["X-Content-Type-Options"] = "nosniff"
        is_signed = ADMISSIONS[self.audience].answers_are_signed
        proven = getattr(request, "_auth", None)
        if is_signed and isinstance(answer, Response) and isinstance(proven, VerifiedSignature):
            answer.add_post_render_callback(lambda rendered: _sign(rendered, proven, at=self.at))
        return answer

    @property
    def _http_request(self) -> HttpRequest:
        return cast(HttpRequest, cast(Any, self.request)._request)


def _sign(answer: Any, asked: VerifiedSignature, *, at: datetime) -> None:
    headers = {"content-type": answer["Content-Type"]} if answer.content else {}
    added = http_signatures.sign_response(
        answer.status_code,
        headers,
        answer.content,
        request_signature=asked.signature,
        key_id=settings.SECRETS.machine_key_id,
        private=signing.load_ed25519_private(settings.SECRETS.machine_private_key_pem),
        algorithm="ed25519",
        at=at,
    )
    for name, value in added.items():
        answer[name] = value
