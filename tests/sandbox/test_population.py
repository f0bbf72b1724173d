"""The invented people: the same at every start, and right in form."""

import hashlib
import re
from collections import Counter
from datetime import date

from stdnum.cn import ric

from vpass.sandbox import population

WEIFANG = {"370702", "370703", "370704", "370705", "370724", "370725"}
WEIFANG |= {f"37078{last}" for last in range(1, 7)}


def test_check_character__published_examples__right():
    assert population.check_character("11010519491231002") == "X"
    assert population.check_character("44052418800101001") == "4"


def test_people__every_start__the_same_two_hundred():
    everyone = population.people()

    text = "\n".join(
        f"{one.census_id} {one.real_name} {one.id_number} {one.phone}" for one in everyone
    )

    assert len(everyone) == 200
    assert hashlib.sha256(text.encode()).hexdigest() == (
        "473c54a840f74de8fff1c3f27ba1abaf2e8f8555daed22a962f4cefb3d9e2621"
    )


def test_people__their_numbers__unique_and_right_in_form():
    everyone = population.people()

    for one in everyone:
        assert ric.calc_check_digit(one.id_number) == one.id_number[-1]
        assert one.id_number[:6] in WEIFANG
        assert one.id_number[6:14] == one.birth_date.strftime("%Y%m%d")
        assert "990" <= one.id_number[14:17] <= "999"
        assert one.sex == ("M" if int(one.id_number[16]) % 2 else "F")
        assert date(1935, 1, 1) <= one.birth_date <= date(2015, 12, 31)
        assert re.fullmatch(r"139[0-9]{8}", one.phone)
        assert re.fullmatch(r"[一-龥]{2,3}", one.real_name)
    for field in ("census_id", "id_number", "phone"):
        assert len({getattr(one, field) for one in everyone}) == 200
    assert {one.id_number[:6] for one in everyone} == WEIFANG


def test_people__the_first_twenty__living_adults():
    for one in population.people()[:20]:
        assert one.is_living
        assert date(1950, 1, 1) <= one.birth_date <= date(2003, 12, 31)


def test_people__special_cases__stand_where_they_are_said_to():
    everyone = population.people()

    assert everyone[population.MINOR].birth_date >= date(2014, 1, 1)
    assert [one for one in everyone if not one.is_living] == [everyone[population.DECEASED]]
    first, second = everyone[population.NAMESAKE_A], everyone[population.NAMESAKE_B]
    assert first.real_name == second.real_name
    assert first.id_number != second.id_number
    assert Counter(one.sex for one in everyone).keys() == {"F", "M"}


def test_crowd__begins_with_the_known_people_and_shares_nothing():
    crowd = population.crowd()

    assert len(crowd) == 6_000
    assert crowd[:200] == population.people()
    for member in ("census_id", "id_number", "phone"):
        assert len({getattr(person, member) for person in crowd}) == 6_000
    assert max(person.birth_date for person in crowd[200:]) <= date(2003, 12, 31)
    assert all(person.is_living for person in crowd[200:])
