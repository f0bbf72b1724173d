"""What a resident's app may ask about ways to pay: pay codes, merchants' QRs, leaves, the PIN."""

from typing import Any
from uuid import UUID

from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from identity import enrolment, receipts, residents
from payments import accounts, merchants, orders, pay_codes, payer_handles, pins, qr_payments
from payments.api import paying_examples as examples
from payments.models import Merchant, Order, PayerHandle
from vpass.common.api import Audience, Endpoint, StrictSerializer, describes, page_serializer
from vpass.common.callers import required
from vpass.common.errors import NotFound
from vpass.common.limits import LimitReached
from vpass.common.policy import StoreClosed

VERIFIED = 2
_PIN = r"^[0-9]{6}\Z"


class PayCodeRequest(StrictSerializer):
    """Nothing: the code is for the phone that asks."""


class PayCodeIssued(StrictSerializer):
    code = serializers.CharField(help_text="18 digits, to draw as a Code 128 and to print below.")
    expires_at = serializers.DateTimeField(help_text="A minute on; it is good once.")
    server_time = serializers.DateTimeField()


class ScannedPaymentRequest(StrictSerializer):
    text = serializers.CharField(
        max_length=600, help_text="Of a merchant's QR (docs/merchant-qr.md), or a payment link."
    )
    amount_fen = serializers.IntegerField(
        min_value=1,
        max_value=orders.MAX_PAYMENT_FEN,
        required=False,
        help_text="The payer's own, for a printed QR; left out for one made for a payment.",
    )


class ScannedPayee(StrictSerializer):
    id = serializers.UUIDField(help_text="Signed as `payee` in the confirmation.")
    zh = serializers.CharField()
    en = serializers.CharField()


class ScannedPayment(StrictSerializer):
    id = serializers.UUIDField()
    payee = ScannedPayee()
    title = serializers.CharField()
    amount_fen = serializers.IntegerField()
    state = serializers.CharField()
    confirm_by = serializers.DateTimeField(allow_null=True)


class PayerHandleRequest(StrictSerializer):
    merchant_id = serializers.UUIDField(help_text="As `payee.id` of a payment.")


class PayerHandleGiven(StrictSerializer):
    merchant_id = serializers.UUIDField()
    handle = serializers.CharField(help_text="For that merchant alone; its server names the payer.")


class PayerHandleMerchant(StrictSerializer):
    id = serializers.UUIDField()
    zh = serializers.CharField()
    en = serializers.CharField()


class PayerHandleShown(StrictSerializer):
    merchant = PayerHandleMerchant()
    created_at = serializers.DateTimeField()


class PayerHandleStanding(StrictSerializer):
    merchant = PayerHandleMerchant()
    is_given = serializers.BooleanField()


class PaymentPinShown(StrictSerializer):
    is_set = serializers.BooleanField()
    is_locked = serializers.BooleanField(help_text="After ten tries; set it anew.")


class PaymentPinReset(StrictSerializer):
    enrolment_id = serializers.UUIDField(
        help_text="Begun by this phone's key with the number of the account."
    )
    one_time_code = serializers.RegexField(_PIN, max_length=6)
    real_name = serializers.CharField(max_length=50)
    id_number = serializers.CharField(max_length=18)


class PaymentPinRequest(StrictSerializer):
    pin = serializers.RegexField(_PIN, max_length=6, help_text="Six digits.")
    word = serializers.CharField(
        max_length=4096,
        help_text='A JWS by the device key, typ "vpass-pin+jwt"; docs/phone-proofs.md.',
    )
    present_pin = serializers.RegexField(
        _PIN, max_length=6, required=False, help_text="To replace one that is known."
    )
    reset = PaymentPinReset(required=False, help_text="To replace one that is not.")


class PayCodes(Endpoint):
    """Pay codes for tills that read bars only."""

    audience = Audience.RESIDENT
    level = VERIFIED

    @describes(
        request=PayCodeRequest,
        answers={201: PayCodeIssued},
        idempotent=True,
        problems=[residents.AccountSuspended, accounts.PayingSuspended, LimitReached],
        examples=examples.PAY_CODE,
    )
    def post(self, request: Request) -> Response:
        """Make one; it pays what the one code alone would pay."""
        self.read(PayCodeRequest)
        issued = pay_codes.issue(caller=self.caller, idempotency_key=self.idempotency(), at=self.at)
        return Response(vars(issued), status=201)


