"""Forty phones and the last seats: none is sold twice. And the other races at the counter."""

import contextlib
import os
import threading
import time
from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import connection, transaction

from services import counter, history, queries, queueing
from services.models import Booking, BookingChange, Seat, Slot, Ticket
from tests import city
from tests.hall import QUARTER, Hall, book, call_next, cancel, check_in, hold, open_hall, step
from tests.ledger import owner
from tests.together import together

pytestmark = pytest.mark.django_db(transaction=True)

ROUNDS = int(os.environ.get("VPASS_ROUNDS", "0"))
CLIENTS = 40
SEATS = 5


def rounds(short: int) -> int:
    """The full number of rounds under `make faults`, a short one in the suite."""
    return ROUNDS or short


def tell(name: str, *, tried: int, broken: int) -> None:
    print(f"faults {name}: {tried} tried, {broken} broken")


def outcome(result: Any) -> str:
    """What one thread met: a state, a problem's code, or an error by name."""
    return getattr(result, "state", None) or getattr(result, "code", None) or repr(result)


@pytest.fixture
def hall(transactional_db: None) -> Hall:
    return open_hall()


@pytest.fixture
def phones(hall: Hall, at: datetime) -> list[city.Phone]:
    return [city.make_phone(index, at=at) for index in range(CLIENTS)]


# The last seats


def sell(hall: Hall, phones: list[city.Phone], *, day: int, at: datetime) -> tuple[Slot, Any]:
    slot = hall.slot(starts_at=at + timedelta(days=day), seats=SEATS)
    found = together(len(phones), lambda index: hold(phones[index], slot, at=at))
    return slot, Counter(map(outcome, found))


def test_hold__forty_phones_and_five_seats__five_held_and_none_oversold(
    hall: Hall, phones: list[city.Phone], at: datetime
):
    tried = rounds(short=5)
    broken = 0

    for number in range(1, tried + 1):
        slot, seen = sell(hall, phones, day=number, at=at)
        seats = Seat.objects.filter(slot=slot).values_list("booking_id", flat=True)
        if seen != {"held": SEATS, "slot.full": CLIENTS - SEATS}:
            print(seen)
            broken += 1
        broken += Booking.objects.filter(slot=slot).count() != SEATS or None in seats

    tell("booking-race", tried=tried, broken=broken)
    assert broken == 0


def test_hold__guard_off__the_same_race_oversells(
    hall: Hall, phones: list[city.Phone], at: datetime, monkeypatch: pytest.MonkeyPatch
):
    # Look first and write then, as it must not be done: two statements, and no lock.
    looking, writing = queries._CLAIM.split("), seat AS (", 1)
    looking = looking.split("(", 1)[1].replace("FOR UPDATE SKIP LOCKED", "")
    start = writing.index("FROM free")
    writing = "WITH seat AS (" + writing[:start] + "WHERE s.id = %(seat)s RETURNING s.id" + writing[
        writing.index("), made"):
    ]  # fmt: skip

    def claim(asked: Booking, *, free_from: datetime, replaced: Any, is_waiting: bool) -> str:
        values = {each.attname: getattr(asked, each.attname) for each in queries._BOOKING_FIELDS}
        values |= {"free_from": free_from, "replaced": replaced}
        with connection.cursor() as cursor:
            cursor.execute(looking, values)
            row = cursor.fetchone()
            if row is None:
                return "full"
            cursor.execute(writing, values | {"seat": row[0]})
        return "claimed"

    monkeypatch.setattr(queries, "claim_seat", claim)

    worst = 0
    for number in range(1, 11):
        _, seen = sell(hall, phones, day=number, at=at)
        worst = max(worst, seen["held"])
        if worst > SEATS:
            break

    assert worst > SEATS, "without the guard seats are sold twice, or the race was none"


def test_hold__a_claimer_rolls_back__its_seat_is_not_called_full(
    hall: Hall, phones: list[city.Phone], at: datetime
):
    slot = hall.slot(starts_at=at + QUARTER)

    def work(index: int) -> Any:
        if index == 0:
            with transaction.atomic():
                list(Seat.objects.select_for_update().filter(slot=slot))
                time.sleep(0.3)
                transaction.set_rollback(True)
            return None
        time.sleep(0.1)
        return hold(phones[0], slot, at=at)

    assert outcome(together(2, work)[1]) == "held"


# One person, one appointment a day


