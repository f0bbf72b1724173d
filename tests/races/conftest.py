"""The city of these tests, and the crowds in it."""

from collections.abc import Iterator
from typing import Any

import pytest
from django.db.backends.signals import connection_created

from tests.people import at, counter, grant, hall, kiosk, known_keys, phone
from tests.together import standing_crew

__all__ = ["at", "counter", "grant", "hall", "kiosk", "known_keys", "phone"]


@pytest.fixture(autouse=True)
def crew() -> Iterator[None]:
    """The threads of a race and their connections stay until its last round.

    Their statements may wait long: on a busy machine a crowd is slow, and not wrong.
    """

    def wait_long(connection: Any, **_: Any) -> None:
        with connection.cursor() as cursor:
            cursor.execute("SET lock_timeout = '30s'")
            cursor.execute("SET statement_timeout = '30s'")

    connection_created.connect(wait_long)
    with standing_crew():
        yield
    connection_created.disconnect(wait_long)
