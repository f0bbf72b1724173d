"""What gives rights to organisations, desks, machines and staff: proposed by one, done by two."""

from typing import Any
from uuid import UUID

from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from identity import proposals, registration, relying_parties, staffing, subtree
from identity.api import administration_examples as examples
from identity.api.administration import AdministrationEndpoint
from identity.api.registration_details import DETAILS, NoDetail
from identity.models import RegistrationProposal
from vpass.common.api import StrictSerializer, describes, page_serializer
from vpass.common.api.serializers import validated
from vpass.common.errors import NotFound
from vpass.common.states import IllegalTransition


class RegistrationRequest(StrictSerializer):
    action = serializers.ChoiceField(choices=sorted(proposals.ACTIONS))
    subject = serializers.UUIDField(
        help_text="What it is about: the organisation, desk, terminal, store, web service or "
        "member of staff; for something new and for entitlements the organisation it belongs to."
    )
    detail = serializers.DictField(
        help_text="As the action takes it. organisation.register: kind, name_zh, name_en, scenes, "
        "attributes (null: what the one above may); organisation.rename: name_zh, name_en; "
        "organisation.allow: scenes, attributes; entitlement.set: scene, purpose, purpose_zh, "
        "purpose_en, attributes and, as wanted, may_ask, needs_case, knows_holder, "
        "shields_others, deferred_days, legal_basis; entitlement.end: scene, purpose; "
        "desk.register: name_zh, name_en, scene; terminal.register: the same and, for a "
        "merchant's, store; terminal.place: store (null: none); store.register: code, name_zh, "
        "name_en, address and, as wanted, longitude and latitude; store.rename: the same without "
        "code; staff.grant_roles: roles; "
        "staff.move: organisation; relying_party.register: name, purpose, redirect_uris and, as "
        "wanted, post_logout_redirect_uris; all others: {}.",
    )


class RegistrationDecided(StrictSerializer):
    id = serializers.UUIDField()
    state = serializers.CharField(help_text="proposed, approved, rejected or expired.")
    made = serializers.UUIDField(allow_null=True, help_text="What it made or changed.")
    code = serializers.CharField(
        allow_null=True,
        help_text="An enrolment or invitation code, or a web service's secret, shown this once.",
    )


class RegistrationDecision(StrictSerializer):
    """Nothing has to be said beside the address: {}."""


class RegistrationShown(StrictSerializer):
    id = serializers.UUIDField()
    action = serializers.CharField()
    organisation = serializers.UUIDField(help_text="Where it takes effect.")
    subject = serializers.UUIDField()
    detail = serializers.DictField()
    state = serializers.CharField()
    proposed_by = serializers.CharField()
    proposed_at = serializers.DateTimeField()
    decided_by = serializers.CharField(allow_null=True)
    decided_at = serializers.DateTimeField(allow_null=True)


class Registrations(AdministrationEndpoint):
    """What one administrator has proposed and another decides."""

    @describes(
        request=RegistrationRequest,
        answers={201: RegistrationDecided},
        idempotent=True,
        problems=[
            NotFound,
            IllegalTransition,
            subtree.OwnOrganisation,
            registration.KindNotBelow,
            registration.NameTaken,
            registration.BeyondBounds,
            registration.SceneOfCity,
            relying_parties.RedirectUnsafe,
            registration.RightOfCity,
            registration.LastOfRoot,
            staffing.RoleOfCity,
            staffing.NotJoined,
            proposals.AlreadyProposed,
        ],
        examples=examples.PROPOSE,
    )
    def post(self, request: Request) -> Response:
        """Propose something that gives rights; what can't be done now is refused now."""
        asked = self.read(RegistrationRequest)
        shape = DETAILS.get(asked["action"], NoDetail)(data=asked["detail"])
        validated(shape)
        proposed = proposals.propose(
            caller=self.caller,
            action=asked["action"],
            subject=asked["subject"],
            detail=dict(shape.data),
            idempotency_key=self.idempotency(),
            at=self.at,
        )
        return Response(vars(proposed), status=201)

    @describes(
        answers={200: page_serializer(RegistrationShown)}, paged=True, examples=examples.PROPOSALS
    )
    def get(self, request: Request) -> Response:
        """List the proposals of the subtree, newest first."""
        return self.page(
            proposals.proposals_of(caller=self.caller), render=_proposal, order=("-id",)
        )


class RegistrationApprovals(AdministrationEndpoint):
    """The second person's yes."""

    roles = frozenset({staffing.APPROVER})

    @describes(
        request=RegistrationDecision,
        answers={200: RegistrationDecided},
        idempotent=True,
        problems=[
            NotFound,
            IllegalTransition,
            proposals.SelfApproval,
            proposals.Over,
            subtree.OwnOrganisation,
            registration.KindNotBelow,
            registration.NameTaken,
            registration.BeyondBounds,
            registration.SceneOfCity,
            relying_parties.RedirectUnsafe,
            registration.RightOfCity,
            registration.LastOfRoot,
            staffing.RoleOfCity,
            staffing.NotJoined,
        ],
        examples=examples.APPROVE,
    )
    def post(self, request: Request, proposal_id: UUID) -> Response:
        """Approve another person's proposal: it is done at once."""
        self.read(RegistrationDecision)
        decided = proposals.approve(
            caller=self.caller,
            proposal_id=proposal_id,
            idempotency_key=self.idempotency(),
            at=self.at,
        )
        return Response(vars(decided))


class RegistrationRejections(AdministrationEndpoint):
    """A person's no."""

    @describes(
        request=RegistrationDecision,
        answers={200: RegistrationDecided},
        idempotent=True,
        problems=[NotFound, proposals.Over],
        examples=examples.REJECT,
    )
    def post(self, request: Request, proposal_id: UUID) -> Response:
        """Reject a proposal, or take one's own back."""
        self.read(RegistrationDecision)
        decided = proposals.reject(
            caller=self.caller,
            proposal_id=proposal_id,
            idempotency_key=self.idempotency(),
            at=self.at,
        )
        return Response(vars(decided))


def _proposal(row: RegistrationProposal) -> dict[str, Any]:
    decided_by = row.decided_by
    return {
        "id": row.id,
        "action": row.action,
        "organisation": row.organisation_id,
        "subject": row.subject,
        "detail": row.detail,
        "state": row.state,
        "proposed_by": row.proposed_by.user.get_username(),
        "proposed_at": row.proposed_at,
        "decided_by": decided_by and decided_by.user.get_username(),
        "decided_at": row.decided_at,
    }
