"""What a merchant's till or server may ask: take payments, call them off, give back."""

from typing import Any
from uuid import UUID

from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from cards import paying
from identity import codes
from payments import ledger, merchants, orders, pay_codes, refunds, risk, statements
from payments.api import examples
from payments.models import Order
from payments.queries import AccountLine
from vpass.common.api import (
    Audience,
    Endpoint,
    PageQuery,
    StrictSerializer,
    describes,
    page_serializer,
)
from vpass.common.callers import required
from vpass.common.clock import city_date
from vpass.common.errors import NotAllowed, NotFound

_REFERENCE = r"^[0-9A-Za-z._-]{1,64}\Z"
_STORE_CODE = r"^[0-9A-Za-z-]{1,16}\Z"


class PaymentRequest(StrictSerializer):
    code = serializers.CharField(
        max_length=2048, help_text="The text of the QR code, or the 18 digits of a bar code."
    )
    amount_fen = serializers.IntegerField(min_value=1, max_value=orders.MAX_PAYMENT_FEN)
    title = serializers.CharField(max_length=100, help_text="What it is for; the payer reads it.")
    merchant_reference = serializers.RegexField(
        _REFERENCE, max_length=64, help_text="The merchant's own number, once for ever."
    )
    cashier = serializers.RegexField(
        r"^[0-9A-Za-z]{1,16}\Z",
        max_length=16,
        required=False,
        help_text="The number of who stands at the till; the daily statement shows it.",
    )


class PaymentShown(StrictSerializer):
    id = serializers.UUIDField()
    state = serializers.CharField(
        help_text="confirming (the payer is being asked), capturing (a bank is debiting the "
        "payer's card), captured, part_refunded, refunded, failed, cancelled, expired; unknown "
        "(the bank is being asked), then resolved (paid) or reversed (not paid)."
    )
    amount_fen = serializers.IntegerField()
    captured_fen = serializers.IntegerField()
    refunded_fen = serializers.IntegerField()
    title = serializers.CharField()
    merchant_reference = serializers.CharField()
    reason = serializers.CharField(
        allow_null=True,
        help_text="Why it failed: a problem's code, order.declined, what is wrong with the card "
        "(card.frozen …), or the bank's reason (bank.insufficient_funds …).",
    )
    confirm_by = serializers.DateTimeField(allow_null=True)
    created_at = serializers.DateTimeField()


class CancellationRequest(StrictSerializer):
    """Nothing: the address says it all."""


class RefundRequest(StrictSerializer):
    amount_fen = serializers.IntegerField(min_value=1, max_value=orders.MAX_PAYMENT_FEN)
    reference = serializers.RegexField(
        _REFERENCE, max_length=64, help_text="The merchant's own number, once in a payment."
    )


class RefundMade(StrictSerializer):
    id = serializers.UUIDField()
    payment_id = serializers.UUIDField()
    reference = serializers.CharField()
    amount_fen = serializers.IntegerField()
    payment_state = serializers.CharField()
    refunded_fen = serializers.IntegerField(help_text="Of this payment, all in all.")
    refundable_fen = serializers.IntegerField(help_text="What is left of it.")


class MerchantPaymentsQuery(PageQuery):
    store = serializers.RegexField(
        _STORE_CODE, max_length=16, required=False, help_text="The code of one of the stores."
    )


class MerchantStatementQuery(MerchantPaymentsQuery):
    date = serializers.DateField(
        required=False,
        format="%Y-%m-%d",
        input_formats=["%Y-%m-%d"],
        help_text="The business date in the city; today's when left out.",
    )


class MerchantLine(StrictSerializer):
    id = serializers.IntegerField()
    at = serializers.DateTimeField()
    kind = serializers.CharField(help_text="payment, refund, payout …")
    payment_id = serializers.UUIDField(allow_null=True)
    merchant_reference = serializers.CharField(allow_null=True)
    cashier = serializers.CharField(allow_null=True, help_text="Who took the payment.")
    store = serializers.CharField(allow_null=True, help_text="The code of the store it was in.")
    amount_fen = serializers.IntegerField(help_text="Above 0 what came in, below what went out.")


