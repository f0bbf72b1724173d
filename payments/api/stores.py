"""Where a merchant's tills stand."""

from typing import Any

from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from identity import stores
from identity.models import Store
from payments.api import store_examples as examples
from vpass.common.api import Audience, Endpoint, StrictSerializer, describes, page_serializer


class MerchantStore(StrictSerializer):
    id = serializers.UUIDField()
    code = serializers.CharField(help_text="Payments and the statement can be asked by it.")
    zh = serializers.CharField()
    en = serializers.CharField()
    address = serializers.CharField()
    longitude = serializers.FloatField(allow_null=True, help_text="Degrees of WGS 84.")
    latitude = serializers.FloatField(allow_null=True)
    state = serializers.CharField(help_text="active, or suspended: closed.")


class MerchantStores(Endpoint):
    """The merchant's stores."""

    audience = Audience.MERCHANT

    @describes(
        answers={200: page_serializer(MerchantStore)}, paged=True, examples=examples.MERCHANT_STORES
    )
    def get(self, request: Request) -> Response:
        """List them by code, the closed ones too."""
        return self.page(stores.stores_of_caller(self.caller), render=_store, order=("code",))


def _store(store: Store) -> dict[str, Any]:
    return {
        "id": store.id,
        "code": store.code,
        "zh": store.name_zh,
        "en": store.name_en,
        "address": store.address,
        "longitude": store.longitude,
        "latitude": store.latitude,
        "state": store.state,
    }
