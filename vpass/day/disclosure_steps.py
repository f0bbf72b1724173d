"""The day goes on: what is asked, consented to, shared, done for others, and disputed."""

import secrets
from dataclasses import replace
from typing import Any

from vpass.day.checks import present, same, through_pixels
from vpass.day.play import Day, Step, adding_to
from vpass.day.steps import PURPOSE, fetch_grant, read_access_log, signed_in
from vpass.day.transport import Unexpected

MATTER = "2026 年度养老金资格认证"

STEPS: list[Step] = []
step = adding_to(STEPS)


@step("The privacy officer signs in")
def sign_in_officer(day: Day) -> str:
    officer = day.disclosure.officer
    if officer.username not in day.memory.enrolled:
        code = day.disclosure.desk_enrolment_code
        officer.enrol_desk(enrolment_code=code).expect(201)
        day.memory.note_enrolled(officer.username)
    session, waited = signed_in(day, officer)
    same("roles", session["staff"]["roles"], ["privacy"])
    return f"waited {waited:.0f} s for a fresh code" if waited else ""


@step("A dispute in one tap, the office's answer, both read it", needs=(read_access_log,
      sign_in_officer))  # fmt: skip
def dispute(day: Day) -> str:
    line_id, officer = day.access_line_id, day.disclosure.officer
    day.disclosure.sharing.dispute(line_id, note="我没有办理过").expect(201)
    day.disclosure.sharing.dispute(line_id, note="再次").expect_refusal(409, "dispute.exists")
    told = next(each for each in officer.disputes().expect(200)["items"] if each["line"] == line_id)
    same("the disputed look", (told["state"], told["case_number"]), ("open", day.case_number))
    officer.answer(line_id, verdict="justified", text="当日由您本人在窗口办理").expect(200)
    answered = day.phone.access_line(line_id).expect(200)["dispute"]
    same("answer", (answered["state"], answered["note"]), ("justified", "我没有办理过"))
    return answered["state"]


@step("A desk asks beyond its right: refused, and in the resident's log",
      needs=(fetch_grant, sign_in_officer))  # fmt: skip
def ask_too_much(day: Day) -> str:
    reply = day.disclosure.officer.scan_for(
        _fresh_code(day), purpose=PURPOSE, case_number="DAY-ASK", fields=["real_name", "sex"]
    )
    reply.expect_refusal(403, "scan.over_asking")
    line = _newest(day)
    same("asked, as the resident reads it", (line["asked"], line["fields"]), (["sex"], []))
    return reply.code


@step("Asked on the phone, approved with its signature, given out once",
      needs=(fetch_grant, sign_in_officer))  # fmt: skip
def consent(day: Day) -> str:
    officer, sharing = day.disclosure.officer, day.disclosure.sharing
    scan = officer.scan_for(
        _fresh_code(day), purpose=PURPOSE, case_number="DAY-ASK", fields=["real_name"]
    ).expect(200)
    asked_id = officer.ask(scan["scan"], fields=["id_number", "phone"]).expect(201)["id"]
    officer.release(asked_id).expect_refusal(409, "consent.over")
    shown = sharing.consents().expect(200)["items"][0]
    same("what the phone shows", (shown["id"], shown["state"]), (asked_id, "asked"))
    sharing.approve(shown, fields=["phone"]).expect_refusal(422, "word.invalid")
    sharing.approve(shown).expect(200)
    fields = officer.release(asked_id).expect(200)["fields"]
    person = present(day.resident)
    if fields != {"id_number": person.id_number, "phone": person.phone}:
        raise Unexpected("a field has a wrong value")
    officer.release(asked_id).expect_refusal(409, "consent.over")
    same("fields in the log", _newest(day)["fields"], ["id_number", "phone"])
    return ", ".join(fields)


@step("The resident shares two fields with a department for one matter", needs=(fetch_grant,))
def share(day: Day) -> str:
    sharing = day.disclosure.sharing
    recipient = next(
        each
        for each in sharing.recipients().expect(200)["items"]
        if each["purpose"]["code"] == "pension"
    )
    day.disclosure.share = sharing.share(
        recipient, matter=MATTER, fields=["real_name", "birth_date"]
    ).expect(201)
    return f"handle of {len(day.disclosure.share['handle'])} characters"


