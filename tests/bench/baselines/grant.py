"""The other side of `grant`: a trivial DRF view, authenticated as ours is, that verifies what the
phone signed, signs once, and keeps that with one durable insert."""

from django.db import connection
from rest_framework.parsers import JSONParser
from rest_framework.permissions import AllowAny
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from vpass.common import signing
from vpass.common.api.authentication import ResidentAuthentication
from vpass.common.encodings import b64url_decode, b64url_encode

TABLE = (
    "CREATE TABLE bench_grant (id bigint GENERATED ALWAYS AS IDENTITY, caller text, signed bytea)"
)

_CITY = signing.generate_p256()


class BareGrant(APIView):
    """Signs what a phone has signed."""

    authentication_classes = [ResidentAuthentication]
    permission_classes = [AllowAny]
    parser_classes = [JSONParser]
    renderer_classes = [JSONRenderer]

    def post(self, request: Request) -> Response:
        """Verify, sign, and insert one row, which commits at once."""
        message, _, signature = request.data["request"].rpartition(".")
        public = signing.public_from_point(request.auth.point)
        if not signing.es256_verify(public, message.encode(), b64url_decode(signature)):
            return Response(status=422)
        signed = signing.es256_sign(_CITY, message.encode())
        with connection.cursor() as cursor:
            cursor.execute(
                "INSERT INTO bench_grant (caller, signed) VALUES (%s, %s)",
                [request.user.scope, signed],
            )
        return Response({"grant": b64url_encode(signed)}, status=201)
