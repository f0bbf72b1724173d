"""A grant for a day, a code for one use: what each refusal says, writes down, and leaves alone."""

import itertools
import json
import secrets
from datetime import datetime, timedelta
from typing import Any

import base45
import cbor2
import pytest
from django.conf import settings
from django.db import connection

from identity import code_format, codes, disclosure, grants, keys
from identity.code_format import GrantClaims
from identity.models import AccessLine, Grant, Organisation, Redemption
from tests import city
from tests.statements import statements
from vpass.common import signing
from vpass.common.idempotency import KeyReused
from vpass.common.limits import LimitReached
from vpass.common.models import IdempotencyRecord

pytestmark = pytest.mark.django_db(transaction=True)

P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


def full_hour(at: datetime) -> datetime:
    return at.replace(minute=0, second=0, microsecond=0)


def redeem(caller: Any, code: str, *, at: datetime, **changes: Any) -> codes.Scan:
    asked = {
        "caller": caller,
        "code": code,
        "purpose": city.PURPOSE,
        "case_number": "WF-1",
        "idempotency_key": city.idempotency(caller.scope),
        "at": at,
    }
    return codes.redeem_code(**asked | changes)


def all_rows() -> tuple[int, int, int]:
    return (
        Redemption.objects.count(),
        AccessLine.objects.count(),
        IdempotencyRecord.objects.count(),
    )


def forged(code: str, *, grant: bool, change: Any) -> str:
    """The code with the signature of its grant or its presentation changed."""
    items = cbor2.loads(base45.b45decode(code[4:]))
    item = items[0] if grant else items[1]
    item[3] = change(item[3])
    return "VP1:" + base45.b45encode(cbor2.dumps(items)).decode()


def flipped(signature: bytes) -> bytes:
    return signature[:-1] + bytes([signature[-1] ^ 1])


def high_s(signature: bytes) -> bytes:
    return signature[:32] + (P256_ORDER - int.from_bytes(signature[32:])).to_bytes(32)


# Grants


def test_issue_grant__proven_resident__row_and_signed_bytes_agree(phone: city.Phone, at: datetime):
    held = phone.grant(at=at)

    row = Grant.objects.get()
    read = code_format.decode_grant(held.encoded)
    signer = keys.current_signer(at=at)
    assert read.kid == signer.key_id == bytes(row.key_id)
    assert signing.es256_verify(signer.private.public_key(), read.signed_bytes, read.signature)
    assert read.claims == GrantClaims(
        issuer=settings.CITY,
        expires_at=int(full_hour(at).timestamp()) + 86400,
        handle=bytes(row.handle),
        public_point=signing.public_point(held.private),
        status_index=row.status_index,
        rights=None,
    )
    assert (row.device_id, row.resident_id, row.ended_at) == (
        phone.device.id, phone.device.resident_id, None,
    )  # fmt: skip
    assert row.expires_at == full_hour(at) + timedelta(hours=24)


def test_issue_grant__two_grants__nothing_in_common_but_city_and_key(
    phone: city.Phone, at: datetime
):
    one, two = (code_format.decode_grant(phone.grant(at=at).encoded).claims for _ in range(2))

    assert one.handle != two.handle
    assert one.public_point != two.public_point
    assert one.status_index != two.status_index


@pytest.mark.parametrize(
    "fault",
    ["other key", "other audience", "stale", "ahead", "no cnf", "cnf text", "own key", "private"],
)
def test_issue_grant__request_not_as_it_must_be__refused_and_nothing_issued(
    phone: city.Phone, at: datetime, fault: str
):
    fresh = signing.generate_p256()
    made: dict[str, Any] = {
        "other key": {"by": signing.generate_p256()},
        "other audience": {"aud": settings.PUBLIC_URL + "/api/resident/v1/tokens"},
        "stale": {"iat": int(at.timestamp()) - 62},
        "ahead": {"iat": int(at.timestamp()) + 32},
        "no cnf": {"cnf": None},
        "cnf text": {"cnf": "jwk"},
        "own key": {"cnf": {"jwk": signing.jwk_of(phone.key)}},
        "private": {"cnf": {"jwk": signing.jwk_of(fresh) | {"d": "AA"}}},
    }[fault]

    with pytest.raises(grants.GrantRequestInvalid):
        grants.issue_grant(
            caller=phone.caller,
            request_jws=phone.grant_request(fresh, at=at, **made),
            idempotency_key=city.idempotency(phone.caller.scope),
            at=at,
        )

    assert Grant.objects.count() == 0
    assert IdempotencyRecord.objects.count() == 0