@step("Forwarded to another department it is worthless, and the resident reads of it",
      needs=(share,))  # fmt: skip
def open_elsewhere(day: Day) -> str:
    handle = day.disclosure.share["handle"]
    reply = day.disclosure.other_department.open(handle, case_number="DAY-0")
    reply.expect_refusal(404, "object.not_found")
    same("reason in the log", _newest(day)["reason"], "share.wrong_department")
    return reply.code


@step("The department opens it once, and its decision comes back", needs=(share,))
def open_share(day: Day) -> str:
    department, made = day.disclosure.department, day.disclosure.share
    case_number = f"YL-{secrets.token_hex(4)}"
    opened = department.open(made["handle"], case_number=case_number).expect(200)
    same("names of the fields", sorted(opened["fields"]), ["birth_date", "real_name"])
    same("matter", opened["matter"], MATTER)
    if opened["fields"]["real_name"] != present(day.resident).real_name:
        raise Unexpected("a field has a wrong value")
    department.open(made["handle"], case_number=case_number).expect_refusal(409, "share.spent")
    department.conclude(made["id"], decision="granted", note="已办结").expect(200)
    shown = day.disclosure.sharing.shares().expect(200)["items"][0]
    same("share", (shown["id"], shown["state"]), (made["id"], "concluded"))
    same("result", (shown["result"]["decision"], shown["case_number"]), ("granted", case_number))
    same("case number in the log", _newest(day)["case_number"], case_number)
    return shown["result"]["decision"]


@step("The register confirms the resident's child", needs=(fetch_grant,))
def take_child(day: Day) -> str:
    child = day.outside.family(day.place)["child"]
    made = day.disclosure.sharing.act_for_child(**child).expect(201)
    day.disclosure.delegation_id = made["id"]
    return made["state"]


@step("The parent's phone shows the child's code; both logs tell it",
      needs=(take_child, sign_in_officer))  # fmt: skip
def act_for_child(day: Day) -> str:
    disclosure, child = day.disclosure, day.outside.family(day.place)["child"]
    phone = replace(day.phone)
    phone.fetch_grant(on_behalf_of=disclosure.delegation_id).expect(201)
    code, _ = through_pixels(phone.show_code())
    answer = disclosure.officer.scan_for(
        code, purpose=PURPOSE, case_number="DAY-CHILD", fields=None
    ).expect(200)
    same("the child is of age", answer["fields"]["over_18"], False)
    if answer["fields"]["real_name"] != child["real_name"]:
        raise Unexpected("not the child's name")
    if answer["acting"]["delegate_name"] != present(day.resident).real_name:
        raise Unexpected("not the parent's name")
    own = _newest(day)["acting"]
    (used,) = disclosure.sharing.uses(disclosure.delegation_id).expect(200)["items"]
    same("who acted, in both logs", (own["kind"], used["acting"]), ("child", own))
    disclosure.sharing.revoke(disclosure.delegation_id).expect(200)
    late = disclosure.officer.scan_for(
        phone.show_code(), purpose=PURPOSE, case_number="DAY-CHILD", fields=None
    )
    late.expect_refusal(403, "code.revoked")
    return f"then revoked: {late.code}"


@step("The resident exports the whole access log", needs=(dispute,))
def export(day: Day) -> str:
    exported = day.disclosure.sharing.export().expect(200)
    same("format", exported["format"], "vpass-access-log-1")
    same("the export in the log", _newest(day)["purpose"]["code"], "export")
    return f"{len(exported['lines'])} lines"


def _fresh_code(day: Day) -> str:
    """A code of a grant of its own, which no other scanner has seen."""
    phone = replace(day.phone)
    phone.fetch_grant().expect(201)
    return phone.show_code()


def _newest(day: Day) -> Any:
    return day.phone.access_log().expect(200)["items"][0]
