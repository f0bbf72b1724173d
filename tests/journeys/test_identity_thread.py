"""The way from a phone number to a scanned code, with a real register and SMS gateway outside."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from identity import disclosure
from identity.code_format import SCENES
from identity.models import AccessLine, Redemption, Resident
from tests.in_process import prepare_day
from tests.outside import OutsideWorld
from vpass.common import signing
from vpass.day import steps
from vpass.day.actors import TOTP_STEP_S
from vpass.day.play import Day, play
from vpass.day.transport import Unexpected

UP_TO_THE_SCAN = [
    each.act for each in steps.STEPS[: 1 + [each.act for each in steps.STEPS].index(steps.scan)]
]


def go(day: Day, *acts: Callable[[Day], str]) -> None:
    """Play these steps; they go well."""
    for act in acts:
        act(day)


def test_day__every_step__goes_well(day: Day):
    lines: list[str] = []

    failed = play(steps.STEPS, day, say=lines.append)

    assert failed == 0, "\n".join(lines)
    assert len(lines) == len(steps.STEPS) >= 19
    assert [line.outcome for line in AccessLine.objects.order_by("id")] == [
        "accepted",
        "refused",
        "refused",
        "refused",
    ]


def test_day__a_second_one__enrols_new_people_and_keeps_the_desk(
    day: Day, sandbox: OutsideWorld, tmp_path: Path
):
    go(day, steps.enrol, steps.enrol_desk)

    second = prepare_day(sandbox, folder=tmp_path)
    go(second, steps.enrol, steps.enrol_neighbour)

    assert Resident.objects.count() == 3
    assert second.desk_enrolment_code == ""
    assert signing.jwk_of(second.clerk.desk_key) == signing.jwk_of(day.clerk.desk_key)


def test_day__counter_would_see_one_field_more__the_scan_fails(
    day: Day, monkeypatch: pytest.MonkeyPatch
):
    disclose = disclosure.disclose
    monkeypatch.setattr(
        disclosure, "disclose", lambda **asked: disclose(**asked) | {"sex": "female"}
    )
    lines: list[str] = []

    play(steps.STEPS, day, say=lines.append)

    first = next(line for line in lines if "FAILED" in line)
    assert "exactly three fields" in first
    assert "names of the fields" in first


def test_token__renewed_with_the_key__opens_the_account(day: Day):
    go(day, steps.enrol)
    first = day.phone.access_token

    renewed = day.phone.renew_token().expect(200)

    assert renewed["token_type"] == "DPoP"
    assert day.phone.access_token not in (None, first)
    assert day.phone.me().expect(200)["level"] == 1


def test_enrolment__wrong_one_time_codes__fifth_ends_it(day: Day):
    person = day.outside.person(day.memory.take_place())
    seen = day.outside.message_ids(person.phone)
    enrolment_id = day.phone.start_enrolment(phone=person.phone).expect(201)["enrolment_id"]
    right = day.outside.one_time_code(person.phone, seen=seen)
    wrong = f"{(int(right) + 1) % 10**6:06d}"

    for _ in range(5):
        reply = day.phone.confirm_phone(enrolment_id=enrolment_id, one_time_code=wrong)
        reply.expect_refusal(422, "enrolment.code_wrong")
    late = day.phone.confirm_phone(enrolment_id=enrolment_id, one_time_code=right)

    late.expect_refusal(410, "enrolment.over")
    assert Resident.objects.count() == 0


@pytest.mark.parametrize(
    ("mode", "status", "code"),
    [
        ("reset", 503, "register.unavailable"),
        ("lost_reply", 503, "register.unavailable"),
        ("http_500", 503, "register.unavailable"),
        ("nonsense", 502, "register.answer_invalid"),
        ("bad_signature", 502, "register.answer_invalid"),
        ("unsigned", 502, "register.answer_invalid"),
    ],
)
def test_identity_proof__register_fails_once__nothing_half_done_and_same_request_heals(
    day: Day, sandbox: OutsideWorld, mode: str, status: int, code: str
):
    go(day, steps.enrol)
    assert day.resident is not None
    ask = {"real_name": day.resident.real_name, "id_number": day.resident.id_number}
    sandbox.breaks("register", mode)

    broken = day.phone.prove_identity(**ask, key="one-piece-of-work")

    broken.expect_refusal(status, code)
    resident = Resident.objects.get()
    assert (resident.level, resident.real_name, resident.census_hash) == (1, None, None)
    healed = day.phone.prove_identity(**ask, key="one-piece-of-work")
    assert healed.expect(200) == {"level": 2}


def test_identity_proof__person_with_an_account__refused_and_stays_at_level_1(day: Day):
    go(day, steps.enrol, steps.prove_identity, steps.enrol_neighbour)
    assert day.resident is not None

    reply = day.neighbours_phone.prove_identity(
        real_name=day.resident.real_name, id_number=day.resident.id_number
    )

    reply.expect_refusal(409, "identity.taken")
    assert day.neighbours_phone.me().expect(200)["level"] == 1


def test_code__signed_for_the_bus_alone__refused_at_the_counter_and_used_up(day: Day):
    go(day, steps.enrol, steps.prove_identity, steps.fetch_grant, steps.enrol_desk, steps.sign_in)
    code = day.phone.show_code(scenes=SCENES["bus"])

    reply = day.clerk.scan(code, purpose=steps.PURPOSE, case_number="J-1")

    reply.expect_refusal(403, "code.scene_not_allowed")
    assert Redemption.objects.count() == 1
    again = day.kiosk.scan(code, purpose=steps.FOREIGN_PURPOSE)
    again.expect_refusal(409, "code.already_used")


def test_kiosk__fresh_code__sees_its_own_fields_and_another_pseudonym(day: Day):
    go(day, *UP_TO_THE_SCAN)
    assert day.resident is not None

    answer = day.kiosk.scan(day.phone.show_code(), purpose=steps.FOREIGN_PURPOSE).expect(200)

    assert list(answer["fields"]) == ["real_name", "id_number", "sex"]
    assert answer["fields"]["id_number"] == day.resident.id_number
    assert answer["holder"] != day.scan_answer["holder"]


def test_sign_in__one_time_code_used_before__refused(day: Day):
    go(day, steps.enrol_desk, steps.sign_in)
    at = datetime.fromtimestamp(day.memory.totp_steps[day.clerk.username] * TOTP_STEP_S, tz=UTC)

    reply = day.clerk.sign_in(at=at)

    reply.expect_refusal(401, "staff.sign_in_refused")


def test_phone__without_token__does_not_pretend(day: Day):
    with pytest.raises(Unexpected, match="not signed in"):
        day.phone.me()
