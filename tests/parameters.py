"""Names for the parameters of tests that are the same in every process that collects them."""

import re

_VOLATILE = re.compile(
    r"0x[0-9a-f]+|[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}|\d{10,}|[\w-]{43}"
)


def stable_id(value: object) -> str:
    """The text of a parameter, without addresses, UUIDs, moments and keys made at import."""
    return _VOLATILE.sub("*", str(value))[:60]
