"""What a resident's app may ask about what the resident owes."""

from typing import Any

from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from payments import charges
from payments.api import examples
from payments.models import Charge
from vpass.common.api import Audience, Endpoint, StrictSerializer, describes, page_serializer


class ChargePayee(StrictSerializer):
    id = serializers.UUIDField()
    zh = serializers.CharField()
    en = serializers.CharField()


class ChargeShown(StrictSerializer):
    id = serializers.UUIDField()
    payee = ChargePayee()
    title = serializers.CharField()
    amount_fen = serializers.IntegerField()
    created_at = serializers.DateTimeField()


class Charges(Endpoint):
    """What the resident owes."""

    audience = Audience.RESIDENT
    level = 2

    @describes(answers={200: page_serializer(ChargeShown)}, paged=True, examples=examples.CHARGES)
    def get(self, request: Request) -> Response:
        """List what is owed, the oldest first; it is collected when money comes into the wallet."""
        return self.page(charges.charges_of(caller=self.caller), render=_charge, order=("id",))


def _charge(charge: Charge) -> dict[str, Any]:
    organisation = charge.merchant.organisation
    return {
        "id": charge.id,
        "payee": {
            "id": charge.merchant_id,
            "zh": organisation.name_zh,
            "en": organisation.name_en,
        },
        "title": charge.title,
        "amount_fen": charge.amount_fen,
        "created_at": charge.created_at,
    }
