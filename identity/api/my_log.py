"""A resident's access log: read, dispute, export."""

from typing import Any
from uuid import UUID

from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from identity import access_log, disputes, receipts
from identity.api import disclosure_examples as examples
from identity.api.resident import BothLanguages, PurposeShown
from identity.models import AccessLine, Delegation, Dispute
from identity.residents import mask_name
from vpass.common import limits
from vpass.common.api import Audience, Endpoint, StrictSerializer, describes, page_serializer
from vpass.common.callers import required
from vpass.common.errors import NotFound


class ActingForShown(StrictSerializer):
    kind = serializers.ChoiceField(choices=Delegation.Kind.choices)
    delegate = serializers.CharField(help_text="Who acted, masked.")
    principal = serializers.CharField(help_text="For whom: masked, or the enterprise's name.")


class DisputeShown(StrictSerializer):
    state = serializers.CharField(help_text="open, justified, unjustified or withdrawn.")
    note = serializers.CharField(allow_null=True)
    opened_at = serializers.DateTimeField()
    answer = serializers.CharField(allow_null=True)
    answered_at = serializers.DateTimeField(allow_null=True)


class AccessLineShown(StrictSerializer):
    id = serializers.UUIDField()
    at = serializers.DateTimeField()
    organisation = BothLanguages()
    place = BothLanguages(allow_null=True, help_text="The desk or terminal.")
    scene = serializers.CharField(help_text='"own" for what the resident\'s own phone did.')
    purpose = PurposeShown()
    case_number = serializers.CharField(allow_null=True)
    fields = serializers.ListField(  # type: ignore[assignment]
        child=serializers.CharField(), help_text="Names of what was shown, never values."
    )
    asked = serializers.ListField(
        child=serializers.CharField(), help_text="Names of what was asked for beyond the right."
    )
    outcome = serializers.ChoiceField(choices=AccessLine.Outcome.choices)
    reason = serializers.CharField(allow_null=True, help_text="The problem code of a refusal.")
    deferred_until = serializers.DateTimeField(
        allow_null=True, help_text="Until when the law kept this line back."
    )
    legal_basis = serializers.CharField(allow_null=True, help_text="That law.")
    is_shielded = serializers.BooleanField(
        help_text="Place and case number are withheld, since others could be known by them."
    )
    acting = ActingForShown(allow_null=True, help_text="Set when somebody acted for another.")
    dispute = DisputeShown(allow_null=True)


class DisputeRequest(StrictSerializer):
    note = serializers.CharField(max_length=500, allow_null=True, default=None)


class DisputeMoved(StrictSerializer):
    line = serializers.UUIDField()
    state = serializers.CharField()


class Nothing(StrictSerializer):
    pass


class ExportRequest(StrictSerializer):
    request = serializers.CharField(
        max_length=4096, help_text='A JWS by the device key, typ "vpass-export+jwt".'
    )
    before = serializers.UUIDField(
        allow_null=True, default=None, help_text="`next` of the part before."
    )


class ExportAnswer(StrictSerializer):
    format = serializers.CharField(help_text='"vpass-access-log-1".')
    exported_at = serializers.DateTimeField()
    lines = AccessLineShown(many=True)
    next = serializers.UUIDField(allow_null=True)


class AccessLog(Endpoint):
    """Every use of the resident's code and every look at the record."""

    audience = Audience.RESIDENT

    @describes(
        answers={200: page_serializer(AccessLineShown)}, paged=True, examples=examples.ACCESS_LOG
    )
    def get(self, request: Request) -> Response:
        """List who looked, where, when, why and at which fields; newest first."""
        lines = access_log.lines_of(resident_id=required(self.caller.resident_id), at=self.at)
        return self.page(lines, render=line_shown, order=("-id",))


class AccessLogLine(Endpoint):
    """One line of the access log."""

    audience = Audience.RESIDENT

    @describes(answers={200: AccessLineShown}, problems=[NotFound], examples=examples.ACCESS_LINE)
    def get(self, request: Request, line_id: UUID) -> Response:
        """Show one line; another resident's is answered as if there were none."""
        resident_id = required(self.caller.resident_id)
        line = access_log.line_of(resident_id=resident_id, line_id=line_id, at=self.at)
        return Response(line_shown(line))


