"""The scan the other way round, at the counter: a nonce is shown, a phone signs it."""

from uuid import UUID

from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from identity import residents, reverse_scans
from identity.api import login_examples as examples
from identity.api.my_log import Nothing
from identity.refusals import NotEntitled, OverAsking
from vpass.common.api import Audience, Endpoint, StrictSerializer, describes
from vpass.common.errors import NotFound


class ReverseScanRequest(StrictSerializer):
    purpose = serializers.SlugField(max_length=40)
    case_number = serializers.CharField(
        max_length=64, help_text="The matter this look belongs to; the holder signs and reads it."
    )
    fields = serializers.ListField(  # type: ignore[assignment]
        child=serializers.SlugField(max_length=40),
        max_length=20,
        allow_empty=False,
        allow_null=True,
        default=None,
        help_text="Only these; one beyond the right is refused and written down. Null: all.",
    )


class ReverseScanShown(StrictSerializer):
    id = serializers.UUIDField()
    qr = serializers.CharField(help_text="The text of the QR code to show, for a minute.")
    expires_at = serializers.DateTimeField()


class ReverseScanState(StrictSerializer):
    state = serializers.CharField(help_text="shown, answered, collected, expired, lapsed.")


class HighAssuranceResult(StrictSerializer):
    outcome = serializers.CharField(help_text='"accepted"; a refusal is a problem.')
    assurance = serializers.CharField(help_text='"high": signed for this desk and this nonce.')
    device = serializers.CharField(help_text="The key that signed: hardware or software.")
    scan = serializers.UUIDField(help_text="Names this scan for a consent that may follow.")
    holder = serializers.CharField(allow_null=True)
    level = serializers.IntegerField()
    fields = serializers.DictField(  # type: ignore[assignment]
        help_text="The entitled attributes by name, as of a scan."
    )
    redeemed_at = serializers.DateTimeField()


class ReverseScans(Endpoint):
    """A counter shows a nonce."""

    audience = Audience.COUNTER

    @describes(
        request=ReverseScanRequest,
        answers={201: ReverseScanShown},
        idempotent=True,
        problems=[NotEntitled, OverAsking],
        examples=examples.REVERSE_SCAN,
    )
    def post(self, request: Request) -> Response:
        """Make a nonce for this desk, purpose and case; good once and for a minute."""
        shown = reverse_scans.show(
            caller=self.caller,
            idempotency_key=self.idempotency(),
            at=self.at,
            **self.read(ReverseScanRequest),
        )
        return Response(vars(shown), status=201)


class OneReverseScan(Endpoint):
    """The nonce that a counter shows."""

    audience = Audience.COUNTER

    @describes(
        answers={200: ReverseScanState}, problems=[NotFound], examples=examples.REVERSE_SCAN_STATE
    )
    def get(self, request: Request, scan_id: UUID) -> Response:
        """Tell whether a phone has answered."""
        return Response(
            {"state": reverse_scans.shown_by(caller=self.caller, scan_id=scan_id, at=self.at)}
        )


class ReverseScanCollections(Endpoint):
    """The counter sees what the phone signed for."""

    audience = Audience.COUNTER

    @describes(
        request=Nothing,
        answers={200: HighAssuranceResult},
        idempotent=True,
        problems=[
            NotFound,
            NotEntitled,
            reverse_scans.ReverseScanWaiting,
            reverse_scans.ReverseScanOver,
            residents.AccountSuspended,
        ],
        examples=examples.COLLECTION,
    )
    def post(self, request: Request, scan_id: UUID) -> Response:
        """Collect the answer, once; the holder's log gets its line."""
        self.read(Nothing)
        found = reverse_scans.collect(
            caller=self.caller,
            scan_id=scan_id,
            idempotency_key=self.idempotency(),
            at=self.at,
        )
        return Response({"outcome": "accepted", **vars(found)})
