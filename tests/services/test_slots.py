"""Slots and seats from the weekly template, in the city's time."""

from datetime import UTC, date, datetime, timedelta

import pytest

from services import slots
from services.models import Seat, Slot, SlotTemplate
from tests.hall import Hall
from tests.together import together

pytestmark = pytest.mark.django_db(transaction=True)

# Friday, 23:40 in the city.
AT = datetime(2026, 11, 20, 15, 40, tzinfo=UTC)


def template(hall: Hall, weekday: int, first: int, last: int, seats: int = 2) -> None:
    SlotTemplate.objects.create(
        service=hall.service, weekday=weekday, from_minute=first, to_minute=last, seats=seats
    )


def test_make_slots__near_midnight__what_is_left_of_today_and_tomorrow(hall: Hall):
    template(hall, weekday=5, first=0, last=1440)
    template(hall, weekday=6, first=540, last=585, seats=3)

    assert slots.make_slots(at=AT, days_ahead=1) == 1 + 3

    made = list(Slot.objects.order_by("starts_at"))
    assert (made[0].day, made[0].starts_at) == (date(2026, 11, 20), AT + timedelta(minutes=5))
    assert [(each.day, each.starts_at) for each in made[1:]] == [
        (date(2026, 11, 21), datetime(2026, 11, 21, 1, minute, tzinfo=UTC))
        for minute in (0, 15, 30)
    ]
    assert all(each.ends_at - each.starts_at == timedelta(minutes=15) for each in made)
    assert [Seat.objects.filter(slot=each).count() for each in made] == [2, 3, 3, 3]


def test_make_slots__period_shorter_than_the_service__no_half_slot(hall: Hall):
    template(hall, weekday=6, first=540, last=569)

    assert slots.make_slots(at=AT, days_ahead=1) == 1


def test_make_slots__again_and_at_once__nothing_doubled(hall: Hall):
    template(hall, weekday=6, first=540, last=600)

    made = together(6, lambda _: slots.make_slots(at=AT))

    assert sum(made) == 4
    assert slots.make_slots(at=AT) == 0
    assert (Slot.objects.count(), Seat.objects.count()) == (4, 8)


def test_make_slots__a_day_later__only_the_new_day(hall: Hall):
    for weekday in range(1, 8):
        template(hall, weekday=weekday, first=540, last=555)
    assert slots.make_slots(at=AT) == 7

    assert slots.make_slots(at=AT + timedelta(days=1)) == 1
