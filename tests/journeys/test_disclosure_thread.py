"""What is asked, consented to, shared, done for others and disputed, as the day plays it."""

import pytest

from vpass.day import disclosure_steps, steps
from vpass.day.play import Day, play

pytestmark = pytest.mark.django_db(transaction=True)

# What the disclosure steps stand on.
BEFORE = (
    steps.read_key_set, steps.enrol, steps.prove_identity, steps.fetch_grant, steps.draw_code,
    steps.enrol_desk, steps.sign_in, steps.scan, steps.repeat_scan, steps.scan_twice,
    steps.scan_elsewhere, steps.scan_beyond_entitlement, steps.scan_expired, steps.read_access_log,
)  # fmt: skip


def test_disclosure_steps__in_this_process__each_goes_well(day: Day):
    played = [
        *(step for step in steps.STEPS if step.act in BEFORE),
        *disclosure_steps.STEPS,
    ]
    said: list[str] = []

    failed = play(played, day, say=said.append)

    assert failed == 0, "\n".join(said)
    assert len(said) == len(played)
