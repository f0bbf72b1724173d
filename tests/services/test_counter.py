"""People arrive, show their code, and get a ticket."""

import re
from datetime import datetime, timedelta
from typing import Any

import pytest

from identity import codes, disclosure
from identity.code_format import ALL_SCENES, SCENES
from identity.models import AccessLine, Entitlement, Redemption
from services import booking, counter, queueing
from services.models import Booking, BookingChange, Slot, Ticket
from tests import city
from tests.hall import COUNTER, QUARTER, Hall, book, call_next, check_in, open_hall, step
from tests.statements import statements
from vpass.common.states import IllegalTransition

pytestmark = pytest.mark.django_db(transaction=True)


def nothing_but_the_use(reason: str | None) -> None:
    """The code is used up and the use written down; no ticket, no booking moved."""
    assert AccessLine.objects.order_by("-id").first().reason == reason
    assert Redemption.objects.count() == AccessLine.objects.count()
    assert not Ticket.objects.exists()
    assert not BookingChange.objects.filter(event="check_in").exists()


def test_check_in__booked__ticket_due_at_the_booked_time(
    hall: Hall, desk: city.DeskBrowser, phone: city.Phone, grant: Any, slot: Slot, at: datetime
):
    booked = book(phone, slot, at=at)

    shown = check_in(desk, grant.code(at), at=at)

    assert shown.booking is not None and shown.booking["id"] == booked.id
    assert shown.fields == {"real_name": city.PEOPLE[0].real_name}
    assert shown.holder == disclosure.pseudonym(
        resident_id=phone.caller.resident_id, organisation_id=hall.organisation.id
    )
    ticket = Ticket.objects.get()
    assert (shown.ticket["label"], ticket.due_at, ticket.state) == (
        "A001", slot.starts_at, "waiting",
    )  # fmt: skip
    assert Booking.objects.get().state == "checked_in"
    line = AccessLine.objects.get()
    assert (line.scene, line.purpose, line.fields) == ("check_in", "check-in", ["real_name"])


def test_check_in__again_with_a_fresh_code__same_ticket(
    desk: city.DeskBrowser, phone: city.Phone, grant: Any, slot: Slot, at: datetime
):
    book(phone, slot, at=at)
    first = check_in(desk, grant.code(at), at=at)

    again = check_in(desk, grant.code(at), at=at)

    assert again.ticket == first.ticket
    assert Ticket.objects.count() == 1


def test_check_in__same_code_twice__refused(
    desk: city.DeskBrowser, phone: city.Phone, grant: Any, slot: Slot, at: datetime
):
    book(phone, slot, at=at)
    code = grant.code(at)
    check_in(desk, code, at=at)

    with pytest.raises(codes.CodeAlreadyUsed):
        check_in(desk, code, at=at)


@pytest.mark.parametrize(
    ("moment", "outcome"),
    [
        (-counter.EARLY, "waiting"),
        (-counter.EARLY - timedelta(seconds=1), "check_in.too_early"),
        (QUARTER + booking.LATE - timedelta(seconds=1), "waiting"),
        (QUARTER + booking.LATE, "check_in.no_booking"),
    ],
)
def test_check_in__about_the_slots_window(
    hall: Hall,
    desk: city.DeskBrowser,
    phone: city.Phone,
    grant: Any,
    at: datetime,
    moment: timedelta,
    outcome: str,
):
    slot = hall.slot(starts_at=at - moment)
    book(phone, slot, at=at - timedelta(days=1))

    if outcome == "waiting":
        assert check_in(desk, grant.code(at), at=at).ticket["state"] == outcome
    else:
        with pytest.raises(counter.REFUSALS[outcome]):
            check_in(desk, grant.code(at), at=at)
        nothing_but_the_use(None)


def test_check_in__after_the_slot__due_now(
    hall: Hall, desk: city.DeskBrowser, phone: city.Phone, grant: Any, at: datetime
):
    slot = hall.slot(starts_at=at - QUARTER)
    book(phone, slot, at=at - timedelta(hours=1))

    check_in(desk, grant.code(at), at=at)

    assert Ticket.objects.get().due_at == at


def test_check_in__no_booking__refused_and_the_code_is_used(
    desk: city.DeskBrowser, phone: city.Phone, grant: Any, at: datetime
):
    with pytest.raises(counter.NoBooking):
        check_in(desk, grant.code(at), at=at)

    nothing_but_the_use(None)


def test_check_in__booked_at_another_hall__no_booking_here(
    desk: city.DeskBrowser, phone: city.Phone, grant: Any, at: datetime
):
    other = open_hall("寿光市政务服务中心")
    book(phone, other.slot(starts_at=at + QUARTER), at=at)

    with pytest.raises(counter.NoBooking):
        check_in(desk, grant.code(at), at=at)

    assert Booking.objects.get().state == "booked"


def test_check_in__walk_in__one_ticket_however_often(
    desk: city.DeskBrowser, phone: city.Phone, grant: Any, at: datetime
):
    first, again = (
        check_in(desk, grant.code(at), walk_in="residence-permit", at=at) for _ in range(2)
    )

    assert (first.booking, first.ticket["label"]) == (None, "A001")
    assert again.ticket == first.ticket


