"""A resident's own record: take all of it away, have it put right, have it deleted."""

from typing import Any
from uuid import UUID

from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from identity import corrections, deletion, own_data, receipts
from identity.api import record_examples as examples
from identity.models import Correction, Deletion
from identity.residents import DeviceNotActive
from vpass.common import limits
from vpass.common.api import Audience, Endpoint, StrictSerializer, describes, page_serializer
from vpass.common.callers import required
from vpass.common.errors import NotFound


class ExportSections(StrictSerializer):
    sections = serializers.ListField(child=serializers.CharField())


class ExportPartRequest(StrictSerializer):
    section = serializers.SlugField(max_length=40)
    request = serializers.CharField(
        max_length=4096,
        help_text='A JWS by the device key, typ "vpass-export+jwt", with `section`, good once.',
    )
    before = serializers.CharField(
        max_length=40, allow_null=True, default=None, help_text="`next` of the part before."
    )


class ExportPart(StrictSerializer):
    format = serializers.CharField(help_text='"vpass-record-1".')
    section = serializers.CharField()
    exported_at = serializers.DateTimeField()
    rows = serializers.ListField(child=serializers.DictField(), help_text="Newest first.")
    next = serializers.CharField(allow_null=True)


class CorrectionRequest(StrictSerializer):
    field = serializers.ChoiceField(choices=Correction.Field.choices)
    note = serializers.CharField(max_length=500, allow_null=True, default=None)


class CorrectionMoved(StrictSerializer):
    id = serializers.UUIDField()
    field = serializers.CharField()
    state = serializers.CharField(help_text="open, granted, refused or withdrawn.")


class CorrectionShown(CorrectionMoved):
    note = serializers.CharField(allow_null=True)
    asked_at = serializers.DateTimeField()
    answer = serializers.CharField(allow_null=True)
    ended_at = serializers.DateTimeField(allow_null=True)


class DeletionRequest(StrictSerializer):
    request = serializers.CharField(
        max_length=4096,
        help_text='A JWS by the device key, typ "vpass-deletion+jwt": `account`, `terms`.',
    )


class DeletionShown(StrictSerializer):
    id = serializers.UUIDField()
    state = serializers.CharField(help_text="waiting, cancelled, refused or done.")
    asked_at = serializers.DateTimeField()
    due_at = serializers.DateTimeField(help_text="It can be called off until then.")
    ended_at = serializers.DateTimeField(allow_null=True)
    obligations = serializers.ListField(
        child=serializers.CharField(), help_text="What was open when its time had come."
    )


class DeletionTerms(StrictSerializer):
    account = serializers.UUIDField(help_text="To be signed.")
    terms = serializers.CharField(help_text="To be signed: base64url SHA-256 of both texts.")
    text_zh = serializers.CharField()
    text_en = serializers.CharField()
    obligations = serializers.ListField(
        child=serializers.CharField(), help_text="The codes of what keeps it from being deleted."
    )


class RecordNothing(StrictSerializer):
    """Nothing has to be said beside the address: {}."""


class Exports(Endpoint):
    """All that is kept about a resident."""

    audience = Audience.RESIDENT

    @describes(answers={200: ExportSections}, examples=examples.SECTIONS)
    def get(self, request: Request) -> Response:
        """List the sections; the access log has an export of its own."""
        known = own_data.sections_of(resident_id=required(self.caller.resident_id))
        return Response({"sections": list(known)})

    @describes(
        request=ExportPartRequest,
        answers={200: ExportPart},
        problems=[
            receipts.WordInvalid,
            limits.LimitReached,
            own_data.SectionUnknown,
            own_data.PlaceUnknown,
        ],
        examples=examples.EXPORT,
    )
    def post(self, request: Request) -> Response:
        """Export a section in parts of 1,000 rows; each needs a fresh signature by the phone."""
        asked = self.read(ExportPartRequest)
        part = own_data.export_part(
            caller=self.caller,
            word=asked["request"],
            section=asked["section"],
            before=asked["before"],
            at=self.at,
        )
        return Response({"format": "vpass-record-1", "exported_at": self.at, **vars(part)})


