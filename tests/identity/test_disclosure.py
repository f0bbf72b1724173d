"""An entitlement's attributes, exactly these, and a name that only one organisation knows."""

import uuid
from datetime import UTC, date, datetime

import pytest

from identity import disclosure
from identity.models import ATTRIBUTES, Resident
from tests import city
from vpass.sandbox.population import check_character
from vpass.seed import HALL_PURPOSES, HOSPITAL_PURPOSES

AT = datetime(2026, 3, 1, 4, 0, tzinfo=UTC)


def born(day: str, *, sequence: str = "991") -> Resident:
    first_17 = f"370702{day}{sequence}"
    return Resident(
        phone="13900000001", real_name="王秀英", id_number=first_17 + check_character(first_17)
    )


@pytest.mark.parametrize(
    ("birth", "day", "age"),
    [
        (date(2008, 2, 29), date(2026, 2, 28), 17),
        (date(2008, 2, 29), date(2026, 3, 1), 18),
        (date(2008, 2, 29), date(2028, 2, 28), 19),
        (date(2008, 2, 29), date(2028, 2, 29), 20),
        (date(2008, 3, 1), date(2026, 2, 28), 17),
        (date(2008, 3, 1), date(2026, 3, 1), 18),
        (date(2007, 12, 31), date(2025, 12, 30), 17),
        (date(2007, 12, 31), date(2025, 12, 31), 18),
        (date(2026, 3, 1), date(2026, 3, 1), 0),
    ],
)
def test_age_on__completed_years(birth: date, day: date, age: int):
    assert disclosure.age_on(birth, day) == age


@pytest.mark.parametrize(
    ("at", "is_grown_up"),
    [
        (datetime(2026, 2, 28, 15, 59, 59, tzinfo=UTC), False),
        (datetime(2026, 2, 28, 16, 0, 0, tzinfo=UTC), True),  # midnight in the city
    ],
)
def test_over_18__comes_at_midnight_in_the_city(at: datetime, is_grown_up: bool):
    shown = disclosure.disclose(resident=born("20080301"), attributes=["over_18"], at=at)

    assert shown == {"over_18": is_grown_up}


def test_disclose__every_attribute__its_exact_value():
    shown = disclosure.disclose(
        resident=born("19800229"), attributes=list(disclosure.ATTRIBUTES), at=AT
    )

    number = "37070219800229991" + check_character("37070219800229991")
    assert shown == {
        "real_name": "王秀英",
        "id_number": number,
        "id_last4": number[-4:],
        "birth_date": "1980-02-29",
        "sex": "male",
        "over_18": True,
        "over_65": False,
        "phone": "13900000001",
        "photo": True,
    }
    woman = disclosure.disclose(
        resident=born("19600101", sequence="992"), attributes=["sex", "over_65"], at=AT
    )
    assert woman == {"sex": "female", "over_65": True}


@pytest.mark.parametrize("name", sorted(disclosure.ATTRIBUTES))
def test_disclose__one_attribute__that_and_no_other(name: str):
    shown = disclosure.disclose(resident=born("19800101"), attributes=[name], at=AT)

    assert list(shown) == [name]


def test_disclose__nothing_asked__nothing_shown():
    assert disclosure.disclose(resident=born("19800101"), attributes=[], at=AT) == {}


def test_disclose__identity_not_proven__none_where_nothing_is_known():
    resident = Resident(phone="13900000001")

    shown = disclosure.disclose(resident=resident, attributes=list(disclosure.ATTRIBUTES), at=AT)

    assert shown.pop("phone") == "13900000001"
    assert set(shown.values()) == {None}


def test_disclose__name_that_no_attribute_has__key_error():
    with pytest.raises(KeyError):
        disclosure.disclose(resident=born("19800101"), attributes=["salary"], at=AT)


def test_seed__every_entitlement_names_attributes_there_are():
    for purposes in (HALL_PURPOSES, HOSPITAL_PURPOSES):
        for *_, attributes in purposes:
            assert set(attributes) <= set(disclosure.ATTRIBUTES)
    assert set(city.FIELDS) <= set(disclosure.ATTRIBUTES)


def test_pseudonym__by_organisation_and_resident__steady_and_unlinkable():
    residents, organisations = [uuid.uuid4() for _ in range(3)], [uuid.uuid4() for _ in range(3)]

    names = {
        disclosure.pseudonym(resident_id=resident, organisation_id=organisation)
        for resident in residents
        for organisation in organisations
        for _ in range(2)
    }

    assert len(names) == 9
    assert {len(name) for name in names} == {43}
    swapped = disclosure.pseudonym(resident_id=organisations[0], organisation_id=residents[0])
    assert swapped not in names
    with pytest.raises(ValueError, match="only organisations"):
        disclosure.pseudonym(resident_id=residents[0], organisation_id=None)


def test_attributes__database_and_disclosure__know_the_same_names():
    assert sorted(disclosure.ATTRIBUTES) == sorted(ATTRIBUTES)
