"""What a bench finds out, and how it is told."""

from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One figure: a value, and its ratio to what was measured against it in the same run."""

    name: str
    value: float
    unit: str
    ratio: float
    against: str
    goal: float
    details: dict[str, Any] = field(default_factory=dict)

    @property
    def is_reached(self) -> bool:
        return self.ratio >= self.goal

    def line(self) -> str:
        """The line that `make bench` prints."""
        return (
            f"bench {self.name}: {self.value:.0f} {self.unit} · ratio {self.ratio:.2f}"
            f" of {self.against} · goal {self.goal:.2f}"
        )

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self), "is_reached": self.is_reached}
