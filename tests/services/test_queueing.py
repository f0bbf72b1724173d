"""The queue: who is called next, at which desk, and who is a no-show."""

import uuid
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import transaction

from services import queueing
from services.models import Booking, BookingChange, Slot, Ticket, TicketChange
from tests import city
from tests.hall import COUNTER, Hall, book, call_next, check_in, open_hall, step
from vpass.common.errors import NotFound
from vpass.common.states import IllegalTransition

pytestmark = pytest.mark.django_db(transaction=True)

MINUTE = timedelta(minutes=1)


def walk_in(hall: Hall, index: int, *, at: datetime, **changes: Any) -> Ticket:
    """Somebody without an appointment, in the queue since `at`."""
    resident_id = city.make_phone(index, at=at).caller.resident_id
    with transaction.atomic():
        ticket = queueing.give_ticket(service=hall.service, resident_id=resident_id, at=at)
    Ticket.objects.filter(id=ticket.id).update(**changes)
    return ticket


def events(ticket_id: Any) -> list[str]:
    return list(
        TicketChange.objects.filter(ticket_id=ticket_id)
        .order_by("id")
        .values_list("event", flat=True)
    )


def test_give_ticket__numbers__rise_by_one_and_begin_anew_each_day(hall: Hall, at: datetime):
    labels = [walk_in(hall, index, at=at).label for index in range(3)]
    tomorrow = walk_in(hall, 3, at=at + timedelta(days=1)).label

    assert (labels, tomorrow) == (["A001", "A002", "A003"], "A001")


def test_call_next__by_priority_then_due_time_then_arrival(
    hall: Hall, desk: city.DeskBrowser, phone: city.Phone, grant: Any, slot: Slot, at: datetime
):
    book(phone, slot, at=at)
    check_in(desk, grant.code(at), at=at)  # A001, due at the slot's time
    before = walk_in(hall, 1, at=slot.starts_at - MINUTE)
    walk_in(hall, 2, at=slot.starts_at + MINUTE)
    urgent = walk_in(hall, 3, at=slot.starts_at + 2 * MINUTE, priority=0)

    called = []
    while (ticket := call_next(desk, at=slot.starts_at + 5 * MINUTE)) is not None:
        called.append(ticket.label)
        step(queueing.serve, desk, ticket.id, at=at)
        step(queueing.finish, desk, ticket.id, at=at)

    assert called == [urgent.label, before.label, "A001", "A003"]


def test_call_next__nobody_waits__none(desk: city.DeskBrowser, at: datetime):
    assert call_next(desk, at=at) is None


def test_call_next__desk_has_somebody__refused(hall: Hall, desk: city.DeskBrowser, at: datetime):
    for index in range(2):
        walk_in(hall, index, at=at)
    first = call_next(desk, at=at)

    with pytest.raises(queueing.DeskBusy) as refused:
        call_next(desk, at=at)

    assert first is not None and refused.value.members == {"ticket_id": first.id}
    assert Ticket.objects.filter(state="called").count() == 1


def test_call_next__another_organisations_people__not_called(hall: Hall, at: datetime):
    walk_in(hall, 0, at=at)
    other = open_hall("寿光市政务服务中心").desk(at=at)

    assert call_next(other, at=at) is None


def test_ticket__called_recalled_served_finished__history_and_the_booking(
    desk: city.DeskBrowser, phone: city.Phone, grant: Any, slot: Slot, at: datetime
):
    book(phone, slot, at=at)
    ticket = check_in(desk, grant.code(at), at=at).ticket
    call_next(desk, at=at)

    again = step(queueing.recall, desk, ticket["id"], at=at)
    step(queueing.serve, desk, ticket["id"], at=at)
    assert Booking.objects.get().state == "checked_in"
    done = step(queueing.finish, desk, ticket["id"], at=at)

    assert (again.calls, done.state) == (2, "served")
    assert events(ticket["id"]) == ["call", "recall", "serve", "finish"]
    assert Booking.objects.get().state == "served"
    assert BookingChange.objects.order_by("-id").first().event == "serve"


def test_miss__before_the_grace_is_over__refused(hall: Hall, desk: city.DeskBrowser, at: datetime):
    ticket = walk_in(hall, 0, at=at)
    call_next(desk, at=at)

    with pytest.raises(queueing.TicketInGrace) as refused:
        step(queueing.miss, desk, str(ticket.id), at=at + queueing.GRACE - timedelta(seconds=1))

    assert refused.value.retry_after == 1
    assert Ticket.objects.get().state == "called"
    assert step(queueing.miss, desk, str(ticket.id), at=at + queueing.GRACE).state == "missed"


