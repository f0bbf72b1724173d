"""A twin moves forward in event time only: in whatever order it hears, it ends the same."""

import itertools
import json
import random
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from services.iot import twins
from services.iot.city_application import Heard

START = datetime(2026, 11, 21, 2, 0, 0, tzinfo=UTC)

values = st.none() | st.booleans() | st.integers(-5, 5) | st.sampled_from(["a", "b", [1], {"x": 1}])
events = st.builds(
    lambda service, second, props: Heard(1, service, START + timedelta(seconds=second), props),
    st.sampled_from(["Air", "Parking"]),
    st.integers(0, 4),
    st.dictionaries(st.sampled_from(["p", "q"]), values, max_size=2),
)


def merged(heard: list[Heard]) -> str:
    reported: Any = {}
    twins.merge(reported, heard)
    return json.dumps(reported, sort_keys=True)


def test_merge__more_names_than_a_service_has__first_ones_kept_and_the_others_counted():
    reported: Any = {}
    many = {f"p{number}": number for number in range(510)}

    ignored = twins.merge(
        reported, [Heard(1, "Air", START, many), Heard(1, "Sun", START, {"x": 1})]
    )

    assert ignored == 10
    assert [len(reported[service]) for service in ("Air", "Sun")] == [500, 1]
    later = Heard(1, "Air", START + timedelta(seconds=1), {"p0": -1, "p509": -1})
    assert twins.merge(reported, [later]) == 1
    assert reported["Air"]["p0"][0] == -1


@settings(max_examples=150, deadline=None, database=None, derandomize=True)
@given(st.lists(events, max_size=5))
def test_merge__every_order__same_twin(heard: list[Heard]):
    expected = merged(heard)

    for order in itertools.permutations(heard):
        assert merged(list(order)) == expected


@settings(max_examples=100, deadline=None, database=None, derandomize=True)
@given(st.lists(events, max_size=12), st.integers(0, 2**32))
def test_merge__repeated_and_in_pieces__same_twin(heard: list[Heard], seed: int):
    choose = random.Random(seed)
    again = heard + choose.choices(heard, k=5) if heard else []
    choose.shuffle(again)
    cut = choose.randint(0, len(again))
    reported: Any = {}

    twins.merge(reported, again[:cut])
    reported = json.loads(json.dumps(reported))
    twins.merge(reported, again[cut:])

    assert json.dumps(reported, sort_keys=True) == merged(heard)


def test_merge__an_older_word__changes_nothing_but_what_was_never_said():
    reported: Any = {}
    twins.merge(reported, [Heard(1, "Air", START, {"pm25": 40})])

    twins.merge(reported, [Heard(1, "Air", START - timedelta(hours=1), {"pm25": 90, "no2": 7})])

    before = twins.milliseconds(START)
    assert reported == {"Air": {"pm25": [40, before], "no2": [7, before - 3_600_000]}}
