"""The platforms' dialects: a new one is one file, and one line in DIALECTS."""

from collections.abc import Callable, Mapping
from typing import Any

from services.iot.dialects import oceanconnect
from services.iot.messages import Said

# What a message says; raises messages.Unreadable.
Dialect = Callable[[Mapping[str, Any]], list[Said]]

DIALECTS: Mapping[str, Dialect] = {
    "oceanconnect": oceanconnect.said,
}
