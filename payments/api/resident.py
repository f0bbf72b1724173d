"""What a resident's app may ask about its money: wallet, payments, confirmation, statement."""

from typing import Any
from uuid import UUID

from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from cards import paying
from identity import residents
from payments import (
    accounts,
    confirmations,
    grades,
    ledger,
    merchants,
    orders,
    pins,
    risk,
    statements,
)
from payments.api import examples
from payments.models import Order
from payments.queries import AccountLine
from vpass.common.api import Audience, Endpoint, StrictSerializer, describes, page_serializer
from vpass.common.callers import required
from vpass.common.errors import NotFound

VERIFIED = 2


class WalletShown(StrictSerializer):
    balance_fen = serializers.IntegerField()
    available_fen = serializers.IntegerField(help_text="The balance less what is held.")
    top_up_number = serializers.CharField(
        help_text="By which banks name this wallet, 12 digits with a check digit."
    )


class Payee(StrictSerializer):
    id = serializers.UUIDField(help_text="Signed as `payee` in a confirmation.")
    zh = serializers.CharField()
    en = serializers.CharField()


class PaidStore(StrictSerializer):
    zh = serializers.CharField()
    en = serializers.CharField()
    address = serializers.CharField()


class ResidentPayment(StrictSerializer):
    id = serializers.UUIDField()
    payee = Payee()
    store = PaidStore(allow_null=True, help_text="Where the till stood; null for other payments.")
    title = serializers.CharField()
    amount_fen = serializers.IntegerField()
    refunded_fen = serializers.IntegerField()
    state = serializers.CharField(
        help_text="confirming (your word is waited for), capturing (your bank is debiting the "
        "card), captured, part_refunded, refunded, failed, cancelled, expired; unknown (the bank "
        "is being asked), then resolved (paid) or reversed (nothing was taken)."
    )
    reason = serializers.CharField(allow_null=True)
    card_last4 = serializers.CharField(
        allow_null=True, help_text="Of the bank card that pays or has paid; null: the balance."
    )
    card_fen = serializers.IntegerField(help_text="What the card pays of it; the balance the rest.")
    needs_pin = serializers.BooleanField(help_text="The confirmation has to bring the PIN.")
    confirm_by = serializers.DateTimeField(allow_null=True)
    created_at = serializers.DateTimeField()


class ConfirmationRequest(StrictSerializer):
    confirmation = serializers.CharField(
        max_length=4096,
        help_text='A JWS by the device key, typ "vpass-confirm+jwt"; docs/phone-proofs.md.',
    )
    pin = serializers.RegexField(
        r"^[0-9]{6}\Z",
        max_length=6,
        required=False,
        help_text="The payment PIN, where more is paid or payment.pin_needed has asked for it.",
    )


class RefusalRequest(StrictSerializer):
    """Nothing: the address says it all."""


class PaymentDecided(StrictSerializer):
    id = serializers.UUIDField()
    state = serializers.CharField()


class WalletLine(StrictSerializer):
    id = serializers.IntegerField()
    at = serializers.DateTimeField()
    kind = serializers.CharField(
        help_text="payment, refund, top_up, payout …; card_debit is what a bank card brought for "
        "the payment beside it."
    )
    payment_id = serializers.UUIDField(allow_null=True)
    title = serializers.CharField(allow_null=True)
    payee = serializers.DictField(
        child=serializers.CharField(), allow_null=True, help_text="The merchant's names, zh and en."
    )
    amount_fen = serializers.IntegerField(help_text="Above 0 what came in, below what went out.")


class WalletOf(Endpoint):
    """The resident's money."""

    audience = Audience.RESIDENT
    level = VERIFIED

    @describes(answers={200: WalletShown}, examples=examples.WALLET)
    def get(self, request: Request) -> Response:
        """Show what is there, and the number by which banks top it up."""
        wallet = statements.wallet_of(resident_id=required(self.caller.resident_id))
        return Response(vars(wallet))


class ResidentPayments(Endpoint):
    """The resident's payments."""

    audience = Audience.RESIDENT
    level = VERIFIED

    @describes(
        answers={200: page_serializer(ResidentPayment)},
        paged=True,
        examples=examples.RESIDENT_PAYMENTS,
    )
    def get(self, request: Request) -> Response:
        """List payments, newest first; one that is confirming waits for the resident."""
        return self.page(
            orders.orders_of_payer(caller=self.caller), render=_payment, order=("-id",)
        )


