"""The platforms' dialects: a new one is one file, and one line in DIALECTS."""

from collections.abc import Callable, Mapping
from typing import Any

from services.iot.dialects import oceanconnect
from services.iot.messages import Said

# By name: what a message says. Each raises messages.Unreadable.
DIALECTS: Mapping[str, Callable[[Mapping[str, Any]], list[Said]]] = {
    "oceanconnect": oceanconnect.said,
}
