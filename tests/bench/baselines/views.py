"""The other sides of `redeem` and `tap`: trivial DRF views, authenticated the same way, that do one
durable insert.

Session and Desk-Proof, or the signature, are checked and used up exactly as at our edge.
"""

from django.db import connection
from rest_framework.parsers import JSONParser
from rest_framework.permissions import AllowAny
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from vpass.common.api.authentication import MachineAuthentication, StaffAuthentication

TABLE = "CREATE TABLE bench_insert (id bigint GENERATED ALWAYS AS IDENTITY, caller text, code text)"

SIGNED_TABLE = TABLE.replace("bench_insert", "bench_signed_insert")


class DurableInsert(APIView):
    """Keeps who sent which text."""

    authentication_classes = [StaffAuthentication]
    permission_classes = [AllowAny]
    parser_classes = [JSONParser]
    renderer_classes = [JSONRenderer]

    def post(self, request: Request) -> Response:
        """Insert one row, which commits at once."""
        with connection.cursor() as cursor:
            cursor.execute(
                "INSERT INTO bench_insert (caller, code) VALUES (%s, %s)",
                [request.user.scope, request.data["code"]],
            )
        return Response({"outcome": "inserted"})


class SignedInsert(APIView):
    """Keeps which machine sent which text."""

    authentication_classes = [MachineAuthentication]
    permission_classes = [AllowAny]
    parser_classes = [JSONParser]
    renderer_classes = [JSONRenderer]

    def post(self, request: Request) -> Response:
        """Insert one row, which commits at once."""
        with connection.cursor() as cursor:
            cursor.execute(
                "INSERT INTO bench_signed_insert (caller, code) VALUES (%s, %s)",
                [request.user.scope, request.data["code"]],
            )
        return Response({"outcome": "inserted"})
