"""Level 3 by face: the service's signature is believed, for this person, phone and moment alone."""

import uuid
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.conf import settings

from identity import face_checks, level_checks
from identity.models import AccessLine, LevelCheck, Resident, StateChange
from tests import city, proving
from vpass.common.encodings import b64url_encode
from vpass.common.errors import NotFound
from vpass.common.limits import LimitReached
from vpass.common.models import OutboxDelivery

pytestmark = pytest.mark.django_db(transaction=True)

CHECKS = f"{city.RESIDENT}/face-checks"


def begin(phone: city.Phone) -> Any:
    answer = phone.send("POST", CHECKS, {}, key=city.new_key())
    assert answer.status_code == 201, answer.content
    return answer.json()


def finish(phone: city.Phone, begun: Any, result: str, *, key: str | None = None) -> Any:
    path = f"{CHECKS}/{begun['id']}/result"
    return phone.send("POST", path, {"result": result}, key=key or city.new_key())


def test_face_check__the_person_before_the_camera__level_three_and_nothing_of_the_face(
    phone: city.Phone, monkeypatch: pytest.MonkeyPatch
):
    told: list[Any] = []
    monkeypatch.setattr(
        "identity.real_names.outbox.publish", lambda name, body, at: told.append((name, body))
    )
    key = city.new_key()
    begun = begin(phone)
    result = proving.look(begun)

    answers = [finish(phone, begun, result, key=key) for _ in range(2)]

    assert [each.json() for each in answers] == [{"level": 3}] * 2
    resident, check = Resident.objects.get(), LevelCheck.objects.get()
    assert (resident.level, check.state, check.tries) == (3, "passed", 1)
    assert told == [("identity.level_reached", {"resident_id": str(resident.id), "level": 3})]
    line = AccessLine.objects.get()
    assert (line.scene, line.purpose, line.fields) == ("own", "face-check", [])
    columns = {field.name for field in LevelCheck._meta.get_fields()}
    assert columns == {
        "id", "resident", "device", "kind", "secret_hash", "tries", "state", "created_at",
        "expires_at",
    }  # fmt: skip
    assert begun["challenge"].encode() not in bytes(check.secret_hash)
    # The same result cannot be used again, and who has level 3 needs no other.
    assert city.problem(finish(phone, begun, result)) == (410, "level.check_over")
    again = phone.send("POST", CHECKS, {}, key=city.new_key())
    assert city.problem(again) == (409, "level.reached")


@pytest.mark.parametrize(
    ("mode", "code"),
    [
        ("spoof", "liveness.not_matched"),
        ("no_match", "liveness.not_matched"),
        ("weak", "liveness.not_matched"),
        ("expired", "liveness.result_expired"),
        ("early", "liveness.result_invalid"),
        ("long", "liveness.result_invalid"),
        ("other_audience", "liveness.result_invalid"),
        ("other_issuer", "liveness.result_invalid"),
        ("other_key", "liveness.result_invalid"),
        ("key_in_header", "liveness.result_invalid"),
        ("not_es256", "liveness.result_invalid"),
        ("other_challenge", "liveness.other_challenge"),
        ("other_subject", "liveness.other_person"),
    ],
)
def test_face_check__a_result_that_proves_nothing__its_own_code_and_no_level(
    phone: city.Phone, mode: str, code: str
):
    begun = begin(phone)

    answer = finish(phone, begun, proving.look(begun, mode))

    is_final = code == "liveness.not_matched"
    assert city.problem(answer) == (422, code)
    assert answer.json()["tries_left"] == (0 if is_final else 4)
    assert Resident.objects.get().level == 2
    check = LevelCheck.objects.get()
    assert (check.tries, check.state) == (1, "failed" if is_final else "asked")
    assert AccessLine.objects.count() == 0
    # A check that was not decided still takes the right result.
    late = finish(phone, begun, proving.look(begun))
    assert late.status_code == (410 if is_final else 200)


def forged(begun: Any, **changes: Any) -> str:
    """A result by the service's own key with other claims or header."""
    at = int(city.clock.now().timestamp())
    header = {"alg": "ES256", "typ": "vpass-liveness+jwt", "kid": "liveness-1"}
    claims = {
        "iss": "liveness-1", "aud": begun["audience"], "sub": begun["subject"],
        "challenge": begun["challenge"], "outcome": "match", "score": 96,
        "iat": at, "exp": at + 300, "jti": uuid.uuid4().hex,
    }  # fmt: skip
    header |= changes.pop("header", {})
    whole = {name: value for name, value in (claims | changes).items() if value is not None}
    return proving.SigningKey(proving.keys().liveness_private_pem).jws(header, whole)