class ScannedPayments(Endpoint):
    """Payments that begin with a merchant's QR or link."""

    audience = Audience.RESIDENT
    level = VERIFIED

    @describes(
        request=ScannedPaymentRequest,
        answers={201: ScannedPayment},
        idempotent=True,
        problems=[
            qr_payments.QrNotReadable,
            qr_payments.QrOfOther,
            qr_payments.QrOver,
            qr_payments.QrUsed,
            qr_payments.QrAmountWrong,
            merchants.MerchantSuspended,
            StoreClosed,
            residents.AccountSuspended,
            accounts.PayingSuspended,
        ],
        examples=examples.SCANNED_PAYMENT,
    )
    def post(self, request: Request) -> Response:
        """Say what was scanned: the payment then waits two minutes for the confirmation."""
        asked = self.read(ScannedPaymentRequest)
        order_id = qr_payments.begin(
            caller=self.caller,
            text=asked["text"],
            amount_fen=asked.get("amount_fen"),
            idempotency_key=self.idempotency(),
            at=self.at,
        )
        found = orders.order_in(orders.orders_of_payer(caller=self.caller), order_id)
        return Response(_payment(found), status=201)


class PayerHandles(Endpoint):
    """Merchants who may ask this resident for payments in the app."""

    audience = Audience.RESIDENT
    level = VERIFIED

    @describes(
        request=PayerHandleRequest,
        answers={201: PayerHandleGiven},
        idempotent=True,
        problems=[NotFound, residents.AccountSuspended, accounts.PayingSuspended],
        examples=examples.PAYER_HANDLE,
    )
    def post(self, request: Request) -> Response:
        """Give a merchant leave to ask; each payment still waits for the resident's word."""
        given = payer_handles.give(
            caller=self.caller,
            idempotency_key=self.idempotency(),
            at=self.at,
            **self.read(PayerHandleRequest),
        )
        return Response(given, status=201)

    @describes(
        answers={200: page_serializer(PayerHandleShown)},
        paged=True,
        examples=examples.PAYER_HANDLES,
    )
    def get(self, request: Request) -> Response:
        """List them."""
        found = payer_handles.handles_of(caller=self.caller)
        return self.page(found, render=_handle, order=("merchant_id",))


class OnePayerHandle(Endpoint):
    """One merchant's leave."""

    audience = Audience.RESIDENT
    level = VERIFIED

    @describes(
        answers={200: PayerHandleStanding},
        problems=[NotFound],
        examples=examples.PAYER_HANDLE_STANDING,
    )
    def get(self, request: Request, merchant_id: UUID) -> Response:
        """Show who would get it, and whether it is given: what a phone shows before it gives it."""
        merchant = payer_handles.merchant_asking(merchant_id=merchant_id)
        given = payer_handles.handles_of(caller=self.caller).filter(merchant=merchant)
        return Response({"merchant": _merchant(merchant), "is_given": given.exists()})

    @describes(answers={204: None}, problems=[NotFound])
    def delete(self, request: Request, merchant_id: UUID) -> Response:
        """Take it back; what waits already can be refused as any payment."""
        payer_handles.take_back(caller=self.caller, merchant_id=merchant_id, at=self.at)
        return Response(status=204)


class PaymentPins(Endpoint):
    """The resident's payment PIN."""

    audience = Audience.RESIDENT
    level = VERIFIED

    @describes(answers={200: PaymentPinShown}, examples=examples.PAYMENT_PIN)
    def get(self, request: Request) -> Response:
        """Show whether there is one."""
        return Response(pins.standing(resident_id=required(self.caller.resident_id)))

    @describes(
        request=PaymentPinRequest,
        answers={200: PaymentPinShown},
        problems=[
            receipts.WordInvalid,
            residents.AccountSuspended,
            accounts.PayingSuspended,
            pins.PinTooSimple,
            pins.PinProofNeeded,
            pins.PinWrong,
            pins.PinLocked,
            enrolment.CodeWrong,
            enrolment.EnrolmentOver,
            NotFound,
            LimitReached,
        ],
        examples=examples.SET_PAYMENT_PIN,
    )
    def put(self, request: Request) -> Response:
        """Set it, with the phone's signature; one that stands is replaced with itself, or with a
        fresh code by SMS and the holder's name and ID number. For 24 hours it opens no more than
        the phone's signature does."""
        asked = self.read(PaymentPinRequest)
        if "reset" in asked:
            asked["reset"] = pins.Reset(**asked["reset"])
        pins.set_pin(caller=self.caller, at=self.at, **asked)
        return Response(pins.standing(resident_id=required(self.caller.resident_id)))


def _payment(order: Order) -> dict[str, Any]:
    return {
        "id": order.id,
        "payee": _merchant(order.merchant),
        "title": order.title,
        "amount_fen": order.amount_fen,
        "state": order.state,
        "confirm_by": order.confirm_by,
    }


def _handle(handle: PayerHandle) -> dict[str, Any]:
    return {"merchant": _merchant(handle.merchant), "created_at": handle.created_at}


def _merchant(merchant: Merchant) -> dict[str, Any]:
    organisation = merchant.organisation
    return {"id": merchant.id, "zh": organisation.name_zh, "en": organisation.name_en}
