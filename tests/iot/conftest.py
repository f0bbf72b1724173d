"""A parking bay, and a phone with money, for these tests."""

from datetime import datetime

import pytest

from payments.settlement import windows
from services.iot.models import ParkingBay
from tests import city, sensors
from tests.people import at, grant, hall, known_keys, phone
from tests.shop import Shop, fill, open_shop

__all__ = ["at", "grant", "hall", "known_keys", "phone"]


@pytest.fixture
def shop(transactional_db: None, at: datetime) -> Shop:
    """Somebody through whose bank money comes, while a window is open."""
    windows.ensure_open(at=at)
    return open_shop()


@pytest.fixture
def bay(shop: Shop, at: datetime) -> ParkingBay:
    """Bay A-017, whose sensor is bay-17."""
    operator = sensors.banking.make_merchant(shop.system.bank, name="停车服务中心")
    return sensors.make_bay(at=at, operator=operator.organisation)


@pytest.fixture
def driver(shop: Shop, phone: city.Phone, at: datetime) -> city.Phone:
    """The phone, with ¥100 in its wallet."""
    fill(shop, phone, 10_000, at=at)
    return phone
