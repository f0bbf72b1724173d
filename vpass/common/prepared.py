"""Runs hot statements that each connection parses and plans once, not every time.

For statements whose planning costs more than their work. The text stays where it is read; the
database keeps its plan under a name (PREPARE), for as long as the connection lasts, and makes a
new one when a table changes. So connections must not be shared between sessions by a pooler in
transaction mode.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from typing import Any
from weakref import WeakKeyDictionary

from django.db import connection
from django.db.backends.utils import CursorWrapper

_PARAMETER = re.compile(r"%\(([a-z_0-9]+)\)s")

# Which names each connection of this process knows.
_known: WeakKeyDictionary[Any, set[str]] = WeakKeyDictionary()


@dataclass(frozen=True)
class _Statement:
    name: str
    prepare: str
    execute: str


def execute(cursor: CursorWrapper, name: str, text: str, values: Mapping[str, Any]) -> None:
    """Runs `text` with its parameters "%(name)s", as `cursor.execute` does.

    `name` is what logs call the statement; another text under it is another statement. Where the
    place of a parameter does not tell its type, the text has to ("%(at)s::timestamptz").
    """
    statement = _statement(name, text)
    known = _known.setdefault(connection.connection, set())
    if statement.name not in known:
        # Beside Django's cursor: like connecting, it belongs to no request.
        with connection.wrap_database_errors, connection.connection.cursor() as own:
            own.execute(statement.prepare)
        known.add(statement.name)
    cursor.execute(statement.execute, values)


@cache
def _statement(name: str, text: str) -> _Statement:
    parameters = list(dict.fromkeys(_PARAMETER.findall(text)))
    numbered = _PARAMETER.sub(lambda found: f"${parameters.index(found[1]) + 1}", text)
    unique = f"{name}_{sha256(text.encode()).hexdigest()[:12]}"
    given = ", ".join(f"%({parameter})s" for parameter in parameters)
    return _Statement(unique, f"PREPARE {unique} AS {numbered}", f"EXECUTE {unique} ({given})")
