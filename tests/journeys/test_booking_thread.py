"""From the catalogue to the counter and back to the phone, over the public API alone."""

from services.models import Booking, Seat, Ticket
from tests.outside import OutsideWorld
from vpass.day import booking_steps, steps
from vpass.day.play import Day, play

BEFORE = [
    steps.enrol,
    steps.prove_identity,
    steps.fetch_grant,
    steps.enrol_neighbour,
    steps.meet_register_down,
    steps.meet_register_again,
]


def test_booking__every_step_of_the_day__goes_well(day: Day, sandbox: OutsideWorld):
    lines: list[str] = []
    for act in BEFORE:
        act(day)

    failed = play(booking_steps.STEPS, day, say=lines.append)

    assert failed == 0, "\n".join(lines)
    assert list(Booking.objects.order_by("id").values_list("state", flat=True)) == [
        "served", "cancelled",
    ]  # fmt: skip
    assert sorted(Ticket.objects.values_list("prefix", "number", "state")) == [
        ("A", 1, "served"), ("A", 2, "served"),
    ]  # fmt: skip
    assert Seat.objects.filter(free_from=None).count() == 1