class LineDisputes(Endpoint):
    """The dispute about a line."""

    audience = Audience.RESIDENT

    @describes(
        request=DisputeRequest,
        answers={201: DisputeMoved},
        idempotent=True,
        problems=[NotFound, disputes.NotDisputable, disputes.DisputeExists],
        examples=examples.DISPUTE,
    )
    def post(self, request: Request, line_id: UUID) -> Response:
        """Dispute a line: its organisation's privacy officer has to answer."""
        answer = disputes.dispute_line(
            caller=self.caller,
            line_id=line_id,
            idempotency_key=self.idempotency(),
            at=self.at,
            **self.read(DisputeRequest),
        )
        return Response(answer, status=201)


class LineDisputeWithdrawals(Endpoint):
    """A dispute is taken back."""

    audience = Audience.RESIDENT

    @describes(
        request=Nothing,
        answers={200: DisputeMoved},
        idempotent=True,
        problems=[NotFound, disputes.DisputeOver],
        examples=examples.DISPUTE_WITHDRAWN,
    )
    def post(self, request: Request, line_id: UUID) -> Response:
        """Withdraw a dispute that nobody has answered yet."""
        self.read(Nothing)
        answer = disputes.withdraw_dispute(
            caller=self.caller, line_id=line_id, idempotency_key=self.idempotency(), at=self.at
        )
        return Response(answer)


class AccessLogExports(Endpoint):
    """The whole log, machine-readable."""

    audience = Audience.RESIDENT

    @describes(
        request=ExportRequest,
        answers={200: ExportAnswer},
        problems=[receipts.WordInvalid, limits.LimitReached],
        examples=examples.EXPORT,
    )
    def post(self, request: Request) -> Response:
        """Export the log in parts of 2,000 lines; each needs a fresh signature by the phone."""
        asked = self.read(ExportRequest)
        lines, following = access_log.export_lines(
            caller=self.caller, word=asked["request"], before=asked["before"], at=self.at
        )
        body = {
            "format": "vpass-access-log-1",
            "exported_at": self.at,
            "lines": [line_shown(line) for line in lines],
            "next": following,
        }
        return Response(body)


def line_shown(line: Any) -> dict[str, Any]:
    """One line of the log as its readers see it; it comes from `access_log.readable`."""
    place = None if line.is_shielded else line.desk or line.terminal
    who = line.organisation
    return {
        "id": line.id,
        "at": line.at,
        "organisation": {"zh": "您自己的手机", "en": "Your own phone"}
        if who is None
        else {"zh": who.name_zh, "en": who.name_en},
        "place": {"zh": place.name_zh, "en": place.name_en} if place else None,
        "scene": line.scene,
        "purpose": {
            "code": line.purpose,
            "zh": line.purpose_zh or _OWN.get(line.purpose, {}).get("zh") or line.purpose,
            "en": line.purpose_en or _OWN.get(line.purpose, {}).get("en") or line.purpose,
        },
        "case_number": None if line.is_shielded else line.case_number,
        "fields": line.fields,
        "asked": line.asked,
        "outcome": line.outcome,
        "reason": line.reason,
        "deferred_until": line.visible_from,
        "legal_basis": (line.legal_basis or None) if line.visible_from else None,
        "is_shielded": line.is_shielded,
        "acting": None if line.delegation is None else _acting(line.delegation),
        "dispute": _dispute(getattr(line, "dispute", None)),
    }


_OWN = {"export": {"zh": "导出查阅记录", "en": "Export of the access log"}}


def _acting(delegation: Delegation) -> dict[str, str]:
    enterprise, principal = delegation.enterprise, delegation.principal
    return {
        "kind": delegation.kind,
        "delegate": _masked(delegation.delegate),
        "principal": _masked(principal) if enterprise is None else enterprise.name,
    }


def _masked(person: Any) -> str:
    return mask_name(person.real_name) if person and person.real_name else "*"


def _dispute(dispute: Dispute | None) -> dict[str, Any] | None:
    if dispute is None:
        return None
    return {
        "state": dispute.state,
        "note": dispute.note,
        "opened_at": dispute.opened_at,
        "answer": dispute.answer,
        "answered_at": dispute.answered_at,
    }
