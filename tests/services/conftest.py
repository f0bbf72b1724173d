"""A hall, a desk and a phone for these tests."""

from datetime import datetime

import pytest

from services.models import Slot
from tests import city
from tests.hall import QUARTER, Hall, open_hall
from tests.people import at, grant, known_keys, phone

__all__ = ["at", "grant", "known_keys", "phone"]


@pytest.fixture
def hall(transactional_db: None) -> Hall:
    return open_hall()


@pytest.fixture
def desk(hall: Hall, at: datetime) -> city.DeskBrowser:
    return hall.desk(at=at)


@pytest.fixture
def slot(hall: Hall, at: datetime) -> Slot:
    """The next quarter of an hour, with two seats."""
    return hall.slot(starts_at=at + QUARTER, seats=2)
