"""What a terminal may ask of identity: redeem a code that it was shown."""

from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from identity import codes
from identity.api import examples
from identity.api.counter import ScanResult
from vpass.common.api import Audience, Endpoint, StrictSerializer, describes


class TerminalScanRequest(StrictSerializer):
    code = serializers.CharField(max_length=2048, help_text="The text of the QR code.")
    purpose = serializers.SlugField(max_length=40)
    case_number = serializers.CharField(max_length=64, allow_null=True, default=None)
    fields = serializers.ListField(  # type: ignore[assignment]
        child=serializers.SlugField(max_length=40),
        max_length=20,
        allow_empty=False,
        allow_null=True,
        default=None,
        help_text="Only these; one beyond the right is refused and written down. Null: all.",
    )


class TerminalScans(Endpoint):
    """A terminal scans a resident's code in the scene it is registered for."""

    audience = Audience.TERMINAL

    @describes(
        request=TerminalScanRequest,
        answers={200: ScanResult},
        idempotent=True,
        problems=list(codes.REFUSALS.values()),
        examples=examples.SCAN,
    )
    def post(self, request: Request) -> Response:
        """Redeem a code and see exactly what this terminal may see for this purpose."""
        scan = codes.redeem_code(
            caller=self.caller,
            idempotency_key=self.idempotency(),
            at=self.at,
            **self.read(TerminalScanRequest),
        )
        return Response({"outcome": "accepted", **vars(scan)})
