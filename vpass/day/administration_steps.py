"""The day ends in the offices: what two people register, a key that rotates, and one's own data."""

import secrets

from vpass.common import signing
from vpass.day.actors import Clerk, Phone, new_key
from vpass.day.administration_actors import KeyedMachine
from vpass.day.checks import same
from vpass.day.play import Day, Step, adding_to
from vpass.day.steps import enrol_phone, prove_identity, signed_in

STEPS: list[Step] = []
step = adding_to(STEPS)


@step("Two administrators sign in at their desks")
def sign_in_administrators(day: Day) -> str:
    office = day.administration
    people = (office.proposer, office.approver)
    for person, code in zip(people, office.desk_enrolment_codes, strict=True):
        if person.username not in day.memory.enrolled:
            person.enrol_desk(enrolment_code=code).expect(201)
            day.memory.note_enrolled(person.username)
    waited = sum(signed_in(day, person)[1] for person in people)
    return f"waited {waited:.0f} s for fresh codes" if waited else ""


@step("One proposes a desk for the hall, the other approves, its browser enrols",
      needs=(sign_in_administrators,))  # fmt: skip
def register_desk(day: Day) -> str:
    office = day.administration
    hall = next(
        each for each in office.proposer.organisations().expect(200)["items"]
        if each["kind"] == "hall"
    )["id"]  # fmt: skip
    number = secrets.token_hex(4)
    words = {"name_zh": f"临时窗口{number}", "name_en": f"Extra desk {number}", "scene": "id"}
    proposed = office.proposer.propose("desk.register", hall, **words).expect(201)
    office.proposer.approve(proposed["id"]).expect_refusal(403, "caller.role_missing")
    approved = office.approver.approve(proposed["id"]).expect(200)
    office.approver.approve(proposed["id"]).expect_refusal(409, "registration.over")
    browser = Clerk(day.transport, signing.generate_p256(), "", "", "")
    enrolled = browser.enrol_desk(enrolment_code=approved["code"]).expect(201)
    same("desk", enrolled["desk"]["id"], approved["made"])
    office.proposer.suspend("desks", approved["made"]).expect(200)
    return words["name_en"]


@step("A machine enrols its own key, rotates it, and both are good; then it is suspended",
      needs=(sign_in_administrators,))  # fmt: skip
def rotate_key(day: Day) -> str:
    office, machine = day.administration, KeyedMachine(day.transport)
    city = next(
        each for each in office.proposer.organisations().expect(200)["items"]
        if each["kind"] == "city"
    )["id"]  # fmt: skip
    words = {"name_zh": "巡检终端", "name_en": "Inspection terminal", "scene": "id"}
    proposed = office.proposer.propose("terminal.register", city, **words).expect(201)
    approved = office.approver.approve(proposed["id"]).expect(200)
    machine.enrol(enrolment_code=approved["code"]).expect(201)
    machine.fetch_bundle(by=machine.next_key).expect_refusal(401, "signature.key_unknown")
    until = machine.rotate().expect(201)["old_key_good_until"]
    for key in (machine.key, machine.next_key):
        machine.fetch_bundle(by=key).expect(200)
    machine.rotate().expect_refusal(409, "machine_key.not_current")
    office.proposer.suspend("terminals", approved["made"]).expect(200)
    machine.fetch_bundle(by=machine.next_key).expect_refusal(401, "signature.key_unknown")
    return f"the old key was good until {until[:16]}"


@step("A correction is asked for, refused with a reason, and read",
      needs=(sign_in_administrators, prove_identity))  # fmt: skip
def correct(day: Day) -> str:
    phone = day.phone
    body = {"field": "real_name", "note": "请核对姓名用字"}
    asked = phone.send("POST", "/corrections", body, idempotency_key=new_key()).expect(201)
    officer = day.administration.approver
    officer.refuse_correction(asked["id"], text="与人口登记一致").expect(200)
    shown = phone.send("GET", "/corrections").expect(200)["items"][0]
    same("answer", (shown["state"], shown["answer"]), ("refused", "与人口登记一致"))
    return shown["state"]


@step("Somebody asks to be forgotten, signed over the terms, and thinks better of it")
def call_off_deletion(day: Day) -> str:
    phone, person = Phone(day.transport), day.outside.person(day.memory.take_place())
    enrol_phone(day, phone, person)
    terms = phone.send("GET", "/deletion-terms").expect(200)
    same("what is open", terms["obligations"], [])
    claims = {name: terms[name] for name in ("account", "terms")}
    word = signing.encode_jws(
        {**claims, **phone.request_claims("/deletions")}, phone.key, typ="vpass-deletion+jwt"
    )
    made = phone.send("POST", "/deletions", {"request": word}, idempotency_key=new_key()).expect(
        201
    )
    same("state", made["state"], "waiting")
    path = f"/deletions/{made['id']}/cancellation"
    kept = phone.send("POST", path, {}, idempotency_key=new_key()).expect(200)
    same("state", kept["state"], "cancelled")
    sections = phone.send("GET", "/exports").expect(200)["sections"]
    return f"{len(sections)} sections to export"
