"""What a resident consents to and shares: requests on the phone, and case shares."""

from typing import Any
from uuid import UUID

from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from identity import case_shares, consent, receipts, residents
from identity.api import disclosure_examples as examples
from identity.api.my_log import Nothing
from identity.api.resident import BothLanguages, PurposeShown
from identity.models import SHAREABLE, CaseShare, Entitlement
from vpass.common import limits
from vpass.common.api import Audience, Endpoint, StrictSerializer, describes, page_serializer
from vpass.common.errors import NotFound


class PartyShown(StrictSerializer):
    id = serializers.UUIDField()
    zh = serializers.CharField()
    en = serializers.CharField()


class ConsentShown(StrictSerializer):
    id = serializers.UUIDField()
    organisation = PartyShown()
    place = BothLanguages()
    purpose = PurposeShown()
    fields = serializers.ListField(child=serializers.CharField())  # type: ignore[assignment]
    case_number = serializers.CharField(allow_null=True)
    state = serializers.CharField()
    asked_at = serializers.DateTimeField()
    expires_at = serializers.DateTimeField()
    receipt = serializers.CharField(allow_null=True, help_text="The city's JWS; docs/consent.md.")


class ConsentMoved(StrictSerializer):
    id = serializers.UUIDField()
    state = serializers.CharField()


class ApprovalRequest(StrictSerializer):
    approval = serializers.CharField(
        max_length=4096, help_text='A JWS by the device key, typ "vpass-consent+jwt".'
    )


class RecipientShown(StrictSerializer):
    organisation = PartyShown()
    purpose = PurposeShown()
    fields = serializers.ListField(  # type: ignore[assignment]
        child=serializers.CharField(), help_text="What this department may hold for this matter."
    )


class CaseShareRequest(StrictSerializer):
    share = serializers.CharField(
        max_length=4096, help_text='A JWS by the device key, typ "vpass-share+jwt".'
    )


class CaseShareMade(StrictSerializer):
    id = serializers.UUIDField()
    handle = serializers.CharField(help_text="Told this once; good for the department alone.")
    expires_at = serializers.DateTimeField()
    receipt = serializers.CharField(help_text="The city's JWS; docs/consent.md.")


class DecisionShown(StrictSerializer):
    decision = serializers.ChoiceField(choices=CaseShare.Decision.choices)
    note = serializers.CharField(allow_null=True)
    at = serializers.DateTimeField()


class CaseShareShown(StrictSerializer):
    id = serializers.UUIDField()
    organisation = PartyShown()
    purpose = PurposeShown()
    matter = serializers.CharField()
    fields = serializers.ListField(child=serializers.CharField())  # type: ignore[assignment]
    state = serializers.CharField(help_text="offered, opened, concluded, withdrawn or expired.")
    created_at = serializers.DateTimeField()
    expires_at = serializers.DateTimeField()
    opened_at = serializers.DateTimeField(allow_null=True)
    case_number = serializers.CharField(allow_null=True, help_text="The department's.")
    result = DecisionShown(allow_null=True)


class CaseShareMoved(StrictSerializer):
    id = serializers.UUIDField()
    state = serializers.CharField()


class Consents(Endpoint):
    """What the resident is asked, and was."""

    audience = Audience.RESIDENT

    @describes(answers={200: page_serializer(ConsentShown)}, paged=True, examples=examples.CONSENTS)
    def get(self, request: Request) -> Response:
        """List the requests of organisations, newest first."""
        return self.page(
            consent.consents_of(caller=self.caller),
            render=self._shown,
            order=("-asked_at", "-id"),
        )

    def _shown(self, asked: Any) -> dict[str, Any]:
        return _consent(asked, state=consent.state_of(asked, at=self.at))


class ConsentApprovals(Endpoint):
    """A request is approved."""

    audience = Audience.RESIDENT
    level = 2

    @describes(
        request=ApprovalRequest,
        answers={200: ConsentMoved},
        idempotent=True,
        problems=[
            NotFound,
            consent.ConsentOver,
            receipts.WordInvalid,
            residents.AccountSuspended,
        ],
        examples=examples.APPROVAL,
    )
    def post(self, request: Request, consent_id: UUID) -> Response:
        """Approve with the phone's signature over organisation, purpose and fields."""
        answer = consent.approve(
            caller=self.caller,
            consent_id=consent_id,
            word=self.read(ApprovalRequest)["approval"],
            idempotency_key=self.idempotency(),
            at=self.at,
        )
        return Response(answer)


class ConsentRefusals(Endpoint):
    """A request is refused."""

    audience = Audience.RESIDENT

    @describes(
        request=Nothing,
        answers={200: ConsentMoved},
        idempotent=True,
        problems=[NotFound, consent.ConsentOver],
        examples=examples.CONSENT_REFUSED,
    )
    def post(self, request: Request, consent_id: UUID) -> Response:
        """Refuse; nothing is shown, and the log tells what was asked."""
        self.read(Nothing)
        answer = consent.refuse(
            caller=self.caller,
            consent_id=consent_id,
            idempotency_key=self.idempotency(),
            at=self.at,
        )
        return Response(answer)


