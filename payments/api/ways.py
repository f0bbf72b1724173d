"""Where the money is: of one payment, for payer and merchant; and a merchant's settlements."""

from typing import Any
from uuid import UUID

from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from payments import orders, trail
from payments.api import way_examples as examples
from payments.models import SettlementLine
from payments.queries import AccountLine
from vpass.common.api import Audience, Endpoint, StrictSerializer, describes, page_serializer
from vpass.common.callers import required
from vpass.common.errors import NotFound


class WayStage(StrictSerializer):
    stage = serializers.ChoiceField(
        choices=["ordered", "paid", "settled", "paid_out", "acknowledged"],
        help_text="acknowledged: the merchant's bank has booked it.",
    )
    state = serializers.ChoiceField(
        choices=["done", "waiting", "stopped"],
        help_text="stopped: the payment ended otherwise, and no money moved.",
    )
    at = serializers.DateTimeField(allow_null=True)
    reference = serializers.CharField(
        allow_null=True,
        help_text="Ours when paid, the settlement day's, the payout's id, the bank's own.",
    )


class PaymentWay(StrictSerializer):
    payment_id = serializers.UUIDField()
    state = serializers.CharField()
    stages = WayStage(many=True)


class SettlementShown(StrictSerializer):
    id = serializers.IntegerField()
    business_date = serializers.DateField()
    gross_fen = serializers.IntegerField(help_text="Paid in this settlement's time.")
    refunded_fen = serializers.IntegerField()
    fee_fen = serializers.IntegerField()
    carried_fen = serializers.IntegerField(help_text="From earlier settlements; below 0 owed.")
    net_fen = serializers.IntegerField(help_text="gross - refunded - fee + carried.")
    window_state = serializers.CharField()
    payout_id = serializers.UUIDField(allow_null=True)
    payout_state = serializers.CharField(allow_null=True)
    bank_reference = serializers.CharField(allow_null=True)


class SettledPayment(StrictSerializer):
    id = serializers.IntegerField()
    at = serializers.DateTimeField()
    kind = serializers.CharField(help_text="payment, refund, fee …")
    payment_id = serializers.UUIDField(allow_null=True)
    merchant_reference = serializers.CharField(allow_null=True)
    amount_fen = serializers.IntegerField(help_text="Above 0 what came in, below what went out.")


class ResidentPaymentWay(Endpoint):
    """Where the resident's money is."""

    audience = Audience.RESIDENT
    level = 2

    @describes(answers={200: PaymentWay}, problems=[NotFound], examples=examples.WAY)
    def get(self, request: Request, payment_id: UUID) -> Response:
        """Follow a payment from the order to the word of the merchant's bank."""
        order = orders.order_in(orders.orders_of_payer(caller=self.caller), payment_id)
        return Response(_way(trail.way_of(order)))


class MerchantPaymentWay(Endpoint):
    """Where the merchant's money is."""

    audience = Audience.MERCHANT

    @describes(answers={200: PaymentWay}, problems=[NotFound], examples=examples.WAY)
    def get(self, request: Request, payment_id: UUID) -> Response:
        """Follow a payment from the order to the word of the merchant's bank."""
        order = orders.order_in(orders.orders_of_merchant(caller=self.caller), payment_id)
        return Response(_way(trail.way_of(order)))


class Settlements(Endpoint):
    """What the merchant was paid out, and of what it is made."""

    audience = Audience.MERCHANT

    @describes(
        answers={200: page_serializer(SettlementShown)}, paged=True, examples=examples.SETTLEMENTS
    )
    def get(self, request: Request) -> Response:
        """List settlements, newest first."""
        found = trail.settlements(organisation_id=required(self.caller.organisation_id))
        return self.page(found, render=_settlement, order=("-id",))


class SettlementPayments(Endpoint):
    """A settlement, explained to the single payment."""

    audience = Audience.MERCHANT

    @describes(
        answers={200: page_serializer(SettledPayment)},
        paged=True,
        problems=[NotFound],
        examples=examples.SETTLED_PAYMENTS,
    )
    def get(self, request: Request, settlement_id: int) -> Response:
        """List its payments, refunds and fees; they add up to gross - refunded - fee."""
        found = trail.payments_of(
            organisation_id=required(self.caller.organisation_id), line_id=settlement_id
        )
        return self.page(found, render=_payment, order=("id",))


def _way(way: trail.Way) -> dict[str, Any]:
    return vars(way) | {"stages": [vars(stage) for stage in way.stages]}


def _settlement(line: SettlementLine) -> dict[str, Any]:
    payout = line.payout
    return {
        "id": line.id,
        "business_date": line.window.business_date,
        "gross_fen": line.gross_fen,
        "refunded_fen": line.refunded_fen,
        "fee_fen": line.fee_fen,
        "carried_fen": line.carried_fen,
        "net_fen": line.net_fen,
        "window_state": line.window.state,
        "payout_id": payout and payout.id,
        "payout_state": payout and payout.state,
        "bank_reference": payout and payout.bank_reference,
    }


def _payment(line: AccountLine) -> dict[str, Any]:
    shown: Any = line  # with the annotations of queries.postings_of
    return {
        "id": line.id,
        "at": line.transaction.at,
        "kind": line.transaction.kind,
        "payment_id": line.transaction.order_id,
        "merchant_reference": shown.merchant_reference,
        "amount_fen": shown.signed_fen,
    }
