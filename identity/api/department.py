"""What a department's own system may ask of identity: open a case share, and say how it ended."""

from uuid import UUID

from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from identity import case_shares
from identity.api import disclosure_examples as examples
from identity.api.my_sharing import CaseShareMoved
from identity.models import CaseShare
from vpass.common.api import Audience, Endpoint, StrictSerializer, describes
from vpass.common.errors import NotFound


class OpeningRequest(StrictSerializer):
    handle = serializers.CharField(max_length=100, help_text="As the resident sent it.")
    official = serializers.CharField(
        max_length=64, help_text="The department's own number of the person who looks."
    )
    case_number = serializers.CharField(max_length=64)


class OpeningAnswer(StrictSerializer):
    id = serializers.UUIDField()
    purpose = serializers.CharField()
    matter = serializers.CharField(help_text="The resident's words, or the case number.")
    holder = serializers.CharField(help_text="The name this organisation alone knows them by.")
    level = serializers.IntegerField()
    fields = serializers.DictField()  # type: ignore[assignment]
    receipt = serializers.CharField(help_text="The city's JWS over what the resident signed.")
    opened_at = serializers.DateTimeField()


class DecisionRequest(StrictSerializer):
    decision = serializers.ChoiceField(choices=CaseShare.Decision.choices)
    note = serializers.CharField(
        max_length=500, allow_null=True, default=None, help_text="The resident will read it."
    )


class CaseShareOpenings(Endpoint):
    """A share is opened."""

    audience = Audience.DEPARTMENT

    @describes(
        request=OpeningRequest,
        answers={200: OpeningAnswer},
        idempotent=True,
        problems=[NotFound, case_shares.ShareSpent],
        examples=examples.OPENING,
    )
    def post(self, request: Request) -> Response:
        """Open a share that names this department, once; the resident reads of it."""
        opening = case_shares.open_share(
            caller=self.caller,
            idempotency_key=self.idempotency(),
            at=self.at,
            **self.read(OpeningRequest),
        )
        return Response(vars(opening))


class CaseShareDecisions(Endpoint):
    """A matter has ended."""

    audience = Audience.DEPARTMENT

    @describes(
        request=DecisionRequest,
        answers={200: CaseShareMoved},
        idempotent=True,
        problems=[NotFound, case_shares.ShareNotOpen],
        examples=examples.DECISION,
    )
    def post(self, request: Request, share_id: UUID) -> Response:
        """Record the decision on the share, for the resident to read."""
        answer = case_shares.conclude(
            caller=self.caller,
            share_id=share_id,
            idempotency_key=self.idempotency(),
            at=self.at,
            **self.read(DecisionRequest),
        )
        return Response(answer)
