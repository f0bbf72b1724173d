"""What anybody may ask about a receipt: whether the city has given it, and for what."""

from typing import Any

from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from payments import bill_receipts
from payments.api import bill_examples as examples
from payments.bill_receipts import Checked
from vpass.common.api import Audience, Endpoint, StrictSerializer, describes
from vpass.common.errors import NotFound
from vpass.common.limits import LimitReached


class ReceiptBiller(StrictSerializer):
    zh = serializers.CharField()
    en = serializers.CharField()


class ReceiptChecked(StrictSerializer):
    receipt_code = serializers.CharField()
    amount_fen = serializers.IntegerField()
    refunded_fen = serializers.IntegerField(help_text="What has gone back since.")
    biller = ReceiptBiller()
    paid_on = serializers.DateField()


class ReceiptCheckRequest(StrictSerializer):
    content = serializers.CharField(
        max_length=6_000,
        trim_whitespace=False,
        help_text="The signed text, as in the PDF's Subject.",
    )
    signature = serializers.CharField(max_length=600, help_text="As in the PDF's Keywords.")


class Receipts(Endpoint):
    """A receipt, by its verification code."""

    audience = Audience.PUBLIC

    @describes(
        answers={200: ReceiptChecked}, problems=[NotFound, LimitReached], examples=examples.CHECKED
    )
    def get(self, request: Request, code: str) -> Response:
        """Say what it was given for, without any name."""
        found = bill_receipts.check_code(code=code, asker=_asker(request), at=self.at)
        return Response(_checked(found))


class ReceiptChecks(Endpoint):
    """A receipt, by its content and signature."""

    audience = Audience.PUBLIC

    @describes(
        request=ReceiptCheckRequest,
        answers={200: ReceiptChecked},
        problems=[bill_receipts.ReceiptNotGenuine, LimitReached],
        examples=examples.CHECK,
    )
    def post(self, request: Request) -> Response:
        """Check the city's signature over the content, whichever of its keys made it."""
        found = bill_receipts.check_content(
            asker=_asker(request), at=self.at, **self.read(ReceiptCheckRequest)
        )
        return Response(_checked(found))


def _asker(request: Request) -> str:
    return str(request.META.get("REMOTE_ADDR") or "")


def _checked(found: Checked) -> dict[str, Any]:
    return {
        "receipt_code": found.code,
        "amount_fen": found.amount_fen,
        "refunded_fen": found.refunded_fen,
        "biller": {"zh": found.biller_zh, "en": found.biller_en},
        "paid_on": found.paid_on,
    }