class ConsentWithdrawals(Endpoint):
    """A consent is taken back."""

    audience = Audience.RESIDENT

    @describes(
        request=Nothing,
        answers={200: ConsentMoved},
        idempotent=True,
        problems=[NotFound, consent.ConsentOver],
        examples=examples.CONSENT_WITHDRAWN,
    )
    def post(self, request: Request, consent_id: UUID) -> Response:
        """Withdraw: nothing is given out any more."""
        self.read(Nothing)
        answer = consent.withdraw(
            caller=self.caller,
            consent_id=consent_id,
            idempotency_key=self.idempotency(),
            at=self.at,
        )
        return Response(answer)


class ShareRecipients(Endpoint):
    """To whom a part of the record may be sent."""

    audience = Audience.RESIDENT

    @describes(
        answers={200: page_serializer(RecipientShown)}, paged=True, examples=examples.RECIPIENTS
    )
    def get(self, request: Request) -> Response:
        """List departments with their matters, and what each may hold."""
        return self.page(case_shares.recipients(), render=_recipient, order=("id",))


class CaseShares(Endpoint):
    """Parts of the record for one department and matter."""

    audience = Audience.RESIDENT
    level = 2

    @describes(
        answers={200: page_serializer(CaseShareShown)}, paged=True, examples=examples.CASE_SHARES
    )
    def get(self, request: Request) -> Response:
        """List the resident's shares, newest first, with what came of them."""
        return self.page(
            case_shares.shares_of(caller=self.caller),
            render=self._shown,
            order=("-created_at", "-id"),
        )

    @describes(
        request=CaseShareRequest,
        answers={201: CaseShareMade},
        idempotent=True,
        problems=[
            receipts.WordInvalid,
            case_shares.ShareInvalid,
            residents.AccountSuspended,
            limits.LimitReached,
        ],
        examples=examples.CASE_SHARE,
    )
    def post(self, request: Request) -> Response:
        """Make a share with the phone's signature over department, matter, fields and expiry."""
        answer = case_shares.create_share(
            caller=self.caller,
            word=self.read(CaseShareRequest)["share"],
            idempotency_key=self.idempotency(),
            at=self.at,
        )
        return Response(answer, status=201)

    def _shown(self, share: Any) -> dict[str, Any]:
        return _share(share, state=case_shares.state_of(share, at=self.at))


class CaseShareWithdrawals(Endpoint):
    """A share is taken back."""

    audience = Audience.RESIDENT
    level = 2

    @describes(
        request=Nothing,
        answers={200: CaseShareMoved},
        idempotent=True,
        problems=[NotFound, case_shares.ShareSpent],
        examples=examples.CASE_SHARE_WITHDRAWN,
    )
    def post(self, request: Request, share_id: UUID) -> Response:
        """Withdraw a share before it is opened."""
        self.read(Nothing)
        answer = case_shares.withdraw(
            caller=self.caller,
            share_id=share_id,
            idempotency_key=self.idempotency(),
            at=self.at,
        )
        return Response(answer)


def _consent(asked: Any, *, state: str) -> dict[str, Any]:
    return {
        "id": asked.id,
        "organisation": _party(asked.organisation),
        "place": {"zh": asked.desk.name_zh, "en": asked.desk.name_en},
        "purpose": _purpose(asked),
        "fields": asked.fields,
        "case_number": asked.case_number,
        "state": state,
        "asked_at": asked.asked_at,
        "expires_at": asked.expires_at,
        "receipt": asked.receipt,
    }


def _share(share: Any, *, state: str) -> dict[str, Any]:
    return {
        "id": share.id,
        "organisation": _party(share.organisation),
        "purpose": _purpose(share),
        "matter": share.matter,
        "fields": share.fields,
        "state": state,
        "created_at": share.created_at,
        "expires_at": share.expires_at,
        "opened_at": share.opened_at,
        "case_number": share.case_number,
        "result": None
        if share.decision is None
        else {"decision": share.decision, "note": share.decision_note, "at": share.concluded_at},
    }


def _recipient(entitlement: Entitlement) -> dict[str, Any]:
    return {
        "organisation": _party(entitlement.organisation),
        "purpose": _purpose(entitlement),
        "fields": [
            name for name in (*entitlement.attributes, *entitlement.may_ask) if name in SHAREABLE
        ],
    }


def _party(organisation: Any) -> dict[str, Any]:
    return {"id": organisation.id, "zh": organisation.name_zh, "en": organisation.name_en}


def _purpose(row: Any) -> dict[str, str]:
    return {
        "code": row.purpose,
        "zh": row.purpose_zh or row.purpose,
        "en": row.purpose_en or row.purpose,
    }
