"""What a resident's app may ask of identity: enrolment, tokens, grants, and its own access log."""

from typing import Any
from uuid import UUID

from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from identity import (
    attestation,
    delegation,
    devices,
    enrolment,
    grants,
    register,
    residents,
    server_codes,
    status_list,
)
from identity.api import examples
from identity.register import http
from vpass.common import limits
from vpass.common.api import Audience, Endpoint, StrictSerializer, describes
from vpass.common.errors import NotFound
from vpass.common.signing import public_from_point


class EnrolmentRequest(StrictSerializer):
    phone = serializers.CharField(max_length=20, help_text="A Chinese mobile number, 11 digits.")


class EnrolmentStarted(StrictSerializer):
    enrolment_id = serializers.UUIDField()
    expires_at = serializers.DateTimeField()
    server_time = serializers.DateTimeField()


class PhoneProofRequest(StrictSerializer):
    one_time_code = serializers.RegexField(r"^[0-9]{6}\Z", max_length=6)
    attestation = serializers.ListField(
        child=serializers.CharField(max_length=8192),
        min_length=1,
        max_length=5,
        allow_null=True,
        default=None,
        help_text="Base64 DER certificates, the leaf first, by which the chip's maker vouches for"
        " the phone's key; docs/phone-proofs.md. Null: the key is of grade software.",
    )


class TokenRequest(StrictSerializer):
    assertion = serializers.CharField(
        max_length=4096, help_text='A JWS by the device key, typ "vpass-token+jwt".'
    )


class ResidentLevel(StrictSerializer):
    level = serializers.IntegerField()


class TokenAnswer(StrictSerializer):
    access_token = serializers.CharField()
    token_type = serializers.CharField()
    expires_in = serializers.IntegerField(help_text="Seconds.")
    refresh_token = serializers.CharField(help_text="Good once, with this device's proofs alone.")
    refresh_expires_in = serializers.IntegerField(help_text="Seconds.")
    resident = ResidentLevel()


class IdentityProofRequest(StrictSerializer):
    real_name = serializers.CharField(max_length=50)
    id_number = serializers.CharField(max_length=18)


class DeviceShown(StrictSerializer):
    grade = serializers.CharField()
    bound_at = serializers.DateTimeField()


class MyAccount(StrictSerializer):
    level = serializers.IntegerField()
    state = serializers.CharField()
    masked_name = serializers.CharField(allow_null=True)
    masked_phone = serializers.CharField()
    device = DeviceShown()


class GrantRequest(StrictSerializer):
    request = serializers.CharField(
        max_length=4096, help_text='A JWS by the device key, typ "vpass-grant+jwt".'
    )


class GrantAnswer(StrictSerializer):
    grant = serializers.CharField(help_text="Base64url of the signed grant; docs/code-format.md.")
    expires_at = serializers.DateTimeField()
    server_time = serializers.DateTimeField()
    rotate_every_s = serializers.IntegerField()
    lives_s = serializers.IntegerField()


class CodeRequest(StrictSerializer):
    scenes = serializers.ListField(
        child=serializers.ChoiceField(choices=["id", "library", "check_in"]),
        min_length=1,
        max_length=3,
    )


class CodeAnswer(StrictSerializer):
    code = serializers.CharField(help_text="The text to draw, good once and for 60 seconds.")
    expires_at = serializers.DateTimeField()
    server_time = serializers.DateTimeField()
    rotate_every_s = serializers.IntegerField()


class BothLanguages(StrictSerializer):
    zh = serializers.CharField()
    en = serializers.CharField()


class PurposeShown(StrictSerializer):
    code = serializers.CharField()
    zh = serializers.CharField()
    en = serializers.CharField()


class Enrolments(Endpoint):
    """Enrolment begins with a phone number and the phone's own key."""

    audience = Audience.RESIDENT
    signed_in = False

    @describes(
        request=EnrolmentRequest,
        answers={201: EnrolmentStarted},
        problems=[enrolment.PhoneInvalid, limits.LimitReached],
        examples=examples.ENROLMENT,
    )
    def post(self, request: Request) -> Response:
        """Send a one-time code to a phone number."""
        started = enrolment.start_enrolment(
            public=public_from_point(self.proof.point),
            thumbprint=self.proof.thumbprint,
            at=self.at,
            **self.read(EnrolmentRequest),
        )
        body = {
            "enrolment_id": started.id,
            "expires_at": started.expires_at,
            "server_time": self.at,
        }
        return Response(body, status=201)


