"""A code that the server issues: the same redemption, fewer scenes, online only."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from django.conf import settings
from joserfc import jwk, jwt

from identity import codes, grants, keys, lost_phones, server_codes, suspensions
from identity.models import AccessLine, Grant, Organisation, Redemption
from identity.offline import Bundle, Scanner
from tests import city
from tests.identity.test_lost_phones import as_role, told
from tests.parameters import stable_id
from tests.shop import open_shop
from tests.statements import statements
from vpass.common import signing
from vpass.common.encodings import b64url_encode
from vpass.common.limits import LimitReached
from vpass.common.models import AuditEvent

pytestmark = pytest.mark.django_db(transaction=True)

PATH = f"{city.RESIDENT}/codes"


def issue(
    phone: city.Phone, *, at: datetime, scenes: tuple[str, ...] = ("id", "library", "check_in")
) -> str:
    return server_codes.issue_code(
        caller=phone.caller,
        scenes=list(scenes),
        idempotency_key=city.idempotency(phone.caller.scope),
        at=at,
    ).code


def signed(
    at: datetime, *, typ: str = server_codes.CODE_TYPE, by: Any = None, **changes: Any
) -> str:
    """A code as the city would sign it, with changes; None leaves a claim or the kid out."""
    signer = keys.current_signer(at=at)
    now = int(at.timestamp())
    kid = changes.pop("kid", signer.key_id.hex())
    claims = {
        "iss": settings.CITY, "aud": "vpass-scanner", "iat": now, "exp": now + 60,
        "jti": b64url_encode(bytes(16)), "scn": 1,
    } | changes  # fmt: skip
    kept = {name: value for name, value in claims.items() if value is not None}
    return signing.encode_jws(kept, by or signer.private, typ=typ, kid=kid)


def test_code__at_a_counter__accepted_once_like_every_code(
    phone: city.Phone, counter: city.DeskBrowser, kiosk: city.Machine, at: datetime
):
    code = issue(phone, at=at)

    first, second = counter.scan(code), kiosk.scan(code)

    assert first.status_code == 200, first.content
    assert list(first.json()["fields"]) == city.FIELDS
    assert city.problem(second) == (409, "code.already_used")
    assert Redemption.objects.count() == 1
    assert [line.outcome for line in AccessLine.objects.order_by("id")] == ["accepted", "refused"]


def test_code__same_statements_as_a_phones_own(
    phone: city.Phone, counter: city.DeskBrowser, at: datetime
):
    counter.scan(issue(phone, at=at))
    code = issue(phone, at=at)

    with statements() as sent:
        answer = counter.scan(code)

    assert answer.status_code == 200
    assert len(sent) == 6, sent


def test_two_codes__nothing_in_common_but_city_key_and_time(phone: city.Phone, at: datetime):
    signer = keys.current_signer(at=at)

    one, two = (
        signing.decode_jws(
            issue(phone, at=at), signer.private.public_key(), typ=server_codes.CODE_TYPE,
            audience="vpass-scanner", at=at,
        )
        for _ in range(2)
    )  # fmt: skip

    assert one.keys() == two.keys() == {"iss", "aud", "iat", "exp", "jti", "scn"}
    assert one["jti"] != two["jti"]
    assert {name: one[name] for name in one if name != "jti"} == {
        "iss": settings.CITY, "aud": "vpass-scanner", "iat": int(at.timestamp()),
        "exp": int(at.timestamp()) + 60, "scn": 49,
    }  # fmt: skip


def test_code__for_one_scene__no_other(phone: city.Phone, counter: city.DeskBrowser, at: datetime):
    answer = counter.scan(issue(phone, at=at, scenes=("library",)))

    assert city.problem(answer) == (403, "code.scene_not_allowed")


def test_code__at_a_till_a_bus_and_a_door__refused_and_no_money_moves(
    phone: city.Phone, hall: Organisation, at: datetime
):
    shop = open_shop()
    body = {
        "code": issue(phone, at=at), "amount_fen": 100, "title": "t", "merchant_reference": "r-1",
    }  # fmt: skip

    paid = shop.till.send("POST", "/api/merchant/v1/payments", body, key=city.new_key())

    assert city.problem(paid) == (403, "code.scene_not_allowed")
    for scene in ("bus", "door"):
        machine = city.make_terminal(hall, scene=scene, key_id=scene)
        answer = machine.scan(issue(phone, at=at))
        assert city.problem(answer) == (403, "code.scene_not_allowed")


def test_code__that_claims_to_pay__signed_bits_beyond_its_form_count_for_nothing(
    phone: city.Phone, at: datetime
):
    issue(phone, at=at)
    handle = bytes(Grant.objects.get().handle)

    shown = codes.read_genuine(signed(at, jti=b64url_encode(handle), scn=63), at=at)

    assert shown.scenes == 49


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(0, None), (59, None), (60, "code.expired"), (3600, "code.expired"), (-1, "code.clock_wrong")],
)
def test_code__by_the_clock(phone: city.Phone, at: datetime, seconds: int, expected: str | None):
    at = at.replace(microsecond=0)
    code = issue(phone, at=at)

    try:
        codes.read_genuine(code, at=at + timedelta(seconds=seconds))
        reason = None
    except codes.ScanRefused as refused:
        reason = refused.code

    assert reason == expected


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"typ": "vpass-grant+jwt"}, "code.unreadable"),
        ({"typ": "vpass-bundle+jwt"}, "code.unreadable"),
        ({"typ": "JWT"}, "code.unreadable"),
        ({"aud": "vpass"}, "code.unreadable"),
        ({"aud": ["vpass-scanner", "x"]}, "code.unreadable"),
        ({"aud": None}, "code.unreadable"),
        ({"iss": "jinan"}, "code.unreadable"),
        ({"iss": None}, "code.unreadable"),
        ({"exp": None}, "code.unreadable"),
        ({"iat": None}, "code.unreadable"),
        ({"jti": None}, "code.unreadable"),
        ({"jti": "AAAA"}, "code.unreadable"),
        ({"jti": "=" * 22}, "code.unreadable"),
        ({"jti": 7}, "code.unreadable"),
        ({"scn": None}, "code.unreadable"),
        ({"scn": True}, "code.unreadable"),
        ({"scn": "1"}, "code.unreadable"),
        ({"sub": "resident"}, "code.unreadable"),
        ({"kid": None}, "code.unreadable"),
        ({"kid": "KID"}, "code.unreadable"),
        ({"kid": "00000001"}, "code.key_unknown"),
        ({"by": signing.generate_p256()}, "code.signature_invalid"),
    ],
    ids=stable_id,
)
def test_read__not_as_it_must_be__refused_and_nothing_left(
    counter: city.DeskBrowser, at: datetime, changes: dict[str, Any], expected: str
):
    answer = counter.scan(signed(at, **changes))

    assert city.problem(answer)[1] == expected
    assert Redemption.objects.count() == AccessLine.objects.count() == 0


def test_read__lives_longer_than_a_minute__unreadable(counter: city.DeskBrowser, at: datetime):
    answer = counter.scan(signed(at, exp=int(at.timestamp()) + 61))

    assert city.problem(answer) == (422, "code.unreadable")


@pytest.mark.parametrize("change", ["padding", "none", "HS256", "jku", "jwk", "high s"])
def test_read__tampered__unreadable_or_forged(
    phone: city.Phone, counter: city.DeskBrowser, at: datetime, change: str
):
    header, claims, signature = issue(phone, at=at).split(".")
    kid = keys.current_signer(at=at).key_id.hex()

    def headed(more: str) -> str:
        text = '{"typ":"vpass-code+jwt","kid":"%s",%s}' % (kid, more)  # noqa: UP031
        return b64url_encode(text.encode())

    if change == "padding":
        signature += "=="
    elif change == "high s":
        raw = signing.b64url_decode(signature)
        order = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
        signature = b64url_encode(raw[:32] + (order - int.from_bytes(raw[32:])).to_bytes(32))
    else:
        header = headed({
            "none": '"alg":"none"', "HS256": '"alg":"HS256"',
            "jku": '"alg":"ES256","jku":"https://evil.example"', "jwk": '"alg":"ES256","jwk":{}',
        }[change])  # fmt: skip

    answer = counter.scan(f"{header}.{claims}.{signature}")

    expected = {"high s": "code.signature_invalid", "jwk": "code.signature_invalid"}
    assert city.problem(answer)[1] == expected.get(change, "code.unreadable")
    assert Redemption.objects.count() == 0


@pytest.mark.parametrize("change", ["frozen", "suspended"])
def test_code__phone_frozen_or_person_suspended__refused_at_once(
    phone: city.Phone, counter: city.DeskBrowser, at: datetime, change: str
):
    code = issue(phone, at=at)
    resident_id = phone.device.resident_id
    if change == "frozen":
        lost_phones.freeze_all(resident_id=resident_id, actor="t", at=at)
    else:
        suspensions.suspend(
            resident_id=resident_id, source="risk", scope="all", reason="t", actor="t", at=at
        )

    expected = "code.revoked" if change == "frozen" else "code.suspended"
    assert city.problem(counter.scan(code)) == (403, expected)
    with pytest.raises((codes.ScanRefused, server_codes.AccountSuspended, server_codes.DeviceNotActive)):  # fmt: skip  # noqa: E501
        issue(phone, at=at)


def test_code__offline__unreadable_there(phone: city.Phone, at: datetime):
    scanner = Scanner(
        Bundle(
            issuer=settings.CITY, scene="id", version="", keys={}, lists_at="", lists={},
            max_list_age_s=3600, stale_uses=0, door_groups=frozenset(),
        )
    )  # fmt: skip

    assert scanner.decide(issue(phone, at=at), at=int(at.timestamp())).reason == "unreadable"


def test_code__read_and_written_by_joserfc__the_same_claims(phone: city.Phone, at: datetime):
    """A second opinion: what another library reads of ours, and we of what it signs."""
    code = issue(phone, at=at)
    signer = keys.current_signer(at=at)
    foreign = jwk.ECKey.import_key(signing.jwk_of(signer.private))
    theirs = jwt.decode(code, foreign, algorithms=["ES256"])
    private = jwk.ECKey.import_key(signing.private_pem(signer.private))

    shown = {codes.read_genuine(code, at=at)}
    header = {"alg": "ES256", "typ": server_codes.CODE_TYPE, "kid": signer.key_id.hex()}
    for _ in range(40):  # it signs with a high s half of the time, which we refuse
        again = jwt.encode(header, theirs.claims, private, algorithms=["ES256"])
        try:
            shown.add(codes.read_genuine(again, at=at))
            break
        except codes.CodeSignatureInvalid:
            continue

    assert theirs.header == header
    assert len(shown) == 1


def test_issue__seven_in_a_minute__refused_but_a_repeat_answered(phone: city.Phone, at: datetime):
    asked: dict[str, Any] = {
        "caller": phone.caller,
        "scenes": ["id"],
        "idempotency_key": city.idempotency(phone.caller.scope),
        "at": at,
    }
    first = server_codes.issue_code(**asked)
    for _ in range(5):
        issue(phone, at=at)

    with pytest.raises(LimitReached):
        issue(phone, at=at)

    assert server_codes.issue_code(**asked) == first
    assert Grant.objects.filter(status_index=None).count() == 6


def test_issue__over_http__as_documented(phone: city.Phone, at: datetime):
    answer = phone.send("POST", PATH, {"scenes": ["id"]}, key=city.new_key())
    for scenes in ([], ["pay"], ["bus"], ["id"] * 4):
        refused = phone.send("POST", PATH, {"scenes": scenes}, key=city.new_key())
        assert city.problem(refused) == (400, "request.invalid")

    assert answer.status_code == 201
    assert answer.json().keys() == {"code", "expires_at", "server_time", "rotate_every_s"}
    assert len(answer.json()["code"]) < 420


def test_staff__person_without_the_phone_at_hand__code_for_a_kiosk_audited_and_told(
    phone: city.Phone, counter: city.DeskBrowser, kiosk: city.Machine, at: datetime
):
    body = told(reason="phone-empty") | {"scenes": ["id"]}
    desk, path, key = as_role(counter, "registrar"), f"{city.COUNTER}/codes", city.new_key()

    answer = desk.send("POST", path, body, key=key)
    repeated = desk.send("POST", path, body, key=key)
    refused = as_role(counter, "hotline").send("POST", path, body, key=city.new_key())

    assert answer.status_code == 201, answer.content
    assert repeated.json() == answer.json()
    assert city.problem(refused) == (403, "caller.role_missing")
    assert kiosk.scan(answer.json()["code"]).status_code == 200
    lines = AccessLine.objects.order_by("id").values_list("purpose", "case_number", "staff_id")
    assert list(lines) == [("code.issue", "WF-9", counter.staff.id), (city.PURPOSE, None, None)]
    assert AuditEvent.objects.get().action == "code.issue"


@pytest.mark.parametrize("case", ["unknown", "no phone", "suspended"])
def test_staff__no_code_to_be_had__refused_and_nothing_written(
    phone: city.Phone, counter: city.DeskBrowser, at: datetime, case: str
):
    body = told() | {"scenes": ["id"]}
    expected = (404, "object.not_found")
    if case == "unknown":
        body["real_name"] = "王五"
    elif case == "no phone":
        type(phone.device).objects.update(state="frozen")
    else:
        type(phone.device.resident).objects.update(state="suspended")
        expected = (403, "account.suspended")

    answer = as_role(counter, "registrar").send(
        "POST", f"{city.COUNTER}/codes", body, key=city.new_key()
    )

    assert city.problem(answer) == expected
    assert Grant.objects.count() == AccessLine.objects.count() == AuditEvent.objects.count() == 0


def test_purge__grants_a_month_past__gone_and_their_uses_kept(
    phone: city.Phone, counter: city.DeskBrowser, at: datetime
):
    counter.scan(issue(phone, at=at))

    grants.purge(at=at + timedelta(days=30))
    kept = Grant.objects.count()
    grants.purge(at=at + timedelta(days=30, minutes=2))

    assert (kept, Grant.objects.count()) == (1, 0)
    assert Redemption.objects.count() == AccessLine.objects.count() == 1
