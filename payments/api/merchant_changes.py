"""How a merchant is stopped by one accountant, and changed by two."""

from typing import Any
from uuid import UUID

from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from payments import merchants, orders, proposals, rule_changes
from payments.api import store_examples as examples
from payments.api.finance import FinanceEndpoint, ProposalDecided
from payments.api.rule_changes import ChangeReason
from payments.models import Proposal
from vpass.common.api import StrictSerializer, describes
from vpass.common.errors import NotFound
from vpass.common.states import IllegalTransition


class StopReason(StrictSerializer):
    reason = serializers.SlugField(max_length=40, help_text="A word, without personal data.")


class MerchantStopped(StrictSerializer):
    id = serializers.UUIDField()
    state = serializers.CharField()


class RefundAloneRequest(ChangeReason):
    refund_alone_fen = serializers.IntegerField(
        min_value=0,
        max_value=orders.MAX_PAYMENT_FEN,
        allow_null=True,
        help_text="How much of a payment one till gives back alone; null for all of it.",
    )


class MerchantSuspensions(FinanceEndpoint):
    """A merchant is stopped."""

    @describes(
        request=StopReason,
        answers={200: MerchantStopped},
        problems=[NotFound],
        examples=examples.SUSPEND_MERCHANT,
    )
    def post(self, request: Request, merchant_id: UUID) -> Response:
        """Suspend it at once, as one person: nothing is paid to it, given back by it or paid out
        to it, until it is reinstated."""
        merchant = merchants.suspend(
            caller=self.caller, merchant_id=merchant_id, at=self.at, **self.read(StopReason)
        )
        return Response({"id": merchant.id, "state": merchant.state})


class _MerchantChange(FinanceEndpoint):
    """Something about a merchant is to change."""

    def propose(
        self, action: Proposal.Action, merchant_id: UUID, shape: type[StrictSerializer]
    ) -> Response:
        """The proposal of a change to a merchant."""
        asked: dict[str, Any] = dict(self.read(shape))
        proposed = proposals.propose_change(
            caller=self.caller,
            action=action,
            subject=str(merchant_id),
            reason=asked.pop("reason"),
            detail=asked,
            idempotency_key=self.idempotency(),
            at=self.at,
        )
        return Response(vars(proposed), status=201)


class MerchantReinstatements(_MerchantChange):
    """A suspended merchant is to go on."""

    @describes(
        request=ChangeReason,
        answers={201: ProposalDecided},
        idempotent=True,
        problems=[NotFound, IllegalTransition, proposals.ProposalWaiting],
        examples=examples.REINSTATE_MERCHANT,
    )
    def post(self, request: Request, merchant_id: UUID) -> Response:
        """Propose it; another accountant approves."""
        return self.propose(Proposal.Action.REINSTATE_MERCHANT, merchant_id, ChangeReason)


class RefundAloneChanges(_MerchantChange):
    """How much one till of a merchant gives back alone is to change."""

    @describes(
        request=RefundAloneRequest,
        answers={201: ProposalDecided},
        idempotent=True,
        problems=[NotFound, rule_changes.NothingChanges, proposals.ProposalWaiting],
        examples=examples.CHANGE_REFUND_ALONE,
    )
    def post(self, request: Request, merchant_id: UUID) -> Response:
        """Propose it; once another accountant has approved, the next refund is judged so."""
        return self.propose(Proposal.Action.SET_REFUND_ALONE, merchant_id, RefundAloneRequest)