def test_issue_grant__suspended_resident__refused(phone: city.Phone, at: datetime):
    resident = phone.device.resident
    resident.state = "suspended"
    resident.save(update_fields=["state"])

    with pytest.raises(grants.AccountSuspended):
        phone.grant(at=at)
    assert Grant.objects.count() == 0


def test_issue_grant__same_key_again__same_grant_even_when_the_request_is_stale(
    phone: city.Phone, at: datetime
):
    asked: dict[str, Any] = {
        "caller": phone.caller,
        "request_jws": phone.grant_request(signing.generate_p256(), at=at),
        "idempotency_key": city.idempotency(phone.caller.scope),
    }

    first = grants.issue_grant(**asked, at=at)
    again = grants.issue_grant(**asked, at=at + timedelta(hours=2))

    assert first == again
    assert Grant.objects.count() == 1


def test_issue_grant__forty_eight_a_day__the_next_refused_but_a_repeat_answered(
    phone: city.Phone, at: datetime
):
    asked: dict[str, Any] = {
        "caller": phone.caller,
        "request_jws": phone.grant_request(signing.generate_p256(), at=at),
        "idempotency_key": city.idempotency(phone.caller.scope),
    }
    first = grants.issue_grant(**asked, at=at)
    for _ in range(47):
        phone.grant(at=at)

    with pytest.raises(LimitReached):
        phone.grant(at=at)

    assert grants.issue_grant(**asked, at=at) == first
    assert Grant.objects.count() == 48


# Redemption


def test_redeem__first_use__entitled_fields_pseudonym_line_and_redemption(
    counter: city.DeskBrowser, phone: city.Phone, grant: city.HeldGrant, at: datetime
):
    code = grant.code(at)

    scan = redeem(counter.caller, code, at=at)

    person = city.PEOPLE[0]
    assert scan.fields == {
        "real_name": person.real_name,
        "id_last4": person.id_number[-4:],
        "over_18": True,
    }
    assert scan.holder == disclosure.pseudonym(
        resident_id=phone.device.resident_id, organisation_id=counter.desk.organisation_id
    )
    assert (scan.level, scan.redeemed_at) == (2, at.isoformat())
    used = Redemption.objects.get()
    assert bytes(used.jti) == code_format.read_code(code).jti
    assert used.scanner == counter.caller.scope
    line = AccessLine.objects.get()
    assert (line.resident_id, line.organisation_id) == (
        phone.device.resident_id, counter.desk.organisation_id,
    )  # fmt: skip
    assert (line.desk_id, line.terminal_id, line.staff_id) == (
        counter.desk.id, None, counter.staff.id,
    )  # fmt: skip
    assert (line.scene, line.purpose, line.case_number) == ("id", city.PURPOSE, "WF-1")
    assert (line.fields, line.outcome, line.reason) == (city.FIELDS, "accepted", None)
    assert line.at == at


def test_redeem__by_a_terminal__line_names_the_terminal(
    kiosk: city.Machine, grant: city.HeldGrant, at: datetime
):
    redeem(kiosk.caller, grant.code(at), at=at, case_number=None)

    line = AccessLine.objects.get()
    assert (line.desk_id, line.terminal_id, line.staff_id) == (None, kiosk.terminal.id, None)
    assert line.case_number is None


def test_redeem__same_code_twice__second_refused_and_written_down(
    counter: city.DeskBrowser, kiosk: city.Machine, grant: city.HeldGrant, at: datetime
):
    code = grant.code(at)
    redeem(counter.caller, code, at=at)

    with pytest.raises(codes.CodeAlreadyUsed):
        redeem(kiosk.caller, code, at=at)

    assert Redemption.objects.count() == 1
    lines = AccessLine.objects.order_by("outcome")
    assert [(line.outcome, line.reason, line.fields) for line in lines] == [
        ("accepted", None, city.FIELDS),
        ("refused", "code.already_used", []),
    ]


