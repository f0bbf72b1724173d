"""What a resident's app may ask to raise its level: by face, or with a number for a counter."""

from uuid import UUID

from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from identity import counter_checks, face_checks, level_checks, residents
from identity.api import level_examples as examples
from identity.api.resident import ResidentLevel
from vpass.common import limits
from vpass.common.api import Audience, Endpoint, StrictSerializer, describes
from vpass.common.errors import NotFound

_PROBLEMS = [
    level_checks.LevelReached,
    residents.AccountSuspended,
    residents.DeviceNotActive,
    limits.LimitReached,
]


class FaceCheckBegun(StrictSerializer):
    id = serializers.UUIDField()
    challenge = serializers.CharField(help_text="For the checking service; good once.")
    subject = serializers.CharField(help_text="Names the person to the checking service alone.")
    audience = serializers.CharField(help_text="Who may believe the result: this city.")
    service = serializers.CharField(help_text="Where the checking service is reached.")
    expires_at = serializers.DateTimeField()


class FaceCheckResult(StrictSerializer):
    result = serializers.CharField(
        max_length=4096, help_text='The service\'s JWS, typ "vpass-liveness+jwt".'
    )


class CounterNumberShown(StrictSerializer):
    number = serializers.CharField(help_text="Eight digits, to be said at a counter.")
    expires_at = serializers.DateTimeField()


class FaceChecks(Endpoint):
    """A face check leads from level 2 to level 3."""

    audience = Audience.RESIDENT
    level = 2

    @describes(
        answers={201: FaceCheckBegun},
        idempotent=True,
        problems=[*_PROBLEMS, face_checks.CheckingServiceMissing],
        examples=examples.FACE_CHECK,
    )
    def post(self, request: Request) -> Response:
        """Begin a face check: a challenge for the checking service, which an earlier one ends."""
        begun = face_checks.begin(
            caller=self.caller, idempotency_key=self.idempotency(), at=self.at
        )
        return Response(vars(begun), status=201)


class FaceCheckResults(Endpoint):
    """The checking service has looked."""

    audience = Audience.RESIDENT
    level = 2

    @describes(
        request=FaceCheckResult,
        answers={200: ResidentLevel},
        idempotent=True,
        problems=[NotFound, residents.AccountSuspended, *face_checks.REFUSALS.values()],
        examples=examples.FACE_RESULT,
    )
    def post(self, request: Request, check_id: UUID) -> Response:
        """Hand in what the service signed, and reach level 3."""
        level = face_checks.finish(
            caller=self.caller,
            check_id=check_id,
            idempotency_key=self.idempotency(),
            at=self.at,
            **self.read(FaceCheckResult),
        )
        return Response({"level": level})


class CounterNumbers(Endpoint):
    """A number to say at a counter."""

    audience = Audience.RESIDENT
    level = 1

    @describes(
        answers={201: CounterNumberShown},
        idempotent=True,
        problems=_PROBLEMS,
        examples=examples.COUNTER_NUMBER,
    )
    def post(self, request: Request) -> Response:
        """Receive a number that proves this phone to a clerk; an earlier one ends."""
        made = counter_checks.begin(
            caller=self.caller, idempotency_key=self.idempotency(), at=self.at
        )
        return Response(vars(made), status=201)
