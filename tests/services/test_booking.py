"""Seats held, booked, given back and lost; one appointment of a service a day."""

import uuid
from datetime import datetime, timedelta

import pytest

from identity.models import Organisation
from services import booking
from services.models import Booking, BookingChange, Seat, Service, Slot
from tests import city
from tests.hall import QUARTER, RESIDENT, Hall, book, cancel, confirm, hold, open_hall
from tests.statements import statements
from vpass.common.errors import NotFound
from vpass.common.policy import LevelTooLow

pytestmark = pytest.mark.django_db(transaction=True)

FIVE_MINUTES = timedelta(minutes=5)


def events(booking_id: str) -> list[tuple[str, str, str]]:
    changes = BookingChange.objects.filter(booking_id=booking_id).order_by("id")
    return [(each.from_state, each.to_state, each.event) for each in changes]


def taken(slot: Slot) -> int:
    return Seat.objects.filter(slot=slot, free_from=None).count()


@pytest.fixture
def neighbour(db: None, at: datetime) -> city.Phone:
    return city.make_phone(1, at=at)


# Hold and confirm


def test_hold__free_seat__held_for_five_minutes(phone: city.Phone, slot: Slot, at: datetime):
    held = hold(phone, slot, at=at)

    (row,) = Booking.objects.all()
    assert held == booking.show(booking.booking_of(caller=phone.caller, booking_id=row.id), at=at)
    assert (held.state, held.held_until) == ("held", (at + FIVE_MINUTES).isoformat())
    assert held.service["en"] == "Residence permit"
    seat = Seat.objects.get(booking=row)
    assert (seat.n, seat.free_from) == (1, at + FIVE_MINUTES)


def test_confirm__held__booked_and_the_seat_is_taken_for_good(
    phone: city.Phone, slot: Slot, at: datetime
):
    held = hold(phone, slot, at=at)

    booked = confirm(phone, held.id, at=at + timedelta(minutes=4))

    assert (booked.state, booked.held_until) == ("booked", None)
    assert events(held.id) == [("held", "booked", "confirm")]
    assert taken(slot) == 1


@pytest.mark.parametrize(
    ("later", "state"), [(FIVE_MINUTES - timedelta(seconds=1), "booked"), (FIVE_MINUTES, None)]
)
def test_confirm__about_the_end_of_the_hold(
    phone: city.Phone, slot: Slot, at: datetime, later: timedelta, state: str | None
):
    held = hold(phone, slot, at=at)

    if state is None:
        with pytest.raises(booking.HoldExpired):
            confirm(phone, held.id, at=at + later)
        assert taken(slot) == 0
    else:
        assert confirm(phone, held.id, at=at + later).state == state


def test_confirm__twice__refused_and_unchanged(phone: city.Phone, slot: Slot, at: datetime):
    booked = book(phone, slot, at=at)

    with pytest.raises(booking.BookingOver):
        confirm(phone, booked.id, at=at)

    assert events(booked.id) == [("held", "booked", "confirm")]


def test_hold__expired_hold_of_another__its_seat_is_free_without_any_sweeper(
    phone: city.Phone, neighbour: city.Phone, hall: Hall, at: datetime
):
    slot = hall.slot(starts_at=at + QUARTER)
    lost = hold(phone, slot, at=at)
    with pytest.raises(booking.SlotFull):
        hold(neighbour, slot, at=at + timedelta(minutes=4, seconds=59))

    got = book(neighbour, slot, at=at + FIVE_MINUTES)

    assert got.state == "booked"
    mine = booking.booking_of(caller=phone.caller, booking_id=uuid.UUID(lost.id))
    assert booking.show(mine, at=at + FIVE_MINUTES).state == "expired"
    with pytest.raises(booking.HoldExpired):
        confirm(phone, lost.id, at=at + FIVE_MINUTES)


def test_hold__all_seats_taken__full_and_nothing_is_left(
    phone: city.Phone, neighbour: city.Phone, hall: Hall, at: datetime
):
    slot = hall.slot(starts_at=at + QUARTER)
    book(phone, slot, at=at)

    with pytest.raises(booking.SlotFull):
        hold(neighbour, slot, at=at)

    assert Booking.objects.count() == 1