def test_redeem__resigned_copy_of_a_used_code__already_used(
    counter: city.DeskBrowser, grant: city.HeldGrant, at: datetime
):
    nonce = b"\1\2\3\4\5\6"
    one, two = grant.code(at, nonce=nonce), grant.code(at, nonce=nonce)
    assert one != two  # another signature over the same words
    redeem(counter.caller, one, at=at)

    with pytest.raises(codes.CodeAlreadyUsed):
        redeem(counter.caller, two, at=at)


def test_redeem__next_code_of_the_same_grant__accepted(
    counter: city.DeskBrowser, grant: city.HeldGrant, at: datetime
):
    scans = [redeem(counter.caller, grant.code(at), at=at) for _ in range(3)]

    assert len({scan.holder for scan in scans}) == 1
    assert Redemption.objects.count() == AccessLine.objects.count() == 3


def test_redeem__same_key_again__same_answer_even_after_the_code_has_lapsed(
    counter: city.DeskBrowser, grant: city.HeldGrant, at: datetime
):
    asked = {"code": grant.code(at), "idempotency_key": city.idempotency(counter.caller.scope)}
    first = redeem(counter.caller, at=at, **asked)

    assert redeem(counter.caller, at=at + timedelta(seconds=5), **asked) == first
    assert redeem(counter.caller, at=at + timedelta(hours=3), **asked) == first
    assert Redemption.objects.count() == AccessLine.objects.count() == 1


def test_redeem__same_key_again_for_a_refusal__same_refusal_and_one_line(
    counter: city.DeskBrowser, grant: city.HeldGrant, at: datetime
):
    asked = {
        "code": grant.code(at, scenes=code_format.SCENES["door"]),
        "idempotency_key": city.idempotency(counter.caller.scope),
    }

    for later in (0, 5, 500):
        with pytest.raises(codes.SceneNotAllowed):
            redeem(counter.caller, at=at + timedelta(seconds=later), **asked)

    assert AccessLine.objects.count() == 1


def test_redeem__same_key_for_another_request__refused_and_the_other_code_unused(
    counter: city.DeskBrowser, grant: city.HeldGrant, at: datetime
):
    redeem(
        counter.caller, grant.code(at), at=at,
        idempotency_key=city.idempotency(counter.caller.scope, "same-key"),
    )  # fmt: skip
    for later in (0, 500):
        with pytest.raises(KeyReused):
            redeem(
                counter.caller, grant.code(at), at=at + timedelta(seconds=later),
                idempotency_key=city.idempotency(
                    counter.caller.scope, "same-key", digest=b"\2" * 32
                ),
            )  # fmt: skip

    assert Redemption.objects.count() == AccessLine.objects.count() == 1


def test_redeem__same_key_of_another_scanner__its_own_answer(
    counter: city.DeskBrowser, kiosk: city.Machine, grant: city.HeldGrant, at: datetime
):
    code = grant.code(at)
    redeem(
        counter.caller, code, at=at,
        idempotency_key=city.idempotency(counter.caller.scope, "same-key"),
    )  # fmt: skip

    with pytest.raises(codes.CodeAlreadyUsed):
        redeem(
            kiosk.caller, code, at=at,
            idempotency_key=city.idempotency(kiosk.caller.scope, "same-key"),
        )  # fmt: skip


@pytest.mark.parametrize("seconds", [0, 60])
def test_redeem__within_sixty_seconds__accepted(
    counter: city.DeskBrowser, grant: city.HeldGrant, at: datetime, seconds: int
):
    redeem(
        counter.caller, grant.code(at), at=at.replace(microsecond=0) + timedelta(seconds=seconds)
    )


def test_redeem__thirty_seconds_ahead__accepted_and_one_more_refused(
    counter: city.DeskBrowser, grant: city.HeldGrant, at: datetime
):
    redeem(counter.caller, grant.code(at + timedelta(seconds=30)), at=at)

    with pytest.raises(codes.CodeClockWrong):
        redeem(counter.caller, grant.code(at + timedelta(seconds=31)), at=at)
    assert Redemption.objects.count() == 1


# What a code that proves nothing leaves behind: nothing at all.


