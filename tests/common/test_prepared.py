"""Statements that a connection plans once."""

import pytest
from django.db import DatabaseError, connection, transaction

from tests.statements import statements
from vpass.common import prepared

pytestmark = pytest.mark.django_db(transaction=True)

SUM = "SELECT %(one)s::int + %(other)s::int + %(one)s::int"


def result(text: str = SUM, **values: object) -> object:
    with connection.cursor() as cursor:
        prepared.execute(cursor, "sum", text, values)
        return cursor.fetchone()[0]


def names() -> list[str]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT name FROM pg_prepared_statements WHERE name LIKE 'sum_%'")
        return [name for (name,) in cursor.fetchall()]


def test_execute__twice__planned_once_and_one_statement_each():
    with statements() as sent:
        assert result(one=1, other=10) == 12
        assert result(one=2, other=20) == 24

    assert len(sent) == 2
    assert len(names()) == 1


def test_execute__other_text_of_the_same_name__another_statement():
    assert result(one=1, other=10) == 12
    assert result(SUM.replace("+", "-"), one=1, other=10) == -10

    assert len(names()) == 2


def test_execute__connection_made_anew__planned_again():
    assert result(one=1, other=10) == 12
    connection.close()

    assert result(one=1, other=10) == 12


def test_execute__rolled_back__still_known():
    with pytest.raises(RuntimeError), transaction.atomic():
        result(one=1, other=10)
        raise RuntimeError

    assert result(one=1, other=10) == 12


def test_execute__broken_text__djangos_error_and_tried_anew():
    for _ in range(2):
        with pytest.raises(DatabaseError):
            result("SELECT nothing + %(one)s", one=1)
