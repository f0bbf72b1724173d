"""Who may call what, and who finds callers."""

import uuid
from typing import Any

import pytest

from vpass.common import callers, policy
from vpass.common.callers import Caller, KnownCaller
from vpass.common.errors import NotAllowed, NotAuthenticated
from vpass.common.policy import ADMISSIONS, Audience


def _caller(kind: str, **more: Any) -> Caller:
    return Caller(kind=kind, id=uuid.UUID(int=1), key_id="k", **more)


def test_admissions__every_audience__has_one():
    assert set(ADMISSIONS) == set(Audience)


@pytest.mark.parametrize("audience", [each for each in Audience if each is not Audience.PUBLIC])
@pytest.mark.parametrize(
    "kind",
    [
        "resident",
        "staff",
        "terminal",
        "department",
        "merchant",
        "bank",
        "issuer",
        "platform",
        "key",
    ],
)
def test_admit__every_kind_at_every_audience__only_its_own(audience: Audience, kind: str):
    is_admitted = kind in ADMISSIONS[audience].kinds

    if is_admitted:
        policy.admit(_caller(kind), audience=audience)
    else:
        with pytest.raises(policy.AudienceWrong):
            policy.admit(_caller(kind), audience=audience)


@pytest.mark.parametrize("audience", [each for each in Audience if each is not Audience.PUBLIC])
def test_admit__nobody__not_authenticated(audience: Audience):
    with pytest.raises(NotAuthenticated):
        policy.admit(None, audience=audience)


def test_admit__public__anybody():
    policy.admit(None, audience=Audience.PUBLIC)


@pytest.mark.parametrize(("level", "is_admitted"), [(1, False), (2, True), (3, True)])
def test_admit__level__at_least(level: int, is_admitted: bool):
    caller = _caller("resident", level=level)

    if is_admitted:
        policy.admit(caller, audience=Audience.RESIDENT, level=2)
    else:
        with pytest.raises(policy.LevelTooLow) as refused:
            policy.admit(caller, audience=Audience.RESIDENT, level=2)
        assert refused.value.members == {"level_needed": 2}


def test_admit__roles__one_of_them():
    caller = _caller("staff", roles=frozenset({"clerk"}))

    policy.admit(caller, audience=Audience.COUNTER, roles=frozenset({"clerk", "manager"}))
    with pytest.raises(NotAllowed):
        policy.admit(caller, audience=Audience.COUNTER, roles=frozenset({"manager"}))


def test_scope__unique_by_kind_and_id():
    assert _caller("terminal").scope == "terminal:00000000-0000-0000-0000-000000000001"


def test_register_resolver__each_kind__asked_with_what_it_knows(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(callers, "_by_hash", {})
    monkeypatch.setattr(callers, "_by_key_id", {})
    asked: list[Any] = []

    def find(sought: Any, at: Any) -> KnownCaller | None:
        asked.append((sought, at))
        return None

    for kind in ("resident", "machine", "staff"):
        callers.register_resolver(kind, find)  # type: ignore[arg-type]

    assert callers.find_resident(b"r", 1) is None  # type: ignore[arg-type]
    assert callers.find_machine("m", 2) is None  # type: ignore[arg-type]
    assert callers.find_staff(b"s", 3) is None  # type: ignore[arg-type]
    assert asked == [(b"r", 1), ("m", 2), (b"s", 3)]
