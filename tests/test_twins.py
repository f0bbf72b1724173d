"""Only what shows a race with its guard off has several chances."""

import pytest

from tests.twins import is_twin


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("test_pay__guard_off__the_same_race_overdraws", True),
        ("test_post__guard_off_locks_in_the_order_of_the_legs__deadlock", True),
        ("test_freeze__lock_off__is_through_before_the_tap", True),
        ("test_bind__unique_number_off__one_card_stands_there_several_times", True),
        ("test_release__without_the_lock__given_out_more_than_once", True),
        ("test_refresh_token__without_the_logins_lock__taken_more_than_once", True),
        ("test_change__approved_by_six_at_once__done_once", False),
        ("test_prove__posting_changed_with_triggers_off__found", False),
        ("test_day__after_one_that_was_broken_off__goes_well", False),
    ],
)
def test_is_twin__by_its_name(name: str, expected: bool):
    assert is_twin(name) is expected


tried: list[int] = []


def test_give_chances__guard_off_and_shown_the_second_time_only__enough():
    tried.append(1)

    assert len(tried) == 2
