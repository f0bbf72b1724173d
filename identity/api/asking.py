"""What a counter asks beyond its right, and how its organisation answers disputes."""

from typing import Any
from uuid import UUID

from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from identity import consent, disputes
from identity.api import disclosure_examples as examples
from identity.api.counter import NamedPlace
from identity.api.my_log import DisputeMoved, Nothing
from identity.models import AccessLine, Dispute
from vpass.common import limits
from vpass.common.api import Audience, Endpoint, StrictSerializer, describes, page_serializer
from vpass.common.errors import NotFound


class ConsentRequest(StrictSerializer):
    scan = serializers.UUIDField(help_text="`scan` of the accepted scan.")
    fields = serializers.ListField(  # type: ignore[assignment]
        child=serializers.SlugField(max_length=40), max_length=20, allow_empty=False
    )
    case_number = serializers.CharField(
        max_length=64, allow_null=True, default=None, help_text="Null: that of the scan."
    )


class ConsentAsked(StrictSerializer):
    id = serializers.UUIDField()
    state = serializers.CharField(
        help_text="asked, approved, refused, expired, released, lapsed or withdrawn."
    )
    fields = serializers.ListField(child=serializers.CharField())  # type: ignore[assignment]
    expires_at = serializers.DateTimeField(help_text="Until when the resident may answer.")
    release_by = serializers.DateTimeField(
        allow_null=True, help_text="Until when an approval may be used."
    )


class ConsentReleased(StrictSerializer):
    fields = serializers.DictField()  # type: ignore[assignment]
    receipt = serializers.CharField(help_text="The city's JWS, to be kept with the case.")
    released_at = serializers.DateTimeField()


class DisputedLine(StrictSerializer):
    line = serializers.UUIDField()
    state = serializers.CharField()
    note = serializers.CharField(allow_null=True)
    opened_at = serializers.DateTimeField()
    at = serializers.DateTimeField(help_text="When the look was.")
    place = NamedPlace(allow_null=True)
    staff = serializers.CharField(allow_null=True, help_text="Who looked.")
    purpose = serializers.CharField()
    case_number = serializers.CharField(allow_null=True)
    fields = serializers.ListField(child=serializers.CharField())  # type: ignore[assignment]
    asked = serializers.ListField(child=serializers.CharField())
    outcome = serializers.ChoiceField(choices=AccessLine.Outcome.choices)
    answer = serializers.CharField(allow_null=True)
    answered_at = serializers.DateTimeField(allow_null=True)


class DisputeAnswerRequest(StrictSerializer):
    verdict = serializers.ChoiceField(choices=["justified", "unjustified"])
    text = serializers.CharField(max_length=500, help_text="The resident will read it.")


class ConsentRequests(Endpoint):
    """Asking the resident on the phone."""

    audience = Audience.COUNTER

    @describes(
        request=ConsentRequest,
        answers={201: ConsentAsked},
        idempotent=True,
        problems=[
            NotFound,
            consent.NotAskable,
            consent.ConsentWaiting,
            limits.LimitReached,
        ],
        examples=examples.CONSENT_REQUEST,
    )
    def post(self, request: Request) -> Response:
        """Ask the resident who was just scanned for fields beyond the standing right."""
        asked = self.read(ConsentRequest)
        answer = consent.ask(
            caller=self.caller,
            scan_id=asked["scan"],
            fields=asked["fields"],
            case_number=asked["case_number"],
            idempotency_key=self.idempotency(),
            at=self.at,
        )
        return Response(vars(answer), status=201)


class OneConsentRequest(Endpoint):
    """One request."""

    audience = Audience.COUNTER

    @describes(answers={200: ConsentAsked}, problems=[NotFound], examples=examples.CONSENT_ASKED)
    def get(self, request: Request, consent_id: UUID) -> Response:
        """Show whether the resident has answered."""
        answer = consent.asked_by(caller=self.caller, consent_id=consent_id, at=self.at)
        return Response(vars(answer))


class ConsentReleases(Endpoint):
    """What was approved is given out."""

    audience = Audience.COUNTER

    @describes(
        request=Nothing,
        answers={200: ConsentReleased},
        idempotent=True,
        problems=[NotFound, consent.ConsentOver],
        examples=examples.CONSENT_RELEASE,
    )
    def post(self, request: Request, consent_id: UUID) -> Response:
        """Receive the fields, once, within five minutes of the approval."""
        self.read(Nothing)
        answer = consent.release(
            caller=self.caller,
            consent_id=consent_id,
            idempotency_key=self.idempotency(),
            at=self.at,
        )
        return Response(vars(answer))


class Disputes(Endpoint):
    """What residents dispute."""

    audience = Audience.COUNTER
    roles = frozenset({disputes.ROLE})

    @describes(answers={200: page_serializer(DisputedLine)}, paged=True, examples=examples.DISPUTES)
    def get(self, request: Request) -> Response:
        """List the disputes about the organisation's looks, newest line first."""
        return self.page(
            disputes.disputes_at(caller=self.caller), render=_dispute, order=("-line_id",)
        )


class DisputeAnswers(Endpoint):
    """A dispute is answered."""

    audience = Audience.COUNTER
    roles = frozenset({disputes.ROLE})

    @describes(
        request=DisputeAnswerRequest,
        answers={200: DisputeMoved},
        idempotent=True,
        problems=[NotFound, disputes.DisputeOver, disputes.SelfAnswer],
        examples=examples.DISPUTE_ANSWER,
    )
    def post(self, request: Request, line_id: UUID) -> Response:
        """Say whether the look was justified, and why; the resident reads it."""
        answer = disputes.answer_dispute(
            caller=self.caller,
            line_id=line_id,
            idempotency_key=self.idempotency(),
            at=self.at,
            **self.read(DisputeAnswerRequest),
        )
        return Response(answer)


def _dispute(dispute: Dispute) -> dict[str, Any]:
    line = dispute.line
    place = line.desk or line.terminal
    return {
        "line": line.id,
        "state": dispute.state,
        "note": dispute.note,
        "opened_at": dispute.opened_at,
        "at": line.at,
        "place": None if place is None else {"zh": place.name_zh, "en": place.name_en},
        "staff": None if line.staff is None else line.staff.user.get_username(),
        "purpose": line.purpose,
        "case_number": line.case_number,
        "fields": line.fields,
        "asked": line.asked,
        "outcome": line.outcome,
        "answer": dispute.answer,
        "answered_at": dispute.answered_at,
    }
