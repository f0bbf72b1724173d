"""Makes a machine in a merchant's store the door of an unmanned shop, and closes such doors.

Opening holds residents' money, so that two people agree on it (payments.proposals); one closes.
"""

import uuid
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.models import QuerySet

from identity.history import change_state
from identity.models import Terminal
from payments import states
from payments.models import SCENE, Merchant, ShopDoor
from payments.rule_changes import Changed, NothingChanges
from vpass.common import audit
from vpass.common.callers import Caller
from vpass.common.errors import DomainError, NotFound


class DoorNeedsStore(DomainError):
    """A door is a merchant's machine for payments that stands in one of its stores."""

    code = "shop_door.needs_store"
    status = 422
    title_zh = "无人店入口须为商户门店内的收款终端"


def open_door(subject: str, detail: Mapping[str, Any], *, caller: Caller, at: datetime) -> Changed:
    """Make a machine a door, or open one again, which holds `hold_fen` of whoever comes in, for
    `stay_minutes`; who is inside stays under what was held. Raises NotFound, DoorNeedsStore,
    NothingChanges."""
    terminal = Terminal.objects.select_for_update(no_key=True).filter(id=uuid.UUID(subject)).first()
    if terminal is None:
        raise NotFound
    of_merchant = Merchant.objects.filter(organisation_id=terminal.organisation_id)
    if terminal.scene != SCENE or terminal.store_id is None or not of_merchant.exists():
        raise DoorNeedsStore
    known = ShopDoor.objects.filter(terminal=terminal).first()
    before = None if known is None else _read(known)
    door = known or ShopDoor(terminal=terminal)
    door.hold_fen, door.stay_minutes = detail["hold_fen"], detail["stay_minutes"]
    door.save(force_insert=known is None)
    if door.state != "open":
        change_state(door, "open", table=states.SHOP_DOOR, actor=caller.scope, at=at)
    after = _read(door)
    if before == after:
        raise NothingChanges
    return Changed(before=before, after=after)


def close_door(*, caller: Caller, terminal_id: uuid.UUID, reason: str, at: datetime) -> ShopDoor:
    """Let nobody in by a door any more, from the next request on; who is inside leaves as ever.

    `reason` is a short word. Closed already, nothing else changes. Raises NotFound.
    """
    with transaction.atomic():
        # In the order of `open_door`.
        Terminal.objects.select_for_update(no_key=True).filter(id=terminal_id).first()
        door = doors().filter(terminal_id=terminal_id).first()
        if door is None:
            raise NotFound
        if door.state == "open":
            change_state(door, "closed", table=states.SHOP_DOOR, actor=caller.scope, at=at)
            audit.record(
                actor=caller.scope,
                action="shop_door.closed",
                subject=f"terminal:{terminal_id}",
                detail={"reason": reason},
                at=at,
            )
    return door


def doors() -> QuerySet[ShopDoor]:
    """All doors with their machines, stores and shops, to be ordered by terminal."""
    return ShopDoor.objects.select_related("terminal__store", "terminal__organisation")


def _read(door: ShopDoor) -> dict[str, Any]:
    return {
        "hold_fen": door.hold_fen,
        "stay_minutes": door.stay_minutes,
        "state": door.state,
    }
