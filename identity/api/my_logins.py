"""Where a resident logs in with V Pass: looked at, approved, refused and ended on the phone."""

from typing import Any
from uuid import UUID

from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from identity import logins, receipts, residents
from identity.api import login_examples as examples
from identity.api.my_log import Nothing
from identity.api.my_sharing import PartyShown
from identity.api.resident import PurposeShown
from vpass.common import limits
from vpass.common.api import Audience, Endpoint, StrictSerializer, describes, page_serializer
from vpass.common.errors import NotFound
from vpass.common.policy import LevelTooLow


class LookRequest(StrictSerializer):
    handle = serializers.RegexField(
        r"^VPL1\.[A-Za-z0-9_-]{43}\Z", max_length=48, help_text="From the page's QR code or link."
    )


class RelyingPartyShown(StrictSerializer):
    client_id = serializers.CharField()
    name = serializers.CharField()


class LoginShown(StrictSerializer):
    id = serializers.UUIDField()
    relying_party = RelyingPartyShown()
    organisation = PartyShown()
    purpose = PurposeShown()
    fields = serializers.ListField(child=serializers.CharField())  # type: ignore[assignment]
    level = serializers.IntegerField(help_text="The least level of assurance that is wanted.")
    state = serializers.CharField(
        help_text="asked, approved, signed_in; refused, unmet, expired, lapsed, withdrawn, ended, "
        "reused."
    )
    begun_at = serializers.DateTimeField()
    expires_at = serializers.DateTimeField()
    receipt = serializers.CharField(allow_null=True, help_text="The city's JWS; docs/consent.md.")


class LoginApproval(StrictSerializer):
    approval = serializers.CharField(
        max_length=4096, help_text='A JWS by the device key, typ "vpass-login+jwt".'
    )


class LoginMoved(StrictSerializer):
    id = serializers.UUIDField()
    state = serializers.CharField()


class LoginLooks(Endpoint):
    """A page asks to log in."""

    audience = Audience.RESIDENT

    @describes(
        request=LookRequest,
        answers={200: LoginShown},
        problems=[NotFound, logins.LoginOver, limits.LimitReached],
        examples=examples.LOOK,
    )
    def post(self, request: Request) -> Response:
        """Show who asks, for what, with which fields and level; the page shows a number."""
        login = logins.look(caller=self.caller, at=self.at, **self.read(LookRequest))
        return Response(_login(login, state=login.state))


class MyLogins(Endpoint):
    """Where the resident logged in."""

    audience = Audience.RESIDENT

    @describes(answers={200: page_serializer(LoginShown)}, paged=True, examples=examples.LOGINS)
    def get(self, request: Request) -> Response:
        """List the resident's logins, newest first."""
        return self.page(
            logins.logins_of(caller=self.caller), render=self._shown, order=("-begun_at", "-id")
        )

    def _shown(self, login: Any) -> dict[str, Any]:
        return _login(login, state=logins.state_of(login, at=self.at))


class LoginApprovals(Endpoint):
    """A login is approved."""

    audience = Audience.RESIDENT

    @describes(
        request=LoginApproval,
        answers={200: LoginMoved},
        idempotent=True,
        problems=[
            NotFound,
            logins.LoginOver,
            logins.NumberWrong,
            receipts.WordInvalid,
            residents.AccountSuspended,
            LevelTooLow,
        ],
        examples=examples.APPROVAL,
    )
    def post(self, request: Request, login_id: UUID) -> Response:
        """Approve with the phone's signature over what it showed and the page's number."""
        answer = logins.approve(
            caller=self.caller,
            login_id=login_id,
            word=self.read(LoginApproval)["approval"],
            idempotency_key=self.idempotency(),
            at=self.at,
        )
        return Response(answer)


class LoginRefusals(Endpoint):
    """A login is refused."""

    audience = Audience.RESIDENT

    @describes(
        request=Nothing,
        answers={200: LoginMoved},
        idempotent=True,
        problems=[NotFound, logins.LoginOver],
        examples=examples.REFUSAL,
    )
    def post(self, request: Request, login_id: UUID) -> Response:
        """Refuse; the log tells what was asked."""
        self.read(Nothing)
        answer = logins.refuse(
            caller=self.caller,
            login_id=login_id,
            idempotency_key=self.idempotency(),
            at=self.at,
        )
        return Response(answer)


class LoginWithdrawals(Endpoint):
    """A login is ended from the phone."""

    audience = Audience.RESIDENT

    @describes(
        request=Nothing,
        answers={200: LoginMoved},
        idempotent=True,
        problems=[NotFound, logins.LoginOver],
        examples=examples.WITHDRAWAL,
    )
    def post(self, request: Request, login_id: UUID) -> Response:
        """End a login: the relying party's tokens are good for nothing from now on."""
        self.read(Nothing)
        answer = logins.withdraw(
            caller=self.caller,
            login_id=login_id,
            idempotency_key=self.idempotency(),
            at=self.at,
        )
        return Response(answer)


def _login(login: Any, *, state: str) -> dict[str, Any]:
    party, organisation = login.relying_party, login.organisation
    return {
        "id": login.id,
        "relying_party": {"client_id": party.client_id, "name": party.name},
        "organisation": {
            "id": organisation.id,
            "zh": organisation.name_zh,
            "en": organisation.name_en,
        },
        "purpose": {
            "code": login.purpose,
            "zh": login.purpose_zh or login.purpose,
            "en": login.purpose_en or login.purpose,
        },
        "fields": login.fields,
        "level": login.level_needed,
        "state": state,
        "begun_at": login.begun_at,
        "expires_at": login.expires_at,
        "receipt": login.receipt,
    }
