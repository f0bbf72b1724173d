"""What an IoT platform may do: push what its devices say. docs/iot-protocol.md is its page."""

from typing import Any

from drf_spectacular.extensions import OpenApiAuthenticationExtension
from rest_framework import serializers
from rest_framework.authentication import BaseAuthentication
from rest_framework.request import Request
from rest_framework.response import Response

from services.iot import intake, sources
from services.iot.api import examples
from vpass.common.api import Audience, Endpoint, StrictSerializer, describes
from vpass.common.callers import Caller
from vpass.common.errors import BadRequest, NotAuthenticated
from vpass.common.observability import note_caller


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
        body = self._http_request.body
        if len(body) != int(self._http_request.META.get("CONTENT_LENGTH") or 0):
            raise BadRequest  # the sender went away
        intake.store(source=source, body=body, at=self.at)
        return Response({"stored": True})
