"""Which tests have several chances: the twins that show a race with its guard off.

Whether a race shows is the scheduler's to say, so once is enough. What has its guard on holds every
time, and has one chance only.
"""

import re

import pytest

CHANCES = 4

_TWIN = re.compile(r"__(?:.*_)?(?:guard_off|lock_off|number_off|without_\w*lock)(?:_|$)")


def give_chances(items: list[pytest.Item]) -> None:
    """Has each twin tried anew until it shows its race, up to CHANCES times."""
    for item in items:
        if is_twin(item.name.partition("[")[0]):
            item.add_marker(pytest.mark.flaky(reruns=CHANCES - 1))


def is_twin(name: str) -> bool:
    """Whether a test of this name shows what happens without a guard."""
    return _TWIN.search(name) is not None
