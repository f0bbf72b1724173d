"""The program refuses a database that may forget what it confirmed."""

from typing import Any

import pytest
from django.db import connection

from vpass.common import database
from vpass.common.database import Durability, UnsafeDatabase

SAFE = {"fsync": "on", "synchronous_commit": "on", "full_page_writes": "on"}


@pytest.mark.django_db
def test_read_durability__our_engine__safe():
    found = database.read_durability()

    assert found.settings == SAFE
    assert found.unsafe == {}


@pytest.mark.django_db
def test_read_durability__commit_not_waited_for__unsafe():
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL synchronous_commit = off")

    assert database.read_durability().unsafe == {"synchronous_commit": "off"}


@pytest.mark.parametrize("value", ["local", "remote_write", "remote_apply", "on"])
def test_unsafe__any_commit_that_reaches_the_disk__safe(value: str):
    settings = SAFE | {"synchronous_commit": value}

    assert Durability(settings=settings, has_checksums=False).unsafe == {}


@pytest.mark.parametrize("name", database.NEEDED_ON)
@pytest.mark.parametrize("value", ["off", "missing"])
def test_refuse_unsafe_database__setting_off__raises(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
):
    closed: list[Any] = []
    monkeypatch.setattr(database.connection, "close", lambda: closed.append(True))
    found = Durability(settings=SAFE | {name: value}, has_checksums=True)
    monkeypatch.setattr(database, "read_durability", lambda: found)

    with pytest.raises(UnsafeDatabase, match=f"{name}={value}"):
        database.refuse_unsafe_database()

    assert closed == [True]


@pytest.mark.django_db(transaction=True)
def test_refuse_unsafe_database__sound__connection_closed():
    database.refuse_unsafe_database()

    assert connection.connection is None
