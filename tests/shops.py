"""Unmanned shops for tests: doors, and what they do beside the edge."""

import uuid
from datetime import datetime
from typing import Any

from identity.models import Store
from payments import ledger, visits
from payments.models import ShopDoor
from payments.visits import VisitShown
from tests import city
from tests.shop import Shop, resident_of

HOLD_FEN = 20_000


def make_door(shop: Shop, hold_fen: int = HOLD_FEN) -> ShopDoor:
    """The shop's till is a door from now on, which holds so much for an hour."""
    return ShopDoor.objects.create(terminal=shop.till.terminal, hold_fen=hold_fen)


def open_store(shop: Shop, code: str = "S01", *, stands: bool = True) -> Store:
    """A store of the shop's, in which its till stands from now on, or not."""
    store = Store.objects.create(
        organisation=shop.merchant.organisation,
        code=code,
        name_zh=f"{code}店",
        name_en=f"Store {code}",
        address="胜利东街118号",
    )
    if stands:
        shop.till.terminal.store = store
        shop.till.terminal.save(update_fields=["store"])
    return store


def enter(
    shop: Shop, code: str, *, at: datetime, reference: str | None = None, key: str | None = None
) -> VisitShown:
    """Show a code at the shop's door."""
    return visits.enter(
        caller=shop.till.caller,
        code=code,
        merchant_reference=reference or uuid.uuid4().hex,
        idempotency_key=city.idempotency(shop.till.caller.scope, key),
        at=at,
    )


def leave(
    shop: Shop, visit_id: Any, fen: int, *, at: datetime, key: str | None = None
) -> VisitShown:
    """Leave with goods of this worth."""
    return visits.leave(
        caller=shop.till.caller,
        visit_id=uuid.UUID(str(visit_id)),
        amount_fen=fen,
        title="饮料",
        idempotency_key=city.idempotency(shop.till.caller.scope, key),
        at=at,
    )


def held_fen(phone: city.Phone) -> int:
    """What is held in a phone's wallet."""
    account = ledger.open_account(kind="resident", owner=str(resident_of(phone)))
    return ledger.balance_of(account).held_fen