def test_check_in__walk_in_with_a_booking__the_booking_counts(
    desk: city.DeskBrowser, phone: city.Phone, grant: Any, slot: Slot, at: datetime
):
    booked = book(phone, slot, at=at)

    shown = check_in(desk, grant.code(at), walk_in="residence-permit", at=at)

    assert shown.booking is not None and shown.booking["id"] == booked.id


def test_check_in__unknown_walk_in_service__refused_before_the_code_is_used(
    desk: city.DeskBrowser, phone: city.Phone, grant: Any, at: datetime
):
    with pytest.raises(counter.WalkInServiceUnknown):
        check_in(desk, grant.code(at), walk_in="passport", at=at)

    assert not Redemption.objects.exists()


def test_check_in__scene_not_signed_into_the_code__refused(
    desk: city.DeskBrowser, phone: city.Phone, grant: Any, slot: Slot, at: datetime
):
    book(phone, slot, at=at)

    with pytest.raises(codes.SceneNotAllowed):
        check_in(desk, grant.code(at, scenes=ALL_SCENES & ~SCENES["check_in"]), at=at)

    nothing_but_the_use("code.scene_not_allowed")


def test_check_in__at_a_desk_for_other_things__refused_and_the_code_stays_good(
    hall: Hall, phone: city.Phone, grant: Any, at: datetime
):
    clerk = city.sign_in_clerk(city.make_desk(hall.organisation), at=at)

    with pytest.raises(counter.DeskNotForCheckIn):
        check_in(clerk, grant.code(at), at=at)

    assert not Redemption.objects.exists()


def test_check_in__organisation_without_the_right__refused(
    desk: city.DeskBrowser, phone: city.Phone, grant: Any, at: datetime
):
    Entitlement.objects.filter(scene="check_in").delete()

    with pytest.raises(codes.NotEntitled):
        check_in(desk, grant.code(at), at=at)


def test_check_in__after_being_missed__waits_again_with_the_same_number(
    desk: city.DeskBrowser, phone: city.Phone, grant: Any, slot: Slot, at: datetime
):
    book(phone, slot, at=at)
    first = check_in(desk, grant.code(at), at=at)
    call_next(desk, at=at)
    missed_at = slot.starts_at + queueing.GRACE
    step(queueing.miss, desk, first.ticket["id"], at=missed_at)

    back = check_in(desk, grant.code(at), at=at)

    assert (back.ticket["label"], back.ticket["state"]) == ("A001", "waiting")
    assert (Ticket.objects.get().due_at, Ticket.objects.get().desk) == (at, None)
    with pytest.raises(IllegalTransition):
        step(queueing.recall, desk, back.ticket["id"], at=at)
    called = call_next(desk, at=at)
    assert called is not None and (called.label, called.calls) == ("A001", 2)


# Over HTTP


def test_check_in__over_http__exact_statements(
    desk: city.DeskBrowser, phone: city.Phone, grant: Any, slot: Slot, at: datetime
):
    book(phone, slot, at=at)
    desk.send("POST", f"{COUNTER}/check-ins", {"code": grant.code(at)}, key=city.new_key())
    neighbour = city.make_phone(1, at=at)
    neighbours = neighbour.grant(at=at)
    book(neighbour, slot, at=at)
    with statements() as sent:
        answer = desk.send(
            "POST", f"{COUNTER}/check-ins", {"code": neighbours.code(at)}, key=city.new_key()
        )

    assert answer.status_code == 200, answer.content
    assert len(sent) == 9, "\n".join(sent)


def test_check_in__same_key__same_answer(
    desk: city.DeskBrowser, phone: city.Phone, grant: Any, slot: Slot, at: datetime
):
    book(phone, slot, at=at)
    key, body = city.new_key(), {"code": grant.code(at), "walk_in_service": None}

    answers = [desk.send("POST", f"{COUNTER}/check-ins", body, key=key) for _ in range(2)]

    assert answers[0].status_code == 200
    assert answers[0].json() == answers[1].json()
    assert (Ticket.objects.count(), Redemption.objects.count()) == (1, 1)


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"code": 5},
        {"code": ""},
        {"code": "x", "walk_in_service": "Wohnsitz 1"},
        {"code": "x", "purpose": "check-in"},
    ],
)
def test_check_in__bad_body__400_and_nothing_left(desk: city.DeskBrowser, body: dict[str, Any]):
    answer = desk.send("POST", f"{COUNTER}/check-ins", body, key=city.new_key())

    assert city.problem(answer) == (400, "request.invalid")
    assert not Redemption.objects.exists()


def test_check_in__no_v_pass_code__422(desk: city.DeskBrowser):
    answer = desk.send("POST", f"{COUNTER}/check-ins", {"code": "hello"}, key=city.new_key())

    assert city.problem(answer) == (422, "code.unreadable")


def test_check_in__logged__without_a_name(
    desk: city.DeskBrowser,
    phone: city.Phone,
    grant: Any,
    slot: Slot,
    at: datetime,
    capsys: pytest.CaptureFixture[str],
):
    book(phone, slot, at=at)

    desk.send("POST", f"{COUNTER}/check-ins", {"code": grant.code(at)}, key=city.new_key())

    said = "".join(capsys.readouterr())
    assert re.search("check-ins", said)
    assert city.PEOPLE[0].real_name not in said
