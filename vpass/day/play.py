"""Plays the steps of a day one after the other, shows each, and counts what failed."""

import sys
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from vpass.common import signing
from vpass.day.actors import Clerk, Kiosk, Phone
from vpass.day.administration_actors import Administration
from vpass.day.bill_actors import Billing
from vpass.day.booking_actors import Appointments, Receptionist
from vpass.day.card_actors import Bus, CardWallet
from vpass.day.disclosure_actors import Department, PrivacyOfficer, Sharing
from vpass.day.iot_actors import Driver, Parking
from vpass.day.level_actors import ChipPhone, Levels
from vpass.day.login_actors import SiteBrowser
from vpass.day.memory import Memory
from vpass.day.outside import Outside, Person
from vpass.day.payment_actors import FinanceOfficer, Till, Wallet
from vpass.day.shop_actors import Shopping
from vpass.day.transport import Transport, Unexpected


@dataclass
class Money:
    """Those who move money on the day, and what they hold; the enrolment codes are used once."""

    wallet: Wallet
    till: Till
    till_enrolment_code: str
    officers: tuple[FinanceOfficer, FinanceOfficer]
    office_enrolment_codes: list[str]
    bank_before: dict[str, Any] = field(default_factory=dict)
    top_up_number: str = ""
    small: Any = None  # payments, as the till was answered
    large: Any = None
    by_card: Any = None
    moved: list[tuple[str, int]] = field(default_factory=list)  # in the wallet: kind, fen
    refund: Any = None
    refund_reference: str = ""
    refund_key: str = ""
    withdrawal_id: str = ""
    window_id: int = 0
    proposal_id: str = ""
    line: Any = None  # the shop's, of the window


@dataclass
class Cards:
    """The resident's card wallet and the bus; of each card bound, what its holder was shown."""

    wallet: CardWallet
    bus: Bus
    shown: dict[str, Any] = field(default_factory=dict)  # by type
    tapped: Any = None


@dataclass
class Visit:
    """Those who meet at the counter on the day, and what they hold."""

    appointments: Appointments
    neighbours: Appointments
    receptionist: Receptionist
    desk_enrolment_code: str  # used once
    service: Any = None
    slots: list[Any] = field(default_factory=list)
    booking: Any = None
    ticket: Any = None


@dataclass
class Disclosure:
    """Those who ask, answer and act for others on the day, and what they hold."""

    sharing: Sharing
    officer: PrivacyOfficer
    desk_enrolment_code: str  # used once
    department: Department
    other_department: Department
    share: Any = None  # as the resident was answered
    delegation_id: str = ""


@dataclass
class Logins:
    """The browsers in which the resident logs in, and what came of it, by site."""

    browsers: dict[str, SiteBrowser] = field(default_factory=dict)
    ids: dict[str, str] = field(default_factory=dict)
    subject: str = ""  # at the first site


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
    money: Money
    cards: Cards
    parking: Parking
    visit: Visit
    hotline: Clerk
    hotline_enrolment_code: str  # empty: enrolled on an earlier day
    terminal_id: str
    disclosure: Disclosure
    levels: Levels
    administration: Administration
    billing: Billing
    shopping: Shopping
    logins: Logins = field(default_factory=Logins)
    resident: Person | None = None
    place: int = 0  # the resident's, in the crowd
    neighbour: Person | None = None
    case_number: str = ""
    key_set: list[dict[str, str]] = field(default_factory=list)
    code: str = ""
    scan_key: str = ""
    scan_answer: Any = None
    access_line_id: str = ""
    proof_key: str = ""
    scanner: Any = None  # status_actors.OfflineScanner


_Act = Callable[[Day], str]


@dataclass(frozen=True)
class Step:
    """One step: `act` returns a word on how it went, and raises when it went wrong."""

    name: str
    act: _Act
    needs: tuple[_Act, ...] = ()


