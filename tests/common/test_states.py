"""An edge table says what may follow what, and finds its own gaps."""

import pytest

from vpass.common import states

LAMP = states.EdgeTable(
    name="lamp",
    initial="dark",
    edges={
        "dark": {"lit": "switch_on", "broken": "drop"},
        "lit": {"dark": "switch_off", "broken": "drop"},
        "broken": {},
    },
    final={"broken"},
)


def test_event__along_an_edge__its_name():
    assert LAMP.event("dark", "lit") == "switch_on"
    LAMP.check("lit", "broken")


@pytest.mark.parametrize(("before", "after"), [("broken", "lit"), ("dark", "dark"), ("x", "lit")])
def test_check__no_edge__refused(before, after):
    with pytest.raises(states.IllegalTransition) as caught:
        LAMP.check(before, after)

    assert caught.value.members == {"object": "lamp", "from_state": before, "to_state": after}
    assert caught.value.status == 409


def test_sql_check__lists_the_states():
    check = LAMP.sql_check("state", "lamp_state")

    assert check.name == "lamp_state"
    assert check.condition.children == [("state__in", ["broken", "dark", "lit"])]


def test_sound_table__no_gaps():
    for table in (LAMP, states.OUTBOX_DELIVERY):
        assert table.unreachable() == set()
        assert table.dead_ends() == set()


def test_gaps__found():
    table = states.EdgeTable(
        name="odd",
        initial="a",
        edges={
            "a": {"b": "go", "end": "end"},
            "b": {"c": "go"},
            "c": {"b": "back"},
            "end": {},
            "lost": {"end": "end"},
        },
        final={"end"},
    )

    assert table.unreachable() == {"lost"}
    assert table.dead_ends() == {"b", "c"}


def test_dead_ends__life_without_end__only_states_without_way_out():
    edges = {"on": {"off": "x"}, "off": {"on": "y", "stuck": "z"}, "stuck": {}}

    assert states.EdgeTable(name="t", initial="on", edges=edges, final=set()).dead_ends() == {
        "stuck"
    }


@pytest.mark.parametrize(
    ("initial", "edges", "final"),
    [
        ("x", {"a": {}}, {"a"}),
        ("a", {"a": {"b": "go"}}, set()),
        ("a", {"a": {}}, {"b"}),
        ("a", {"a": {"b": "go"}, "b": {"a": "back"}}, {"b"}),
    ],
)
def test_edge_table__contradiction__refused(initial, edges, final):
    with pytest.raises(ValueError):
        states.EdgeTable(name="odd", initial=initial, edges=edges, final=final)


def test_diagram__mermaid():
    assert LAMP.diagram() == (
        "stateDiagram-v2\n"
        "    [*] --> dark\n"
        "    dark --> lit: switch_on\n"
        "    dark --> broken: drop\n"
        "    lit --> dark: switch_off\n"
        "    lit --> broken: drop\n"
        "    broken --> [*]\n"
    )
