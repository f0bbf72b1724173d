"""Lets a lower floor ask what only upper floors know, without importing them.

An upper floor registers its answer when its app is ready; the floor that asks owns the question's
name and says which arguments it passes and what an answer is.
"""

from collections.abc import Callable
from typing import Any

Contributor = Callable[..., Any]

_contributors: dict[str, dict[str, Contributor]] = {}


def register(question: str, name: str, fn: Contributor) -> None:
    """Has `fn` answer `question` under `name`; raises ValueError when another holds the name."""
    named = _contributors.setdefault(question, {})
    if named.setdefault(name, fn) is not fn:
        raise ValueError(f"{question}: {name} is registered already")


def ask(question: str, **arguments: Any) -> list[tuple[str, Any]]:
    """Every contributor's answer with its name, in the order of the names; none when nobody knows.

    An error of a contributor goes to the caller: half an answer would look like a whole one.
    """
    named = _contributors.get(question, {})
    return [(name, named[name](**arguments)) for name in sorted(named)]
