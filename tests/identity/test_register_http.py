"""The register's adapter finds the right people, and has an honest error for every failure."""

import socket
import time
from typing import Any

import pytest

from identity.register import (
    RegisterAnswerInvalid,
    RegisteredEnterprise,
    RegisteredPerson,
    RegisterUnavailable,
)
from identity.register.http import HttpRegister, population_register
from tests.outside import OutsideWorld
from vpass.common import clock, http_exchange
from vpass.common.errors import DomainError
from vpass.common.outgoing import Peer
from vpass.sandbox import population
from vpass.sandbox.portraits import portrait

PEOPLE = population.people()
SOMEBODY = PEOPLE[0]
UNAVAILABLE = ("register.unavailable", 503)
INVALID = ("register.answer_invalid", 502)


def match(person: population.Person = SOMEBODY, **changes: str) -> RegisteredPerson | None:
    asked = {"real_name": person.real_name, "id_number": person.id_number, **changes}
    return population_register().match(**asked, at=clock.now())


def test_match__living_person__found(sandbox: OutsideWorld):
    assert match() == RegisteredPerson(
        census_id=SOMEBODY.census_id, birth_date=SOMEBODY.birth_date, sex=SOMEBODY.sex
    )


def test_match__everybody__found_except_the_dead(sandbox: OutsideWorld):
    found = [match(person) for person in PEOPLE[:30]]

    assert [one and one.census_id for one in found] == [
        person.census_id if person.is_living else None for person in PEOPLE[:30]
    ]


@pytest.mark.parametrize(
    "changes",
    [{"real_name": "无此人"}, {"id_number": PEOPLE[1].id_number}],
    ids=["other name", "other number"],
)
def test_match__name_and_number_of_two_people__nobody(
    sandbox: OutsideWorld, changes: dict[str, str]
):
    assert match(**changes) is None


def test_match__namesakes__told_apart_by_number(sandbox: OutsideWorld):
    first, second = PEOPLE[population.NAMESAKE_A], PEOPLE[population.NAMESAKE_B]

    found = [match(first), match(second)]

    assert [one and one.census_id for one in found] == [first.census_id, second.census_id]
    assert match(first, id_number=second.id_number) == found[1]


