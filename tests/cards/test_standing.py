"""Whether a card is good: every way it is not, the worst first."""

from datetime import date, timedelta
from typing import Any

import pytest

from cards import standing

TODAY = date(2026, 11, 25)
GOOD: dict[str, Any] = {
    "state": "active",
    "is_frozen": False,
    "valid_until": None,
    "is_in_debt": False,
    "today": TODAY,
}


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({}, None),
        ({"valid_until": TODAY}, None),
        ({"valid_until": TODAY - timedelta(days=1)}, "card.expired"),
        ({"is_frozen": True}, "card.frozen"),
        ({"is_in_debt": True}, "card.debt"),
        ({"is_in_debt": True, "is_frozen": True}, "card.frozen"),
        ({"is_frozen": True, "valid_until": date(2020, 1, 1)}, "card.expired"),
        ({"state": "lost", "is_frozen": True}, "card.lost"),
        ({"state": "pending"}, "card.pending"),
        ({"state": "expired"}, "card.expired"),
    ],
)
def test_fault__one_thing_wrong__its_code(changes: dict[str, Any], fault: str | None):
    assert standing.fault(**GOOD | changes) == fault
