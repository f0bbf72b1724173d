"""The other side of `redeem`: a trivial DRF view, authenticated the same way, one durable insert.

Session and Desk-Proof are checked and the proof is used up exactly as at a counter.
"""

from django.db import connection
from rest_framework.parsers import JSONParser
from rest_framework.permissions import AllowAny
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from vpass.common.api.authentication import StaffAuthentication

TABLE = "CREATE TABLE bench_insert (id bigint GENERATED ALWAYS AS IDENTITY, caller text, code text)"


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
