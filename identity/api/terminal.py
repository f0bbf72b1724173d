"""What a terminal may ask of identity: redeem a code, and what it needs to decide offline."""

from django.http import HttpResponseNotModified
from django.http.response import HttpResponseBase
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from identity import codes, scanner_bundle
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


class ScannerBundleAnswer(StrictSerializer):
    bundle = serializers.CharField(help_text="A JWS by the city's key; docs/offline.md.")
    version = serializers.CharField(help_text="Also the ETag.")


class ScannerBundles(Endpoint):
    """Keys, rules and the list of lists, for deciding without network."""

    audience = Audience.TERMINAL

    @describes(answers={200: ScannerBundleAnswer}, examples=examples.SCANNER_BUNDLE)
    def get(self, request: Request) -> HttpResponseBase:
        """Return this terminal's signed bundle; with If-None-Match, 304 for the same version."""
        packed = scanner_bundle.pack_bundle(caller=self.caller, at=self.at)
        headers = {"ETag": f'"{packed.version}"'}
        if request.headers.get("If-None-Match") == headers["ETag"]:
            return HttpResponseNotModified(headers=headers)
        return Response(vars(packed), headers=headers)