def test_face_check__well_signed_but_not_as_agreed__invalid_each_time(phone: city.Phone):
    wrong: list[dict[str, Any]] = [
        {"header": {"typ": "vpass-grant+jwt"}},
        {"header": {"kid": "liveness-2"}},
        {"header": {"jku": "https://elsewhere.example/keys"}},
        {"header": {"x5c": ["AAAA"]}},
        {"header": {"crit": ["exp"]}},
        {"aud": [settings.PUBLIC_URL]},
        {"aud": None},
        {"exp": None},
        {"jti": None},
        {"jti": 7},
        {"iat": True},
        {"score": 96.5},
        {"score": True},
        {"score": 101},
        {"outcome": "MATCH"},
        {"sub": {"of": "me"}},
        {"picture": "AAAA"},
        {"challenge": ["A"]},
    ]
    begun = begin(phone)
    for changes in wrong:
        answer = finish(phone, begun, forged(begun, **changes))
        assert city.problem(answer) == (422, "liveness.result_invalid"), changes
        LevelCheck.objects.update(tries=0)
    text = forged(begun)
    head, body, signature = text.split(".")
    for broken in (
        f"{text}=", f"{head}.{body}.", f"{head}.{body}", "", "a.b.c",
        f"{head}.{body}.{signature[:-1]}", f"{head}.{body}.{b64url_encode(b'0' * 64)}",
    ):  # fmt: skip
        LevelCheck.objects.update(tries=0)
        answer = finish(phone, begun, broken)
        assert answer.status_code in (400, 422), broken
    assert Resident.objects.get().level == 2
    assert finish(phone, begun, text).json() == {"level": 3}


def test_face_check__fifth_try__ends_it(phone: city.Phone):
    begun = begin(phone)

    seen = [finish(phone, begun, forged(begun, jti=7)).json()["tries_left"] for _ in range(5)]

    assert seen == [4, 3, 2, 1, 0]
    assert city.problem(finish(phone, begun, proving.look(begun))) == (410, "level.check_over")
    assert LevelCheck.objects.get().state == "failed"
    assert Resident.objects.get().level == 2


def test_face_check__result_for_another_phone_person_or_time__refused(
    phone: city.Phone, at: datetime
):
    begun = begin(phone)
    result = proving.look(begun)
    stranger = city.make_phone(1, at=at)

    assert city.problem(finish(stranger, begun, result)) == (404, "object.not_found")
    theirs = begin(stranger)
    foreign = finish(stranger, theirs, result)
    assert city.problem(foreign) == (422, "liveness.other_challenge")
    # Their challenge, but my face.
    mixed = proving.look(theirs, subject=begun["subject"])
    assert city.problem(finish(stranger, theirs, mixed)) == (422, "liveness.other_person")
    # A second phone of the same person is another phone.
    with pytest.raises(NotFound):
        face_checks.finish(
            caller=replace(phone.caller, device_id=stranger.caller.device_id),
            check_id=uuid.UUID(begun["id"]),
            result=result,
            idempotency_key=city.idempotency("t"),
            at=at,
        )
    later = at + level_checks.CHECK_LIFE
    with pytest.raises(level_checks.LevelCheckOver):
        face_checks.finish(
            caller=phone.caller,
            check_id=uuid.UUID(begun["id"]),
            result=result,
            idempotency_key=city.idempotency("t"),
            at=later + timedelta(seconds=1),
        )
    assert set(Resident.objects.values_list("level", flat=True)) == {2}


def test_face_check__new_one__ends_the_earlier_and_the_sixth_of_a_day_is_refused(
    phone: city.Phone, at: datetime
):
    first = begin(phone)
    begin(phone)

    assert city.problem(finish(phone, first, proving.look(first))) == (410, "level.check_over")
    for _ in range(3):
        begin(phone)
    with pytest.raises(LimitReached):
        face_checks.begin(
            caller=phone.caller, idempotency_key=city.idempotency("t"), at=city.clock.now()
        )
    states = LevelCheck.objects.order_by("created_at").values_list("state", flat=True)
    assert list(states) == ["expired"] * 4 + ["asked"]


def test_face_check__suspended_meanwhile__refused(phone: city.Phone):
    begun = begin(phone)
    Resident.objects.update(state="suspended")

    answer = finish(phone, begun, proving.look(begun))

    assert city.problem(answer) == (403, "account.suspended")
    assert (Resident.objects.get().level, LevelCheck.objects.get().state) == (2, "asked")


def test_face_check__city_without_the_service__said_so(phone: city.Phone, settings: Any):
    settings.LIVENESS_URL = ""

    answer = phone.send("POST", CHECKS, {}, key=city.new_key())

    assert city.problem(answer) == (503, "liveness.not_offered")
    assert LevelCheck.objects.count() == 0


def test_purge__lapsed_and_old__ended_and_forgotten(phone: city.Phone, at: datetime):
    begin(phone)

    level_checks.purge(at=at + timedelta(minutes=9))
    assert LevelCheck.objects.get().state == "asked"
    level_checks.purge(at=at + timedelta(minutes=11))
    assert LevelCheck.objects.get().state == "expired"
    assert StateChange.objects.filter(object_kind="level_check", event="expire").count() == 1
    level_checks.purge(at=at + timedelta(days=31))
    assert LevelCheck.objects.count() == 0
    assert OutboxDelivery.objects.filter(name__contains="level").count() == 0
