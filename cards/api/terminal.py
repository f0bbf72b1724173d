"""What a bus validator may ask: take a ride by a code it was shown."""

from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from cards import taps
from cards.api import examples
from vpass.common.api import Audience, Endpoint, StrictSerializer, describes
from vpass.common.errors import Unavailable


class BusTapRequest(StrictSerializer):
    code = serializers.CharField(max_length=2048, help_text="The text of the QR code.")
    line = serializers.SlugField(max_length=20, help_text="The line's code at the bus company.")


class BusTapTaken(StrictSerializer):
    tap = serializers.UUIDField()
    line = serializers.CharField()
    concession = serializers.CharField(help_text="none, student, senior or disabled.")
    fare_fen = serializers.IntegerField()
    tapped_at = serializers.DateTimeField()


class BusTaps(Endpoint):
    """A bus validator scans a resident's code."""

    audience = Audience.TERMINAL

    @describes(
        request=BusTapRequest,
        answers={200: BusTapTaken},
        idempotent=True,
        problems=[*taps.REFUSALS.values(), Unavailable],
        examples=examples.BUS_TAP,
    )
    def post(self, request: Request) -> Response:
        """Take a ride; the fare goes to the holder's wallet afterwards."""
        tapped = taps.record_tap(
            caller=self.caller,
            idempotency_key=self.idempotency(),
            at=self.at,
            **self.read(BusTapRequest),
        )
        return Response(vars(tapped))
