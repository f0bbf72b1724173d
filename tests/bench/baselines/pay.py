"""The other side of `pay`: the smallest view that writes what a payment writes in the ledger.

The till's signature is verified and its nonce used up exactly as at our edge. No code is read, no
order, answer or event is kept, and nobody's state is looked at. It runs as the tables' owner.
"""

import uuid

from django.db import connection, transaction
from rest_framework.parsers import JSONParser
from rest_framework.permissions import AllowAny
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from vpass.common import clock
from vpass.common.api.authentication import MachineAuthentication


class BarePayment(APIView):
    """Moves an amount between two accounts that the body names."""

    authentication_classes = [MachineAuthentication]
    permission_classes = [AllowAny]
    parser_classes = [JSONParser]
    renderer_classes = [JSONRenderer]

    def post(self, request: Request) -> Response:
        """Insert a transaction and its posting, and update two balances, all at once."""
        asked, at = request.data, clock.now()
        debit, credit, fen = asked["debit"], asked["credit"], asked["amount_fen"]
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(
                "INSERT INTO payments_transaction"
                " (kind, caller, key, order_id, business_date, window_id, event_at, at)"
                " SELECT 'payment', 'bench', %s, %s, %s, id, %s, %s FROM payments_window"
                " WHERE state = 'open' RETURNING id",
                [asked["merchant_reference"], uuid.uuid4(), clock.city_date(at), at, at],
            )
            cursor.execute(
                "INSERT INTO payments_posting (transaction_id, seq, debit_id, credit_id,"
                " amount_fen) VALUES (%s, 1, %s, %s, %s)",
                [cursor.fetchone()[0], debit, credit, fen],
            )
            for account, change in ((debit, -fen), (credit, fen)):
                cursor.execute(
                    "UPDATE payments_balance SET posted_fen = posted_fen + %s"
                    " WHERE account_id = %s",
                    [change, account],
                )
        return Response({"state": "captured"})
