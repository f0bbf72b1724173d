"""The resident logs in at two sites over public HTTP alone, as the day plays it."""

from pathlib import Path

import pytest

from tests.in_process import prepare_day
from tests.outside import OutsideWorld
from vpass.day import login_steps, steps
from vpass.day.play import play

pytestmark = pytest.mark.django_db(transaction=True)


def test_login_steps__with_sites_outside__each_goes_well(
    sandbox_of_own: OutsideWorld, tmp_path: Path
):
    day = prepare_day(sandbox_of_own, folder=tmp_path)
    before = (steps.enrol, steps.prove_identity, steps.fetch_grant)
    played = [*(step for step in steps.STEPS if step.act in before), *login_steps.STEPS]
    said: list[str] = []

    failed = play(played, day, say=said.append)

    assert failed == 0, "\n".join(said)
    assert len(said) == 6
