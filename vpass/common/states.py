"""Tells which state may follow which: one edge table for each state field."""

from collections.abc import Mapping, Set
from dataclasses import dataclass

from django.db import models
from django.db.models import Q

from vpass.common.errors import DomainError


class IllegalTransition(DomainError):
    """The object's state does not allow this step."""

    code = "state.illegal_transition"
    status = 409
    title_zh = "对象当前状态不允许此步骤"


@dataclass(frozen=True)
class EdgeTable:
    """The life of one state field.

    `edges` gives for every state the states which may follow, each with the event that leads
    there. A final state has no way out. Raises ValueError when the table names unknown states.
    """

    name: str
    initial: str
    edges: Mapping[str, Mapping[str, str]]
    final: Set[str]

    def __post_init__(self) -> None:
        named = {
            self.initial,
            *self.final,
            *(state for ways in self.edges.values() for state in ways),
        }
        if unknown := named - self.edges.keys():
            raise ValueError(f"{self.name}: states without a line in the table: {sorted(unknown)}")
        if leaving := sorted(state for state in self.final if self.edges[state]):
            raise ValueError(f"{self.name}: final states with a way out: {leaving}")

    @property
    def states(self) -> list[str]:
        """Every state, in alphabetical order."""
        return sorted(self.edges)

    def event(self, from_state: str, to_state: str) -> str:
        """The event which leads from one state to the other; raises IllegalTransition."""
        event = self.edges.get(from_state, {}).get(to_state)
        if event is None:
            raise IllegalTransition(object=self.name, from_state=from_state, to_state=to_state)
        return event

    def check(self, from_state: str, to_state: str) -> None:
        """Raises IllegalTransition unless `to_state` may follow `from_state`."""
        self.event(from_state, to_state)

    def sql_check(self, field: str, name: str) -> models.CheckConstraint:
        """The database constraint that `field` holds one of the states."""
        return models.CheckConstraint(condition=Q(**{f"{field}__in": self.states}), name=name)

    def unreachable(self) -> set[str]:
        """The states no path from the initial one leads to; a sound table has none."""
        return self.edges.keys() - self._reached_from(self.initial)

    def dead_ends(self) -> set[str]:
        """The states, not final, from which no final one can be reached; a sound table has none.

        A life that has no end at all is stuck only in a state without any way out.
        """
        if not self.final:
            return {state for state, ways in self.edges.items() if not ways}
        return {state for state in self.edges if not self._reached_from(state) & self.final}

    def diagram(self) -> str:
        """The table as a Mermaid state diagram."""
        lines = ["stateDiagram-v2", f"    [*] --> {self.initial}"]
        for state, ways in self.edges.items():
            lines += [f"    {state} --> {after}: {event}" for after, event in ways.items()]
        lines += [f"    {state} --> [*]" for state in sorted(self.final)]
        return "\n".join(lines) + "\n"

    def _reached_from(self, start: str) -> set[str]:
        reached, waiting = {start}, [start]
        while waiting:
            for state in self.edges[waiting.pop()].keys() - reached:
                reached.add(state)
                waiting.append(state)
        return reached


OUTBOX_DELIVERY = EdgeTable(
    name="outbox_delivery",
    initial="pending",
    edges={
        "pending": {"delivered": "deliver", "dead": "give_up"},
        "dead": {"pending": "redeliver"},
        "delivered": {},
    },
    final={"delivered"},
)