class MerchantPayments(Endpoint):
    """What a merchant is paid."""

    audience = Audience.MERCHANT

    @describes(
        request=PaymentRequest,
        answers={201: PaymentShown},
        idempotent=True,
        problems=[
            *codes.REFUSALS.values(),
            *pay_codes.REFUSALS.values(),
            risk.RiskRefused,
            ledger.InsufficientFunds,
            paying.CardNotUsable,
            merchants.MerchantSuspended,
            orders.OrderReferenceTaken,
            NotAllowed,
        ],
        examples=examples.PAYMENT,
    )
    def post(self, request: Request) -> Response:
        """Take a payment by the code a resident shows; a large one then waits for the resident."""
        shown = orders.pay_by_code(
            caller=self.caller,
            idempotency_key=self.idempotency(),
            at=self.at,
            **self.read(PaymentRequest),
        )
        return Response(vars(shown), status=201)

    @describes(
        answers={200: page_serializer(PaymentShown)},
        query=MerchantPaymentsQuery,
        examples=examples.PAYMENTS,
    )
    def get(self, request: Request) -> Response:
        """List the merchant's payments, or a store's, newest first."""
        asked = self.read_query(MerchantPaymentsQuery)
        found = orders.orders_of_merchant(caller=self.caller, store=asked.get("store"))
        return self.page(found, render=_payment, order=("-id",), query=MerchantPaymentsQuery)


class MerchantPayment(Endpoint):
    """One payment to the merchant."""

    audience = Audience.MERCHANT

    @describes(answers={200: PaymentShown}, problems=[NotFound], examples=examples.PAYMENT_SHOWN)
    def get(self, request: Request, payment_id: UUID) -> Response:
        """Show how it stands: ask every two seconds while it is confirming, capturing or
        unknown."""
        found = orders.order_in(orders.orders_of_merchant(caller=self.caller), payment_id)
        return Response(_payment(found))


class Cancellations(Endpoint):
    """A payment that waits is called off."""

    audience = Audience.MERCHANT

    @describes(
        request=CancellationRequest,
        answers={200: PaymentShown},
        idempotent=True,
        problems=[NotFound, orders.OrderNotWaiting, orders.OrderExpired],
        examples=examples.CANCELLATION,
    )
    def post(self, request: Request, payment_id: UUID) -> Response:
        """Call it off, unless the resident has confirmed first."""
        self.read(CancellationRequest)
        shown = orders.cancel_order(
            caller=self.caller,
            order_id=payment_id,
            idempotency_key=self.idempotency(),
            at=self.at,
        )
        return Response(vars(shown))


class Refunds(Endpoint):
    """What goes back of a payment."""

    audience = Audience.MERCHANT

    @describes(
        request=RefundRequest,
        answers={201: RefundMade},
        idempotent=True,
        problems=[
            NotFound,
            refunds.RefundTooMuch,
            refunds.RefundReferenceReused,
            refunds.RefundNeedsTwo,
            refunds.MerchantShort,
            refunds.PayerGone,
            merchants.MerchantSuspended,
        ],
        examples=examples.REFUND,
    )
    def post(self, request: Request, payment_id: UUID) -> Response:
        """Give all or part of it back; the same reference and amount again is the same refund."""
        shown = refunds.refund_order(
            caller=self.caller,
            order_id=payment_id,
            idempotency_key=self.idempotency(),
            at=self.at,
            **self.read(RefundRequest),
        )
        return Response(vars(shown), status=201)


class MerchantStatement(Endpoint):
    """What moved on the merchant's account."""

    audience = Audience.MERCHANT

    @describes(
        answers={200: page_serializer(MerchantLine)},
        query=MerchantStatementQuery,
        examples=examples.MERCHANT_STATEMENT,
    )
    def get(self, request: Request) -> Response:
        """List the postings of a business date, newest first: all, or of one store's payments."""
        asked = self.read_query(MerchantStatementQuery)
        lines = statements.merchant_statement(
            organisation_id=required(self.caller.organisation_id),
            business_date=asked.get("date") or city_date(self.at),
            store=asked.get("store"),
        )
        return self.page(lines, render=_line, order=("-id",), query=MerchantStatementQuery)


def _payment(order: Order) -> dict[str, Any]:
    return vars(orders.show(order))


def _line(line: AccountLine) -> dict[str, Any]:
    shown: Any = line  # with the annotations of statements.merchant_statement
    return {
        "id": line.id,
        "at": line.transaction.at,
        "kind": line.transaction.kind,
        "payment_id": line.transaction.order_id,
        "merchant_reference": shown.merchant_reference,
        "cashier": shown.cashier,
        "store": shown.store_code,
        "amount_fen": shown.signed_fen,
    }
