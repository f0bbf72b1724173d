"""What a counter shows for a phone to sign: looked at and answered by the resident."""

from uuid import UUID

from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from identity import receipts, residents, reverse_scans
from identity.api import login_examples as examples
from identity.api.my_sharing import PartyShown
from identity.api.resident import BothLanguages, PurposeShown
from vpass.common import limits
from vpass.common.api import Audience, Endpoint, StrictSerializer, describes
from vpass.common.errors import NotFound


class NonceLook(StrictSerializer):
    nonce = serializers.RegexField(
        r"^VPN1\.[A-Za-z0-9_-]{43}\Z", max_length=48, help_text="From the counter's QR code."
    )


class CounterAsks(StrictSerializer):
    id = serializers.UUIDField()
    organisation = PartyShown()
    desk = serializers.UUIDField()
    place = BothLanguages()
    purpose = PurposeShown()
    fields = serializers.ListField(child=serializers.CharField())  # type: ignore[assignment]
    case_number = serializers.CharField()
    expires_at = serializers.DateTimeField()


class PresenceAnswer(StrictSerializer):
    answer = serializers.CharField(
        max_length=4096, help_text='A JWS by the device key, typ "vpass-presence+jwt".'
    )


class PresenceMoved(StrictSerializer):
    id = serializers.UUIDField()
    state = serializers.CharField()


class ReverseScanLooks(Endpoint):
    """A counter's nonce is read."""

    audience = Audience.RESIDENT
    level = 2

    @describes(
        request=NonceLook,
        answers={200: CounterAsks},
        problems=[NotFound, reverse_scans.ReverseScanOver, limits.LimitReached],
        examples=examples.NONCE_LOOK,
    )
    def post(self, request: Request) -> Response:
        """Show who asks, where, why and for which fields."""
        scan = reverse_scans.look(caller=self.caller, at=self.at, **self.read(NonceLook))
        party, desk = scan.organisation, scan.desk
        return Response(
            {
                "id": scan.id,
                "organisation": {"id": party.id, "zh": party.name_zh, "en": party.name_en},
                "desk": desk.id,
                "place": {"zh": desk.name_zh, "en": desk.name_en},
                "purpose": {
                    "code": scan.purpose,
                    "zh": getattr(scan, "purpose_zh", None) or scan.purpose,
                    "en": getattr(scan, "purpose_en", None) or scan.purpose,
                },
                "fields": scan.fields,
                "case_number": scan.case_number,
                "expires_at": scan.expires_at,
            }
        )


class ReverseScanAnswers(Endpoint):
    """A counter's nonce is signed."""

    audience = Audience.RESIDENT
    level = 2

    @describes(
        request=PresenceAnswer,
        answers={200: PresenceMoved},
        idempotent=True,
        problems=[
            NotFound,
            reverse_scans.ReverseScanOver,
            receipts.WordInvalid,
            residents.AccountSuspended,
        ],
        examples=examples.PRESENCE,
    )
    def post(self, request: Request, scan_id: UUID) -> Response:
        """Answer with the phone's signature over nonce, desk, purpose and fields."""
        moved = reverse_scans.answer(
            caller=self.caller,
            scan_id=scan_id,
            word=self.read(PresenceAnswer)["answer"],
            idempotency_key=self.idempotency(),
            at=self.at,
        )
        return Response(moved)
