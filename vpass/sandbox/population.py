"""Invents the people of the sandbox: the same ones at every start.

The first two hundred are there at once. Behind them stands a crowd of grown-ups, invented when
first asked for, of whom a demonstration that is repeated takes somebody new each time.

All of them are made up. Their ID numbers are right in form (GB 11643: region, birth date, sequence,
check digit), but use the sequence numbers 990 to 999, which are hardly ever given out, so that they
do not fall on living people.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cache

SEED = "weifang-1"
SIZE = 200
CROWD_SIZE = 6_000  # with the two hundred
DEMO_PEOPLE = 20
FIRST_BIRTH_DATE = date(1935, 1, 1)
LAST_BIRTH_DATE = date(2015, 12, 31)

# Demo people are grown up, and not so old that a flow of the day would turn on it.
FIRST_DEMO_BIRTH_DATE = date(1950, 1, 1)
LAST_DEMO_BIRTH_DATE = date(2003, 12, 31)

FIRST_CHILD_BIRTH_DATE = date(2012, 1, 1)
CHILD_BIRTH_DAYS = 3_600

REGION_CODES = (
    "370702",
    "370703",
    "370704",
    "370705",
    "370724",
    "370725",
    "370781",
    "370782",
    "370783",
    "370784",
    "370785",
    "370786",
)

MINOR, DECEASED, NAMESAKE_A, NAMESAKE_B = DEMO_PEOPLE, 21, 22, 23

_SURNAMES = "王李张刘陈杨赵孙周吴徐马朱胡郭高林何于韩宋唐冯董程曹袁邓傅沈曾彭吕苏卢蒋蔡魏丁薛"
_WOMENS_NAMES = "秀英丽敏静娟艳霞燕玲桂兰芳雪梅琳慧洁婷莹颖倩红云月华春荷青岚"
_MENS_NAMES = "伟强磊军勇杰涛明超刚平辉鹏斌波宇浩凯健俊帆志建国文斐海峰林东"
_WEIGHTS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
_CHECK_CHARACTERS = "10X98765432"
_CREDIT_CHARACTERS = "0123456789ABCDEFGHJKLMNPQRTUWXY"


@dataclass(frozen=True)
class Person:
    """One invented person; `sex` is F or M, `phone` has 11 digits."""

    census_id: str
    real_name: str
    id_number: str
    birth_date: date
    sex: str
    phone: str
    is_living: bool = True


def check_character(first_17: str) -> str:
    """The 18th character of an ID number (GB 11643, ISO 7064 MOD 11-2)."""
    total = sum(int(digit) * weight for digit, weight in zip(first_17, _WEIGHTS, strict=True))
    return _CHECK_CHARACTERS[total % 11]


@dataclass(frozen=True)
class Firm:
    """One invented enterprise with its unified social credit code (GB 32100)."""

    credit_code: str
    name: str


@cache
def child_of(index: int) -> Person:
    """The one child of the person at this place of the crowd; under age, without a phone."""
    parent = (people() if index < SIZE else crowd())[index]
    draw = _drawing(f"{SEED}|child of {index}")
    birth_date = FIRST_CHILD_BIRTH_DATE + timedelta(days=draw("birth", CHILD_BIRTH_DAYS))
    is_boy = draw("sex", 2) == 1
    given_names = _MENS_NAMES if is_boy else _WOMENS_NAMES
    first_17 = f"{parent.id_number[:6]}{birth_date:%Y%m%d}{990 + 2 * (index % 5) + is_boy}"
    return Person(
        census_id=f"3708{index + 1:08d}",
        real_name=parent.real_name[0] + given_names[draw("given", len(given_names))],
        id_number=first_17 + check_character(first_17),
        birth_date=birth_date,
        sex="M" if is_boy else "F",
        phone="",
    )


@cache
def enterprise_of(index: int) -> Firm:
    """The one firm that the person at this place of the crowd represents by law."""
    first_17 = f"91370700MA3{index:06d}"
    total = sum(
        _CREDIT_CHARACTERS.index(character) * 3**place % 31
        for place, character in enumerate(first_17)
    )
    check = _CREDIT_CHARACTERS[-total % 31]
    return Firm(credit_code=first_17 + check, name=f"潍坊市第{index + 1}号风筝有限公司")


def _drawing(seed: str) -> Callable[[str, int], int]:
    def draw(what: str, choices: int) -> int:
        return int.from_bytes(hashlib.sha256(f"{seed}|{what}".encode()).digest()[:8]) % choices

    return draw


@cache
def people() -> tuple[Person, ...]:
    """The first two hundred: the demo people, then a minor, a dead person and two namesakes."""
    return _invent_all(SIZE)


@cache
def crowd() -> tuple[Person, ...]:
    """Everybody, the first two hundred included; it takes a moment."""
    return _invent_all(CROWD_SIZE)


def _invent_all(size: int) -> tuple[Person, ...]:
    made: list[Person] = []
    numbers_taken: set[str] = set()
    for index in range(size):
        person = _invent(index, attempt=0)
        attempt = 0
        while person.id_number in numbers_taken:
            attempt += 1
            person = _invent(index, attempt=attempt)
        numbers_taken.add(person.id_number)
        made.append(person)
    return tuple(made)


def _invent(index: int, *, attempt: int) -> Person:
    # Every draw has a name of its own, so that a new field does not change the people there are.
    def draw(what: str, choices: int) -> int:
        text = f"{SEED}|{index}|{attempt}|{what}"
        return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8]) % choices

    is_demo = index < DEMO_PEOPLE or index >= SIZE
    first = FIRST_DEMO_BIRTH_DATE if is_demo else FIRST_BIRTH_DATE
    last = LAST_DEMO_BIRTH_DATE if is_demo else LAST_BIRTH_DATE
    if index == MINOR:
        first = date(2014, 1, 1)
    if index == DECEASED:
        last = date(1945, 12, 31)
    birth_date = first + timedelta(days=draw("birth", (last - first).days + 1))

    is_man = draw("sex", 2) == 1
    given_names = _MENS_NAMES if is_man else _WOMENS_NAMES
    real_name = _SURNAMES[draw("surname", len(_SURNAMES))]
    for position in range(1 + (draw("length", 4) > 0)):
        real_name += given_names[draw(f"given {position}", len(given_names))]
    if index in (NAMESAKE_A, NAMESAKE_B):
        real_name = "张建华"

    sequence = 990 + 2 * draw("sequence", 5) + is_man
    region = REGION_CODES[draw("region", len(REGION_CODES))]
    first_17 = f"{region}{birth_date:%Y%m%d}{sequence}"
    return Person(
        census_id=f"3707{index + 1:08d}",
        real_name=real_name,
        id_number=first_17 + check_character(first_17),
        birth_date=birth_date,
        sex="M" if is_man else "F",
        # The third digit and the last three hold the index, so no two share a number.
        phone=f"13{9 - index // 1000}{draw('phone', 100_000):05d}{index % 1000:03d}",
        is_living=index != DECEASED,
    )
