"""Upper floors answer what a lower floor asks."""

import pytest

from vpass.common import contributions


@pytest.fixture(autouse=True)
def _own_registry(monkeypatch):
    monkeypatch.setattr(contributions, "_contributors", {})


def test_ask__two_contributors__both_by_name():
    contributions.register("owed", "library", lambda *, resident: f"{resident}: 1 book")
    contributions.register("owed", "bicycle", lambda *, resident: None)

    assert contributions.ask("owed", resident="r1") == [
        ("bicycle", None),
        ("library", "r1: 1 book"),
    ]


def test_ask__nobody_registered__no_answers():
    assert contributions.ask("owed", resident="r1") == []


def test_ask__one_fails__error_reaches_the_caller():
    contributions.register("owed", "library", lambda: 1 / 0)

    with pytest.raises(ZeroDivisionError):
        contributions.ask("owed")


def test_register__same_name_again__only_the_same_function():
    def answer():
        return 1

    contributions.register("owed", "library", answer)
    contributions.register("owed", "library", answer)
    with pytest.raises(ValueError, match="library"):
        contributions.register("owed", "library", lambda: 2)

    assert contributions.ask("owed") == [("library", 1)]
