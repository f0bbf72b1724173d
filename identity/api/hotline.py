"""What staff may do for a person whose phone is gone, or whose code is to be blocked."""

from typing import Any

from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from identity import hotline, residents, suspensions
from identity.api import examples
from identity.api.lost_phones import SuspensionShown, suspension
from identity.api.resident import CodeAnswer, CodeRequest
from identity.hotline import Told
from vpass.common import limits, policy
from vpass.common.api import Audience, Endpoint, StrictSerializer, describes
from vpass.common.errors import NotFound

_TOLD = ("phone", "real_name", "id_number", "reason", "case_number")
_PROBLEMS = [NotFound, limits.LimitReached]


class PersonTold(StrictSerializer):
    phone = serializers.CharField(max_length=20, help_text="The account's number.")
    real_name = serializers.CharField(max_length=50)
    id_number = serializers.CharField(max_length=18)
    reason = serializers.SlugField(max_length=40, help_text='A word, e.g. "lost", "stolen".')
    case_number = serializers.CharField(max_length=64, help_text="The holder will read it.")


class PhonesTouched(StrictSerializer):
    phones = serializers.IntegerField(help_text="How many changed.")


class StaffSuspensionRequest(PersonTold):
    source = serializers.ChoiceField(  # type: ignore[assignment]
        choices=sorted(hotline.SUSPENSION_ROLES), help_text="One of the caller's roles."
    )
    scope = serializers.ChoiceField(choices=suspensions.SCOPES)


class StaffCodeRequest(PersonTold, CodeRequest):
    pass


class StaffCodes(Endpoint):
    """A code for a person whose phone is not at hand."""

    audience = Audience.COUNTER
    roles = frozenset({"registrar"})

    @describes(
        request=StaffCodeRequest,
        answers={201: CodeAnswer},
        idempotent=True,
        problems=[*_PROBLEMS, residents.AccountSuspended, residents.DeviceNotActive],
        examples=examples.STAFF_CODE,
    )
    def post(self, request: Request) -> Response:
        """Receive a code to print for a kiosk: identification, library or check-in, online only."""
        asked = self.read(StaffCodeRequest)
        issued = hotline.issue_code(
            caller=self.caller,
            told=Told(**{name: asked[name] for name in _TOLD}),
            scenes=asked["scenes"],
            idempotency_key=self.idempotency(),
            at=self.at,
        )
        return Response(vars(issued), status=201)


class LostPhones(Endpoint):
    """A person without a phone comes to a counter or calls the hotline."""

    audience = Audience.COUNTER
    roles = hotline.LOST_PHONE_ROLES

    @describes(
        request=PersonTold,
        answers={200: PhonesTouched},
        problems=_PROBLEMS,
        examples=examples.LOST_PHONE,
    )
    def post(self, request: Request) -> Response:
        """Freeze every phone of the person at once. Again: no change."""
        told = Told(**self.read(PersonTold))
        return Response(
            {"phones": hotline.freeze_phones(caller=self.caller, told=told, at=self.at)}
        )


class FoundPhones(Endpoint):
    """The phone was found again."""

    audience = Audience.COUNTER
    roles = frozenset({"registrar"})

    @describes(
        request=PersonTold,
        answers={200: PhonesTouched},
        problems=_PROBLEMS,
        examples=examples.LOST_PHONE,
    )
    def post(self, request: Request) -> Response:
        """Give the person's frozen phones back: in person at a counter, not by the hotline."""
        told = Told(**self.read(PersonTold))
        return Response({"phones": hotline.thaw_phones(caller=self.caller, told=told, at=self.at)})


class StaffSuspensions(Endpoint):
    """Police, risk officers and operators block a person's code."""

    audience = Audience.COUNTER
    roles = hotline.SUSPENSION_ROLES

    @describes(
        request=StaffSuspensionRequest,
        answers={200: SuspensionShown},
        problems=[*_PROBLEMS, policy.RoleMissing],
        examples=examples.STAFF_SUSPENSION,
    )
    def post(self, request: Request) -> Response:
        """Suspend for a scope, as one of the caller's roles. Again: no change."""
        asked = self.read(StaffSuspensionRequest)
        made = hotline.suspend(caller=self.caller, at=self.at, **_split(asked))
        return Response(suspension(made))


class StaffLiftings(Endpoint):
    """Each source lifts only what it has suspended itself."""

    audience = Audience.COUNTER
    roles = hotline.SUSPENSION_ROLES

    @describes(
        request=StaffSuspensionRequest,
        answers={200: SuspensionShown},
        problems=[*_PROBLEMS, policy.RoleMissing],
        examples=examples.STAFF_LIFTING,
    )
    def post(self, request: Request) -> Response:
        """Lift the source's suspension of this scope; the others' stay in force."""
        asked = self.read(StaffSuspensionRequest)
        lifted = hotline.lift(caller=self.caller, at=self.at, **_split(asked))
        return Response(suspension(lifted))


def _split(asked: dict[str, Any]) -> dict[str, Any]:
    told = Told(**{name: asked[name] for name in _TOLD})
    return {"told": told, "source": asked["source"], "scope": asked["scope"]}
