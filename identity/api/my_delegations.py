"""Acting for others, on the phones of both sides."""

from typing import Any
from uuid import UUID

from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from identity import delegation, delegation_offers, receipts, register, residents
from identity.api import disclosure_examples as examples
from identity.api.my_log import AccessLineShown, Nothing, line_shown
from identity.models import Delegation
from identity.register import http
from vpass.common import limits
from vpass.common.api import Audience, Endpoint, StrictSerializer, describes, page_serializer
from vpass.common.errors import NotFound


class EnterpriseShown(StrictSerializer):
    name = serializers.CharField()
    credit_code = serializers.CharField()


class DelegationShown(StrictSerializer):
    id = serializers.UUIDField()
    kind = serializers.ChoiceField(choices=Delegation.Kind.choices)
    role = serializers.ChoiceField(
        choices=["principal", "delegate", "appointer", "offered"],
        help_text="What the caller is in it.",
    )
    principal = serializers.CharField(allow_null=True, help_text="Masked.")
    delegate = serializers.CharField(allow_null=True, help_text="Masked; null until accepted.")
    enterprise = EnterpriseShown(allow_null=True)
    scenes = serializers.ListField(child=serializers.CharField())
    purposes = serializers.ListField(
        child=serializers.CharField(), help_text="Empty: all purposes."
    )
    state = serializers.CharField()
    created_at = serializers.DateTimeField()
    expires_at = serializers.DateTimeField()
    receipt = serializers.CharField(allow_null=True, help_text="The city's JWS; docs/consent.md.")


class DelegationRequest(StrictSerializer):
    request = serializers.CharField(
        max_length=4096, help_text='A JWS by the device key, typ "vpass-delegation+jwt".'
    )
    child_name = serializers.CharField(max_length=50, allow_null=True, default=None)


class DelegationMoved(StrictSerializer):
    id = serializers.UUIDField()
    state = serializers.CharField()


class AcceptanceRequest(StrictSerializer):
    acceptance = serializers.CharField(
        max_length=4096, help_text='A JWS by the device key, typ "vpass-delegation-accept+jwt".'
    )


class Delegations(Endpoint):
    """Whom the resident acts for, and who acts for the resident."""

    audience = Audience.RESIDENT
    level = 2

    @describes(
        answers={200: page_serializer(DelegationShown)}, paged=True, examples=examples.DELEGATIONS
    )
    def get(self, request: Request) -> Response:
        """List the delegations the caller gave, holds, appointed or is offered, newest first."""
        return self.page(
            delegation.delegations_of(caller=self.caller),
            render=self._shown,
            order=("-created_at", "-id"),
        )

    @describes(
        request=DelegationRequest,
        answers={201: DelegationMoved},
        idempotent=True,
        problems=[
            NotFound,
            receipts.WordInvalid,
            delegation_offers.DelegationInvalid,
            delegation_offers.RelationNotConfirmed,
            delegation_offers.ChildGrown,
            delegation.DelegationExists,
            residents.AccountSuspended,
            limits.LimitReached,
            register.RegisterUnavailable,
            register.RegisterAnswerInvalid,
        ],
        examples=examples.DELEGATION,
    )
    def post(self, request: Request) -> Response:
        """Have a child's or an enterprise's confirmed, or offer one to a carer or an appointee."""
        asked = self.read(DelegationRequest)
        answer = delegation_offers.delegate(
            caller=self.caller,
            register=http.population_register(),
            word=asked["request"],
            child_name=asked["child_name"],
            idempotency_key=self.idempotency(),
            at=self.at,
        )
        return Response(answer, status=201)

    def _shown(self, found: Any) -> dict[str, Any]:
        me, enterprise = self.caller.resident_id, found.enterprise
        roles = {
            found.principal_id: "principal",
            found.delegate_id: "delegate",
            found.appointed_by and found.appointed_by.delegate_id: "appointer",
        }
        return {
            "id": found.id,
            "kind": found.kind,
            "role": roles.get(me, "offered"),
            "principal": _masked(found.principal),
            "delegate": _masked(found.delegate),
            "enterprise": enterprise
            and {"name": enterprise.name, "credit_code": enterprise.credit_code},
            "scenes": found.scenes,
            "purposes": found.purposes,
            "state": delegation.state_of(found, at=self.at),
            "created_at": found.created_at,
            "expires_at": found.expires_at,
            "receipt": found.receipt,
        }


class DelegationAcceptances(Endpoint):
    """An offer is taken."""

    audience = Audience.RESIDENT
    level = 2

    @describes(
        request=AcceptanceRequest,
        answers={200: DelegationMoved},
        idempotent=True,
        problems=[
            NotFound,
            receipts.WordInvalid,
            delegation_offers.DelegationInvalid,
            delegation.DelegationOver,
            delegation.DelegationExists,
        ],
        examples=examples.ACCEPTANCE,
    )
    def post(self, request: Request, delegation_id: UUID) -> Response:
        """Accept with the phone's signature: from now on the caller may act."""
        answer = delegation_offers.accept(
            caller=self.caller,
            delegation_id=delegation_id,
            word=self.read(AcceptanceRequest)["acceptance"],
            idempotency_key=self.idempotency(),
            at=self.at,
        )
        return Response(answer)


class DelegationRefusals(Endpoint):
    """An offer is turned down."""

    audience = Audience.RESIDENT
    level = 2

    @describes(
        request=Nothing,
        answers={200: DelegationMoved},
        idempotent=True,
        problems=[NotFound, delegation.DelegationOver],
        examples=examples.DELEGATION_DECLINED,
    )
    def post(self, request: Request, delegation_id: UUID) -> Response:
        """Decline an offer."""
        self.read(Nothing)
        answer = delegation_offers.decline(
            caller=self.caller,
            delegation_id=delegation_id,
            idempotency_key=self.idempotency(),
            at=self.at,
        )
        return Response(answer)


class DelegationRevocations(Endpoint):
    """A delegation ends."""

    audience = Audience.RESIDENT
    level = 2

    @describes(
        request=Nothing,
        answers={200: DelegationMoved},
        idempotent=True,
        problems=[NotFound, delegation.DelegationOver],
        examples=examples.DELEGATION_REVOKED,
    )
    def post(self, request: Request, delegation_id: UUID) -> Response:
        """Revoke, from either side, at once: codes made under it are refused from now on."""
        self.read(Nothing)
        answer = delegation.revoke(
            caller=self.caller,
            delegation_id=delegation_id,
            idempotency_key=self.idempotency(),
            at=self.at,
        )
        return Response(answer)


class DelegationUses(Endpoint):
    """What was done under a delegation."""

    audience = Audience.RESIDENT
    level = 2

    @describes(
        answers={200: page_serializer(AccessLineShown)},
        paged=True,
        problems=[NotFound],
        examples=examples.DELEGATION_USES,
    )
    def get(self, request: Request, delegation_id: UUID) -> Response:
        """List its uses, newest first; both sides may read them."""
        lines = delegation.uses_of(caller=self.caller, delegation_id=delegation_id, at=self.at)
        return self.page(lines, render=line_shown, order=("-id",))


def _masked(person: Any) -> str | None:
    if person is None:
        return None
    return residents.mask_name(person.real_name) if person.real_name else "*"
