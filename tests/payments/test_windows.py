"""A window ends at its cut-off, once, and the next one is open in the same moment."""

from datetime import UTC, date, datetime, timedelta

import pytest
from django.db import transaction

from payments.models import Transaction, Window, WindowChange
from payments.settlement import windows
from payments.settlement.windows import WindowNotOpen
from tests import ledger as small
from vpass.common.errors import NotFound
from vpass.common.states import IllegalTransition

pytestmark = pytest.mark.django_db(transaction=True)

# 23:00 in the city on 1 June.
CUT_OFF = datetime(2026, 6, 1, 15, tzinfo=UTC)
SECOND = timedelta(seconds=1)


def states_of(window_id: int) -> list[tuple[str, str, str]]:
    changes = WindowChange.objects.filter(window_id=window_id).order_by("id")
    return list(changes.values_list("from_state", "to_state", "event"))


@pytest.mark.parametrize(
    ("at", "expected"),
    [
        (CUT_OFF - SECOND, date(2026, 6, 1)),
        (CUT_OFF, date(2026, 6, 2)),
        (datetime(2026, 12, 31, 14, 59, 59, tzinfo=UTC), date(2026, 12, 31)),
        (datetime(2026, 12, 31, 15, tzinfo=UTC), date(2027, 1, 1)),
        (datetime(2028, 2, 28, 15, tzinfo=UTC), date(2028, 2, 29)),
    ],
)
def test_business_date__changes_at_2300_in_the_city(at: datetime, expected: date):
    assert windows.business_date(at) == expected


def test_ensure_open__first_time__opens_one_with_its_history(transactional_db: None):
    first = windows.ensure_open(at=CUT_OFF - SECOND)

    assert windows.ensure_open(at=CUT_OFF + SECOND) == first
    assert Window.objects.get().business_date == date(2026, 6, 1)
    assert states_of(first) == [("", "open", "open")]


def test_close_due__before_the_cut_off__stays_open(transactional_db: None):
    windows.ensure_open(at=CUT_OFF - timedelta(hours=12))

    assert windows.close_due(at=CUT_OFF - SECOND) is None
    assert Window.objects.get().state == "open"


def test_close_due__at_the_cut_off__closed_once(transactional_db: None):
    first = windows.ensure_open(at=CUT_OFF - timedelta(hours=12))

    assert windows.close_due(at=CUT_OFF) == first
    assert windows.close_due(at=CUT_OFF + SECOND) is None

    assert states_of(first) == [("", "open", "open"), ("open", "closing", "close")]
    following = Window.objects.get(state="open")
    assert (following.business_date, following.opened_at) == (date(2026, 6, 2), CUT_OFF)
    assert Window.objects.get(id=first).closed_at == CUT_OFF


def test_close__early__next_window_has_the_same_business_date(transactional_db: None):
    at = CUT_OFF - timedelta(hours=5)
    first = windows.ensure_open(at=at)

    windows.close(window_id=first, actor="staff:1", at=at)

    assert Window.objects.get(state="open").business_date == date(2026, 6, 1)
    assert WindowChange.objects.get(to_state="closing").actor == "staff:1"


def test_close__another_window_is_open__refused_and_nothing_changed(transactional_db: None):
    first = windows.ensure_open(at=CUT_OFF)
    windows.close(window_id=first, actor="staff:1", at=CUT_OFF)

    with pytest.raises(WindowNotOpen):
        windows.close(window_id=first, actor="staff:1", at=CUT_OFF)

    assert Window.objects.filter(state="closing").count() == 1


def test_close__payment_before_and_after__each_in_its_own_window(transactional_db: None):
    first = windows.ensure_open(at=CUT_OFF)
    shop = small.account("merchant")
    small.post((small.bank(), shop, 100))
    windows.close(window_id=first, actor="staff:1", at=CUT_OFF)
    small.post((small.bank(), shop, 100))

    found = Transaction.objects.order_by("id").values_list("window_id", flat=True)
    assert list(found) == [first, Window.objects.get(state="open").id]


def test_move__skipping_a_step__refused(transactional_db: None):
    window_id = windows.ensure_open(at=CUT_OFF)
    windows.close(window_id=window_id, actor="staff:1", at=CUT_OFF)

    with transaction.atomic(), pytest.raises(IllegalTransition):
        windows.move(windows.lock(window_id), "approved", actor="x", at=CUT_OFF)
    with transaction.atomic(), pytest.raises(NotFound):
        windows.lock(404)


def test_open_window__written_by_hand__refused_by_the_database(transactional_db: None):
    windows.ensure_open(at=CUT_OFF)

    with pytest.raises(Exception, match="open_window and close_window only"):
        Window.objects.update(state="closing")