@pytest.mark.parametrize(
    ("mode", "options", "expected"),
    [
        ("reset", {}, UNAVAILABLE),
        ("lost_reply", {}, UNAVAILABLE),
        ("truncated", {}, UNAVAILABLE),
        ("http_500", {}, UNAVAILABLE),
        ("too_many", {"seconds": 0}, UNAVAILABLE),
        ("delay", {"seconds": 2}, UNAVAILABLE),
        ("trickle", {"seconds": 0.05}, UNAVAILABLE),
        ("nonsense", {"variant": "garbage"}, INVALID),
        ("nonsense", {"variant": "not_json"}, INVALID),
        ("nonsense", {"variant": "not_object"}, INVALID),
        ("nonsense", {"variant": "repeated_member"}, INVALID),
        ("nonsense", {"variant": "wrong_shape"}, INVALID),
        ("nonsense", {"variant": "extra_member"}, INVALID),
        ("nonsense", {"variant": "wrong_id"}, INVALID),
        ("nonsense", {"variant": "other_name"}, INVALID),
        ("bad_signature", {"variant": "flipped"}, INVALID),
        ("bad_signature", {"variant": "digest"}, INVALID),
        ("bad_signature", {"variant": "old"}, INVALID),
        ("bad_signature", {"variant": "early"}, INVALID),
        ("bad_signature", {"variant": "key_id"}, INVALID),
        ("bad_signature", {"variant": "not_tied"}, INVALID),
        ("bad_signature", {"variant": "two"}, INVALID),
        ("unsigned", {}, INVALID),
        ("replayed", {}, INVALID),
        ("redirect", {}, INVALID),
        ("huge", {"variant": "length"}, INVALID),
        ("huge", {"variant": "chunked"}, INVALID),
    ],
    ids=str,
)
def test_match__register_fails__right_error_in_time_and_well_again(
    sandbox: OutsideWorld,
    mode: str,
    options: dict[str, Any],
    expected: tuple[str, int],
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(http_exchange, "READ_TIMEOUT_S", 0.5)
    monkeypatch.setattr(http_exchange, "DEADLINE_S", 1.0)
    right = match()
    sandbox.breaks("register", mode, **options)
    started = time.monotonic()

    with pytest.raises(DomainError) as caught:
        match(PEOPLE[1])

    assert time.monotonic() - started < 1.3
    assert (caught.value.code, caught.value.status) == expected
    assert (caught.value.retry_after is not None) == (expected == UNAVAILABLE)
    assert match() == right


def test_match__answer_to_no_match_is_not_widened(sandbox: OutsideWorld):
    sandbox.breaks("register", "nonsense", variant="extra_member")

    with pytest.raises(RegisterAnswerInvalid):
        match(real_name="无此人")


def test_match__register_turns_us_away__answer_invalid(sandbox: OutsideWorld):
    with pytest.raises(RegisterAnswerInvalid):
        match(id_number="not a number")


def test_match__register_is_down__unavailable_at_once(settings: Any):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    register = HttpRegister(Peer(name="register", base_url=f"http://127.0.0.1:{port}/register"))
    started = time.monotonic()

    for _ in range(6):  # five by trying, the sixth by the open circuit
        with pytest.raises(RegisterUnavailable) as caught:
            register.match(
                real_name=SOMEBODY.real_name, id_number=SOMEBODY.id_number, at=clock.now()
            )

    assert time.monotonic() - started < 0.5
    assert 1 <= (caught.value.retry_after or 0) <= 10


def test_match__circuit_opens_and_closes__for_the_whole_process(
    sandbox: OutsideWorld, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("vpass.common.outgoing.OPEN_FOR_S", 0.3)
    sandbox.breaks("register", "nonsense", count=5)
    for _ in range(5):
        with pytest.raises(RegisterAnswerInvalid):
            match()
    before = sandbox.read("/register/journal")

    with pytest.raises(RegisterUnavailable):
        match()

    assert sandbox.read("/register/journal") == before
    time.sleep(0.35)
    assert match() is not None
    assert match() is not None


def test_match__real_times__a_slow_register_costs_three_seconds_at_most(sandbox: OutsideWorld):
    sandbox.breaks("register", "delay", seconds=5)
    started = time.monotonic()

    with pytest.raises(RegisterUnavailable):
        match()

    assert 2.9 < time.monotonic() - started < 3.5


def test_match__real_times__a_trickle_ends_after_five_seconds(sandbox: OutsideWorld):
    sandbox.breaks("register", "trickle", seconds=0.5)
    started = time.monotonic()

    with pytest.raises(RegisterUnavailable):
        match()

    assert 4.9 < time.monotonic() - started < 5.5


FUTURE = {"birth_date": "2999-01-01"}


@pytest.mark.parametrize(
    "changes",
    [
        FUTURE,
        {"birth_date": "1990-02-30"},
        {"birth_date": "19900101"},
        {"birth_date": "1990-W01-1"},
        {"birth_date": "１９９０-01-01"},
        {"birth_date": None},
        {"sex": "X"},
        {"sex": ["F"]},
        {"census_id": ""},
        {"census_id": "a" * 33},
        {"census_id": "c-1"},
        {"census_id": 7},
        {"matched": "true"},
        {"matched": 1},
        {"matched": None},
        {"real_name": "王小明 "},
        {"request_id": "0e6f3a53-9c9b-4a3e-8a0f-6a5b6f0f8b11"},
    ],
    ids=str,
)
def test_match__well_signed_but_wrong_in_one_member__answer_invalid(changes: dict[str, Any]):
    class Liar:
        """A peer whose signature is right and whose words are not."""

        def post(self, path: str, body: dict[str, str], *, read: Any, **_: Any) -> Any:
            answer = {
                "request_id": body["request_id"],
                "matched": True,
                "census_id": "370700000001",
                "real_name": body["real_name"],
                "birth_date": "1990-01-01",
                "sex": "F",
            }
            return read({**answer, **changes})

    with pytest.raises(RegisterAnswerInvalid):
        HttpRegister(Liar()).match(real_name="王小明", id_number="x", at=clock.now())


# A parent's child, and the firm a person represents

CHILD = population.child_of(0)
FIRM = population.enterprise_of(0)


def child(**changes: str) -> RegisteredPerson | None:
    asked = {
        "real_name": SOMEBODY.real_name,
        "id_number": SOMEBODY.id_number,
        "child_name": CHILD.real_name,
        "child_id_number": CHILD.id_number,
    } | changes
    return population_register().child(**asked, at=clock.now())


def enterprise(**changes: str) -> RegisteredEnterprise | None:
    asked = {
        "real_name": SOMEBODY.real_name,
        "id_number": SOMEBODY.id_number,
        "credit_code": FIRM.credit_code,
    } | changes
    return population_register().enterprise(**asked, at=clock.now())


def test_child__of_a_living_parent__found_with_birth_date(sandbox: OutsideWorld):
    assert child() == RegisteredPerson(
        census_id=CHILD.census_id, birth_date=CHILD.birth_date, sex=CHILD.sex
    )


@pytest.mark.parametrize(
    "changes",
    [
        {"child_name": "无此人"},
        {"child_id_number": population.child_of(1).id_number},
        {"real_name": "无此人"},
        {"id_number": PEOPLE[1].id_number},
        {"real_name": CHILD.real_name, "id_number": CHILD.id_number},
    ],
)
def test_child__anything_else__nobody(sandbox: OutsideWorld, changes: dict[str, str]):
    assert child(**changes) is None


def test_enterprise__of_its_representative__with_its_name(sandbox: OutsideWorld):
    assert enterprise() == RegisteredEnterprise(credit_code=FIRM.credit_code, name=FIRM.name)
    assert enterprise(credit_code=population.enterprise_of(1).credit_code) is None
    assert enterprise(real_name="无此人") is None


@pytest.mark.parametrize("question", [child, enterprise])
@pytest.mark.parametrize(
    ("mode", "options", "expected"),
    [
        ("reset", {}, UNAVAILABLE),
        ("nonsense", {"variant": "wrong_shape"}, INVALID),
        ("nonsense", {"variant": "extra_member"}, INVALID),
        ("nonsense", {"variant": "wrong_id"}, INVALID),
        ("bad_signature", {"variant": "flipped"}, INVALID),
        ("unsigned", {}, INVALID),
    ],
)
def test_further_questions__register_fails__honest_error(
    sandbox: OutsideWorld, question: Any, mode: str, options: dict[str, Any],
    expected: tuple[str, int],
):  # fmt: skip
    sandbox.breaks("register", mode, **options)

    with pytest.raises(DomainError) as caught:
        question()

    assert (caught.value.code, caught.value.status) == expected


# Photos


def test_photo__living_person__the_portrait_and_nothing_for_anybody_else(sandbox: OutsideWorld):
    def photo(person: population.Person, **changes: str) -> bytes | None:
        asked = {"real_name": person.real_name, "id_number": person.id_number, **changes}
        return population_register().photo(**asked, at=clock.now())

    assert photo(SOMEBODY) == portrait(SOMEBODY.census_id)
    assert photo(PEOPLE[population.DECEASED]) is None
    assert photo(SOMEBODY, real_name="无此人") is None


@pytest.mark.parametrize("variant", ["wrong_shape", "extra_member", "wrong_id"])
def test_photo__answer_of_another_shape__not_believed(sandbox: OutsideWorld, variant: str):
    sandbox.breaks("register", "nonsense", variant=variant)

    with pytest.raises(RegisterAnswerInvalid):
        population_register().photo(
            real_name=SOMEBODY.real_name, id_number=SOMEBODY.id_number, at=clock.now()
        )