def adding_to(steps: list[Step]) -> Callable[..., Callable[[_Act], _Act]]:
    """The decorator that puts a function into `steps`, after those that stand there."""

    def step(name: str, *, needs: tuple[_Act, ...] = ()) -> Callable[[_Act], _Act]:
        def put(act: _Act) -> _Act:
            steps.append(Step(name, act, needs))
            return act

        return put

    return step


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
    terminal, days_own = logins["terminal"], logins["day"]
    seeded_code = "" if "desk" in memory.enrolled else days_own["desk_enrolment_code"]
    phone, neighbours_phone = Phone(transport), Phone(transport)
    return Day(
        transport=transport,
        outside=outside,
        memory=memory,
        clerk=Clerk(transport, memory.key("desk"), **days_own["clerk"]),
        desk_enrolment_code=desk_code or seeded_code,
        kiosk=Kiosk(
            transport,
            terminal["key_id"],
            signing.load_ed25519_private(terminal["private_key_pem"]),
        ),
        phone=phone,
        neighbours_phone=neighbours_phone,
        money=Money(
            wallet=Wallet(phone),
            till=Till(transport, memory.key("till")),
            till_enrolment_code=days_own["till_enrolment_code"],
            officers=(
                _officer(transport, memory, days_own["finance"]["staff"][0]),
                _officer(transport, memory, days_own["finance"]["staff"][1]),
            ),
            office_enrolment_codes=days_own["finance"]["desk_enrolment_codes"],
        ),
        cards=Cards(
            wallet=CardWallet(phone),
            bus=Bus(
                transport,
                logins["bus"]["line"],
                logins["bus"]["key_id"],
                signing.load_ed25519_private(logins["bus"]["private_key_pem"]),
            ),
        ),
        parking=Parking(driver=Driver(phone)),
        visit=Visit(
            appointments=Appointments(phone),
            neighbours=Appointments(neighbours_phone),
            receptionist=Receptionist(
                transport, memory.key("check-in desk"), **days_own["check_in"]["staff"]
            ),
            desk_enrolment_code=days_own["check_in"]["desk_enrolment_code"],
        ),
        hotline=Clerk(transport, memory.key("hotline"), **days_own["hotline"]["clerk"]),
        hotline_enrolment_code=(
            "" if "hotline" in memory.enrolled else days_own["hotline"]["desk_enrolment_code"]
        ),
        terminal_id=terminal["id"],
        disclosure=Disclosure(
            sharing=Sharing(phone),
            officer=PrivacyOfficer(
                transport, memory.key("day-privacy"), **days_own["privacy"]["login"]
            ),
            desk_enrolment_code=days_own["privacy"]["desk_enrolment_code"],
            department=Department.of(transport, logins["departments"][0]),
            other_department=Department.of(transport, logins["departments"][1]),
        ),
        levels=Levels(
            phone=ChipPhone(transport),
            registrar=Clerk(transport, memory.key("registrar"), **days_own["registrar"]["clerk"]),
            desk_enrolment_code=(
                ""
                if "registrar" in memory.enrolled
                else days_own["registrar"]["desk_enrolment_code"]
            ),
        ),
        administration=Administration.of(transport, memory, days_own["administration"]),
        billing=Billing(phone, login=logins["billers"]["utility"]),
        shopping=Shopping(
            phone, Till(transport, memory.key("door")), days_own["door_enrolment_code"]
        ),
    )


def _officer(transport: Transport, memory: Memory, login: dict[str, str]) -> FinanceOfficer:
    return FinanceOfficer(transport, memory.key(login["username"]), **login)


def play(steps: Sequence[Step], day: Day, *, say: Callable[[str], object]) -> int:
    """Plays every step whose needs went well, says one line for each, and returns how many failed.

    A step which cannot be played because another failed has failed too.
    """
    failed: dict[_Act, int] = {}
    for number, step in enumerate(steps, 1):
        begun = time.monotonic()
        result = _result(step, day, failed)
        took = time.monotonic() - begun
        if not result.startswith("ok"):
            failed[step.act] = number
        say(f"{number:>3}  {step.name:<62}{took:>6.2f} s  {result}")
    return len(failed)


def _result(step: Step, day: Day, failed: dict[_Act, int]) -> str:
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
