"""What an organisation's administrators may ask: see, suspend, revoke, invite.

Each sees the own organisation and all below it; another's is answered as if there were none.
"""

from typing import Any, ClassVar
from uuid import UUID

from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from identity import machine_keys, registration, staffing, subtree
from identity.api import administration_examples as examples
from identity.api.registration_details import EntitlementDetail, RolesDetail
from identity.models import Desk, Entitlement, Organisation, RelyingParty, Staff, Terminal
from vpass.common.api import (
    Audience,
    Endpoint,
    PageQuery,
    StrictSerializer,
    describes,
    page_serializer,
)
from vpass.common.errors import NotFound

_EITHER = frozenset({staffing.ADMINISTRATOR, staffing.APPROVER})
_USERNAME = r"^[a-z0-9][a-z0-9._-]{2,39}\Z"


class OrganisationShown(StrictSerializer):
    id = serializers.UUIDField()
    parent = serializers.UUIDField(allow_null=True)  # type: ignore[assignment]
    kind = serializers.CharField()
    name_zh = serializers.CharField()
    name_en = serializers.CharField()
    scenes = serializers.ListField(child=serializers.CharField(), allow_null=True)
    attributes = serializers.ListField(child=serializers.CharField(), allow_null=True)
    state = serializers.CharField()


class RegisteredPlace(StrictSerializer):
    id = serializers.UUIDField()
    organisation = serializers.UUIDField()
    name_zh = serializers.CharField()
    name_en = serializers.CharField()
    scene = serializers.CharField()
    state = serializers.CharField()


class RegisteredDesk(RegisteredPlace):
    has_key = serializers.BooleanField(help_text="Whether a browser has enrolled its key.")


class RegisteredKey(StrictSerializer):
    id = serializers.CharField()
    algorithm = serializers.CharField()
    retires_at = serializers.DateTimeField(
        allow_null=True, help_text="Set when another has taken over: refused from then on."
    )


class RegisteredTerminal(RegisteredPlace):
    store = serializers.UUIDField(allow_null=True, help_text="In which a merchant's stands.")
    keys = RegisteredKey(many=True)


class RegisteredStaff(StrictSerializer):
    id = serializers.UUIDField()
    organisation = serializers.UUIDField()
    username = serializers.CharField()
    roles = serializers.ListField(child=serializers.CharField())
    state = serializers.CharField()
    is_active = serializers.BooleanField(help_text="Whether the invitation has been accepted.")


class RegisteredRight(EntitlementDetail):
    organisation = serializers.UUIDField()
    attributes = serializers.ListField(child=serializers.CharField())
    may_ask = serializers.ListField(child=serializers.CharField())


class RegisteredParty(StrictSerializer):
    id = serializers.UUIDField()
    organisation = serializers.UUIDField()
    client_id = serializers.CharField()
    name = serializers.CharField()
    purpose = serializers.CharField()
    redirect_uris = serializers.ListField(child=serializers.CharField())
    post_logout_redirect_uris = serializers.ListField(child=serializers.CharField())
    state = serializers.CharField()


class ReasonGiven(StrictSerializer):
    reason = serializers.SlugField(max_length=40, help_text="A word, without personal data.")


class RolesRemoved(ReasonGiven, RolesDetail):
    pass


class RegistrationState(StrictSerializer):
    id = serializers.UUIDField()
    state = serializers.CharField()


class KeysRevoked(StrictSerializer):
    keys = serializers.IntegerField(help_text="How many ended.")


class InvitationRequest(StrictSerializer):
    organisation = serializers.UUIDField()
    username = serializers.RegexField(_USERNAME, max_length=40)


class InvitationMade(StrictSerializer):
    staff = serializers.UUIDField()
    code = serializers.CharField(help_text="For the new colleague, shown this once.")


class RegistryQuery(PageQuery):
    organisation = serializers.UUIDField(required=False, help_text="Only what belongs to this one.")


class AdministrationEndpoint(Endpoint):
    """For administrators and approvers."""

    audience = Audience.ADMINISTRATION
    roles = _EITHER


class Organisations(AdministrationEndpoint):
    """The caller's organisation and those below."""

    @describes(
        answers={200: page_serializer(OrganisationShown)}, paged=True, examples=examples.TREE
    )
    def get(self, request: Request) -> Response:
        """List them, by id."""
        rows = subtree.organisations_of(self.caller)
        return self.page(rows, render=_organisation, order=("id",))


class Suspensions(AdministrationEndpoint):
    """Something is switched off, by one person."""

    kind: ClassVar[registration.Registered] = "organisation"

    @describes(
        request=ReasonGiven,
        answers={200: RegistrationState},
        problems=[
            NotFound,
            registration.RootStays,
            registration.Oneself,
            registration.LastOfRoot,
        ],
        examples=examples.SUSPENSION,
    )
    def post(self, request: Request, row_id: UUID) -> Response:
        """Suspend it and, of an organisation, all below it, from the next request on."""
        row = registration.suspend(
            caller=self.caller,
            kind=self.kind,
            row_id=row_id,
            at=self.at,
            **self.read(ReasonGiven),
        )
        return Response({"id": row.pk, "state": row.state})


class DeskSuspensions(Suspensions):
    """A desk is switched off."""

    kind = "desk"


class TerminalSuspensions(Suspensions):
    """A terminal or system is switched off."""

    kind = "terminal"


class StaffLockouts(Suspensions):
    """Somebody is locked out, and signed out everywhere."""

    kind = "staff"


class PartySuspensions(Suspensions):
    """A web service where residents log in is switched off."""

    kind = "relying_party"


