"""What each proposal of an administrator takes, member by member."""

from typing import Any

from rest_framework import serializers

from identity import staffing
from identity.models import ATTRIBUTES, PLACE_SCENES, SCENES, SHAREABLE, Organisation
from vpass.common.api import StrictSerializer


class Bilingual(StrictSerializer):
    name_zh = serializers.CharField(max_length=100)
    name_en = serializers.CharField(max_length=100)


class AllowedDetail(StrictSerializer):
    scenes = serializers.ListField(
        child=serializers.ChoiceField(choices=SCENES), max_length=len(SCENES), allow_null=True
    )
    attributes = serializers.ListField(
        child=serializers.ChoiceField(choices=ATTRIBUTES),
        max_length=len(ATTRIBUTES),
        allow_null=True,
    )


class OrganisationDetail(Bilingual, AllowedDetail):
    kind = serializers.ChoiceField(choices=Organisation.Kind.choices)


class PlaceDetail(Bilingual):
    scene = serializers.ChoiceField(choices=PLACE_SCENES)


class TerminalDetail(PlaceDetail):
    store = serializers.UUIDField(required=False)


class StorePlace(StrictSerializer):
    store = serializers.UUIDField(allow_null=True)


class StoreWords(Bilingual):
    address = serializers.CharField(max_length=200)
    longitude = serializers.FloatField(min_value=-180, max_value=180, allow_null=True, default=None)
    latitude = serializers.FloatField(min_value=-90, max_value=90, allow_null=True, default=None)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """A point has both degrees."""
        for name, other in (("longitude", "latitude"), ("latitude", "longitude")):
            if attrs[name] is None and attrs[other] is not None:
                raise serializers.ValidationError({name: "required"}, code="required")
        return attrs


class StoreDetail(StoreWords):
    code = serializers.RegexField(r"^[0-9A-Za-z-]{1,16}\Z", max_length=16)


class RightNamed(StrictSerializer):
    scene = serializers.ChoiceField(choices=SCENES)
    purpose = serializers.SlugField(max_length=40)


class EntitlementDetail(RightNamed):
    purpose_zh = serializers.CharField(max_length=100)
    purpose_en = serializers.CharField(max_length=100)
    attributes = serializers.ListField(
        child=serializers.ChoiceField(choices=ATTRIBUTES), max_length=len(ATTRIBUTES)
    )
    may_ask = serializers.ListField(
        child=serializers.ChoiceField(choices=SHAREABLE), max_length=len(SHAREABLE), default=list
    )
    needs_case = serializers.BooleanField(default=False)
    knows_holder = serializers.BooleanField(default=True)
    shields_others = serializers.BooleanField(default=False)
    deferred_days = serializers.IntegerField(min_value=0, max_value=3650, default=0)
    legal_basis = serializers.CharField(max_length=200, allow_blank=True, default="")

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """A right that is kept from the resident's log names its law."""
        if attrs["deferred_days"] and not attrs["legal_basis"]:
            raise serializers.ValidationError({"legal_basis": "required"}, code="required")
        return attrs


class RolesDetail(StrictSerializer):
    roles = serializers.ListField(
        child=serializers.ChoiceField(choices=sorted(staffing.LOCAL_ROLES | staffing.CITY_ROLES)),
        min_length=1,
        max_length=10,
    )


class MoveDetail(StrictSerializer):
    organisation = serializers.UUIDField()


class RelyingPartyDetail(StrictSerializer):
    name = serializers.CharField(max_length=100)
    purpose = serializers.SlugField(max_length=40)
    redirect_uris = serializers.ListField(
        child=serializers.CharField(max_length=500), min_length=1, max_length=10
    )
    post_logout_redirect_uris = serializers.ListField(
        child=serializers.CharField(max_length=500), max_length=10, default=list
    )


class NoDetail(StrictSerializer):
    """Nothing has to be said beside action and subject: {}."""


DETAILS: dict[str, type[StrictSerializer]] = {
    "organisation.register": OrganisationDetail,
    "organisation.rename": Bilingual,
    "organisation.allow": AllowedDetail,
    "entitlement.set": EntitlementDetail,
    "entitlement.end": RightNamed,
    "desk.register": PlaceDetail,
    "terminal.register": TerminalDetail,
    "terminal.place": StorePlace,
    "store.register": StoreDetail,
    "store.rename": StoreWords,
    "staff.grant_roles": RolesDetail,
    "staff.move": MoveDetail,
    "relying_party.register": RelyingPartyDetail,
}
