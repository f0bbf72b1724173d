"""What two people register, a key that rotates, and one's own record, as the day plays it."""

import pytest

from vpass.day import administration_steps, steps
from vpass.day.play import Day, play

pytestmark = pytest.mark.django_db(transaction=True)

BEFORE = (steps.enrol, steps.prove_identity)


def test_registration_steps__in_this_process__each_goes_well(day: Day):
    played = [
        *(step for step in steps.STEPS if step.act in BEFORE),
        *administration_steps.STEPS,
    ]
    said: list[str] = []

    failed = play(played, day, say=said.append)

    assert failed == 0, "\n".join(said)
    assert len(said) == len(played)
