"""A connection that has broken since the last request is replaced, and a sound one is not asked."""

import select
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import OperationalError, connection
from django.db.backends.postgresql import base

from vpass.common.postgresql.base import DatabaseWrapper

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[bool]]:
    """What the server was asked after its health for, with the checks of a served program on."""
    answers: list[bool] = []
    is_usable = base.DatabaseWrapper.is_usable

    def ask(self: Any) -> bool:
        answers.append(is_usable(self))
        return answers[-1]

    monkeypatch.setattr(base.DatabaseWrapper, "is_usable", ask)
    monkeypatch.setattr(connection, "health_check_enabled", True, raising=False)
    yield answers
    connection.close()


def backend_pid() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        return int(cursor.fetchone()[0])


def elsewhere(statement: str, values: list[int] | None = None) -> None:
    """Run a statement on another connection."""
    other = connection.copy()
    with other.cursor() as cursor:
        cursor.execute(statement, values)
    other.close()


def begin_request() -> None:
    """What Django does with the connection when a request starts."""
    connection.close_if_unusable_or_obsolete()


def test_request__sound_connection__kept_and_not_asked(asked: list[bool]):
    before = backend_pid()
    for _ in range(3):
        begin_request()
        assert backend_pid() == before

    assert asked == []


def test_request__server_ended_the_connection__replaced_before_the_first_statement(
    asked: list[bool],
):
    before = backend_pid()
    elsewhere("SELECT pg_terminate_backend(%s, 5000)", [before])

    begin_request()

    assert backend_pid() != before
    assert asked == [False]


def test_request__a_notice_waits_to_be_read__asked_and_kept(asked: list[bool]):
    before = backend_pid()
    with connection.cursor() as cursor:
        cursor.execute("LISTEN something")
    elsewhere("NOTIFY something")
    assert select.select([connection.connection], [], [], 10)[0], "it comes in its own time"

    begin_request()

    assert backend_pid() == before
    assert asked == [True]


def test_request__check_looks_away__first_statement_fails(
    asked: list[bool], monkeypatch: pytest.MonkeyPatch
):
    """The twin: without a look at the socket the request meets the broken connection."""
    monkeypatch.setattr(DatabaseWrapper, "_is_quiet", lambda self: True)
    before = backend_pid()
    elsewhere("SELECT pg_terminate_backend(%s, 5000)", [before])

    begin_request()

    with pytest.raises(OperationalError):
        backend_pid()
