"""Turns the settlement windows at the cut-off, and keeps the history of each."""

from datetime import date, datetime, timedelta

from django.db import transaction
from django.db.models import Prefetch, QuerySet

from payments import ledger, states
from payments.models import Window, WindowChange
from vpass.common import clock, outbox
from vpass.common.errors import Conflict, NotFound

WINDOW_CLOSED = "payments.window_closed"

# The business day ends an hour before midnight in the city, so that the night is left for the rest.
CUT_OFF_BEFORE_MIDNIGHT = timedelta(hours=1)


class WindowNotOpen(Conflict):
    """The window is not the open one any more."""

    code = "window.not_open"
    title_zh = "该清算窗口已关闭"


def business_date(at: datetime) -> date:
    """The business date in whose window the moment falls: from 23:00 on it is the next day's."""
    return clock.city_date(at + CUT_OFF_BEFORE_MIDNIGHT)


def ensure_open(*, at: datetime) -> int:
    """Return the id of the open window; the first one ever is opened here."""
    window_id = Window.objects.filter(state="open").values_list("id", flat=True).first()
    if window_id is not None:
        return window_id
    with transaction.atomic():
        window_id = ledger.open_window(business_date=business_date(at), at=at)
        if not WindowChange.objects.filter(window_id=window_id).exists():
            _write_open(window_id, actor="settlement", at=at)
    return window_id


def close_due(*, at: datetime) -> int | None:
    """Close the open window if its cut-off has passed; return its id or None. Safe to run twice."""
    window_id = ensure_open(at=at)
    if Window.objects.get(id=window_id).business_date >= business_date(at):
        return None
    try:
        return close(window_id=window_id, actor="settlement", at=at)
    except WindowNotOpen:
        return None


def close(*, window_id: int, actor: str, at: datetime) -> int:
    """Close this window and open the next one: every payment is in exactly one of them.

    Raises WindowNotOpen when another one is open, ledger.WindowBusy when a posting takes long.
    """
    with transaction.atomic():
        turned = ledger.close_window(business_date=business_date(at), at=at)
        if turned.closed_id != window_id:
            raise WindowNotOpen
        _write_change(window_id, "open", "closing", actor=actor, at=at)
        _write_open(turned.opened_id, actor=actor, at=at)
        outbox.publish(WINDOW_CLOSED, {"window": window_id}, at=at)
    return window_id


def lock(window_id: int) -> Window:
    """Return the window, locked for a change of state. Raises NotFound."""
    window = Window.objects.select_for_update().filter(id=window_id).first()
    if window is None:
        raise NotFound
    return window


def move(window: Window, to_state: str, *, actor: str, at: datetime) -> None:
    """Move a locked window on and write its history. Raises states.IllegalTransition."""
    from_state = window.state
    states.WINDOW.check(from_state, to_state)
    window.state = to_state
    window.save(update_fields=["state"])
    _write_change(window.id, from_state, to_state, actor=actor, at=at)


def windows() -> QuerySet[Window]:
    """All windows with their history (`changes`, oldest first); order them by falling id."""
    return Window.objects.prefetch_related(Prefetch("changes", WindowChange.objects.order_by("id")))


def window(window_id: int) -> Window:
    """Return one window with its history. Raises NotFound."""
    found = windows().filter(id=window_id).first()
    if found is None:
        raise NotFound
    return found


def _write_open(window_id: int, *, actor: str, at: datetime) -> None:
    WindowChange.objects.create(
        window_id=window_id, from_state="", to_state="open", event="open", actor=actor, at=at
    )


def _write_change(
    window_id: int, from_state: str, to_state: str, *, actor: str, at: datetime
) -> None:
    WindowChange.objects.create(
        window_id=window_id,
        from_state=from_state,
        to_state=to_state,
        event=states.WINDOW.event(from_state, to_state),
        actor=actor,
        at=at,
    )
