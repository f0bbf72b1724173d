"""A bus company with a validator, and a phone with a bus card, for these tests."""

from datetime import datetime

import pytest

from cards.models import Card, Issuer
from tests import city, wallets
from tests.people import at, grant, known_keys, phone

__all__ = ["at", "grant", "known_keys", "phone"]


@pytest.fixture
def issuer(transactional_db: None) -> Issuer:
    """The bus company as an issuer of cards."""
    return wallets.open_issuer()


@pytest.fixture
def bus(issuer: Issuer) -> wallets.Bus:
    return wallets.open_bus(issuer)


@pytest.fixture
def card(issuer: Issuer, phone: city.Phone, at: datetime) -> Card:
    """The phone's bus card."""
    return wallets.give_card(phone, issuer, at=at)