def test_miss__called_before_the_booked_time__grace_runs_from_the_booked_time(
    desk: city.DeskBrowser, phone: city.Phone, grant: Any, slot: Slot, at: datetime
):
    book(phone, slot, at=at)
    ticket = check_in(desk, grant.code(at), at=at).ticket
    call_next(desk, at=at)

    with pytest.raises(queueing.TicketInGrace):
        step(queueing.miss, desk, ticket["id"], at=slot.starts_at + 2 * MINUTE)

    missed = step(queueing.miss, desk, ticket["id"], at=slot.starts_at + queueing.GRACE)
    assert (missed.state, Booking.objects.get().state) == ("missed", "checked_in")


@pytest.mark.parametrize("work", [queueing.recall, queueing.serve, queueing.finish, queueing.miss])
def test_step__ticket_that_waits__illegal(
    hall: Hall, desk: city.DeskBrowser, at: datetime, work: Any
):
    ticket = walk_in(hall, 0, at=at)

    with pytest.raises(IllegalTransition):
        step(work, desk, str(ticket.id), at=at + queueing.GRACE)

    assert events(ticket.id) == []


def test_step__at_another_desk_or_in_another_organisation(
    hall: Hall, desk: city.DeskBrowser, at: datetime
):
    ticket = walk_in(hall, 0, at=at)
    call_next(desk, at=at)
    stranger = open_hall("寿光市政务服务中心").desk(at=at)

    with pytest.raises(queueing.TicketAtOtherDesk):
        step(queueing.serve, hall.desk(at=at), str(ticket.id), at=at)
    with pytest.raises(NotFound):
        step(queueing.serve, stranger, str(ticket.id), at=at)
    for name in ("recall", "serve", "finish", "miss"):
        answer = stranger.send(
            "POST", f"{COUNTER}/tickets/{ticket.id}/{name}", {}, key=city.new_key()
        )
        assert city.problem(answer) == (404, "object.not_found")

    assert Ticket.objects.get().state == "called"


def test_queue__shows_who_waits_and_who_is_here(hall: Hall, desk: city.DeskBrowser, at: datetime):
    tickets = [walk_in(hall, index, at=at + index * MINUTE) for index in range(3)]
    called = desk.send("POST", f"{COUNTER}/queue/next", {}, key=city.new_key()).json()["ticket"]

    shown = desk.send("GET", f"{COUNTER}/queue").json()

    assert (called["label"], shown["mine"]) == (tickets[0].label, called)
    assert [each["label"] for each in shown["waiting"]] == [each.label for each in tickets[1:]]
    assert (shown["waiting_count"], len(shown["at_desks"])) == (2, 1)
    assert shown["services"] == [
        {"code": "residence-permit", "zh": "办理居住证", "en": "Residence permit"}
    ]


def test_call_next__same_key__same_ticket(hall: Hall, desk: city.DeskBrowser, at: datetime):
    for index in range(2):
        walk_in(hall, index, at=at)
    key = city.new_key()

    answers = [desk.send("POST", f"{COUNTER}/queue/next", {}, key=key) for _ in range(2)]

    assert answers[0].json() == answers[1].json()
    assert Ticket.objects.filter(state="called").count() == 1


def test_call_next__unknown_ticket_and_bad_body__named(desk: city.DeskBrowser):
    missing = desk.send("POST", f"{COUNTER}/tickets/{uuid.uuid4()}/serve", {}, key=city.new_key())
    bad = desk.send("POST", f"{COUNTER}/queue/next", {"desk": 2}, key=city.new_key())

    assert city.problem(missing) == (404, "object.not_found")
    assert city.problem(bad) == (400, "request.invalid")


@pytest.mark.parametrize(
    ("state", "ends_as"),
    [
        ("waiting", "cancelled"),
        ("called", "cancelled"),
        ("serving", "served"),
        ("missed", "missed"),
    ],
)
def test_close_old__of_a_day_that_is_over__fair_to_who_was_never_served(
    desk: city.DeskBrowser,
    phone: city.Phone,
    grant: Any,
    slot: Slot,
    at: datetime,
    state: str,
    ends_as: str,
):
    book(phone, slot, at=at)
    check_in(desk, grant.code(at), at=at)
    Ticket.objects.update(state=state, desk=desk.desk, called_at=at)

    assert queueing.close_old_tickets(at=at + queueing.TICKET_LIFE - MINUTE) == 0
    assert queueing.close_old_tickets(at=at + queueing.TICKET_LIFE) == 1
    assert queueing.close_old_tickets(at=at + queueing.TICKET_LIFE) == 0

    assert (Ticket.objects.get().state, Booking.objects.get().state) == ("closed", ends_as)