def test_hold__begun_or_unknown_or_suspended__refused(
    phone: city.Phone, hall: Hall, slot: Slot, at: datetime
):
    begun = hall.slot(starts_at=at)

    with pytest.raises(booking.SlotOver):
        hold(phone, begun, at=at)
    with pytest.raises(NotFound):
        hold(phone, Slot(id=uuid.uuid4()), at=at)
    Organisation.objects.filter(id=hall.organisation.id).update(state="suspended")
    with pytest.raises(NotFound):
        hold(phone, slot, at=at)

    assert not Booking.objects.exists()


def test_hold__level_below_the_services__refused(
    phone: city.Phone, hall: Hall, slot: Slot, at: datetime
):
    Service.objects.update(level=3)

    with pytest.raises(LevelTooLow):
        hold(phone, slot, at=at)

    assert not Booking.objects.exists()


# One a day


def test_hold__booked_that_day__refused_and_another_day_is_not(
    phone: city.Phone, hall: Hall, slot: Slot, at: datetime
):
    book(phone, slot, at=at)
    same_day = Slot.objects.create(
        service=hall.service,
        day=slot.day,
        starts_at=slot.starts_at + QUARTER,
        ends_at=slot.ends_at + QUARTER,
    )
    Seat.objects.create(slot=same_day, n=1, free_from=at)

    with pytest.raises(booking.BookingExists):
        hold(phone, same_day, at=at)

    other_day = hall.slot(starts_at=slot.starts_at + timedelta(days=1))
    assert hold(phone, other_day, at=at).state == "held"
    assert Booking.objects.count() == 2


def test_hold__held_that_day__moves_the_hold(phone: city.Phone, hall: Hall, at: datetime):
    first, second = (hall.slot(starts_at=at + QUARTER * n) for n in (1, 2))
    Slot.objects.update(day=first.day)
    second.refresh_from_db()
    held = hold(phone, first, at=at)

    moved = hold(phone, second, at=at)

    assert events(held.id) == [("held", "cancelled", "give_back")]
    assert Seat.objects.get(slot=first).free_from <= at
    assert str(Seat.objects.get(slot=second).booking_id) == moved.id


def test_hold__own_seat_in_a_full_slot__can_be_held_anew(
    phone: city.Phone, hall: Hall, at: datetime
):
    slot = hall.slot(starts_at=at + QUARTER)
    first = hold(phone, slot, at=at)

    again = hold(phone, slot, at=at + timedelta(minutes=1))

    assert again.id != first.id
    assert str(Seat.objects.get(slot=slot).booking_id) == again.id
    assert Seat.objects.get(slot=slot).free_from == at + timedelta(minutes=6)


# Cancel


def test_cancel__booked__the_seat_is_free_again(phone: city.Phone, slot: Slot, at: datetime):
    booked = book(phone, slot, at=at)

    cancelled = cancel(phone, booked.id, at=at)

    assert cancelled.state == "cancelled"
    assert events(booked.id)[-1] == ("booked", "cancelled", "cancel")
    assert taken(slot) == 0
    assert hold(phone, slot, at=at).state == "held"


def test_cancel__delay_against_trading__others_find_the_seat_within_it_at_a_random_time(
    phone: city.Phone, hall: Hall, at: datetime
):
    Service.objects.update(reappears_within_s=600)
    waits = set()
    for day in range(1, 6):
        slot = hall.slot(starts_at=at + timedelta(days=day))
        cancel(phone, book(phone, slot, at=at).id, at=at)
        waits.add(Seat.objects.get(slot=slot).free_from - at)

    assert all(timedelta() <= wait <= timedelta(seconds=600) for wait in waits)
    assert len(waits) > 1


def test_cancel__over__refused(phone: city.Phone, slot: Slot, at: datetime):
    cancelled = book(phone, slot, at=at)
    cancel(phone, cancelled.id, at=at)
    expired = hold(phone, slot, at=at)

    for each in (cancelled, expired):
        with pytest.raises(booking.BookingOver):
            cancel(phone, each.id, at=at + FIVE_MINUTES)


