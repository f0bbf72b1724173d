"""A day that has just begun, in this process."""

from pathlib import Path

import pytest

from tests.in_process import prepare_day
from tests.outside import OutsideWorld
from tests.people import at, counter, grant, hall, kiosk, known_keys, phone
from vpass.day.play import Day

__all__ = ["at", "counter", "grant", "hall", "kiosk", "known_keys", "phone"]


@pytest.fixture
def day(transactional_db: None, sandbox: OutsideWorld, tmp_path: Path) -> Day:
    """The city is seeded, nobody has enrolled."""
    return prepare_day(sandbox, folder=tmp_path)