class PhoneProofs(Endpoint):
    """The one-time code comes back, and an account of level 1 is made."""

    audience = Audience.RESIDENT
    signed_in = False

    @describes(
        request=PhoneProofRequest,
        answers={200: TokenAnswer},
        problems=[
            NotFound,
            enrolment.CodeWrong,
            enrolment.EnrolmentOver,
            enrolment.PhoneTaken,
            devices.DeviceTaken,
            residents.AccountSuspended,
            *attestation.REFUSALS,
        ],
        examples=examples.PHONE_PROOF,
    )
    def post(self, request: Request, enrolment_id: UUID) -> Response:
        """Confirm the phone and receive the first access token."""
        issued = enrolment.confirm_phone(
            enrolment_id=enrolment_id,
            thumbprint=self.proof.thumbprint,
            at=self.at,
            **self.read(PhoneProofRequest),
        )
        return Response(token_answer(issued))


class Tokens(Endpoint):
    """A bound phone renews its access token with its key alone."""

    audience = Audience.RESIDENT
    signed_in = False

    @describes(
        request=TokenRequest,
        answers={200: TokenAnswer},
        problems=[devices.AssertionRefused],
        examples=examples.TOKEN,
    )
    def post(self, request: Request) -> Response:
        """Exchange an assertion for an access token (RFC 7523)."""
        issued = devices.renew_token(
            thumbprint=self.proof.thumbprint, at=self.at, **self.read(TokenRequest)
        )
        return Response(token_answer(issued))


class IdentityProofs(Endpoint):
    """Real name and ID number are checked against the population register."""

    audience = Audience.RESIDENT
    level = 1

    @describes(
        request=IdentityProofRequest,
        answers={200: ResidentLevel},
        idempotent=True,
        problems=[
            enrolment.IdentityFormInvalid,
            enrolment.IdentityNotMatched,
            enrolment.IdentityTaken,
            enrolment.IdentityProven,
            enrolment.IdentityChanging,
            residents.AccountSuspended,
            limits.LimitReached,
            register.RegisterUnavailable,
            register.RegisterAnswerInvalid,
        ],
        examples=examples.IDENTITY_PROOF,
    )
    def post(self, request: Request) -> Response:
        """Reach level 2."""
        level = enrolment.prove_identity(
            caller=self.caller,
            register=http.population_register(),
            idempotency_key=self.idempotency(),
            at=self.at,
            **self.read(IdentityProofRequest),
        )
        return Response({"level": level})


class Me(Endpoint):
    """The resident's own account."""

    audience = Audience.RESIDENT

    @describes(answers={200: MyAccount}, examples=examples.ME)
    def get(self, request: Request) -> Response:
        """Show the account, with name and phone number masked."""
        account = residents.my_account(caller=self.caller)
        return Response(
            {
                "level": account.level,
                "state": account.state,
                "masked_name": account.masked_name,
                "masked_phone": account.masked_phone,
                "device": {"grade": account.device_grade, "bound_at": account.device_bound_at},
            }
        )


class Grants(Endpoint):
    """The right to make codes for a day, for a fresh key of the phone."""

    audience = Audience.RESIDENT
    level = 2

    @describes(
        request=GrantRequest,
        answers={201: GrantAnswer},
        idempotent=True,
        problems=[
            NotFound,
            grants.GrantRequestInvalid,
            delegation.DelegationOver,
            residents.DeviceNotActive,
            residents.AccountSuspended,
            status_list.ListsFull,
            limits.LimitReached,
        ],
        examples=examples.GRANT,
    )
    def post(self, request: Request) -> Response:
        """Receive a signed grant."""
        issued = grants.issue_grant(
            caller=self.caller,
            idempotency_key=self.idempotency(),
            request_jws=self.read(GrantRequest)["request"],
            at=self.at,
        )
        return Response(vars(issued), status=201)


class ServerCodes(Endpoint):
    """Codes that the server signs, for phones that can hold no key of their own for codes."""

    audience = Audience.RESIDENT
    level = 2

    @describes(
        request=CodeRequest,
        answers={201: CodeAnswer},
        idempotent=True,
        problems=[
            residents.AccountSuspended,
            residents.DeviceNotActive,
            limits.LimitReached,
        ],
        examples=examples.SERVER_CODE,
    )
    def post(self, request: Request) -> Response:
        """Receive a code for identification, library or check-in, good online only."""
        issued = server_codes.issue_code(
            caller=self.caller,
            idempotency_key=self.idempotency(),
            at=self.at,
            **self.read(CodeRequest),
        )
        return Response(vars(issued), status=201)


def token_answer(issued: devices.TokenIssued) -> dict[str, Any]:
    """The members of a TokenAnswer."""
    return {
        "access_token": issued.access_token,
        "token_type": "DPoP",
        "expires_in": issued.expires_in_s,
        "refresh_token": issued.refresh_token,
        "refresh_expires_in": issued.refresh_expires_in_s,
        "resident": {"level": issued.resident.level},
    }