class Registry(AdministrationEndpoint):
    """A list of what belongs to the organisations of the subtree."""

    def listed(self, rows: Any, *, render: Any) -> Response:
        """One page, by id, of one organisation's if the URL names it."""
        wanted = self.read_query(RegistryQuery).get("organisation")
        if wanted is not None:
            rows = rows.filter(organisation_id=wanted)
        return self.page(rows, render=render, order=("id",), query=RegistryQuery)


class DeskRegistry(Registry):
    """The desks."""

    @describes(
        query=RegistryQuery,
        answers={200: page_serializer(RegisteredDesk)},
        examples=examples.DESKS,
    )
    def get(self, request: Request) -> Response:
        """List them, by id."""
        return self.listed(subtree.desks_of(self.caller), render=_desk)


class TerminalRegistry(Registry):
    """The terminals and systems, with their keys in force."""

    @describes(
        query=RegistryQuery,
        answers={200: page_serializer(RegisteredTerminal)},
        examples=examples.TERMINALS,
    )
    def get(self, request: Request) -> Response:
        """List them, by id."""
        return self.listed(machine_keys.terminals_with_keys(self.caller), render=_terminal)


class StaffRegistry(Registry):
    """Who works there."""

    @describes(
        query=RegistryQuery,
        answers={200: page_serializer(RegisteredStaff)},
        examples=examples.STAFF,
    )
    def get(self, request: Request) -> Response:
        """List them, by id."""
        return self.listed(subtree.staff_of(self.caller), render=_staff)


class Entitlements(Registry):
    """What the organisations may see."""

    @describes(
        query=RegistryQuery,
        answers={200: page_serializer(RegisteredRight)},
        examples=examples.RIGHTS,
    )
    def get(self, request: Request) -> Response:
        """List the rights in force, by id."""
        return self.listed(registration.entitlements_of(self.caller), render=_right)


class PartyRegistry(Registry):
    """The web services where residents log in."""

    @describes(
        query=RegistryQuery,
        answers={200: page_serializer(RegisteredParty)},
        examples=examples.PARTIES,
    )
    def get(self, request: Request) -> Response:
        """List them, by id; their secrets are told to nobody again."""
        return self.listed(subtree.relying_parties_of(self.caller), render=_party)


class KeyRevocations(AdministrationEndpoint):
    """A machine's keys end."""

    @describes(
        request=ReasonGiven,
        answers={200: KeysRevoked},
        problems=[NotFound],
        examples=examples.REVOCATION,
    )
    def post(self, request: Request, row_id: UUID) -> Response:
        """Revoke every key of a terminal or system at once; a new one takes two people."""
        ended = machine_keys.revoke_keys(
            caller=self.caller, terminal_id=row_id, at=self.at, **self.read(ReasonGiven)
        )
        return Response({"keys": ended})


class RoleRemovals(AdministrationEndpoint):
    """Roles are taken away."""

    @describes(
        request=RolesRemoved,
        answers={200: RegisteredStaff},
        problems=[NotFound, registration.LastOfRoot],
        examples=examples.ROLES_REMOVED,
    )
    def post(self, request: Request, row_id: UUID) -> Response:
        """Take roles from somebody, who is signed out everywhere; giving them takes two people."""
        person = staffing.remove_roles(
            caller=self.caller, staff_id=row_id, at=self.at, **self.read(RolesRemoved)
        )
        return Response(_staff(person))


class Invitations(AdministrationEndpoint):
    """Somebody new is to work here."""

    roles = frozenset({staffing.ADMINISTRATOR})

    @describes(
        request=InvitationRequest,
        answers={201: InvitationMade},
        idempotent=True,
        problems=[NotFound, staffing.UsernameTaken],
        examples=examples.INVITATION,
    )
    def post(self, request: Request) -> Response:
        """Invite somebody, who has no role yet, by a code to be used at the organisation's desk."""
        asked = self.read(InvitationRequest)
        made = staffing.invite(
            caller=self.caller,
            organisation_id=asked["organisation"],
            username=asked["username"],
            idempotency_key=self.idempotency(),
            at=self.at,
        )
        return Response(made, status=201)


def _organisation(row: Organisation) -> dict[str, Any]:
    return {
        "id": row.id,
        "parent": row.parent_id,
        "kind": row.kind,
        "name_zh": row.name_zh,
        "name_en": row.name_en,
        "scenes": row.scenes,
        "attributes": row.attributes,
        "state": row.state,
    }


def _place(row: Desk | Terminal) -> dict[str, Any]:
    return {
        "id": row.id,
        "organisation": row.organisation_id,
        "name_zh": row.name_zh,
        "name_en": row.name_en,
        "scene": row.scene,
        "state": row.state,
    }


def _desk(row: Desk) -> dict[str, Any]:
    return {**_place(row), "has_key": row.key_thumbprint is not None}


def _terminal(row: Any) -> dict[str, Any]:
    keys = [
        {"id": key.id, "algorithm": key.algorithm, "retires_at": key.retires_at}
        for key in row.keys_in_force
    ]
    return {**_place(row), "store": row.store_id, "keys": keys}


def _staff(row: Staff) -> dict[str, Any]:
    return {
        "id": row.id,
        "organisation": row.organisation_id,
        "username": row.user.get_username(),
        "roles": row.roles,
        "state": row.state,
        "is_active": row.user.is_active,
    }


def _right(row: Entitlement) -> dict[str, Any]:
    names = list(EntitlementDetail().fields)
    return {"organisation": row.organisation_id, **{name: getattr(row, name) for name in names}}


def _party(row: RelyingParty) -> dict[str, Any]:
    return {
        "id": row.id,
        "organisation": row.organisation_id,
        "client_id": row.client_id,
        "name": row.name,
        "purpose": row.purpose,
        "redirect_uris": row.redirect_uris.split(),
        "post_logout_redirect_uris": row.post_logout_redirect_uris.split(),
        "state": row.state,
    }