@pytest.mark.parametrize("text", [
    "", "VP1:", "VP2:ABC", "hello", "https://example.com/?c=VP1:AB", "VP1:ab", "VP1:" + "A" * 700,
    "VP1:" + base45.b45encode(b"\x82\x01\x02").decode(), "\N{FULLWIDTH DIGIT ONE}", "VP1:%%%",
])  # fmt: skip
def test_redeem__not_a_code__unreadable(counter: city.DeskBrowser, at: datetime, text: str):
    with pytest.raises(codes.CodeUnreadable):
        redeem(counter.caller, text, at=at)
    assert all_rows() == (0, 0, 0)


@pytest.mark.parametrize(
    ("is_grant", "change", "refusal"),
    [
        (True, flipped, codes.CodeSignatureInvalid),
        (False, flipped, codes.CodeSignatureInvalid),
        (True, high_s, codes.CodeSignatureInvalid),
        (False, high_s, codes.CodeSignatureInvalid),
        (False, lambda signature: b"\0" * 64, codes.CodeSignatureInvalid),
        (False, lambda signature: signature[:63], codes.CodeUnreadable),
    ],
    ids=["grant", "presentation", "grant high-S", "presentation high-S", "zero", "short"],
)
def test_redeem__wrongly_signed__refused_and_nothing_left(
    counter: city.DeskBrowser,
    grant: city.HeldGrant,
    at: datetime,
    is_grant: bool,
    change: Any,
    refusal: type[Exception],
):
    before = all_rows()

    with pytest.raises(refusal):
        redeem(counter.caller, forged(grant.code(at), grant=is_grant, change=change), at=at)

    assert all_rows() == before


def test_redeem__presentation_by_another_key__signature_invalid(
    counter: city.DeskBrowser, grant: city.HeldGrant, at: datetime
):
    stolen = city.HeldGrant(grant.encoded, signing.generate_p256())

    with pytest.raises(codes.CodeSignatureInvalid):
        redeem(counter.caller, stolen.code(at), at=at)
    assert Redemption.objects.count() == AccessLine.objects.count() == 0


def _foreign_grant(at: datetime, **changes: Any) -> tuple[city.HeldGrant, Any]:
    fresh = signing.generate_p256()
    signer = keys.current_signer(at=at)
    claims = {
        "issuer": settings.CITY,
        "expires_at": int(at.timestamp()) + 3600,
        "handle": secrets.token_bytes(16),
        "public_point": signing.public_point(fresh),
        "status_index": 7,
    } | changes
    kid = claims.pop("kid", signer.key_id)
    private = claims.pop("private", signer.private)
    encoded = code_format.encode_grant(GrantClaims(**claims), kid=kid, private=private)
    return city.HeldGrant(encoded, fresh), signer


@pytest.mark.parametrize(
    ("changes", "refusal"),
    [
        ({"issuer": "jinan"}, codes.CodeOfOtherCity),
        ({"issuer": "jinan", "kid": b"\0\0\0\1"}, codes.CodeOfOtherCity),
        ({"kid": b"\0\0\0\1"}, codes.CodeKeyUnknown),
        ({"private": signing.generate_p256()}, codes.CodeSignatureInvalid),
    ],
    ids=["other city", "other city and key", "unknown key", "self-made grant"],
)
def test_redeem__grant_that_is_not_ours__refused_and_nothing_left(
    counter: city.DeskBrowser, at: datetime, changes: dict[str, Any], refusal: type[Exception]
):
    held, _ = _foreign_grant(at, **changes)

    with pytest.raises(refusal):
        redeem(counter.caller, held.code(at), at=at)

    assert all_rows() == (0, 0, 0)


def test_redeem__older_than_sixty_seconds__expired_and_nothing_left(
    counter: city.DeskBrowser, grant: city.HeldGrant, at: datetime
):
    code, before = grant.code(at), all_rows()

    with pytest.raises(codes.CodeExpired):
        redeem(counter.caller, code, at=at + timedelta(seconds=62))

    assert all_rows() == before


def test_redeem__grant_lapsed__expired(
    counter: city.DeskBrowser, grant: city.HeldGrant, at: datetime
):
    end = full_hour(at) + timedelta(hours=24)
    redeem(counter.caller, grant.code(end), at=end - timedelta(seconds=1))

    with pytest.raises(codes.CodeExpired):
        redeem(counter.caller, grant.code(end), at=end)


