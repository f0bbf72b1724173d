"""What a resident's app may do when a phone is lost or new: devices, tokens and suspensions."""

from typing import Any
from uuid import UUID

from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from identity import attestation, devices, enrolment, lost_phones, residents, suspensions
from identity.api import examples
from identity.api.resident import PhoneProofRequest, TokenAnswer, token_answer
from identity.models import Device, Suspension
from vpass.common.api import Audience, Endpoint, StrictSerializer, describes
from vpass.common.callers import required
from vpass.common.errors import NotFound
from vpass.common.states import IllegalTransition


class RefreshRequest(StrictSerializer):
    refresh_token = serializers.RegexField(r"^[A-Za-z0-9_-]{43}\Z", max_length=43)


class MoveRequest(PhoneProofRequest):
    real_name = serializers.CharField(max_length=50)
    id_number = serializers.CharField(max_length=18)


class DeviceListed(StrictSerializer):
    id = serializers.UUIDField()
    grade = serializers.CharField()
    state = serializers.CharField()
    bound_at = serializers.DateTimeField()
    is_this = serializers.BooleanField(help_text="Whether it is the phone that asks.")


class DevicesListed(StrictSerializer):
    devices = DeviceListed(many=True)


class SuspensionRequest(StrictSerializer):
    scope = serializers.ChoiceField(choices=suspensions.SCOPES)


class SuspensionShown(StrictSerializer):
    id = serializers.UUIDField()
    source = serializers.CharField(  # type: ignore[assignment]
        help_text='"holder", "police", "risk", "operator" or "register".'
    )
    scope = serializers.CharField(help_text='"all", "pay", "bus" or "door".')
    state = serializers.CharField()
    set_at = serializers.DateTimeField()


class SuspensionsListed(StrictSerializer):
    suspensions = SuspensionShown(many=True)


class TokenRefreshes(Endpoint):
    """A phone renews its tokens with its refresh token."""

    audience = Audience.RESIDENT
    signed_in = False

    @describes(
        request=RefreshRequest,
        answers={200: TokenAnswer},
        problems=[devices.RefreshRefused, devices.RefreshReused],
        examples=examples.REFRESH,
    )
    def post(self, request: Request) -> Response:
        """Exchange a refresh token, good once, for new tokens."""
        issued = devices.refresh_token(
            thumbprint=self.proof.thumbprint, at=self.at, **self.read(RefreshRequest)
        )
        return Response(token_answer(issued))


class OwnTokens(Endpoint):
    """All tokens of the phone that asks."""

    audience = Audience.RESIDENT

    @describes(answers={204: None})
    def delete(self, request: Request) -> Response:
        """Sign out: every token of this phone ends at once."""
        devices.sign_out(device_id=required(self.caller.device_id), at=self.at)
        return Response(status=204)


class Moves(Endpoint):
    """A new phone takes an account over from the old one."""

    audience = Audience.RESIDENT
    signed_in = False

    @describes(
        request=MoveRequest,
        answers={200: TokenAnswer},
        problems=[
            NotFound,
            enrolment.CodeWrong,
            enrolment.EnrolmentOver,
            enrolment.AccountMissing,
            enrolment.IdentityNotMatched,
            devices.DeviceTaken,
            residents.AccountSuspended,
            *attestation.REFUSALS,
        ],
        examples=examples.MOVE,
    )
    def post(self, request: Request, enrolment_id: UUID) -> Response:
        """Prove again who you are; the old phones end with their grants and tokens."""
        issued = enrolment.move_account(
            enrolment_id=enrolment_id,
            thumbprint=self.proof.thumbprint,
            at=self.at,
            **self.read(MoveRequest),
        )
        return Response(token_answer(issued))


class Devices(Endpoint):
    """The resident's phones."""

    audience = Audience.RESIDENT

    @describes(answers={200: DevicesListed}, examples=examples.DEVICES)
    def get(self, request: Request) -> Response:
        """List the phones, frozen and ended ones too; newest first."""
        found = lost_phones.devices_of(resident_id=required(self.caller.resident_id))
        return Response({"devices": [_device(each, self.caller.device_id) for each in found]})


class DeviceFreezes(Endpoint):
    """A lost phone is frozen from another one."""

    audience = Audience.RESIDENT

    @describes(
        answers={200: DeviceListed},
        problems=[NotFound, lost_phones.OwnDevice, IllegalTransition],
        examples=examples.DEVICE,
    )
    def post(self, request: Request, device_id: UUID) -> Response:
        """Freeze a phone: its codes and tokens are refused at once. Again: no change."""
        frozen = lost_phones.freeze_device(
            resident_id=required(self.caller.resident_id),
            device_id=device_id,
            by_device=self.caller.device_id,
            actor=self.caller.scope,
            at=self.at,
        )
        return Response(_device(frozen, self.caller.device_id))


class DeviceThaws(Endpoint):
    """A found phone is given back from another one."""

    audience = Audience.RESIDENT

    @describes(
        answers={200: DeviceListed},
        problems=[NotFound, IllegalTransition],
        examples=examples.DEVICE_BACK,
    )
    def post(self, request: Request, device_id: UUID) -> Response:
        """Give a frozen phone back; it signs in anew with its key. Again: no change."""
        thawed = lost_phones.thaw_device(
            resident_id=required(self.caller.resident_id),
            device_id=device_id,
            actor=self.caller.scope,
            at=self.at,
        )
        return Response(_device(thawed, self.caller.device_id))


class OwnSuspensions(Endpoint):
    """What the resident's code is blocked for, and by whom."""

    audience = Audience.RESIDENT

    @describes(answers={200: SuspensionsListed}, examples=examples.SUSPENSIONS)
    def get(self, request: Request) -> Response:
        """List the suspensions in force."""
        found = suspensions.suspensions_of(resident_id=required(self.caller.resident_id))
        return Response({"suspensions": [suspension(each) for each in found]})

    @describes(
        request=SuspensionRequest,
        answers={200: SuspensionShown},
        problems=[NotFound],
        examples=examples.SUSPENSION,
    )
    def post(self, request: Request) -> Response:
        """Block one's own code for paying, riding, doors or everything. Again: no change."""
        made = suspensions.suspend(
            resident_id=required(self.caller.resident_id),
            source="holder",
            reason="own",
            actor=self.caller.scope,
            at=self.at,
            **self.read(SuspensionRequest),
        )
        return Response(suspension(made))


class OwnLiftings(Endpoint):
    """The resident lifts a suspension of their own."""

    audience = Audience.RESIDENT

    @describes(
        answers={200: SuspensionShown},
        problems=[NotFound, suspensions.SuspensionOfAnother],
        examples=examples.LIFTING,
    )
    def post(self, request: Request, suspension_id: UUID) -> Response:
        """Lift it; those of other sources stay. Again: no change."""
        lifted = suspensions.lift(
            suspension_id=suspension_id,
            sources={"holder"},
            resident_id=required(self.caller.resident_id),
            actor=self.caller.scope,
            at=self.at,
        )
        return Response(suspension(lifted))


def suspension(row: Suspension) -> dict[str, Any]:
    """The members of a SuspensionShown."""
    return {
        "id": row.id,
        "source": row.source,
        "scope": row.scope,
        "state": row.state,
        "set_at": row.set_at,
    }


def _device(row: Device, own_id: UUID | None) -> dict[str, Any]:
    return {
        "id": row.id,
        "grade": row.grade,
        "state": row.state,
        "bound_at": row.bound_at,
        "is_this": row.id == own_id,
    }
