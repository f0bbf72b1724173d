"""What a resident's app may ask of the IoT city: claim a parked car, and see what it costs."""

from typing import Any
from uuid import UUID

from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from payments import charges
from services.iot.api import examples
from services.iot.applications.parking import claims
from services.iot.models import ParkingSession
from vpass.common.api import Audience, Endpoint, StrictSerializer, describes, page_serializer
from vpass.common.errors import NotFound

VERIFIED = 2


class ParkingClaimRequest(StrictSerializer):
    bay_code = serializers.RegexField(
        r"^[A-Z0-9-]{2,16}\Z", max_length=16, help_text="As it is painted on the ground."
    )
    parked_at = serializers.DateTimeField(
        required=False,
        help_text="A moment at which the car stood there, up to 7 days after it left; left out: "
        "the car that is there, or left within the last 15 minutes.",
    )


class ParkingWords(StrictSerializer):
    zh = serializers.CharField()
    en = serializers.CharField()


class ParkingShown(StrictSerializer):
    id = serializers.UUIDField()
    state = serializers.CharField(
        help_text="open, ended (the fee is not settled yet), no_fee, unclaimed, due, paid, lapsed "
        "or waived."
    )
    bay_code = serializers.CharField()
    location = ParkingWords()
    operator = ParkingWords()
    started_at = serializers.DateTimeField()
    ended_at = serializers.DateTimeField(allow_null=True)
    fee_fen = serializers.IntegerField(help_text="Up to now, until it is settled.")
    is_settled = serializers.BooleanField(help_text="The fee stands for good.")


class ParkingClaims(Endpoint):
    """The resident's word for a car."""

    audience = Audience.RESIDENT
    level = VERIFIED

    @describes(
        request=ParkingClaimRequest,
        answers={201: ParkingShown},
        idempotent=True,
        problems=[
            NotFound,
            claims.NothingToClaim,
            claims.ParkingClaimed,
            charges.ChargePartyUnknown,
        ],
        examples=examples.PARKING_CLAIM,
    )
    def post(self, request: Request) -> Response:
        """Say "this is my car": what it costs is charged to the wallet when it has left."""
        shown = claims.claim_bay(
            caller=self.caller,
            idempotency_key=self.idempotency(),
            at=self.at,
            **self.read(ParkingClaimRequest),
        )
        return Response(vars(shown), status=201)


class ParkingSessions(Endpoint):
    """Where the resident has parked."""

    audience = Audience.RESIDENT
    level = VERIFIED

    @describes(
        answers={200: page_serializer(ParkingShown)},
        paged=True,
        examples=examples.PARKING_SESSIONS,
    )
    def get(self, request: Request) -> Response:
        """List claimed stays, newest first."""
        return self.page(
            claims.sessions_of(caller=self.caller), render=self._render, order=("-id",)
        )

    def _render(self, session: ParkingSession) -> dict[str, Any]:
        return vars(claims.show(session, at=self.at))


class OneParkingSession(Endpoint):
    """One stay of the resident's car."""

    audience = Audience.RESIDENT
    level = VERIFIED

    @describes(answers={200: ParkingShown}, problems=[NotFound], examples=examples.PARKING_SESSION)
    def get(self, request: Request, session_id: UUID) -> Response:
        """Show how it stands."""
        found = claims.session_in(claims.sessions_of(caller=self.caller), session_id)
        return Response(vars(claims.show(found, at=self.at)))
