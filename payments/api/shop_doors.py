"""How the city's accountants open and close the doors of unmanned shops."""

from typing import Any
from uuid import UUID

from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from payments import proposals, rule_changes, shop_doors
from payments.api import store_examples as examples
from payments.api.finance import FinanceEndpoint, ProposalDecided
from payments.api.merchant_changes import StopReason
from payments.api.rule_changes import ChangeReason
from payments.models import Proposal, ShopDoor
from payments.orders import MAX_PAYMENT_FEN
from vpass.common.api import StrictSerializer, describes, page_serializer
from vpass.common.errors import NotFound


class DoorRequest(ChangeReason):
    terminal_id = serializers.UUIDField(help_text="A merchant's machine in one of its stores.")
    hold_fen = serializers.IntegerField(
        min_value=1, max_value=MAX_PAYMENT_FEN, help_text="Held of whoever comes in."
    )
    stay_minutes = serializers.IntegerField(min_value=1, max_value=1440)


class DoorWords(StrictSerializer):
    zh = serializers.CharField()
    en = serializers.CharField()


class ShopDoorShown(StrictSerializer):
    terminal_id = serializers.UUIDField()
    shop = DoorWords()
    store = DoorWords(allow_null=True)
    hold_fen = serializers.IntegerField()
    stay_minutes = serializers.IntegerField()
    state = serializers.CharField(help_text="open or closed.")


class ShopDoors(FinanceEndpoint):
    """The doors of unmanned shops."""

    @describes(
        request=DoorRequest,
        answers={201: ProposalDecided},
        idempotent=True,
        problems=[
            NotFound,
            shop_doors.DoorNeedsStore,
            rule_changes.NothingChanges,
            proposals.ProposalWaiting,
        ],
        examples=examples.OPEN_DOOR,
    )
    def post(self, request: Request) -> Response:
        """Propose that a machine lets people in, or under other terms; another approves."""
        asked = dict(self.read(DoorRequest))
        proposed = proposals.propose_change(
            caller=self.caller,
            action=Proposal.Action.OPEN_DOOR,
            subject=str(asked.pop("terminal_id")),
            reason=asked.pop("reason"),
            detail=asked,
            idempotency_key=self.idempotency(),
            at=self.at,
        )
        return Response(vars(proposed), status=201)

    @describes(
        answers={200: page_serializer(ShopDoorShown)}, paged=True, examples=examples.SHOP_DOORS
    )
    def get(self, request: Request) -> Response:
        """List them, the closed ones too."""
        return self.page(shop_doors.doors(), render=_door, order=("terminal_id",))


class DoorClosings(FinanceEndpoint):
    """A door lets nobody in any more."""

    @describes(
        request=StopReason,
        answers={200: ShopDoorShown},
        problems=[NotFound],
        examples=examples.CLOSE_DOOR,
    )
    def post(self, request: Request, terminal_id: UUID) -> Response:
        """Close it at once, as one person; who is inside leaves as ever."""
        door = shop_doors.close_door(
            caller=self.caller, terminal_id=terminal_id, at=self.at, **self.read(StopReason)
        )
        return Response(_door(door))


def _door(door: ShopDoor) -> dict[str, Any]:
    terminal = door.terminal
    store, shop = terminal.store, terminal.organisation
    return {
        "terminal_id": door.terminal_id,
        "shop": {"zh": shop.name_zh, "en": shop.name_en},
        "store": store and {"zh": store.name_zh, "en": store.name_en},
        "hold_fen": door.hold_fen,
        "stay_minutes": door.stay_minutes,
        "state": door.state,
    }
