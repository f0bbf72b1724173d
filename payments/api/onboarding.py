"""How the city's accountants take merchants on, two of them for each."""

from typing import Any

from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from payments import merchants, orders, proposals
from payments.api import shop_examples as examples
from payments.models import Merchant
from vpass.common.api import Audience, Endpoint, StrictSerializer, describes, page_serializer


class ApplicationRequest(StrictSerializer):
    credit_code = serializers.RegexField(
        r"^[0-9A-Z]{18}\Z", max_length=18, help_text="The unified social credit code."
    )
    name_zh = serializers.CharField(max_length=100)
    name_en = serializers.CharField(max_length=100)
    bank_code = serializers.CharField(max_length=32, help_text="The partner bank's.")
    payout_account = serializers.RegexField(
        r"^[0-9A-Za-z_-]{16,64}\Z",
        max_length=64,
        help_text="The bank's token of the account to which settlements go.",
    )
    refund_alone_fen = serializers.IntegerField(
        min_value=0,
        max_value=orders.MAX_PAYMENT_FEN,
        allow_null=True,
        help_text="How much of a payment one till gives back alone; null for all of it.",
    )


class ApplicationProposed(StrictSerializer):
    id = serializers.UUIDField(help_text="Of the proposal, for the approval.")
    state = serializers.CharField()


class MerchantShown(StrictSerializer):
    id = serializers.UUIDField()
    organisation_id = serializers.UUIDField(help_text="Its tills are registered below this.")
    zh = serializers.CharField()
    en = serializers.CharField()
    credit_code = serializers.CharField(allow_null=True)
    bank_code = serializers.CharField()
    state = serializers.CharField(help_text="active or suspended.")
    refund_alone_fen = serializers.IntegerField(allow_null=True)


class MerchantApplications(Endpoint):
    """A firm asks to be taken on."""

    audience = Audience.FINANCE
    roles = frozenset({"finance"})

    @describes(
        request=ApplicationRequest,
        answers={201: ApplicationProposed},
        idempotent=True,
        problems=[
            merchants.CreditCodeInvalid,
            merchants.BankUnknown,
            merchants.MerchantKnown,
            proposals.ProposalWaiting,
        ],
        examples=examples.APPLY,
    )
    def post(self, request: Request) -> Response:
        """Propose to take a firm on as a merchant; another accountant approves the proposal."""
        proposed = proposals.propose_merchant(
            caller=self.caller,
            idempotency_key=self.idempotency(),
            at=self.at,
            **self.read(ApplicationRequest),
        )
        return Response(vars(proposed), status=201)


class Merchants(Endpoint):
    """Whom the city pays out to."""

    audience = Audience.FINANCE
    roles = frozenset({"finance"})

    @describes(
        answers={200: page_serializer(MerchantShown)}, paged=True, examples=examples.MERCHANTS
    )
    def get(self, request: Request) -> Response:
        """List the merchants."""
        return self.page(merchants.merchants(), render=_merchant, order=("id",))


def _merchant(merchant: Merchant) -> dict[str, Any]:
    return {
        "id": merchant.id,
        "organisation_id": merchant.organisation_id,
        "zh": merchant.organisation.name_zh,
        "en": merchant.organisation.name_en,
        "credit_code": merchant.credit_code,
        "bank_code": merchant.bank.code,
        "state": merchant.state,
        "refund_alone_fen": merchant.refund_alone_fen,
    }
