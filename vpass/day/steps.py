"""The day begins: from a phone number to a scanned code, and who reads of it."""

import secrets
import time
from datetime import timedelta
from typing import Any

from identity import code_format
from vpass.common import clock, signing
from vpass.day.actors import TOTP_STEP_S, Clerk, Phone, new_key
from vpass.day.checks import present, same, through_pixels
from vpass.day.outside import Person
from vpass.day.play import Day, Step, adding_to
from vpass.day.transport import Unexpected

PURPOSE = "residence-permit"
FOREIGN_PURPOSE = "registration"  # the hospital's, not the hall's

STEPS: list[Step] = []
step = adding_to(STEPS)


@step("The city's key set is published")
def read_key_set(day: Day) -> str:
    reply = day.transport.send("GET", "/.well-known/vpass-keys.json", headers={})
    day.key_set = reply.expect(200)["keys"]
    for key in day.key_set:
        signing.public_from_jwk({name: key[name] for name in ("kty", "crv", "x", "y")})
        same("key's use", (key["use"], key["alg"]), ("sig", "ES256"))
    if not day.key_set:
        raise Unexpected("the key set is empty")
    return f"{len(day.key_set)} keys"


@step("A resident gives a phone number, and the one-time code back")
def enrol(day: Day) -> str:
    day.place = day.memory.take_place()
    day.resident = day.outside.person(day.place)
    return enrol_phone(day, day.phone, day.resident)


@step("The register confirms name and ID number: level 2", needs=(enrol,))
def prove_identity(day: Day) -> str:
    person = present(day.resident)
    reply = day.phone.prove_identity(real_name=person.real_name, id_number=person.id_number)
    same("answer", reply.expect(200), {"level": 2})
    return "level 2"


@step("The phone fetches its day grant", needs=(prove_identity,))
def fetch_grant(day: Day) -> str:
    answer = day.phone.fetch_grant().expect(201)
    same("rhythm", (answer["rotate_every_s"], answer["lives_s"]), (30, 60))
    return f"{len(day.phone.grant)} bytes"


@step("The code is drawn, read from the pixels, and is genuine", needs=(read_key_set, fetch_grant))
def draw_code(day: Day) -> str:
    day.code, picture_bytes = through_pixels(day.phone.show_code())
    code = code_format.read_code(day.code)
    keys = [key for key in day.key_set if key["kid"] == code.kid.hex()]
    same("number of published keys with the code's key id", len(keys), 1)
    jwk = {name: keys[0][name] for name in ("kty", "crv", "x", "y")}
    code_format.check_code(
        code,
        key=signing.public_from_jwk(jwk),
        at=int(clock.now().timestamp()),
        issuer=code.grant.issuer,
    )
    return f"{len(day.code)} characters, PNG of {picture_bytes} bytes"


@step("The desk's browser is enrolled")
def enrol_desk(day: Day) -> str:
    if not day.desk_enrolment_code:
        return "with the key kept from an earlier day"
    reply = day.clerk.enrol_desk(enrolment_code=day.desk_enrolment_code)
    if reply.code == "desk.code_refused":
        raise Unexpected(
            "the desk's enrolment code is used or out of date: give a new one with"
            " `manage.py day --desk-code CODE`, made by `manage.py desk_code 'Desk 2'`"
        )
    desk = reply.expect(201)["desk"]
    day.memory.note_enrolled("desk")
    return f"{desk['organisation']['en']}, {desk['name']['en']}"


@step("The clerk signs in with password and one-time code", needs=(enrol_desk,))
def sign_in(day: Day) -> str:
    session, waited = signed_in(day, day.clerk)
    purposes = {purpose["code"]: purpose["fields"] for purpose in session["purposes"]}
    same("fields of the purpose", purposes[PURPOSE], ["real_name", "id_last4", "over_18"])
    return f"waited {waited:.0f} s for a fresh code" if waited else f"{len(purposes)} purposes"


@step("The counter scans the code and sees exactly three fields", needs=(draw_code, sign_in))
def scan(day: Day) -> str:
    person = present(day.resident)
    day.case_number, day.scan_key = f"DAY-{secrets.token_hex(4)}", new_key()
    reply = day.clerk.scan(day.code, purpose=PURPOSE, case_number=day.case_number, key=day.scan_key)
    day.scan_answer = reply.expect(200)
    same("outcome", day.scan_answer["outcome"], "accepted")
    same("level", day.scan_answer["level"], 2)
    expected = {
        "real_name": person.real_name,
        "id_last4": person.id_number[-4:],
        "over_18": True,
    }
    same("names of the fields", list(day.scan_answer["fields"]), list(expected))
    if day.scan_answer["fields"] != expected:
        raise Unexpected("a field has a wrong value")
    return ", ".join(expected)


@step("The same request again, same idempotency key: same answer", needs=(scan,))
def repeat_scan(day: Day) -> str:
    reply = day.clerk.scan(day.code, purpose=PURPOSE, case_number=day.case_number, key=day.scan_key)
    if reply.expect(200) != day.scan_answer:
        raise Unexpected("the repeated request has another answer")
    return ""


@step("The same code at the same counter is refused", needs=(scan,))
def scan_twice(day: Day) -> str:
    reply = day.clerk.scan(day.code, purpose=PURPOSE, case_number=day.case_number)
    reply.expect_refusal(409, "code.already_used")
    return reply.code


@step("The same code at a kiosk elsewhere is refused", needs=(scan,))
def scan_elsewhere(day: Day) -> str:
    reply = day.kiosk.scan(day.code, purpose=FOREIGN_PURPOSE)
    reply.expect_refusal(409, "code.already_used")
    return reply.code


