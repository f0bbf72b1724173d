"""Fixtures with a city of their own: an organisation, a desk, a kiosk, a phone and its grant."""

from collections.abc import Iterator
from datetime import datetime

import pytest

from identity import keys
from identity.models import Organisation
from tests import city
from vpass.common import clock


@pytest.fixture(autouse=True)
def known_keys() -> Iterator[None]:
    """No signing key is remembered from another test's database."""
    keys._known.forget()
    yield
    keys._known.forget()


@pytest.fixture
def at() -> datetime:
    """Now, so that what is made at this moment is good over HTTP too."""
    return clock.now()


@pytest.fixture
def hall(db: None) -> Organisation:
    return city.make_organisation()


@pytest.fixture
def counter(hall: Organisation, at: datetime) -> city.DeskBrowser:
    """A desk of the hall with a clerk signed in."""
    return city.sign_in_clerk(city.make_desk(hall), at=at)


@pytest.fixture
def kiosk(hall: Organisation) -> city.Machine:
    return city.make_terminal(hall)


@pytest.fixture
def phone(db: None, at: datetime) -> city.Phone:
    """The phone of the first of the invented people, at level 2."""
    return city.make_phone(0, at=at)


@pytest.fixture
def grant(phone: city.Phone, at: datetime) -> city.HeldGrant:
    return phone.grant(at=at)
