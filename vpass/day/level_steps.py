"""People reach level 3, by face and at a counter, and the register tells a new name."""

from vpass.day.actors import new_key
from vpass.day.checks import present, same
from vpass.day.level_actors import PURPOSE, look
from vpass.day.play import Day, Step, adding_to
from vpass.day.steps import fetch_grant, signed_in
from vpass.day.transport import Unexpected

STEPS: list[Step] = []
step = adding_to(STEPS)

NEW_NAME = "王新名"


@step("A newcomer enrols with a phone whose chip is vouched for")
def enrol_with_chip(day: Day) -> str:
    levels, phone = day.levels, day.levels.phone
    person = levels.newcomer = day.outside.person(day.memory.take_place())
    chain = phone.attest(day.outside)
    seen = day.outside.message_ids(person.phone)
    started = phone.start_enrolment(phone=person.phone).expect(201)
    phone.confirm_phone_by_chip(
        enrolment_id=started["enrolment_id"],
        one_time_code=day.outside.one_time_code(person.phone, seen=seen),
        chain=chain,
    ).expect(200)
    same("grade", phone.me().expect(200)["device"]["grade"], "hardware")
    reply = phone.prove_identity(real_name=person.real_name, id_number=person.id_number)
    same("answer", reply.expect(200), {"level": 2})
    return f"{len(chain)} certificates, level 2"


@step("A mask before the camera is refused, the face itself gives level 3",
      needs=(enrol_with_chip,))  # fmt: skip
def check_face(day: Day) -> str:
    phone = day.levels.phone
    begun = phone.begin_face_check().expect(201)
    day.outside.next_face("spoof")
    refused = phone.finish_face_check(begun["id"], look(day.outside, begun))
    refused.expect_refusal(422, "liveness.not_matched")
    begun = phone.begin_face_check().expect(201)
    result = look(day.outside, begun)
    same("answer", phone.finish_face_check(begun["id"], result).expect(200), {"level": 3})
    again = phone.finish_face_check(begun["id"], result)
    again.expect_refusal(410, "level.check_over")
    return "level 3"


@step("A registrar compares face, photo and document: the resident has level 3",
      needs=(fetch_grant,))  # fmt: skip
def check_at_counter(day: Day) -> str:
    registrar = day.levels.registrar
    if day.levels.desk_enrolment_code:
        registrar.enrol_desk(enrolment_code=day.levels.desk_enrolment_code).expect(201)
        day.memory.note_enrolled("registrar")
    signed_in(day, registrar)
    day.phone.fetch_grant().expect(201)
    code = day.phone.show_code()
    scan = registrar.scan(code, purpose=PURPOSE, case_number="DAY-LEVEL").expect(200)
    same("the photo among the fields", scan["fields"]["photo"], True)
    photo = registrar.send("GET", f"/scans/{scan['scan']}/photo").expect(200)
    if not photo["photo"].startswith("/9j/"):
        raise Unexpected("not a JPEG")
    seen = {"scan": scan["scan"], "document_kind": "id_card", "case_number": "DAY-LEVEL"}
    raised = registrar.send("POST", "/level-raises", seen, idempotency_key=new_key())
    same("level", raised.expect(200)["level"], 3)
    same("level", day.phone.me().expect(200)["level"], 3)
    registrar.sign_out().expect(204)
    return f"photo of {len(photo['photo']) * 3 // 4} bytes"


@step("The register tells a new name, twice: changed once, and the newcomer reads it",
      needs=(check_face,))  # fmt: skip
def hear_of_new_name(day: Day) -> str:
    person, phone = present(day.levels.newcomer), day.levels.phone
    answers = day.outside.change_name(person.id_number, new_name=NEW_NAME, copies=2)
    same("answers", [each["status"] for each in answers], [200, 200])
    same("states", [each["answer"]["state"] for each in answers], ["applied"] * 2)
    same("name", phone.me().expect(200)["masked_name"], "**名")
    lines = [
        line
        for line in phone.access_log().expect(200)["items"]
        if line["purpose"]["code"] == "name-changed"
    ]
    same("fields in the log", [line["fields"] for line in lines], [["real_name"]])
    return lines[0]["organisation"]["en"]