def test_hold__one_person_in_ten_threads_and_slots__one_active_booking(
    hall: Hall, phones: list[city.Phone], at: datetime
):
    tried = rounds(short=5)
    broken = 0

    for number in range(1, tried + 1):
        first = hall.slot(starts_at=at + timedelta(days=number), seats=10)
        slots = [first, *(
            hall.slot(starts_at=first.starts_at + timedelta(seconds=n), seats=10)
            for n in range(1, 10)
        )]  # fmt: skip
        Slot.objects.filter(id__in=[each.id for each in slots]).update(day=first.day)
        found = together(10, lambda index, slots=slots: hold(phones[0], slots[index], at=at))
        seen = {outcome(each) for each in found}
        active = Booking.objects.filter(day=first.day, state="held")
        held = Seat.objects.filter(slot__day=first.day, booking__state="held", free_from__gt=at)
        broken += not seen <= {"held", "booking.exists"} or (active.count(), held.count()) != (1, 1)

    tell("one-a-day", tried=tried, broken=broken)
    assert broken == 0


@pytest.fixture
def no_limit() -> Iterator[None]:
    """The database without the index that keeps a person to one appointment a day."""
    with owner() as cursor:
        cursor.execute("SELECT indexdef FROM pg_indexes WHERE indexname = 'booking_one_a_day'")
        (definition,) = cursor.fetchone()
        cursor.execute("DROP INDEX booking_one_a_day")
    try:
        yield
    finally:
        with owner() as cursor:
            cursor.execute("UPDATE services_booking SET state = 'served'")
            cursor.execute(definition)


def test_hold__guard_off__the_same_person_books_many(
    hall: Hall, phones: list[city.Phone], at: datetime, no_limit: None
):
    worst = 0
    for number in range(1, 11):
        slot = hall.slot(starts_at=at + timedelta(days=number), seats=10)
        together(10, lambda _, slot=slot: hold(phones[0], slot, at=at))
        worst = max(worst, Booking.objects.filter(slot=slot, state="held").count())
        if worst > 1:
            break

    assert worst > 1, "without the index one person holds many seats, or the race was none"


# Cancel against check-in


def arrive_or_cancel(
    hall: Hall, desk: city.DeskBrowser, phone: city.Phone, code: str, *, at: datetime
) -> tuple[Booking, list[str]]:
    slot = hall.slot(starts_at=at + timedelta(seconds=Slot.objects.count() + 60))
    shown = book(phone, slot, at=at)

    def work(index: int) -> Any:
        if index:
            return cancel(phone, shown.id, at=at)
        return check_in(desk, code, at=at)

    arrived, cancelled = together(2, work)
    told = ["checked in" if isinstance(arrived, counter.CheckedIn) else outcome(arrived)]
    return Booking.objects.get(id=shown.id), [*told, outcome(cancelled)]


def end(kept: Booking) -> None:
    """Make room for the same person's next booking of the day."""
    Ticket.objects.filter(booking=kept).update(state="served")
    Booking.objects.filter(id=kept.id, state="checked_in").update(state="served")


def test_check_in__while_cancelled__exactly_one_wins(
    hall: Hall, phones: list[city.Phone], at: datetime
):
    tried = rounds(short=15)
    broken = 0
    desk, grant = hall.desk(at=at), phones[0].grant(at=at)

    for _ in range(tried):
        kept, seen = arrive_or_cancel(hall, desk, phones[0], grant.code(at), at=at)
        is_here = Ticket.objects.filter(booking=kept).exists()
        is_taken = Seat.objects.filter(booking=kept, free_from=None).exists()
        expected = {
            "checked_in": ["checked in", "booking.over"],
            "cancelled": ["check_in.no_booking", "cancelled"],
        }
        broken += seen != expected.get(kept.state)
        broken += is_here != is_taken or is_here != (kept.state == "checked_in")
        end(kept)

    tell("check-in-or-cancel", tried=tried, broken=broken)
    assert broken == 0


def test_check_in__guard_off__a_cancelled_seat_has_a_ticket(
    hall: Hall, phones: list[city.Phone], at: datetime, monkeypatch: pytest.MonkeyPatch
):
    desk, grant = hall.desk(at=at), phones[0].grant(at=at)
    # Read without a lock, decide, and write whatever the state is by then.
    found = Booking.objects.select_related("slot", "service__organisation")
    monkeypatch.setattr(queries, "lock_arrival", lambda **_: found.filter(state="booked").first())
    monkeypatch.setattr(
        queries, "lock_booking", lambda booking_id, **_: found.filter(id=booking_id).first()
    )
    blind = history._CHANGE_BOOKING.replace(" AND state = %(from_state)s", "")
    monkeypatch.setattr(history, "_CHANGE_BOOKING", blind)

    for _ in range(30):
        kept, seen = arrive_or_cancel(hall, desk, phones[0], grant.code(at), at=at)
        if seen == ["checked in", "cancelled"]:
            break
        end(kept)

    assert seen == ["checked in", "cancelled"], "without the lock both win, or the race was none"


