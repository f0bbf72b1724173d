"""How many grants a phone gets, and which rights stand in them; the rest is in test_codes."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from identity import grants
from identity.code_format import BusRight, Rights, decode_grant
from identity.models import Grant
from tests import city
from vpass.common import contributions
from vpass.common.limits import LimitReached

pytestmark = pytest.mark.django_db(transaction=True)

BUS = BusRight(concession_class=1, card_reference=b"12345678")


def test_limit__a_day_after_the_first__one_more_and_the_wait_is_told(
    phone: city.Phone, at: datetime, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(grants, "GRANTS_PER_DAY", replace(grants.GRANTS_PER_DAY, maximum=2))
    phone.grant(at=at)
    phone.grant(at=at + timedelta(hours=1))

    with pytest.raises(LimitReached) as caught:
        phone.grant(at=at + timedelta(hours=2))

    assert caught.value.retry_after == 22 * 3600
    phone.grant(at=at + timedelta(hours=24))
    assert Grant.objects.count() == 3


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        ([], None),
        ([None], None),
        ([Rights()], None),
        ([Rights(bus=BUS)], Rights(bus=BUS)),
        (
            [Rights(door_groups=(9,)), Rights(bus=BUS, door_groups=(7, 9))],
            Rights(bus=BUS, door_groups=(7, 9)),
        ),
        (
            [Rights(door_groups=(1, 2, 3, 4)), Rights(door_groups=(5,))],
            Rights(door_groups=(1, 2, 3, 4)),
        ),
    ],
)
def test_rights__from_the_floors_above__merged_into_the_grant(
    phone: city.Phone,
    at: datetime,
    monkeypatch: pytest.MonkeyPatch,
    answers: list[Any],
    expected: Rights | None,
):
    named = {
        f"test.{number}": lambda *, resident_id, at, answer=answer: answer
        for number, answer in enumerate(answers)
    }
    monkeypatch.setattr(contributions, "_contributors", {grants.GRANT_RIGHTS: named})

    held = phone.grant(at=at)

    assert decode_grant(held.encoded).claims.rights == expected