def test_booking__anothers__like_none_at_all(
    phone: city.Phone, neighbour: city.Phone, slot: Slot, at: datetime
):
    booked = book(phone, slot, at=at)
    path = f"{RESIDENT}/bookings/{booked.id}"

    for method, address in (
        ("GET", path), ("POST", f"{path}/confirmation"), ("POST", f"{path}/cancellation"),
    ):  # fmt: skip
        body = None if method == "GET" else {}
        answer = neighbour.send(method, address, body, key=city.new_key())
        assert city.problem(answer) == (404, "object.not_found")

    assert Booking.objects.get().state == "booked"


# Time goes by


def test_end_due__holds_and_absent_people__written_down_once(
    phone: city.Phone, neighbour: city.Phone, slot: Slot, at: datetime
):
    held, booked = hold(phone, slot, at=at), book(neighbour, slot, at=at)

    assert booking.end_due_bookings(at=at + FIVE_MINUTES) == 1
    assert booking.end_due_bookings(at=slot.ends_at + booking.LATE - timedelta(seconds=1)) == 0
    assert booking.end_due_bookings(at=slot.ends_at + booking.LATE) == 1
    assert booking.end_due_bookings(at=slot.ends_at + booking.LATE) == 0

    assert events(held.id) == [("held", "expired", "expire")]
    assert events(booked.id)[-1] == ("booked", "missed", "stay_away")


# Over HTTP


def test_hold_and_confirm__over_http__exact_statements(phone: city.Phone, slot: Slot):
    with statements() as holding:
        held = phone.send(
            "POST", f"{RESIDENT}/bookings", {"slot_id": str(slot.id)}, key=city.new_key()
        )
    with statements() as confirming:
        booked = phone.send(
            "POST", f"{RESIDENT}/bookings/{held.json()['id']}/confirmation", {}, key=city.new_key()
        )

    assert (held.status_code, booked.status_code) == (201, 200)
    assert len(holding) == 6, "\n".join(holding)
    assert len(confirming) == 7, "\n".join(confirming)


def test_hold__same_key__same_booking(phone: city.Phone, slot: Slot):
    key, body = city.new_key(), {"slot_id": str(slot.id)}

    answers = [phone.send("POST", f"{RESIDENT}/bookings", body, key=key) for _ in range(2)]

    assert answers[0].json() == answers[1].json()
    assert Booking.objects.count() == 1


def test_hold__same_key_once_the_slot_is_full_or_over__the_first_answer(
    phone: city.Phone, neighbour: city.Phone, hall: Hall, at: datetime
):
    slot = hall.slot(starts_at=at + QUARTER)
    key = city.idempotency(phone.caller.scope)

    def ask(later: timedelta) -> booking.Shown:
        return booking.hold_seat(
            caller=phone.caller, slot_id=slot.id, idempotency_key=key, at=at + later
        )

    first = ask(timedelta())
    book(neighbour, slot, at=at + FIVE_MINUTES)

    assert first == ask(timedelta(minutes=6)) == ask(QUARTER)
    assert Booking.objects.count() == 2


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"slot_id": "x"},
        {"slot_id": 5},
        {"slot_id": None},
        {"slot_id": str(uuid.uuid4()), "n": 1},
    ],
)
def test_hold__bad_body__400_and_nothing_left(phone: city.Phone, slot: Slot, body: object):
    answer = phone.send("POST", f"{RESIDENT}/bookings", body, key=city.new_key())

    assert city.problem(answer) == (400, "request.invalid")
    assert not Booking.objects.exists()


def test_bookings__listed__own_ones_the_last_first(
    phone: city.Phone, neighbour: city.Phone, slot: Slot, at: datetime
):
    first = cancel(phone, book(phone, slot, at=at).id, at=at)
    second = book(phone, slot, at=at)
    hold(neighbour, slot, at=at)

    answer = phone.send("GET", f"{RESIDENT}/bookings")

    assert [(each["id"], each["state"]) for each in answer.json()["items"]] == [
        (second.id, "booked"), (first.id, "cancelled"),
    ]  # fmt: skip


def test_hold__two_halls__one_booking_in_each(phone: city.Phone, slot: Slot, at: datetime):
    other = open_hall("寿光市政务服务中心")

    book(phone, slot, at=at)
    book(phone, other.slot(starts_at=slot.starts_at), at=at)

    assert Booking.objects.filter(state="booked").count() == 2
