"""What the city's privacy officer may ask about residents' requests to have a record put right."""

from uuid import UUID

from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from identity import corrections, disputes
from identity.api import record_examples as examples
from identity.api.my_record import CorrectionMoved, CorrectionShown, correction_shown
from identity.real_names import IdentityChanging
from identity.register import PopulationRegister, http
from vpass.common import limits
from vpass.common.api import Audience, Endpoint, StrictSerializer, describes, page_serializer
from vpass.common.errors import NotFound


class CorrectionRefusal(StrictSerializer):
    text = serializers.CharField(max_length=500, help_text="Why; the resident will read it.")


class CorrectionGrant(CorrectionRefusal):
    real_name = serializers.CharField(max_length=50, help_text="As the register should have it.")
    id_number = serializers.CharField(max_length=18)


class CorrectionsAsked(Endpoint):
    """What residents want put right."""

    audience = Audience.COUNTER
    roles = frozenset({disputes.ROLE})

    @describes(
        answers={200: page_serializer(CorrectionShown)}, paged=True, examples=examples.CORRECTIONS
    )
    def get(self, request: Request) -> Response:
        """List the requests, newest first, without the record itself."""
        rows = corrections.corrections_at(caller=self.caller)
        return self.page(rows, render=correction_shown, order=("-id",))


class CorrectionRefusals(Endpoint):
    """The record stays as it is."""

    audience = Audience.COUNTER
    roles = frozenset({disputes.ROLE})

    @describes(
        request=CorrectionRefusal,
        answers={200: CorrectionMoved},
        idempotent=True,
        problems=[NotFound, corrections.CorrectionOver],
        examples=examples.CORRECTION_REFUSED,
    )
    def post(self, request: Request, correction_id: UUID) -> Response:
        """Refuse, and say why."""
        answer = corrections.refuse(
            caller=self.caller,
            correction_id=correction_id,
            idempotency_key=self.idempotency(),
            at=self.at,
            **self.read(CorrectionRefusal),
        )
        return Response(answer)


class CorrectionGrants(Endpoint):
    """The record is put right."""

    audience = Audience.COUNTER
    roles = frozenset({disputes.ROLE})

    @describes(
        request=CorrectionGrant,
        answers={200: CorrectionMoved},
        idempotent=True,
        problems=[
            NotFound,
            corrections.CorrectionOver,
            corrections.CorrectionNotMatched,
            corrections.CorrectionNumberTaken,
            IdentityChanging,
            limits.LimitReached,
        ],
        examples=examples.CORRECTION_GRANTED,
    )
    def post(self, request: Request, correction_id: UUID) -> Response:
        """Put name and number right, if the population register confirms them of this person."""
        register: PopulationRegister = http.population_register()
        answer = corrections.grant(
            caller=self.caller,
            register=register,
            correction_id=correction_id,
            idempotency_key=self.idempotency(),
            at=self.at,
            **self.read(CorrectionGrant),
        )
        return Response(answer)