def test_redeem__our_signature_but_no_such_grant__revoked(counter: city.DeskBrowser, at: datetime):
    held, _ = _foreign_grant(at)

    with pytest.raises(codes.CodeRevoked):
        redeem(counter.caller, held.code(at), at=at)
    assert Redemption.objects.count() == AccessLine.objects.count() == 0


# What a genuine code leaves behind when it is refused: its use and the holder's line.


def _suspend(model: Any, **fields: Any) -> None:
    for row in model.objects.all():
        for name, value in fields.items():
            setattr(row, name, value)
        row.save(update_fields=list(fields))


@pytest.mark.parametrize(
    ("fault", "refusal"),
    [
        ("grant ended", codes.CodeRevoked),
        ("device frozen", codes.CodeRevoked),
        ("device ended", codes.CodeRevoked),
        ("resident suspended", codes.HolderSuspended),
        ("resident closed", codes.HolderSuspended),
        ("other scene", codes.SceneNotAllowed),
        ("other purpose", codes.NotEntitled),
        ("other organisation", codes.NotEntitled),
    ],
)
def test_redeem__genuine_but_not_allowed__used_up_refused_and_written_down(
    counter: city.DeskBrowser,
    phone: city.Phone,
    grant: city.HeldGrant,
    at: datetime,
    fault: str,
    refusal: type[codes.ScanRefused],
):
    scenes, purpose, caller = code_format.ALL_SCENES, city.PURPOSE, counter.caller
    match fault:
        case "grant ended":
            Grant.objects.update(ended_at=at)
        case "device frozen" | "device ended":
            _suspend(type(phone.device), state=fault.split()[1])
        case "resident suspended" | "resident closed":
            _suspend(type(phone.device.resident), state=fault.split()[1])
        case "other scene":
            scenes = code_format.SCENES["pay"] | code_format.SCENES["door"]
        case "other purpose":
            purpose = "curiosity"
        case "other organisation":
            stranger = Organisation.objects.create(kind="merchant", name_zh="店", name_en="Shop")
            browser = city.sign_in_clerk(city.make_desk(stranger), username="other", at=at)
            caller = browser.caller
    code = grant.code(at, scenes=scenes)

    with pytest.raises(refusal) as caught:
        redeem(caller, code, at=at, purpose=purpose)

    line = AccessLine.objects.get()
    assert (line.outcome, line.reason, line.fields) == ("refused", caught.value.code, [])
    assert line.organisation_id == caller.organisation_id
    assert Redemption.objects.count() == 1
    with pytest.raises(codes.CodeAlreadyUsed):
        redeem(counter.caller, code, at=at)


def test_redeem__two_organisations__know_the_holder_by_different_names(
    counter: city.DeskBrowser, grant: city.HeldGrant, at: datetime
):
    other = city.sign_in_clerk(
        city.make_desk(city.make_organisation("潍坊市人民医院")), username="other", at=at
    )

    names = [redeem(each.caller, grant.code(at), at=at).holder for each in (counter, other)]

    assert names[0] != names[1]
    assert {len(name) for name in names} == {43}


def test_refusals__each_code_status_and_both_languages():
    assert {code: refusal.status for code, refusal in codes.REFUSALS.items()} == {
        "code.unreadable": 422,
        "code.key_unknown": 422,
        "code.signature_invalid": 422,
        "code.other_city": 422,
        "code.expired": 410,
        "code.clock_wrong": 409,
        "code.already_used": 409,
        "code.revoked": 403,
        "code.suspended": 403,
        "code.scene_not_allowed": 403,
        "code.pay_suspended": 403,
        "code.bus_suspended": 403,
        "code.door_suspended": 403,
        "scan.not_entitled": 403,
        "scan.case_needed": 403,
        "scan.over_asking": 403,
        "code.delegation_over": 403,
        "code.delegation_beyond": 403,
    }
    assert set(code_format.CodeError.__subclasses__()) and {
        f"code.{error.reason}" for error in code_format.CodeError.__subclasses__()
    } < set(codes.REFUSALS)


# Cost


def test_counter_scan__six_statements(
    counter: city.DeskBrowser, grant: city.HeldGrant, at: datetime
):
    counter.scan(grant.code(at))  # the keys are read once a minute

    with statements() as sent:
        answer = counter.scan(grant.code(at))

    assert answer.status_code == 200, answer.content
    assert len(sent) == 6, sent


