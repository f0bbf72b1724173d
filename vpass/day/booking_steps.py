"""The day goes to the counter: an appointment is booked, checked in by the code, and served."""

from typing import Any

from identity.code_format import ALL_SCENES, SCENES
from vpass.day.checks import present, same, through_pixels
from vpass.day.play import Day, Step, adding_to
from vpass.day.steps import fetch_grant, meet_register_again, signed_in
from vpass.day.transport import Unexpected

SERVICE = "residence-permit"

STEPS: list[Step] = []
step = adding_to(STEPS)


@step("The counters' catalogue and the next free slots", needs=(fetch_grant,))
def read_catalogue(day: Day) -> str:
    visit = day.visit
    offered = {each["code"]: each for each in visit.appointments.services().expect(200)["items"]}
    visit.service = offered[SERVICE]
    # The next one is left out: it may begin while we book it.
    visit.slots = [each for each in _slots(day)[1:] if each["free"] > 1]
    if len(visit.slots) < 2:
        raise Unexpected("there are no slots to book")
    return f"{visit.service['name']['en']}, {len(visit.slots)} slots"


@step("A seat is held for five minutes and then booked", needs=(read_catalogue,))
def book(day: Day) -> str:
    visit = day.visit
    slot = visit.slots[0]
    held = visit.appointments.hold(slot["id"]).expect(201)
    same("booking", (held["state"], held["starts_at"]), ("held", _time(slot)))
    # The seat one holds is free for oneself; once booked it is not.
    same("seats free for the holder", _free(day, slot), slot["free"])
    visit.booking = visit.appointments.confirm(held["id"]).expect(200)
    same("booking", (visit.booking["state"], visit.booking["held_until"]), ("booked", None))
    same("seats free", _free(day, slot), slot["free"] - 1)
    return visit.booking["starts_at"]


@step("A second appointment of the same service that day is refused", needs=(book,))
def book_twice(day: Day) -> str:
    same_day = [each for each in day.visit.slots[1:] if each["day"] == day.visit.slots[0]["day"]]
    if not same_day:
        return "midnight is too near to try"
    reply = day.visit.appointments.hold(same_day[0]["id"])
    reply.expect_refusal(409, "booking.exists")
    return reply.code


@step("A neighbour books and cancels: the seat is free again", needs=(book, meet_register_again))
def cancel(day: Day) -> str:
    slot = day.visit.slots[1]
    before = _free(day, slot)
    booking = day.visit.neighbours.hold(slot["id"]).expect(201)
    day.visit.neighbours.confirm(booking["id"]).expect(200)
    same("seats free", _free(day, slot), before - 1)
    cancelled = day.visit.neighbours.cancel(booking["id"]).expect(200)
    same("booking", cancelled["state"], "cancelled")
    same("seats free", _free(day, slot), before)
    day.visit.appointments.cancel(booking["id"]).expect_refusal(404, "object.not_found")
    return f"{before} free"


@step("The receptionist signs in; no ticket is left at the desk")
def receive(day: Day) -> str:
    receptionist = day.visit.receptionist
    if receptionist.username not in day.memory.enrolled:
        code = day.visit.desk_enrolment_code
        receptionist.enrol_desk(enrolment_code=code).expect(201)
        day.memory.note_enrolled(receptionist.username)
    session, waited = signed_in(day, receptionist)
    same("scene of the desk", session["desk"]["scene"], "check_in")
    left = receptionist.queue().expect(200)["mine"]
    if left is not None:  # by a day that was broken off
        if left["state"] == "called":
            receptionist.ticket(left["id"], "serve").expect(200)
        receptionist.ticket(left["id"], "finish").expect(200)
    return f"waited {waited:.0f} s for a fresh code" if waited else ""


@step("A code without the right to check in is refused", needs=(book, receive))
def check_in_without_right(day: Day) -> str:
    code, _ = through_pixels(day.phone.show_code(scenes=ALL_SCENES & ~SCENES["check_in"]))
    reply = day.visit.receptionist.check_in(code)
    reply.expect_refusal(403, "code.scene_not_allowed")
    return reply.code


@step("The code checks the resident in: a ticket, and one again", needs=(book, receive))
def check_in(day: Day) -> str:
    visit = day.visit
    first, again = (
        visit.receptionist.check_in(through_pixels(day.phone.show_code())[0]).expect(200)
        for _ in range(2)
    )
    same("booking", first["booking"]["id"], visit.booking["id"])
    same("names of the fields", list(first["fields"]), ["real_name"])
    if first["fields"]["real_name"] != present(day.resident).real_name:
        raise Unexpected("the name is wrong")
    same("ticket, checked in again", again["ticket"], first["ticket"])
    visit.ticket = first["ticket"]
    on_the_phone = visit.appointments.show(visit.booking["id"]).expect(200)
    same("booking", on_the_phone["state"], "checked_in")
    same("ticket on the phone", on_the_phone["ticket"]["label"], visit.ticket["label"])
    return str(visit.ticket["label"])


@step("Who has no appointment is refused, then walks in", needs=(check_in, cancel))
def walk_in(day: Day) -> str:
    day.neighbours_phone.fetch_grant().expect(201)
    receptionist = day.visit.receptionist
    receptionist.check_in(day.neighbours_phone.show_code()).expect_refusal(
        409, "check_in.no_booking"
    )
    walked = receptionist.check_in(
        day.neighbours_phone.show_code(), walk_in_service=SERVICE
    ).expect(200)
    same("booking", walked["booking"], None)
    if walked["ticket"]["label"] == day.visit.ticket["label"]:
        raise Unexpected("two people have one ticket")
    return str(walked["ticket"]["label"])


@step("The queue is called, served and finished; both are served", needs=(walk_in,))
def serve(day: Day) -> str:
    receptionist, labels = day.visit.receptionist, []
    while (called := receptionist.call_next().expect(200)["ticket"]) is not None:
        same("ticket", called["state"], "called")
        receptionist.call_next().expect_refusal(409, "desk.busy")
        early = receptionist.ticket(called["id"], "miss")
        early.expect_refusal(409, "ticket.in_grace")
        same("calls", receptionist.ticket(called["id"], "recall").expect(200)["calls"], 2)
        receptionist.ticket(called["id"], "serve").expect(200)
        receptionist.ticket(called["id"], "finish").expect(200)
        labels.append(called["label"])
    if day.visit.ticket["label"] not in labels:
        raise Unexpected("the resident was not called")
    booking = day.visit.appointments.show(day.visit.booking["id"]).expect(200)
    same("booking", (booking["state"], booking["ticket"]["state"]), ("served", "served"))
    return ", ".join(labels)


def _slots(day: Day) -> list[Any]:
    return list(day.visit.appointments.slots(day.visit.service["id"]).expect(200)["items"])


def _free(day: Day, slot: Any) -> int:
    return next(int(each["free"]) for each in _slots(day) if each["id"] == slot["id"])


def _time(slot: Any) -> str:
    return str(slot["starts_at"]).replace("Z", "+00:00")
