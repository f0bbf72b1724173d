"""In which order two processes take the tests: what is long first, and one stack for a folder.

Left alone, pytest-xdist begins with the files of the most tests. The few tests that start whole
stacks came last then, one process ending long before the other, and each started stacks of its own.
"""

import pytest
from xdist.scheduler import LoadFileScheduling

# Folders whose tests share a stack: one process takes all of each.
TOGETHER = ("tests/faults", "tests/browser")
# A stack stays up, and costs a twentieth of a processor, until its process has no more to test: so
# what needs none but is long comes before, and many short files are left to even the end out.
LONG = ("tests/contracts", "tests/races", "tests/journeys", *TOGETHER, "tests/vpass")


def put_long_first(items: list[pytest.Item]) -> None:
    """Puts the long folders first."""
    items.sort(key=lambda item: _place(_folder(item.nodeid)))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> LoadFileScheduling | None:
    """Files in the order of their collection, with TOGETHER undivided."""
    if config.getvalue("dist") != "loadfile":
        return None
    config.option.loadscopereorder = False
    return _Scheduling(config, log)


class _Scheduling(LoadFileScheduling):
    def _split_scope(self, nodeid: str) -> str:
        folder = _folder(nodeid)
        return folder if folder in TOGETHER else super()._split_scope(nodeid)


def _folder(nodeid: str) -> str:
    return "/".join(nodeid.split("/")[:2])


def _place(folder: str) -> int:
    return LONG.index(folder) if folder in LONG else len(LONG)
