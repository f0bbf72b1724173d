"""A shop, and a phone with money, for these tests."""

from datetime import datetime

import pytest

from payments.settlement import windows
from tests import city
from tests.people import at, grant, hall, known_keys, phone
from tests.shop import Shop, fill, open_shop

__all__ = ["at", "grant", "hall", "known_keys", "phone"]


@pytest.fixture
def shop(transactional_db: None, at: datetime) -> Shop:
    """A merchant with a till, while a window is open."""
    windows.ensure_open(at=at)
    return open_shop()


@pytest.fixture
def payer(shop: Shop, phone: city.Phone, at: datetime) -> city.Phone:
    """The phone, with ¥10,000 in its wallet."""
    fill(shop, phone, 1_000_000, at=at)
    return phone
