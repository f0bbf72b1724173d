"""Plays the steps of a day one after the other, shows each, and counts what failed."""

import sys
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from vpass.common import signing
from vpass.day.actors import Clerk, Kiosk, Phone
from vpass.day.memory import Memory
from vpass.day.outside import Outside, Person
from vpass.day.transport import Transport, Unexpected


@dataclass
class Day:
    """One day: the way to the program, the world outside, the actors, and what they hold."""

    transport: Transport
    outside: Outside
    memory: Memory
    clerk: Clerk
    desk_enrolment_code: str  # empty: the desk's key was enrolled on an earlier day
    kiosk: Kiosk
    phone: Phone
    neighbours_phone: Phone
    resident: Person | None = None
    neighbour: Person | None = None
    case_number: str = ""
    key_set: list[dict[str, str]] = field(default_factory=list)
    code: str = ""
    scan_key: str = ""
    scan_answer: Any = None
    access_line_id: str = ""
    proof_key: str = ""


@dataclass(frozen=True)
class Step:
    """One step: `act` returns a word on how it went, and raises when it went wrong."""

    name: str
    act: Callable[[Day], str]
    needs: tuple[Callable[[Day], str], ...] = ()


def prepare(
    *,
    transport: Transport,
    outside: Outside,
    memory: Memory,
    logins: dict[str, Any],
    desk_code: str = "",
) -> Day:
    """The actors of a new day; `logins` is what the seeding wrote down for it (demo.json).

    With `desk_code` the desk's browser is enrolled anew.
    """
    if not memory.desk_key:
        memory.desk_key = signing.private_pem(signing.generate_p256())
        memory.save()
    terminal = logins["terminal"]
    seeded_code = "" if memory.is_desk_enrolled else logins["day"]["desk_enrolment_code"]
    return Day(
        transport=transport,
        outside=outside,
        memory=memory,
        clerk=Clerk(transport, signing.load_private(memory.desk_key), **logins["day"]["clerk"]),
        desk_enrolment_code=desk_code or seeded_code,
        kiosk=Kiosk(
            transport,
            terminal["key_id"],
            signing.load_ed25519_private(terminal["private_key_pem"]),
        ),
        phone=Phone(transport),
        neighbours_phone=Phone(transport),
    )


def play(steps: Sequence[Step], day: Day, *, say: Callable[[str], object]) -> int:
    """Plays every step whose needs went well, says one line for each, and returns how many failed.

    A step which cannot be played because another failed has failed too.
    """
    failed: dict[Callable[[Day], str], int] = {}
    for number, step in enumerate(steps, 1):
        begun = time.monotonic()
        result = _result(step, day, failed)
        took = time.monotonic() - begun
        if not result.startswith("ok"):
            failed[step.act] = number
        say(f"{number:>3}  {step.name:<62}{took:>6.2f} s  {result}")
    return len(failed)


def _result(step: Step, day: Day, failed: dict[Callable[[Day], str], int]) -> str:
    broken = [failed[need] for need in step.needs if need in failed]
    if broken:
        return f"FAILED  not played: needs step {min(broken)}"
    try:
        return f"ok  {step.act(day)}".rstrip()
    except Unexpected as error:
        return f"FAILED  {error}"
    except Exception as error:  # noqa: BLE001  whatever breaks a step, the day goes on and tells it
        traceback.print_exc(file=sys.stderr)
        return f"FAILED  {type(error).__name__}: {error}"
