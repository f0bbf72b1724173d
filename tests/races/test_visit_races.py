"""Leaving an unmanned shop under many hands: one end of a visit, whichever comes first."""

import os
import time
import uuid
from collections import Counter
from datetime import datetime, timedelta
from typing import Any

import pytest

from payments import ledger, visits
from payments.models import Hold, Order, PaymentLimit, Visit
from payments.settlement import windows
from payments.visits import VisitShown
from tests import city
from tests.shop import Shop, balance_fen, fill, open_shop
from tests.shops import HOLD_FEN, enter, held_fen, leave, make_door
from tests.together import together

pytestmark = pytest.mark.django_db(transaction=True)

ROUNDS = int(os.environ.get("VPASS_ROUNDS", "0"))
HANDS = 12
TAKEN_FEN = 700
LATE = timedelta(hours=2)


@pytest.fixture
def shop(transactional_db: None, at: datetime) -> Shop:
    windows.ensure_open(at=at)
    PaymentLimit.objects.update(daily_fen=None)
    shop = open_shop()
    make_door(shop)
    return shop


def end_at_once(shop: Shop, visit_id: str, at: datetime) -> Counter[str]:
    """A third leave with goods, a third with nothing, a third find that the time is over."""

    def end(index: int) -> str:
        if index % 3 == 2:
            return "expired" if visits.expire_due(at=at + LATE) else "none due"
        return leave(shop, visit_id, TAKEN_FEN * (index % 3), at=at).state

    found: list[Any] = together(HANDS, end)
    return Counter(each if isinstance(each, str) else getattr(each, "code", "") for each in found)


def ends(seen: Counter[str]) -> int:
    return seen["paid"] + seen["left"] + seen["expired"]


def test_leave__capture_void_and_expiry_at_once__one_of_them(
    shop: Shop, phone: city.Phone, grant: city.HeldGrant, at: datetime
):
    tried, broken, paid = ROUNDS or 5, 0, 0
    fill(shop, phone, HOLD_FEN + TAKEN_FEN * tried, at=at)

    for _ in range(tried):
        before = balance_fen(phone)
        inside = enter(shop, grant.code(at), at=at)
        seen = end_at_once(shop, inside.id, at)
        paid += seen["paid"]
        moved = TAKEN_FEN * seen["paid"]
        told = set(seen) <= {"paid", "left", "expired", "none due", "visit.over"}
        sound = (balance_fen(phone), held_fen(phone)) == (before - moved, 0)
        broken += not (told and sound and ends(seen) == 1)

    print(f"faults visit-end: {tried} tried, {broken} broken")
    assert broken == 0
    assert Order.objects.count() == paid
    assert Visit.objects.filter(state="inside").count() == 0


def test_leave__guard_off__the_same_race_ends_a_visit_twice(
    shop: Shop,
    phone: city.Phone,
    grant: city.HeldGrant,
    at: datetime,
    monkeypatch: pytest.MonkeyPatch,
):
    fill(shop, phone, HOLD_FEN, at=at)
    inside = enter(shop, grant.code(at), at=at)

    def read_then_linger(visit_id: uuid.UUID) -> Visit | None:
        found = Visit.objects.select_related("merchant").filter(id=visit_id).first()
        time.sleep(0.2)
        return found

    # The visit is read without its lock and ended whatever it is; the ledger is not asked.
    monkeypatch.setattr(visits, "_lock", read_then_linger)
    monkeypatch.setattr(visits, "_END", visits._END.replace("AND state = 'inside'", ""))
    monkeypatch.setattr(ledger, "void", lambda **_: None)
    monkeypatch.setattr(visits, "_uncount", lambda *_: None)

    found = together(6, lambda index: leave(shop, inside.id, TAKEN_FEN * (index % 2), at=at))

    ended = [each for each in found if isinstance(each, VisitShown)]
    assert len(ended) > 1, "without the guards a visit ends twice"
    assert Hold.objects.count() == 1
