"""Says of the program's own parts whether they run, in words an operator knows."""

from dataclasses import dataclass
from typing import Any

from vpass.common import health

# The sweeper looks every five seconds: what is due for longer has nobody to deliver it.
RELAY_LATE_AFTER_S = 60.0


@dataclass(frozen=True)
class Engine:
    """A part of the program, and whether it does its work."""

    name: str
    label_zh: str
    label_en: str
    is_up: bool


def engines() -> tuple[list[Engine], list[str]]:
    """Every part with its state, and the warnings of the readiness answer."""
    state = health.state_of_engines()
    found = [
        Engine("web", "网站", "Web", True),
        Engine("database", "数据库", "Database", state["status"] == "ready"),
        Engine("broker", "消息队列", "Broker", state["broker"]["reachable"]),
        Engine("relay", "后台任务", "Background jobs", _is_relay_up(state["outbox"])),
    ]
    return found, state["warnings"]


def _is_relay_up(outbox: dict[str, Any]) -> bool:
    is_late = outbox.get("due", 0) > 0 and outbox.get("oldest_s", 0.0) > RELAY_LATE_AFTER_S
    return bool(outbox) and not is_late
