"""What an unmanned shop's door may ask, and where residents see whom it let in."""

from typing import Any
from uuid import UUID

from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from payments import ledger, merchants, orders, visits
from payments.api import shop_examples as examples
from payments.models import Visit
from vpass.common.api import Audience, Endpoint, StrictSerializer, describes, page_serializer
from vpass.common.errors import NotAllowed, NotFound

_REFERENCE = r"^[0-9A-Za-z._-]{1,64}\Z"


class EntryRequest(StrictSerializer):
    code = serializers.CharField(
        max_length=2048, help_text="The text of the QR code, or the 18 digits of a bar code."
    )
    merchant_reference = serializers.RegexField(
        _REFERENCE, max_length=64, help_text="The shop's own number, once for ever."
    )


class LeavingRequest(StrictSerializer):
    amount_fen = serializers.IntegerField(
        min_value=0, max_value=orders.MAX_PAYMENT_FEN, help_text="0 when nothing was taken."
    )
    title = serializers.CharField(max_length=100, help_text="What was taken; the payer reads it.")


class VisitAnswer(StrictSerializer):
    id = serializers.UUIDField()
    state = serializers.CharField(
        help_text="inside; then paid, left (with nothing), or expired (nothing was paid)."
    )
    merchant_reference = serializers.CharField()
    held_fen = serializers.IntegerField(help_text="Held on the payer's balance while inside.")
    paid_fen = serializers.IntegerField()
    payment_id = serializers.UUIDField(
        allow_null=True, help_text="What was paid on leaving: refunds and statements go by it."
    )
    entered_at = serializers.DateTimeField()
    leave_by = serializers.DateTimeField(help_text="After it the visit may expire at any moment.")
    left_at = serializers.DateTimeField(allow_null=True)


class VisitedShop(StrictSerializer):
    id = serializers.UUIDField()
    zh = serializers.CharField()
    en = serializers.CharField()


class ResidentVisit(StrictSerializer):
    id = serializers.UUIDField()
    shop = VisitedShop()
    state = serializers.CharField()
    held_fen = serializers.IntegerField()
    paid_fen = serializers.IntegerField()
    payment_id = serializers.UUIDField(allow_null=True)
    entered_at = serializers.DateTimeField()
    leave_by = serializers.DateTimeField()
    left_at = serializers.DateTimeField(allow_null=True)


class Visits(Endpoint):
    """Who is let into an unmanned shop."""

    audience = Audience.MERCHANT

    @describes(
        request=EntryRequest,
        answers={201: VisitAnswer},
        idempotent=True,
        problems=[*visits.REFUSALS.values(), visits.NoShopDoor, visits.DoorClosed, NotAllowed],
        examples=examples.ENTRY,
    )
    def post(self, request: Request) -> Response:
        """Let the resident in who shows this code at the door, and hold the door's amount."""
        shown = visits.enter(
            caller=self.caller,
            idempotency_key=self.idempotency(),
            at=self.at,
            **self.read(EntryRequest),
        )
        return Response(vars(shown), status=201)

    @describes(answers={200: page_serializer(VisitAnswer)}, paged=True, examples=examples.VISITS)
    def get(self, request: Request) -> Response:
        """List the visits to the merchant's shops, newest first."""
        return self.page(
            visits.visits_of_merchant(caller=self.caller), render=_visit, order=("-id",)
        )


class OneVisit(Endpoint):
    """One visit to an unmanned shop."""

    audience = Audience.MERCHANT

    @describes(answers={200: VisitAnswer}, problems=[NotFound], examples=examples.VISIT)
    def get(self, request: Request, visit_id: UUID) -> Response:
        """Show how it stands."""
        found = visits.visit_in(visits.visits_of_merchant(caller=self.caller), visit_id)
        return Response(_visit(found))


class Leavings(Endpoint):
    """Who leaves an unmanned shop."""

    audience = Audience.MERCHANT

    @describes(
        request=LeavingRequest,
        answers={200: VisitAnswer},
        idempotent=True,
        problems=[
            NotFound,
            visits.VisitOver,
            ledger.HoldExceeded,
            merchants.MerchantSuspended,
        ],
        examples=examples.LEAVING,
    )
    def post(self, request: Request, visit_id: UUID) -> Response:
        """Take what was taken out of the hold, and free the rest."""
        shown = visits.leave(
            caller=self.caller,
            visit_id=visit_id,
            idempotency_key=self.idempotency(),
            at=self.at,
            **self.read(LeavingRequest),
        )
        return Response(vars(shown))


class ResidentVisits(Endpoint):
    """Where the resident was let in."""

    audience = Audience.RESIDENT
    level = 2

    @describes(
        answers={200: page_serializer(ResidentVisit)}, paged=True, examples=examples.MY_VISITS
    )
    def get(self, request: Request) -> Response:
        """List the resident's visits to unmanned shops, newest first, with what is held."""
        return self.page(
            visits.visits_of_payer(caller=self.caller), render=_my_visit, order=("-id",)
        )


def _visit(visit: Visit) -> dict[str, Any]:
    return vars(visits.show(visit))


def _my_visit(visit: Visit) -> dict[str, Any]:
    organisation = visit.merchant.organisation
    shown = _visit(visit)
    del shown["merchant_reference"]
    shop = {"id": visit.merchant_id, "zh": organisation.name_zh, "en": organisation.name_en}
    return {**shown, "shop": shop}
