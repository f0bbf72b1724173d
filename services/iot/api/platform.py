"""What an IoT platform may do: push what its devices say. docs/iot-protocol.md is its page."""

import time
from collections.abc import Callable
from typing import Any

from django.db import DatabaseError, InterfaceError
from django.http import HttpRequest, HttpResponse
from django.http.request import UnreadablePostError
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from prometheus_client import Counter
from rest_framework import serializers
from rest_framework.authentication import BaseAuthentication
from rest_framework.request import Request
from rest_framework.response import Response

from services.iot import intake, sources
from services.iot.api import examples
from vpass.common import clock
from vpass.common.api import Audience, Endpoint, StrictSerializer, describes
from vpass.common.api.parsing import MAX_BODY_BYTES
from vpass.common.api.problems import bad_request
from vpass.common.callers import Caller
from vpass.common.errors import NotAuthenticated
from vpass.common.observability import count_request, id_for, note_caller

PUSH = "/api/platform/v1/push/"
ROUTE = f"{PUSH.removeprefix('/')}<slug:source>/<slug:secret>"
_ANSWER = b'{"stored":true}'

_PUSHES = Counter("vpass_iot_pushes", "Pushes taken in by the short way, by source.", ["source"])


class SourceAuthentication(BaseAuthentication):
    """The secret of the source, which is a part of the address that the platform was given."""

    def authenticate(self, request: Request) -> tuple[Caller, None]:
        """The platform; raises NotAuthenticated for a wrong secret or an unknown source alike."""
        named = (request.parser_context or {})["kwargs"]
        if not sources.is_genuine(named["source"], named["secret"]):
            raise NotAuthenticated()
        caller = Caller(kind="platform", id=named["source"], key_id=named["source"])
        note_caller(caller.scope)
        return caller, None

    def authenticate_header(self, request: Request) -> str:
        """A challenge of our own: the address has to be the one that was given."""
        return 'Secret-Address realm="V Pass"'


class SourceScheme(OpenApiAuthenticationExtension):
    """How IoT platforms authenticate."""

    target_class = SourceAuthentication
    name = "platform"

    def get_security_definition(self, auto_schema: Any) -> dict[str, Any]:
        """The secret in the address, which OpenAPI can only describe as a key."""
        return {
            "type": "apiKey",
            "in": "query",
            "name": "secret",
            "description": "Not a query but the last part of the path: the secret of the source.",
        }


class PushedMessage(serializers.Serializer[Any]):
    """A push of the platform's dialect; anything else is taken in as well, and read by nobody."""

    notifyType = serializers.CharField()
    deviceId = serializers.CharField()
    gatewayId = serializers.CharField(required=False)
    requestId = serializers.CharField(required=False, allow_null=True)
    service = serializers.DictField(required=False, help_text="Of deviceDataChanged.")
    services = serializers.ListField(
        child=serializers.DictField(), required=False, help_text="Of deviceDatasChanged."
    )
    deviceInfo = serializers.DictField(required=False, help_text="Of deviceAdded and …InfoChanged.")


class PushTaken(StrictSerializer):
    stored = serializers.BooleanField(help_text="Always true: the message is durable.")


class Pushes(Endpoint):
    """What a platform pushes."""

    audience = Audience.PLATFORM
    authentication_classes = [SourceAuthentication]

    @describes(request=PushedMessage, answers={200: PushTaken}, examples=examples.PUSH)
    def post(self, request: Request, source: str, secret: str) -> Response:
        """Take a message in, whatever it says: it is durable once this is answered 200."""
        intake.store(source=source, body=self._http_request.body, at=self.at)
        return Response({"stored": True})


class PushDoor:
    """Middleware, the first of all: the short way in for pushes that are as they should be.

    A platform pushes a thousand times a second, and gives us up when we are slow. So a push with
    the right secret and a body of known, bounded length is stored and answered here, as `Pushes`
    would, without another look at it and a line in the log. Everything else takes the usual way,
    and is refused there.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if not request.path_info.startswith(PUSH) or not self._is_plain(request):
            return self.get_response(request)
        source, _, secret = request.path_info.removeprefix(PUSH).partition("/")
        if not sources.is_genuine(source, secret):
            return self.get_response(request)
        started = time.perf_counter()
        try:
            intake.store(source=source, body=request.body, at=clock.now())
        except UnreadablePostError:
            return bad_request(request)
        except (DatabaseError, InterfaceError):
            return self.get_response(request)
        _PUSHES.labels(source=source).inc()
        answer = HttpResponse(_ANSWER, content_type="application/json")
        answer["Content-Length"] = str(len(_ANSWER))
        answer["Cache-Control"] = "no-store"
        answer["X-Request-ID"] = id_for(request)
        seconds = time.perf_counter() - started
        count_request(route=ROUTE, method="POST", status=200, seconds=seconds)
        return answer

    @staticmethod
    def _is_plain(request: HttpRequest) -> bool:
        length = request.META.get("CONTENT_LENGTH") or ""
        return (
            request.method == "POST"
            and length.isdecimal()
            and len(length) < 9
            and int(length) <= MAX_BODY_BYTES
            and "HTTP_CONTENT_ENCODING" not in request.META
        )
