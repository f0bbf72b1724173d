"""Residents see their own account, masked."""

from datetime import datetime

import pytest

from identity import residents
from tests import city
from tests.statements import statements

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.mark.parametrize(
    ("name", "masked"), [("王", "王"), ("王英", "*英"), ("王秀英", "**英"), ("欧阳娜娜", "***娜")]
)
def test_mask_name__all_but_the_last(name: str, masked: str):
    assert residents.mask_name(name) == masked


def test_my_account__proven__masked(phone: city.Phone, at: datetime):
    person = city.PEOPLE[0]

    with statements() as sent:
        account = residents.my_account(caller=phone.caller)

    assert (account.level, account.state, account.device_grade) == (2, "active", "software")
    assert account.masked_name == "*" * (len(person.real_name) - 1) + person.real_name[-1]
    assert account.masked_phone == f"{person.phone[:3]}****{person.phone[-4:]}"
    assert account.device_bound_at == at
    assert len(sent) == 2  # one of them is the test's own look-up of the caller


def test_me__level_one__no_name(at: datetime):
    phone = city.make_phone(1, level=1, at=at)

    shown = phone.send("GET", f"{city.RESIDENT}/me").json()

    assert (shown["level"], shown["masked_name"]) == (1, None)
    assert city.PEOPLE[1].phone not in str(shown)