@step("A purpose the desk has no right to is refused", needs=(fetch_grant, sign_in))
def scan_beyond_entitlement(day: Day) -> str:
    reply = day.clerk.scan(
        day.phone.show_code(), purpose=FOREIGN_PURPOSE, case_number=day.case_number or "DAY-0"
    )
    reply.expect_refusal(403, "scan.not_entitled")
    return reply.code


@step("A code of two minutes ago is refused", needs=(fetch_grant, sign_in))
def scan_expired(day: Day) -> str:
    old = day.phone.show_code(clock_offset=timedelta(minutes=-2))
    reply = day.clerk.scan(old, purpose=PURPOSE, case_number=day.case_number or "DAY-0")
    reply.expect_refusal(410, "code.expired")
    return reply.code


@step(
    "The resident reads who looked, and who was refused",
    needs=(repeat_scan, scan_twice, scan_elsewhere, scan_beyond_entitlement, scan_expired),
)
def read_access_log(day: Day) -> str:
    lines = day.phone.access_log().expect(200)["items"]
    same(
        "the access log, newest first",
        [(line["outcome"], line["reason"], line["purpose"]["code"]) for line in lines],
        [
            ("refused", "scan.not_entitled", FOREIGN_PURPOSE),
            ("refused", "code.already_used", FOREIGN_PURPOSE),
            ("refused", "code.already_used", PURPOSE),
            ("accepted", None, PURPOSE),
        ],
    )
    accepted = lines[-1]
    day.access_line_id = accepted["id"]
    same("fields in the log", accepted["fields"], ["real_name", "id_last4", "over_18"])
    same("case number in the log", accepted["case_number"], day.case_number)
    same("fields of refused lines", [line["fields"] for line in lines[:-1]], [[], [], []])
    same("the line by itself", day.phone.access_line(day.access_line_id).expect(200), accepted)
    return f"{len(lines)} lines"


@step("A neighbour enrols")
def enrol_neighbour(day: Day) -> str:
    day.neighbour = day.outside.person(day.memory.take_place())
    return enrol_phone(day, day.neighbours_phone, day.neighbour)


@step("The neighbour cannot read the resident's line", needs=(read_access_log, enrol_neighbour))
def read_foreign_line(day: Day) -> str:
    reply = day.neighbours_phone.access_line(day.access_line_id)
    reply.expect_refusal(404, "object.not_found")
    same("the neighbour's log", day.neighbours_phone.access_log().expect(200)["items"], [])
    return reply.code


@step("The register is down: said so, and nothing half done", needs=(enrol_neighbour,))
def meet_register_down(day: Day) -> str:
    person = present(day.neighbour)
    day.proof_key = new_key()
    with day.outside.register_down():
        reply = day.neighbours_phone.prove_identity(
            real_name=person.real_name, id_number=person.id_number, key=day.proof_key
        )
    reply.expect_refusal(503, "register.unavailable")
    account = day.neighbours_phone.me().expect(200)
    same("account", (account["level"], account["masked_name"]), (1, None))
    day.neighbours_phone.fetch_grant().expect_refusal(403, "caller.level_too_low")
    return reply.code


@step("The register is back: the same request goes through", needs=(meet_register_down,))
def meet_register_again(day: Day) -> str:
    person = present(day.neighbour)
    for _ in range(2):  # and a second time with the same answer
        reply = day.neighbours_phone.prove_identity(
            real_name=person.real_name, id_number=person.id_number, key=day.proof_key
        )
        same("answer", reply.expect(200), {"level": 2})
    return "level 2"


@step("The clerk signs out, and the old session is refused", needs=(sign_in,))
def sign_out(day: Day) -> str:
    day.clerk.session().expect(200)
    day.clerk.sign_out().expect(204)
    reply = day.clerk.session()
    reply.expect_refusal(401, "token.unknown")
    return reply.code


def enrol_phone(day: Day, phone: Phone, person: Person) -> str:
    """Takes somebody's phone to level 1 with the one-time code that arrives at its number."""
    seen = day.outside.message_ids(person.phone)
    started = phone.start_enrolment(phone=person.phone).expect(201)
    one_time_code = day.outside.one_time_code(person.phone, seen=seen)
    answer = phone.confirm_phone(
        enrolment_id=started["enrolment_id"], one_time_code=one_time_code
    ).expect(200)
    same("level", answer["resident"]["level"], 1)
    return "level 1"


def signed_in(day: Day, clerk: Clerk) -> tuple[Any, float]:
    """The session of a clerk who has signed in now, and for how long a fresh code was waited."""
    waited = _await_fresh_totp(day, clerk.username)
    reply = clerk.sign_in(at=clock.now())
    if reply.code == "staff.sign_in_refused":
        # The code may have been used from elsewhere in the same half minute: once more.
        waited += _await_fresh_totp(day, clerk.username)
        reply = clerk.sign_in(at=clock.now())
    return reply.expect(201), waited


def _await_fresh_totp(day: Day, username: str) -> float:
    """Waits until an authenticator shows a code that was never used; returns for how long."""
    begun = time.monotonic()
    # The server takes a code once, also one used by an earlier day in the same half minute.
    used = day.memory.totp_steps.get(username, 0)
    while (now_step := int(clock.now().timestamp()) // TOTP_STEP_S) <= used:
        time.sleep(0.1)
    day.memory.totp_steps[username] = now_step
    day.memory.save()
    return time.monotonic() - begun if time.monotonic() - begun > 0.1 else 0.0
