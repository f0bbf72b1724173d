"""A scanner decides without network, and learns of a phone that the hotline has frozen."""

from vpass.day.checks import eventually, present, same
from vpass.day.play import Day, Step, adding_to
from vpass.day.status_actors import OfflineScanner
from vpass.day.steps import (
    FOREIGN_PURPOSE,
    fetch_grant,
    meet_register_again,
    read_key_set,
    signed_in,
)
from vpass.day.transport import Unexpected

STEPS: list[Step] = []
step = adding_to(STEPS)


@step("A scanner fetches its signed bundle and the status lists", needs=(read_key_set,))
def fetch_bundle(day: Day) -> str:
    day.scanner = OfflineScanner(day.kiosk, day.terminal_id)
    count = day.scanner.fetch(day.key_set)
    bundle = present(day.scanner.scanner).bundle
    same("scene", bundle.scene, "id")
    if not count:
        raise Unexpected("there are no status lists")
    return f"{count} lists, {len(bundle.keys)} keys"


@step(
    "Without network it accepts a code, and not a second time",
    needs=(fetch_bundle, meet_register_again),
)
def decide_offline(day: Day) -> str:
    day.neighbours_phone.fetch_grant().expect(201)
    code = day.neighbours_phone.show_code()
    scanner = present(day.scanner)
    same("first", scanner.decide(code).reason, None)
    same("again", scanner.decide(code).reason, "already_used")
    return "already_used"


@step("The neighbour loses the phone, and the hotline freezes it", needs=(decide_offline,))
def freeze_phone(day: Day) -> str:
    hotline, person = day.hotline, present(day.neighbour)
    if day.hotline_enrolment_code:
        hotline.enrol_desk(enrolment_code=day.hotline_enrolment_code).expect(201)
        day.memory.note_enrolled("hotline")
    _, waited = signed_in(day, hotline)
    told = {
        "phone": person.phone,
        "real_name": person.real_name,
        "id_number": person.id_number,
        "reason": "lost",
        "case_number": "12345-0001",
    }
    same("phones", hotline.send("POST", "/lost-phones", told).expect(200), {"phones": 1})
    hotline.sign_out().expect(204)
    return f"waited {waited:.0f} s for a fresh code" if waited else ""


@step("At once its codes and tokens are refused online", needs=(freeze_phone,))
def refuse_online(day: Day) -> str:
    day.neighbours_phone.me().expect_refusal(401, "token.unknown")
    reply = day.kiosk.scan(day.neighbours_phone.show_code(), purpose=FOREIGN_PURPOSE)
    reply.expect_refusal(403, "code.revoked")
    return reply.code


@step(
    "The next list tells the scanner: it refuses this code and accepts another offline",
    needs=(freeze_phone, fetch_grant),
)
def refuse_offline(day: Day) -> str:
    scanner = present(day.scanner)
    fetched = 0

    def look() -> str | None:
        nonlocal fetched
        fetched += scanner.fetch(day.key_set)
        return scanner.decide(day.neighbours_phone.show_code()).reason

    eventually(day, "the list with the frozen phone", look, until=lambda word: word == "revoked")
    same("another phone's code", scanner.decide(day.phone.show_code()).reason, None)
    return f"revoked; {fetched} lists fetched anew"