# Two desks and one queue


def fill(hall: Hall, phones: list[city.Phone], *, at: datetime) -> None:
    for phone in phones:
        with transaction.atomic():
            queueing.give_ticket(service=hall.service, resident_id=phone.caller.resident_id, at=at)


def call_at_once(hall: Hall, desks: list[city.DeskBrowser], *, at: datetime) -> list[Any]:
    Ticket.objects.filter(state="called").update(state="served")
    return together(len(desks), lambda index: call_next(desks[index], at=at))


def test_call_next__eight_desks_at_once__eight_people_in_their_order(
    hall: Hall, phones: list[city.Phone], at: datetime
):
    fill(hall, phones, at=at)
    desks = [hall.desk(at=at) for _ in range(8)]
    tried = broken = 0

    for number in range(CLIENTS // 8):
        tried += 1
        called = [each.label for each in call_at_once(hall, desks, at=at)]
        first = 8 * number + 1
        broken += sorted(called) != [f"A{n:03d}" for n in range(first, first + 8)]

    tell("call-next", tried=tried, broken=broken)
    assert broken == 0
    assert call_at_once(hall, desks, at=at) == [None] * 8


def test_call_next__guard_off__two_desks_call_one_person(
    hall: Hall, phones: list[city.Phone], at: datetime, monkeypatch: pytest.MonkeyPatch
):
    fill(hall, phones, at=at)
    desks = [hall.desk(at=at) for _ in range(8)]
    monkeypatch.setattr(
        queries, "_CALL_NEXT", queries._CALL_NEXT.replace("FOR UPDATE SKIP LOCKED", "")
    )

    doubled = 0
    for _ in range(5):
        called = [each.label for each in call_at_once(hall, desks, at=at) if each is not None]
        doubled = max(doubled, len(called) - len(set(called)))
        if doubled:
            break

    assert doubled, "without the lock two desks call one ticket, or the race was none"


def test_call_next__one_desk_in_ten_threads__one_ticket(
    hall: Hall, phones: list[city.Phone], at: datetime
):
    fill(hall, phones, at=at)
    desk = hall.desk(at=at)

    found = together(10, lambda _: call_next(desk, at=at))

    assert Counter(map(outcome, found)) == {"called": 1, "desk.busy": 9}
    assert Ticket.objects.filter(state="called").count() == 1


@pytest.mark.parametrize("end", ["finish", "day's end"])
def test_check_in__again_while_the_ticket_ends__neither_waits_for_the_other(
    hall: Hall, phones: list[city.Phone], at: datetime, monkeypatch: pytest.MonkeyPatch, end: str
):
    """Each holds its first lock until the other has one too, or cannot get it."""
    desk, clerk = hall.desk(at=at), hall.desk(at=at)
    book(phones[0], hall.slot(starts_at=at + QUARTER), at=at)
    grant = phones[0].grant(at=at)
    ticket = check_in(desk, grant.code(at), at=at).ticket
    call_next(clerk, at=at)
    step(queueing.serve, clerk, ticket["id"], at=at)
    later = at + (timedelta(seconds=30) if end == "finish" else queueing.TICKET_LIFE)
    both = threading.Barrier(2)

    def meet(function: Any) -> Any:
        def met(*given: Any, **named: Any) -> Any:
            found = function(*given, **named)
            with contextlib.suppress(threading.BrokenBarrierError):
                both.wait(0.3)
            return found

        return met

    monkeypatch.setattr(queries, "lock_arrival", meet(queries.lock_arrival))
    monkeypatch.setattr(history, "change_ticket", meet(history.change_ticket))
    code = grant.code(later)

    def work(index: int) -> Any:
        if index == 0:
            return check_in(desk, code, at=later)
        if end == "finish":
            return step(queueing.finish, clerk, ticket["id"], at=later)
        return queueing.close_old_tickets(at=later)

    found = together(2, work)

    assert not isinstance(found[1], Exception)
    assert outcome(found[0]) == "check_in.no_booking" or found[0].ticket["id"] == ticket["id"]


def test_check_in__ten_codes_of_one_walk_in_at_once__one_ticket(
    hall: Hall, phones: list[city.Phone], at: datetime
):
    desks, grant = [hall.desk(at=at) for _ in range(10)], phones[0].grant(at=at)
    shown = [grant.code(at) for _ in range(10)]

    found = together(
        10, lambda index: check_in(desks[index], shown[index], walk_in="residence-permit", at=at)
    )

    assert {each.ticket["id"] for each in found} == {str(Ticket.objects.get().id)}
    assert not BookingChange.objects.exists()
