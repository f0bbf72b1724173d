"""Refunds that two tills of a merchant stand behind."""

from typing import Any
from uuid import UUID

from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from payments import merchants, orders, refund_requests, refunds
from payments.api import shop_examples as examples
from payments.models import RefundRequest
from vpass.common.api import Audience, Endpoint, StrictSerializer, describes, page_serializer
from vpass.common.errors import NotFound

_REFERENCE = r"^[0-9A-Za-z._-]{1,64}\Z"


class RefundAsked(StrictSerializer):
    amount_fen = serializers.IntegerField(min_value=1, max_value=orders.MAX_PAYMENT_FEN)
    reference = serializers.RegexField(
        _REFERENCE, max_length=64, help_text="The merchant's own number, once in a payment."
    )


class RefundDecision(StrictSerializer):
    """Nothing has to be said beside the address: {}."""


class RefundRequestShown(StrictSerializer):
    id = serializers.UUIDField()
    payment_id = serializers.UUIDField()
    reference = serializers.CharField()
    amount_fen = serializers.IntegerField()
    state = serializers.CharField(help_text="asked; then approved, rejected or expired.")
    asked_by = serializers.UUIDField(help_text="The till.")
    asked_at = serializers.DateTimeField()
    decided_by = serializers.UUIDField(allow_null=True, help_text="The other till.")
    decided_at = serializers.DateTimeField(allow_null=True)
    refund_id = serializers.UUIDField(allow_null=True, help_text="Once it is approved.")


class RefundRequests(Endpoint):
    """A till asks another to stand behind a refund."""

    audience = Audience.MERCHANT

    @describes(
        request=RefundAsked,
        answers={201: RefundRequestShown},
        idempotent=True,
        problems=[
            NotFound,
            refunds.RefundTooMuch,
            refunds.RefundReferenceReused,
            merchants.MerchantSuspended,
        ],
        examples=examples.ASK_REFUND,
    )
    def post(self, request: Request, payment_id: UUID) -> Response:
        """Ask for a refund that is too large for one till; another approves it within a day."""
        shown = refund_requests.ask(
            caller=self.caller,
            order_id=payment_id,
            idempotency_key=self.idempotency(),
            at=self.at,
            **self.read(RefundAsked),
        )
        return Response(vars(shown), status=201)


class AskedRefunds(Endpoint):
    """What waits for a second till."""

    audience = Audience.MERCHANT

    @describes(
        answers={200: page_serializer(RefundRequestShown)},
        paged=True,
        examples=examples.ASKED_REFUNDS,
    )
    def get(self, request: Request) -> Response:
        """List what the merchant's tills have asked for, newest first."""
        return self.page(
            refund_requests.requests_of(caller=self.caller), render=_request, order=("-id",)
        )


class RefundApprovals(Endpoint):
    """The second till's yes."""

    audience = Audience.MERCHANT

    @describes(
        request=RefundDecision,
        answers={200: RefundRequestShown},
        idempotent=True,
        problems=[
            NotFound,
            refund_requests.SelfApproval,
            refund_requests.RefundRequestOver,
            refunds.RefundTooMuch,
            refunds.RefundReferenceReused,
            refunds.MerchantShort,
            merchants.MerchantSuspended,
        ],
        examples=examples.APPROVE_REFUND,
    )
    def post(self, request: Request, request_id: UUID) -> Response:
        """Approve what another till has asked for: the money goes back at once."""
        self.read(RefundDecision)
        shown = refund_requests.approve(
            caller=self.caller,
            request_id=request_id,
            idempotency_key=self.idempotency(),
            at=self.at,
        )
        return Response(vars(shown))


class RefundRejections(Endpoint):
    """A till's no."""

    audience = Audience.MERCHANT

    @describes(
        request=RefundDecision,
        answers={200: RefundRequestShown},
        idempotent=True,
        problems=[NotFound, refund_requests.RefundRequestOver],
        examples=examples.REJECT_REFUND,
    )
    def post(self, request: Request, request_id: UUID) -> Response:
        """Reject what another till has asked for, or take one's own back."""
        self.read(RefundDecision)
        shown = refund_requests.reject(
            caller=self.caller,
            request_id=request_id,
            idempotency_key=self.idempotency(),
            at=self.at,
        )
        return Response(vars(shown))


def _request(request: RefundRequest) -> dict[str, Any]:
    return vars(refund_requests.show(request))
