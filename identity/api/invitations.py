"""How invited people become staff at a desk of theirs, and how staff change their password."""

from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from identity import staff, staffing
from identity.api import administration_examples as examples
from vpass.common import limits
from vpass.common.api import Audience, Endpoint, StrictSerializer, describes

_CODE = r"^[0-9A-Z]{16}\Z"
_ONE_TIME_CODE = r"^[0-9]{6}\Z"


class PasswordChosen(StrictSerializer):
    invitation_code = serializers.RegexField(_CODE, max_length=16)
    password = serializers.CharField(
        max_length=256,
        trim_whitespace=False,
        help_text="At least 15 characters of any kind, and none of the common ones.",
    )


class FactorShown(StrictSerializer):
    totp_secret = serializers.CharField(help_text="Base32, for the authenticator; shown once.")
    totp_url = serializers.CharField(help_text="The same, to be shown as a QR code.")


class InvitationAccepted(StrictSerializer):
    invitation_code = serializers.RegexField(_CODE, max_length=16)
    one_time_code = serializers.RegexField(_ONE_TIME_CODE, max_length=6)


class StaffJoined(StrictSerializer):
    staff = serializers.UUIDField()
    username = serializers.CharField()


class PasswordChange(StrictSerializer):
    password = serializers.CharField(max_length=256, trim_whitespace=False)
    new_password = serializers.CharField(max_length=256, trim_whitespace=False)
    one_time_code = serializers.RegexField(_ONE_TIME_CODE, max_length=6)


class InvitationPasswords(Endpoint):
    """The first step of somebody invited."""

    audience = Audience.COUNTER
    signed_in = False

    @describes(
        request=PasswordChosen,
        answers={200: FactorShown},
        problems=[
            staff.DeskUnknown,
            limits.LimitReached,
            staffing.InvitationRefused,
            staffing.PasswordRefused,
        ],
        examples=examples.CHOOSE_PASSWORD,
    )
    def post(self, request: Request) -> Response:
        """Choose a password and receive the second factor; again, it is replaced."""
        factor = staffing.choose_password(
            desk_thumbprint=self.proof.thumbprint, at=self.at, **self.read(PasswordChosen)
        )
        return Response(vars(factor))


class InvitationAcceptances(Endpoint):
    """The last step of somebody invited."""

    audience = Audience.COUNTER
    signed_in = False

    @describes(
        request=InvitationAccepted,
        answers={201: StaffJoined},
        problems=[staff.DeskUnknown, limits.LimitReached, staffing.InvitationRefused],
        examples=examples.ACCEPT,
    )
    def post(self, request: Request) -> Response:
        """Prove the second factor; from now on they may sign in."""
        person = staffing.accept(
            desk_thumbprint=self.proof.thumbprint, at=self.at, **self.read(InvitationAccepted)
        )
        return Response({"staff": person.id, "username": person.user.get_username()}, status=201)


class Passwords(Endpoint):
    """The password of who is signed in."""

    audience = Audience.COUNTER

    @describes(
        request=PasswordChange,
        answers={204: None},
        problems=[limits.LimitReached, staff.SignInRefused, staffing.PasswordRefused],
        examples=examples.PASSWORD,
    )
    def post(self, request: Request) -> Response:
        """Change it, proven with both factors; every session ends, this one too."""
        staffing.change_password(caller=self.caller, at=self.at, **self.read(PasswordChange))
        return Response(status=204)
