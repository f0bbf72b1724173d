"""What administrators may ask about merchants' stores: see and close them.

Registering, renaming and opening again takes two people (identity.api.registrations).
"""

from typing import Any

from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from identity import subtree
from identity.api import administration_examples as examples
from identity.api.administration import Registry, RegistryQuery, Suspensions
from identity.models import Store
from vpass.common.api import StrictSerializer, describes, page_serializer


class RegisteredStore(StrictSerializer):
    id = serializers.UUIDField()
    organisation = serializers.UUIDField(help_text="The merchant's.")
    code = serializers.CharField(help_text="The merchant's own.")
    name_zh = serializers.CharField()
    name_en = serializers.CharField()
    address = serializers.CharField()
    longitude = serializers.FloatField(allow_null=True, help_text="Degrees of WGS 84.")
    latitude = serializers.FloatField(allow_null=True)
    state = serializers.CharField(help_text="active, or suspended: closed.")


class StoreRegistry(Registry):
    """The merchants' stores."""

    @describes(
        query=RegistryQuery,
        answers={200: page_serializer(RegisteredStore)},
        examples=examples.STORES,
    )
    def get(self, request: Request) -> Response:
        """List them, by id."""
        return self.listed(subtree.stores_of(self.caller), render=_store)


class StoreClosings(Suspensions):
    """A store is closed: its tills and doors are refused."""

    kind = "store"


def _store(row: Store) -> dict[str, Any]:
    return {
        "id": row.id,
        "organisation": row.organisation_id,
        "code": row.code,
        "name_zh": row.name_zh,
        "name_en": row.name_en,
        "address": row.address,
        "longitude": row.longitude,
        "latitude": row.latitude,
        "state": row.state,
    }
