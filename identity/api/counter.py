"""What a counter's desk may ask of identity: enrol the browser, sign staff in, scan a code."""

from typing import Any

from django.conf import settings
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from identity import codes, organisations, staff
from identity.api import examples
from identity.models import Delegation, Desk, StaffSession
from vpass.common import limits
from vpass.common.api import Audience, Endpoint, StrictSerializer, describes
from vpass.common.api.authentication import staff_cookie_name
from vpass.common.encodings import b64url_encode


class DeskKeyRequest(StrictSerializer):
    enrolment_code = serializers.RegexField(r"^[0-9A-Z]{16}\Z", max_length=16)


class NamedPlace(StrictSerializer):
    zh = serializers.CharField()
    en = serializers.CharField()


class DeskShown(StrictSerializer):
    id = serializers.UUIDField()
    scene = serializers.CharField()
    name = NamedPlace()
    organisation = NamedPlace()


class DeskEnrolled(StrictSerializer):
    desk = DeskShown()


class SignInRequest(StrictSerializer):
    username = serializers.CharField(max_length=150)
    password = serializers.CharField(max_length=256, trim_whitespace=False)
    one_time_code = serializers.RegexField(r"^[0-9]{6}\Z", max_length=6)


class StaffShown(StrictSerializer):
    id = serializers.UUIDField()
    username = serializers.CharField()
    roles = serializers.ListField(child=serializers.CharField())


class PurposeOffered(StrictSerializer):
    code = serializers.CharField()
    zh = serializers.CharField()
    en = serializers.CharField()
    fields = serializers.ListField(child=serializers.CharField())  # type: ignore[assignment]
    may_ask = serializers.ListField(
        child=serializers.CharField(), help_text="With the resident's consent each time."
    )


class SessionShown(StrictSerializer):
    staff = StaffShown()
    desk = DeskShown()
    purposes = PurposeOffered(many=True)
    expires_at = serializers.DateTimeField()
    session_hash = serializers.CharField(
        help_text="Base64url SHA-256 of the session's token: the `ath` of the desk's proofs."
    )


class ScanRequest(StrictSerializer):
    code = serializers.CharField(max_length=2048, help_text="The text of the QR code.")
    purpose = serializers.SlugField(max_length=40)
    case_number = serializers.CharField(
        max_length=64, help_text="The matter this look belongs to; the holder will read it."
    )
    fields = serializers.ListField(  # type: ignore[assignment]
        child=serializers.SlugField(max_length=40),
        max_length=20,
        allow_empty=False,
        allow_null=True,
        default=None,
        help_text="Only these; one beyond the right is refused and written down. Null: all.",
    )


class ActingShown(StrictSerializer):
    kind = serializers.ChoiceField(choices=Delegation.Kind.choices)
    delegate_name = serializers.CharField(
        allow_null=True, help_text="Who stands at the counter, where names may be seen."
    )
    enterprise_name = serializers.CharField(allow_null=True)
    credit_code = serializers.CharField(allow_null=True)


class ScanResult(StrictSerializer):
    outcome = serializers.CharField(help_text='"accepted"; a refusal is a problem.')
    scan = serializers.UUIDField(help_text="Names this scan for a consent that may follow.")
    holder = serializers.CharField(
        allow_null=True,
        help_text="The name this organisation alone knows them by; null without the right to it.",
    )
    level = serializers.IntegerField()
    fields = serializers.DictField(  # type: ignore[assignment]
        help_text="The entitled attributes by name: text, true, false, or null where not known."
    )
    acting = ActingShown(allow_null=True, help_text="Set when somebody acts for another.")
    redeemed_at = serializers.DateTimeField()


class DeskKeys(Endpoint):
    """A browser becomes a desk."""

    audience = Audience.COUNTER
    signed_in = False

    @describes(
        request=DeskKeyRequest,
        answers={201: DeskEnrolled},
        problems=[organisations.DeskCodeRefused, organisations.DeskKeyTaken],
        examples=examples.DESK_KEY,
    )
    def post(self, request: Request) -> Response:
        """Enrol the key that the browser has proven, with a code from the administrator."""
        desk = organisations.enrol_desk(proof=self.proof, at=self.at, **self.read(DeskKeyRequest))
        return Response({"desk": _desk(desk)}, status=201)


class Sessions(Endpoint):
    """Staff sign in at a desk."""

    audience = Audience.COUNTER
    signed_in = False

    @describes(
        request=SignInRequest,
        answers={201: SessionShown},
        problems=[staff.SignInRefused, staff.DeskUnknown, limits.LimitReached],
        examples=examples.SIGN_IN,
    )
    def post(self, request: Request) -> Response:
        """Open a session; its token comes as a cookie that no script can read."""
        opened = staff.sign_in(
            desk_thumbprint=self.proof.thumbprint, at=self.at, **self.read(SignInRequest)
        )
        answer = Response(_session(opened.session), status=201)
        answer.set_cookie(
            staff_cookie_name(),
            opened.token,
            max_age=int(settings.STAFF_SESSION_LIFE.total_seconds()),
            secure=settings.IS_HTTPS,
            httponly=True,
            samesite="Strict",
        )
        return answer


class CurrentSession(Endpoint):
    """The session of the request."""

    audience = Audience.COUNTER

    @describes(answers={200: SessionShown}, examples=examples.SESSION)
    def get(self, request: Request) -> Response:
        """Show who is signed in where, and the purposes this desk may scan for."""
        return Response(_session(staff.current_session(token=_token(request))))

    @describes(answers={204: None})
    def delete(self, request: Request) -> Response:
        """Sign out."""
        staff.sign_out(caller=self.caller, token=_token(request), at=self.at)
        answer = Response(status=204)
        answer.delete_cookie(staff_cookie_name(), samesite="Strict")
        return answer


class CounterScans(Endpoint):
    """A clerk scans a resident's code."""

    audience = Audience.COUNTER

    @describes(
        request=ScanRequest,
        answers={200: ScanResult},
        idempotent=True,
        problems=list(codes.REFUSALS.values()),
        examples=examples.SCAN,
    )
    def post(self, request: Request) -> Response:
        """Redeem a code and see exactly what this desk may see for this purpose."""
        scan = codes.redeem_code(
            caller=self.caller,
            idempotency_key=self.idempotency(),
            at=self.at,
            **self.read(ScanRequest),
        )
        return Response({"outcome": "accepted", **vars(scan)})


def _token(request: Request) -> str:
    return request.COOKIES[staff_cookie_name()]


def _session(session: StaffSession) -> dict[str, Any]:
    clerk = session.staff
    return {
        "staff": {"id": clerk.id, "username": clerk.user.get_username(), "roles": clerk.roles},
        "desk": _desk(session.desk),
        "purposes": [
            {
                "code": each.purpose,
                "zh": each.purpose_zh,
                "en": each.purpose_en,
                "fields": each.attributes,
                "may_ask": each.may_ask,
            }
            for each in staff.purposes_at(session.desk)
        ],
        "expires_at": session.expires_at,
        "session_hash": b64url_encode(bytes(session.token_hash)),
    }


def _desk(desk: Desk) -> dict[str, Any]:
    return {
        "id": desk.id,
        "scene": desk.scene,
        "name": {"zh": desk.name_zh, "en": desk.name_en},
        "organisation": {"zh": desk.organisation.name_zh, "en": desk.organisation.name_en},
    }
