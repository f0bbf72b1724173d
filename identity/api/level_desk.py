"""What a registrar's desk may do: see faces and documents, enrol at the counter, settle events."""

import base64
from uuid import UUID

from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from identity import (
    counter_checks,
    enrolment,
    level_checks,
    photos,
    register,
    register_changes,
    residents,
)
from identity.api import level_examples as examples
from identity.counter_checks import Seen, Told
from identity.models import InPersonCheck, RegisterChange
from identity.register import http
from vpass.common import limits
from vpass.common.api import Audience, Endpoint, StrictSerializer, describes, page_serializer
from vpass.common.errors import NotFound

_REGISTRAR = frozenset({counter_checks.ROLE})
_REVIEWER = frozenset({register_changes.REVIEW_ROLE})
_REGISTER_PROBLEMS = [register.RegisterUnavailable, register.RegisterAnswerInvalid]


class SeenAtCounter(StrictSerializer):
    document_kind = serializers.ChoiceField(choices=InPersonCheck.Document.choices)
    case_number = serializers.CharField(max_length=64, help_text="The holder will read it.")


class LevelRaiseRequest(SeenAtCounter):
    scan = serializers.UUIDField(help_text='A scan of this clerk for "identity-check".')


class CounterEnrolmentRequest(SeenAtCounter):
    phone = serializers.CharField(max_length=20, help_text="The account's number.")
    number = serializers.RegexField(
        r"^[0-9]{8}\Z", max_length=8, help_text="What the person's phone shows."
    )
    real_name = serializers.CharField(max_length=50)
    id_number = serializers.CharField(max_length=18)


class LevelRaised(StrictSerializer):
    level = serializers.IntegerField()
    holder = serializers.CharField(help_text="The name this organisation alone knows them by.")


class PhotoShown(StrictSerializer):
    media_type = serializers.CharField()
    photo = serializers.CharField(help_text="Base64 of a JPEG of at most 24 KiB; not to be kept.")


class WaitingChange(StrictSerializer):
    id = serializers.UUIDField()
    kind = serializers.CharField()
    received_at = serializers.DateTimeField()


class ChangeDecision(StrictSerializer):
    decision = serializers.RegexField(r"^(apply|dismiss)\Z", help_text='"apply" or "dismiss".')
    reason = serializers.SlugField(max_length=40, help_text="A word, without personal data.")


class ChangeDecided(StrictSerializer):
    id = serializers.UUIDField()
    state = serializers.CharField()


class LevelRaises(Endpoint):
    """A clerk has compared face, photo and document."""

    audience = Audience.COUNTER
    roles = _REGISTRAR

    @describes(
        request=LevelRaiseRequest,
        answers={200: LevelRaised},
        idempotent=True,
        problems=[
            NotFound,
            counter_checks.ScanSpent,
            counter_checks.PhoneChanged,
            level_checks.LevelReached,
            residents.AccountSuspended,
        ],
        examples=examples.LEVEL_RAISE,
    )
    def post(self, request: Request) -> Response:
        """Raise the person of a scan to level 3."""
        asked = self.read(LevelRaiseRequest)
        raised = counter_checks.raise_after_scan(
            caller=self.caller,
            scan_id=asked.pop("scan"),
            seen=Seen(**asked),
            idempotency_key=self.idempotency(),
            at=self.at,
        )
        return Response(raised)


class CounterEnrolments(Endpoint):
    """A person whom the register did not match from home comes to a counter."""

    audience = Audience.COUNTER
    roles = _REGISTRAR

    @describes(
        request=CounterEnrolmentRequest,
        answers={200: LevelRaised},
        idempotent=True,
        problems=[
            enrolment.IdentityFormInvalid,
            enrolment.IdentityNotMatched,
            enrolment.IdentityTaken,
            enrolment.IdentityChanging,
            counter_checks.CounterNumberWrong,
            counter_checks.PhoneChanged,
            level_checks.LevelReached,
            residents.AccountSuspended,
            limits.LimitReached,
            *_REGISTER_PROBLEMS,
        ],
        examples=examples.COUNTER_ENROLMENT,
    )
    def post(self, request: Request) -> Response:
        """Give the account of this phone its identity, and level 3."""
        asked = self.read(CounterEnrolmentRequest)
        seen = Seen(document_kind=asked.pop("document_kind"), case_number=asked.pop("case_number"))
        raised = counter_checks.enrol_at_counter(
            caller=self.caller,
            register=http.population_register(),
            told=Told(**asked),
            seen=seen,
            idempotency_key=self.idempotency(),
            at=self.at,
        )
        return Response(raised)


class ScanPhotos(Endpoint):
    """The register's photo of the person of a scan."""

    audience = Audience.COUNTER

    @describes(
        answers={200: PhotoShown},
        problems=[NotFound, limits.LimitReached, *_REGISTER_PROBLEMS],
        examples=examples.PHOTO,
    )
    def get(self, request: Request, scan_id: UUID) -> Response:
        """Look at it, where the scan's purpose entitles to: within five minutes, three times."""
        photo = photos.photo_of_scan(
            caller=self.caller,
            scan_id=scan_id,
            register=http.population_register(),
            at=self.at,
        )
        return Response(
            {"media_type": "image/jpeg", "photo": base64.b64encode(photo).decode("ascii")}
        )


class RegisterReviews(Endpoint):
    """Events of the register that would give one number to two accounts."""

    audience = Audience.COUNTER
    roles = _REVIEWER

    @describes(answers={200: page_serializer(WaitingChange)}, paged=True, examples=examples.REVIEWS)
    def get(self, request: Request) -> Response:
        """List what waits for people, the newest first."""
        return self.page(register_changes.waiting(), render=_waiting, order=("-received_at", "-id"))


class RegisterDecisions(Endpoint):
    """Somebody has looked at such an event."""

    audience = Audience.COUNTER
    roles = _REVIEWER

    @describes(
        request=ChangeDecision,
        answers={200: ChangeDecided},
        idempotent=True,
        problems=[
            NotFound,
            register_changes.ChangeDecided,
            register_changes.NumberOfTwo,
        ],
        examples=examples.DECISION,
    )
    def post(self, request: Request, change_id: UUID) -> Response:
        """Apply it, now that the other account is settled, or dismiss it."""
        decided = register_changes.decide(
            caller=self.caller,
            change_id=change_id,
            idempotency_key=self.idempotency(),
            at=self.at,
            **self.read(ChangeDecision),
        )
        return Response(decided)


def _waiting(row: RegisterChange) -> dict[str, object]:
    return {"id": row.id, "kind": row.kind, "received_at": row.received_at}
