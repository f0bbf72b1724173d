"""The city of these tests."""

from tests.people import at, counter, grant, hall, kiosk, known_keys, phone

__all__ = ["at", "counter", "grant", "hall", "kiosk", "known_keys", "phone"]
