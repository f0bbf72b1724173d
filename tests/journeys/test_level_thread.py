"""Level 3 by face and at a counter, and the register's own word, as the day plays them."""

from pathlib import Path

import pytest

from tests.in_process import prepare_day
from tests.outside import OutsideWorld
from vpass.day import level_steps, steps
from vpass.day.play import play

pytestmark = pytest.mark.django_db(transaction=True)

# What the level steps stand on.
BEFORE = (steps.read_key_set, steps.enrol, steps.prove_identity, steps.fetch_grant)


def test_i1__level_3__by_face_with_a_vouched_chip_and_in_person_at_a_counter(
    sandbox_of_own: OutsideWorld, tmp_path: Path
):
    day = prepare_day(sandbox_of_own, folder=tmp_path)
    played = [*(step for step in steps.STEPS if step.act in BEFORE), *level_steps.STEPS]
    said: list[str] = []

    failed = play(played, day, say=said.append)

    assert failed == 0, "\n".join(said)
    assert len(said) == len(played)
