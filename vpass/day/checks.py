"""What the steps of the day share: they compare, wait, and read codes as a scanner does."""

import time
from collections.abc import Callable
from typing import Any, TypeVar

from identity import qr_picture
from vpass.day.play import Day
from vpass.day.transport import Unexpected

WITHIN_S = 15.0

T = TypeVar("T")


def same(what: str, found: object, expected: object) -> None:
    """Returns when both are equal; raises Unexpected otherwise, with `what` and both values."""
    if found != expected:
        raise Unexpected(f"{what}: expected {expected!r}, found {found!r}")


def present(what: T | None) -> T:
    """What an earlier step has left; raises Unexpected when it has left nothing."""
    if what is None:
        raise Unexpected("an earlier step has left nothing to go on with")
    return what


def eventually(
    day: Day, what: str, look: Callable[[], T], *, until: Callable[[T], Any], say: str = ""
) -> T:
    """What `look` finds as soon as `until` accepts it.

    Raises Unexpected after 15 seconds, with `what` was waited for and, when it is a dictionary, the
    member `say` of what was found last.
    """
    end = time.monotonic() + WITHIN_S
    while not until(found := look()):
        if time.monotonic() > end:
            last = f", but {found.get(say)!r}" if say and isinstance(found, dict) else ""
            raise Unexpected(f"{what}: not within {WITHIN_S:g} s{last}")
        day.outside.wait()
    return found


def through_pixels(text: str) -> tuple[str, int]:
    """The text as a scanner reads it from the phone's screen, and the bytes of the picture."""
    picture = qr_picture.draw_code(text, module_pixels=4)
    found = qr_picture.read_picture(picture)
    same("number of codes in the picture", len(found), 1)
    if found[0] != text:
        raise Unexpected("the picture says another text than the phone")
    return found[0], len(picture)
