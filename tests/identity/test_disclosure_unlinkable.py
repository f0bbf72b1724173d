"""Scanners that keep everything they get, and work together, learn no more than their fields.

What a scanner gets is the code's text, every claim in it, and the answer. Two views of one person
are linked when they share a value that views of other people don't share.
"""

from collections.abc import Callable
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any

import pytest

from identity import code_format, codes
from identity.models import Entitlement, Organisation
from tests import city

pytestmark = pytest.mark.django_db(transaction=True)

PEOPLE = 4
Views = list[set[str]]


def leaves(value: Any) -> set[str]:
    """Every single value in a nested one, as text; short ones (a version, a bit) say nothing."""
    if isinstance(value, dict):
        return set().union(*(leaves(each) for each in value.values()), set())
    if isinstance(value, list | tuple):
        return set().union(*(leaves(each) for each in value), set())
    return {value.hex() if isinstance(value, bytes) else str(value)}


def look(kiosk: city.Machine, grant: city.HeldGrant, *, purpose: str, at: datetime) -> set[str]:
    """All that a scanner has seen after one scan."""
    text = grant.code(at)
    scan = codes.redeem_code(
        caller=kiosk.caller, code=text, purpose=purpose, case_number=None,
        idempotency_key=city.idempotency(kiosk.caller.scope), at=at,
    )  # fmt: skip
    code = code_format.read_code(text)
    claims = asdict(code.grant) | asdict(code.presentation)
    seen = {"text": text, "jti": code.jti, "kid": code.kid, **claims, "answer": asdict(scan)}
    return leaves(seen)


def linked(one: Views, other: Views) -> int:
    """How many people of `one` are found again in `other` by a value that nobody else shares."""
    found = 0
    for person, view in enumerate(one):
        for there in other[person] & view:
            others = [*one[:person], *one[person + 1 :], *other[:person], *other[person + 1 :]]
            if not any(there in each for each in others):
                found += 1
                break
    return found


@pytest.fixture
def halls(db: None) -> list[city.Machine]:
    """The kiosks of two organisations: one purpose without, one with a right to a pseudonym."""
    kiosks = []
    for number, name in enumerate(("潍坊市政务服务中心", "潍坊市人民医院")):
        hall: Organisation = city.make_organisation(name)
        for purpose, knows_holder in (("adult-only", False), ("regular", True)):
            Entitlement.objects.create(
                organisation=hall, scene="id", purpose=purpose, purpose_zh="核验成年",
                purpose_en="Adult", attributes=["over_18"], knows_holder=knows_holder,
            )  # fmt: skip
        kiosks.append(city.make_terminal(hall, key_id=f"kiosk-{number}"))
    return kiosks


@pytest.fixture
def phones(at: datetime) -> list[city.Phone]:
    return [city.make_phone(index, at=at) for index in range(PEOPLE)]


def views(
    kiosk: city.Machine, held: Callable[[int], city.HeldGrant], *, purpose: str, at: datetime
) -> Views:
    return [look(kiosk, held(person), purpose=purpose, at=at) for person in range(PEOPLE)]


def test_two_organisations__fresh_grant_for_each_use__no_one_found_again(
    halls: list[city.Machine], phones: list[city.Phone], at: datetime
):
    for purpose in ("adult-only", "regular"):
        one, other = (
            views(kiosk, lambda person: phones[person].grant(at=at), purpose=purpose, at=at)
            for kiosk in halls
        )
        assert linked(one, other) == 0


def test_one_organisation__two_days__without_a_right_to_a_pseudonym_no_one_found_again(
    halls: list[city.Machine], phones: list[city.Phone], at: datetime
):
    moments = (at, at + timedelta(days=1))

    found = {}
    for purpose in ("adult-only", "regular"):
        one, other = (
            views(
                halls[0],
                lambda person, moment=moment: phones[person].grant(at=moment),  # type: ignore[misc]
                purpose=purpose, at=moment,
            )
            for moment in moments
        )  # fmt: skip
        found[purpose] = linked(one, other)

    assert found == {"adult-only": 0, "regular": PEOPLE}  # the right to a pseudonym is what links


def test_two_organisations__with_one_grant_for_both__would_find_everybody(
    halls: list[city.Machine], phones: list[city.Phone], at: datetime
):
    """The twin: what the fresh grant is for, and that this test would notice."""
    grants = [phone.grant(at=at) for phone in phones]

    one, other = (views(kiosk, grants.__getitem__, purpose="adult-only", at=at) for kiosk in halls)

    assert linked(one, other) == PEOPLE


def test_grant__its_expiry_tells_the_hour_only(phones: list[city.Phone], at: datetime):
    held = phones[0].grant(at=at)

    expires_at = code_format.decode_grant(held.encoded).claims.expires_at

    assert expires_at % 3600 == 0
    assert timedelta(hours=23) < datetime.fromtimestamp(expires_at, tz=at.tzinfo) - at
    assert datetime.fromtimestamp(expires_at, tz=at.tzinfo) - at <= timedelta(hours=24)