class OneResidentPayment(Endpoint):
    """One payment of the resident."""

    audience = Audience.RESIDENT
    level = VERIFIED

    @describes(
        answers={200: ResidentPayment}, problems=[NotFound], examples=examples.RESIDENT_PAYMENT
    )
    def get(self, request: Request, payment_id: UUID) -> Response:
        """Show how it stands."""
        found = orders.order_in(orders.orders_of_payer(caller=self.caller), payment_id)
        return Response(_payment(found))


class Confirmations(Endpoint):
    """The resident's word for a payment."""

    audience = Audience.RESIDENT
    level = VERIFIED

    @describes(
        request=ConfirmationRequest,
        answers={200: PaymentDecided},
        idempotent=True,
        problems=[
            NotFound,
            orders.OrderNotWaiting,
            orders.OrderExpired,
            confirmations.ConfirmationInvalid,
            residents.AccountSuspended,
            accounts.PayingSuspended,
            merchants.MerchantSuspended,
            ledger.InsufficientFunds,
            paying.CardNotUsable,
            grades.LimitExceeded,
            grades.PinNeeded,
            pins.PinNotSet,
            pins.PinWrong,
            pins.PinLocked,
            risk.RiskRefused,
        ],
        examples=examples.CONFIRMATION,
    )
    def post(self, request: Request, payment_id: UUID) -> Response:
        """Confirm with a signature over order, payee and amount; it is paid with that, or
        capturing while the bank debits the card that was chosen."""
        shown = confirmations.confirm_order(
            caller=self.caller,
            order_id=payment_id,
            idempotency_key=self.idempotency(),
            at=self.at,
            **self.read(ConfirmationRequest),
        )
        return Response({"id": shown.id, "state": shown.state})


class Refusals(Endpoint):
    """The resident does not want to pay."""

    audience = Audience.RESIDENT
    level = VERIFIED

    @describes(
        request=RefusalRequest,
        answers={200: PaymentDecided},
        idempotent=True,
        problems=[NotFound, orders.OrderNotWaiting, orders.OrderExpired],
        examples=examples.REFUSAL,
    )
    def post(self, request: Request, payment_id: UUID) -> Response:
        """Refuse a payment that waits."""
        self.read(RefusalRequest)
        shown = confirmations.decline_order(
            caller=self.caller,
            order_id=payment_id,
            idempotency_key=self.idempotency(),
            at=self.at,
        )
        return Response({"id": shown.id, "state": shown.state})


class WalletStatement(Endpoint):
    """What moved in the resident's wallet."""

    audience = Audience.RESIDENT
    level = VERIFIED

    @describes(
        answers={200: page_serializer(WalletLine)}, paged=True, examples=examples.WALLET_STATEMENT
    )
    def get(self, request: Request) -> Response:
        """List the postings of the wallet, newest first."""
        lines = statements.resident_statement(resident_id=required(self.caller.resident_id))
        return self.page(lines, render=_line, order=("-id",))


def _payment(order: Order) -> dict[str, Any]:
    organisation, store = order.merchant.organisation, order.store
    return {
        "id": order.id,
        "payee": {
            "id": order.merchant_id,
            "zh": organisation.name_zh,
            "en": organisation.name_en,
        },
        "store": store and {"zh": store.name_zh, "en": store.name_en, "address": store.address},
        "title": order.title,
        "amount_fen": order.amount_fen,
        "refunded_fen": order.refunded_fen,
        "state": order.state,
        "reason": order.reason,
        "card_last4": order.debit.account_last4 if hasattr(order, "debit") else None,
        "card_fen": order.debit.amount_fen if hasattr(order, "debit") else 0,
        "needs_pin": order.needs_pin,
        "confirm_by": order.confirm_by,
        "created_at": order.created_at,
    }


def _line(line: AccountLine) -> dict[str, Any]:
    shown: Any = line  # with the annotations of queries.postings_of
    names = {"zh": shown.merchant_zh, "en": shown.merchant_en}
    kind = line.transaction.kind
    return {
        "id": line.id,
        "at": line.transaction.at,
        "kind": "card_debit" if kind == "payment" and shown.signed_fen > 0 else kind,
        "payment_id": line.transaction.order_id,
        "title": shown.title,
        "payee": names if shown.merchant_zh else None,
        "amount_fen": shown.signed_fen,
    }