class Corrections(Endpoint):
    """What a resident wants put right."""

    audience = Audience.RESIDENT
    level = 2

    @describes(
        request=CorrectionRequest,
        answers={201: CorrectionMoved},
        idempotent=True,
        problems=[NotFound, corrections.CorrectionWaiting],
        examples=examples.CORRECTION,
    )
    def post(self, request: Request) -> Response:
        """Ask for a field to be put right; the city's privacy officer looks at it."""
        answer = corrections.ask(
            caller=self.caller,
            idempotency_key=self.idempotency(),
            at=self.at,
            **self.read(CorrectionRequest),
        )
        return Response(answer, status=201)

    @describes(
        answers={200: page_serializer(CorrectionShown)}, paged=True, examples=examples.CORRECTIONS
    )
    def get(self, request: Request) -> Response:
        """List what was asked for, newest first, with the answers."""
        return self.page(
            corrections.corrections_of(caller=self.caller), render=correction_shown, order=("-id",)
        )


class CorrectionWithdrawals(Endpoint):
    """A request is taken back."""

    audience = Audience.RESIDENT
    level = 2

    @describes(
        request=RecordNothing,
        answers={200: CorrectionMoved},
        idempotent=True,
        problems=[NotFound, corrections.CorrectionOver],
        examples=examples.CORRECTION_WITHDRAWN,
    )
    def post(self, request: Request, correction_id: UUID) -> Response:
        """Withdraw a request that nobody has answered yet."""
        self.read(RecordNothing)
        answer = corrections.withdraw(
            caller=self.caller,
            correction_id=correction_id,
            idempotency_key=self.idempotency(),
            at=self.at,
        )
        return Response(answer)


class OfDeletion(Endpoint):
    """What deleting the account means."""

    audience = Audience.RESIDENT

    @describes(answers={200: DeletionTerms}, examples=examples.TERMS)
    def get(self, request: Request) -> Response:
        """Show the terms that the phone signs, and what keeps the account from being deleted."""
        resident_id = required(self.caller.resident_id)
        return Response(
            {
                "account": resident_id,
                "terms": deletion.terms_digest(),
                "text_zh": deletion.TERMS_ZH,
                "text_en": deletion.TERMS_EN,
                "obligations": deletion.open_obligations(resident_id=resident_id),
            }
        )


class Deletions(Endpoint):
    """A resident wants to be forgotten."""

    audience = Audience.RESIDENT

    @describes(
        request=DeletionRequest,
        answers={201: DeletionShown},
        idempotent=True,
        problems=[
            receipts.WordInvalid,
            deletion.DeletionObliged,
            deletion.DeletionWaiting,
            DeviceNotActive,
        ],
        examples=examples.DELETION,
    )
    def post(self, request: Request) -> Response:
        """Ask for the account to be deleted in seven days, signed over the terms shown."""
        asked = self.read(DeletionRequest)
        made = deletion.request_deletion(
            caller=self.caller,
            word=asked["request"],
            idempotency_key=self.idempotency(),
            at=self.at,
        )
        return Response(_deletion(made), status=201)

    @describes(
        answers={200: page_serializer(DeletionShown)}, paged=True, examples=examples.DELETIONS
    )
    def get(self, request: Request) -> Response:
        """List what was asked for, newest first."""
        return self.page(
            deletion.deletions_of(caller=self.caller), render=_deletion, order=("-id",)
        )


class DeletionCancellations(Endpoint):
    """The account is kept after all."""

    audience = Audience.RESIDENT

    @describes(
        request=RecordNothing,
        answers={200: DeletionShown},
        idempotent=True,
        problems=[NotFound, deletion.DeletionOver],
        examples=examples.DELETION_CANCELLED,
    )
    def post(self, request: Request, deletion_id: UUID) -> Response:
        """Call it off within the seven days."""
        self.read(RecordNothing)
        kept = deletion.call_off(
            caller=self.caller,
            deletion_id=deletion_id,
            idempotency_key=self.idempotency(),
            at=self.at,
        )
        return Response(_deletion(kept))


def correction_shown(row: Correction) -> dict[str, Any]:
    """A request as the resident and the officer see it."""
    return {
        "id": row.id,
        "field": row.field,
        "state": row.state,
        "note": row.note,
        "asked_at": row.asked_at,
        "answer": row.answer,
        "ended_at": row.ended_at,
    }


def _deletion(row: Deletion) -> dict[str, Any]:
    return {
        "id": row.id,
        "state": row.state,
        "asked_at": row.asked_at,
        "due_at": row.due_at,
        "ended_at": row.ended_at,
        "obligations": row.obligations,
    }
