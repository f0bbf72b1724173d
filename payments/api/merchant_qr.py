"""What a merchant's till or server may ask to be paid without scanning: QRs, links, app orders."""

from base64 import b64encode
from typing import Any
from uuid import UUID

from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from payments import merchants, orders, payer_handles, qr_payments
from payments.api import paying_examples as examples
from payments.api.merchant import PaymentShown
from payments.models import MerchantQr
from vpass.common.api import Audience, Endpoint, StrictSerializer, describes
from vpass.common.errors import NotAllowed, NotFound

_REFERENCE = r"^[0-9A-Za-z._-]{1,64}\Z"


class MerchantQrRequest(StrictSerializer):
    form = serializers.ChoiceField(
        choices=MerchantQr.Kind.choices,
        help_text="static: printed, the payer gives the amount; dynamic: a till's, for one amount; "
        "link: an address to follow from a merchant's own app or page.",
    )
    title = serializers.CharField(max_length=100, help_text="What it is for; the payer reads it.")
    amount_fen = serializers.IntegerField(
        min_value=1, max_value=orders.MAX_PAYMENT_FEN, required=False
    )
    merchant_reference = serializers.RegexField(
        _REFERENCE,
        max_length=64,
        required=False,
        help_text="With an amount: once for ever. For dynamic at most 25 capitals, digits, . and -",
    )


class MerchantQrMade(StrictSerializer):
    id = serializers.UUIDField()
    form = serializers.CharField()
    text = serializers.CharField(help_text="Of the QR (docs/merchant-qr.md), or the address.")
    title = serializers.CharField()
    amount_fen = serializers.IntegerField(allow_null=True)
    merchant_reference = serializers.CharField(allow_null=True)
    expires_at = serializers.DateTimeField(
        allow_null=True,
        help_text="Two minutes on for dynamic, 15 for a link; null: when withdrawn.",
    )


class MerchantQrStanding(StrictSerializer):
    id = serializers.UUIDField()
    form = serializers.CharField()
    is_over = serializers.BooleanField(help_text="Nobody can begin a payment with it any more.")
    picture_png = serializers.CharField(
        allow_null=True, help_text="The QR as a PNG in base64, for print and screen; not of a link."
    )
    payment = PaymentShown(allow_null=True, help_text="What was begun with it; null for static.")


class QrWithdrawalRequest(StrictSerializer):
    """Nothing: the address says it all."""


class AppOrderRequest(StrictSerializer):
    payer = serializers.RegexField(
        r"^[A-Za-z0-9_-]{43}\Z", max_length=43, help_text="The handle that the resident has given."
    )
    amount_fen = serializers.IntegerField(min_value=1, max_value=orders.MAX_PAYMENT_FEN)
    title = serializers.CharField(max_length=100)
    merchant_reference = serializers.RegexField(_REFERENCE, max_length=64)


class MerchantQrs(Endpoint):
    """QRs and links of the merchant."""

    audience = Audience.MERCHANT

    @describes(
        request=MerchantQrRequest,
        answers={201: MerchantQrMade},
        idempotent=True,
        problems=[
            orders.OrderReferenceTaken,
            merchants.MerchantSuspended,
            qr_payments.QrAmountWrong,
            qr_payments.QrNotReadable,
            NotAllowed,
        ],
        examples=examples.MERCHANT_QR,
    )
    def post(self, request: Request) -> Response:
        """Make one; follow a payment by it at its own address, every two seconds."""
        asked = self.read(MerchantQrRequest)
        made = qr_payments.make(
            caller=self.caller,
            kind=asked["form"],
            title=asked["title"],
            amount_fen=asked.get("amount_fen"),
            merchant_reference=asked.get("merchant_reference"),
            idempotency_key=self.idempotency(),
            at=self.at,
        )
        return Response(vars(made), status=201)


class OneMerchantQr(Endpoint):
    """One QR or link."""

    audience = Audience.MERCHANT

    @describes(
        answers={200: MerchantQrStanding}, problems=[NotFound], examples=examples.QR_STANDING
    )
    def get(self, request: Request, qr_id: UUID) -> Response:
        """Show its picture, and the payment that was begun with it."""
        found = qr_payments.qr_of(caller=self.caller, qr_id=qr_id)
        paid = qr_payments.order_of(found)
        is_link = found.kind == MerchantQr.Kind.LINK
        answer: dict[str, Any] = {
            "id": found.id,
            "form": found.kind,
            "is_over": qr_payments.is_over(found, at=self.at),
            "picture_png": None if is_link else b64encode(qr_payments.picture(found)).decode(),
            "payment": None if paid is None else vars(orders.show(paid)),
        }
        return Response(answer)


class QrWithdrawals(Endpoint):
    """A QR or link is ended."""

    audience = Audience.MERCHANT

    @describes(
        request=QrWithdrawalRequest,
        answers={200: MerchantQrMade},
        idempotent=True,
        problems=[NotFound],
        examples=examples.QR_WITHDRAWN,
    )
    def post(self, request: Request, qr_id: UUID) -> Response:
        """End it, as a printed one that was stolen; what was begun with it goes on."""
        self.read(QrWithdrawalRequest)
        ended = qr_payments.withdraw(
            caller=self.caller, qr_id=qr_id, idempotency_key=self.idempotency(), at=self.at
        )
        return Response(vars(ended))


class AppOrders(Endpoint):
    """Payments asked for in the resident's app."""

    audience = Audience.MERCHANT

    @describes(
        request=AppOrderRequest,
        answers={201: PaymentShown},
        idempotent=True,
        problems=[
            payer_handles.PayerUnknown,
            merchants.MerchantSuspended,
            orders.OrderReferenceTaken,
            NotAllowed,
        ],
        examples=examples.APP_ORDER,
    )
    def post(self, request: Request) -> Response:
        """Ask a resident who has given leave; the payment waits 15 minutes for the confirmation."""
        shown = payer_handles.ask(
            caller=self.caller,
            idempotency_key=self.idempotency(),
            at=self.at,
            **self.read(AppOrderRequest),
        )
        return Response(vars(shown), status=201)