def test_terminal_scan__six_statements(kiosk: city.Machine, grant: city.HeldGrant, at: datetime):
    kiosk.scan(grant.code(at))

    with statements() as sent:
        answer = kiosk.scan(grant.code(at))

    assert answer.status_code == 200, answer.content
    assert len(sent) == 6, sent


def test_terminal_scan__refused_before_any_row__two_statements(
    kiosk: city.Machine, grant: city.HeldGrant, at: datetime
):
    kiosk.scan(grant.code(at))

    with statements() as sent:
        answer = kiosk.scan("VP1:NONSENSE")

    assert city.problem(answer) == (422, "code.unreadable")
    assert len(sent) == 3, sent  # caller, nonce, and whether this is a repetition


def test_grant__six_statements(phone: city.Phone, at: datetime):
    def ask() -> Any:
        request = phone.grant_request(signing.generate_p256(), at=at)
        return phone.send(
            "POST", f"{city.RESIDENT}/grants", {"request": request}, key=city.new_key()
        )

    ask()

    with statements() as sent:
        answer = ask()

    assert answer.status_code == 201, answer.content
    assert len(sent) == 6, sent


# Over HTTP


def test_counter_scan__over_http__answer_and_headers(
    counter: city.DeskBrowser, grant: city.HeldGrant, at: datetime
):
    answer = counter.scan(grant.code(at))

    body = answer.json()
    assert answer.status_code == 200
    assert body.keys() == {
        "outcome", "scan", "holder", "level", "fields", "acting", "redeemed_at",
    }  # fmt: skip
    assert body["outcome"] == "accepted"
    assert list(body["fields"]) == city.FIELDS
    assert answer["Cache-Control"] == "no-store"


def test_counter_scan__each_refusal_over_http__problem_with_its_status(
    counter: city.DeskBrowser, phone: city.Phone, grant: city.HeldGrant, at: datetime
):
    code = grant.code(at)
    counter.scan(code)
    cases = {
        "code.already_used": code,
        "code.unreadable": "VP1:X",
        "code.other_city": _foreign_grant(at, issuer="jinan")[0].code(at),
        "code.key_unknown": _foreign_grant(at, kid=b"\0\0\0\1")[0].code(at),
        "code.signature_invalid": forged(code, grant=False, change=flipped),
        "code.expired": grant.code(at - timedelta(seconds=90)),
        "code.clock_wrong": grant.code(at + timedelta(seconds=90)),
        "code.scene_not_allowed": grant.code(at, scenes=2),
    }

    for expected, text in cases.items():
        assert city.problem(counter.scan(text)) == (codes.REFUSALS[expected].status, expected)
    for nonce in itertools.islice(itertools.count(), 2):
        answer = counter.scan(grant.code(at, nonce=nonce.to_bytes(6)), purpose="curiosity")
        assert city.problem(answer) == (403, "scan.not_entitled")
    _suspend(type(phone.device.resident), state="suspended")
    assert city.problem(counter.scan(grant.code(at))) == (403, "code.suspended")
    _suspend(type(phone.device), state="frozen")
    assert city.problem(counter.scan(grant.code(at))) == (403, "code.revoked")


def test_write_use__outbox__one_event_with_ids_only(
    counter: city.DeskBrowser, grant: city.HeldGrant, at: datetime, monkeypatch: pytest.MonkeyPatch
):
    from vpass.common import outbox

    monkeypatch.setitem(
        outbox._subscriptions, codes.CODE_REDEEMED,
        {"test.listener": outbox._Subscription(lambda event: None, False)},
    )  # fmt: skip
    code = grant.code(at)

    redeem(counter.caller, code, at=at)
    with pytest.raises(codes.CodeAlreadyUsed):
        redeem(counter.caller, code, at=at)

    with connection.cursor() as cursor:
        cursor.execute("SELECT consumer, payload FROM common_outbox WHERE name = %s",
                       [codes.CODE_REDEEMED])  # fmt: skip
        rows = cursor.fetchall()
    accepted = AccessLine.objects.get(outcome="accepted")
    payloads = [row[1] if isinstance(row[1], dict) else json.loads(row[1]) for row in rows]
    assert [row[0] for row in rows] == ["test.listener"]
    assert payloads == [{"access_line_id": str(accepted.id)}]
