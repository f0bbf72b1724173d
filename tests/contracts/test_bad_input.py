"""Bad input: a stable code each time, nothing half done, never a 500, only documented answers."""

import json
import os
import re
import uuid
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.db import connection
from django.urls import get_resolver
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from cards.models import Issuer
from identity.api import resident
from identity.models import Staff
from tests import city, sensors
from tests.billing import open_waterworks
from tests.shop import open_shop
from vpass.common import clock, signing

pytestmark = pytest.mark.django_db(transaction=True)

OPENAPI = Path(__file__).resolve().parents[2] / "docs" / "openapi.json"
SCANS = f"{city.COUNTER}/scans"
KIOSK_SCANS = f"{city.TERMINAL}/scans"
ENROLMENTS = f"{city.RESIDENT}/enrolments"
NOBODY = str(uuid.UUID(int=1))
# What a request may leave behind although it is refused: that its proof and its try were used up.
SPENT = {"common_seen", "common_limit"}
# Of each address that takes a body; in full by `make faults`.
IS_FULL = int(os.environ.get("VPASS_ROUNDS", "0")) > 0
EXAMPLES = 1000 if IS_FULL else 60

Sender = Callable[..., Any]


def contents() -> dict[str, list[str]]:
    """Every row of every table but SPENT, as text."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        tables = sorted(row[0] for row in cursor.fetchall() if row[0] not in SPENT)
        found = {}
        for table in tables:
            cursor.execute(f'SELECT t::text FROM "{table}" t ORDER BY 1')
            found[table] = [row[0] for row in cursor.fetchall()]
    return found


@pytest.fixture(autouse=True)
def register(monkeypatch: pytest.MonkeyPatch) -> city.StubRegister:
    stub = city.StubRegister()
    monkeypatch.setattr(resident.http, "population_register", lambda: stub)
    return stub


# Bodies


@pytest.mark.parametrize(
    ("body", "errors"),
    [
        (b"", [("phone", "required")]),
        (b"{", [("", "not_json")]),
        (b"[]", [("", "not_json")]),
        (b"null", [("", "not_json")]),
        (b'"text"', [("", "not_json")]),
        (b'{"phone":"13900000001","phone":"13900000002"}', [("", "not_json")]),
        (b'{"phone":NaN}', [("", "not_json")]),
        (b'{"phone":1e400}', [("", "not_json")]),
        (b'{"phone":"\xff"}', [("", "not_json")]),
        (b'\xef\xbb\xbf{"phone":"13900000001"}', [("", "not_json")]),
        (b'{"phone":"13900000001"}{}', [("", "not_json")]),
        (b'{"phone":"\\ud800"}', [("", "not_json")]),
        (b'{"phone":"\\u0000"}', [("phone", "control_character")]),
        (b'{"phone":"1390000\\u202e0001"}', [("phone", "control_character")]),
        (b'{"a":' + b"[" * 40 + b"]" * 40 + b"}", [("", "too_deep")]),
        (b"{}", [("phone", "required")]),
        (b'{"phone":null}', [("phone", "null")]),
        (b'{"phone":13900000001}', [("phone", "wrong_type")]),
        (b'{"phone":["13900000001"]}', [("phone", "wrong_type")]),
        (b'{"phone":""}', [("phone", "blank")]),
        (b'{"phone":"139000000010000000001"}', [("phone", "max_length")]),
        (b'{"phone":"13900000001","level":3}', [("level", "unknown")]),
        (b'{"phone":"13900000001","__proto__":{}}', [("__proto__", "unknown")]),
    ],
)
def test_body__not_as_it_must_be__named_and_nothing_left(
    body: bytes, errors: list[tuple[str, str]]
):
    before = contents()

    answer = city.Phone().send("POST", ENROLMENTS, body)

    assert city.problem(answer) == (400, "request.invalid")
    assert [(each["field"], each["code"]) for each in answer.json()["errors"]] == errors
    assert contents() == before


def test_body__over_a_mebibyte__413(counter: city.DeskBrowser):
    answer = counter.send(
        "POST", SCANS, b'{"code":"' + b"A" * 1024 * 1024 + b'"}', key=city.new_key()
    )

    assert city.problem(answer) == (413, "request.too_large")


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x",
             "application/json; charset=gbk", "application/xml", ""],
)  # fmt: skip
def test_body__of_another_kind__415(kind: str):
    phone = city.Phone()
    headers = {"DPoP": city.key_proof(phone.key, method="POST", path=ENROLMENTS, token=None)}

    answer = city.Client(headers=headers).generic(
        "POST", ENROLMENTS, b'{"phone":"13900000001"}', content_type=kind
    )

    assert city.problem(answer) == (415, "request.media_type")


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"code": ""}, "code"),
        ({"code": None}, "code"),
        ({"code": "V" * 2049}, "code"),
        ({"code": 7}, "code"),
        ({"purpose": "a b"}, "purpose"),
        ({"purpose": "x" * 41}, "purpose"),
        ({"purpose": "'; DROP TABLE identity_grant; --"}, "purpose"),
        ({"case_number": ""}, "case_number"),
        ({"case_number": "x" * 65}, "case_number"),
        ({"case_number": "WF\n1"}, "case_number"),
        ({"organisation": str(uuid.uuid4())}, "organisation"),
        ({"scene": "pay"}, "scene"),
        ({"level": 3}, "level"),
    ],
)
def test_scan__member_wrong_or_unknown__refused_and_the_code_unused(
    counter: city.DeskBrowser, grant: city.HeldGrant, at: Any, changes: dict[str, Any], field: str
):
    code, before = grant.code(at), contents()

    answer = counter.scan(changes.pop("code", code), **changes)

    assert city.problem(answer) == (400, "request.invalid")
    assert [each["field"] for each in answer.json()["errors"]] == [field]
    assert contents() == before
    assert counter.scan(code).status_code == 200


# Keys of idempotency


@pytest.mark.parametrize(
    ("key", "code"),
    [
        (None, "idempotency.key_missing"),
        ("", "idempotency.key_missing"),
        ("short", "idempotency.key_invalid"),
        ("k" * 129, "idempotency.key_invalid"),
        ("key-with-ünicode", "idempotency.key_invalid"),
    ],
)
def test_idempotency_key__missing_or_malformed__refused_and_the_code_unused(
    counter: city.DeskBrowser, grant: city.HeldGrant, at: Any, key: str | None, code: str
):
    body = {"code": grant.code(at), "purpose": city.PURPOSE, "case_number": "1"}
    before = contents()

    answer = counter.send("POST", SCANS, body, key=key)

    assert city.problem(answer) == (400, code)
    assert contents() == before


@pytest.mark.parametrize("scanner", ["counter", "kiosk"])
def test_idempotency_key__again_over_http__same_answer_or_refused(
    request: pytest.FixtureRequest, scanner: str, grant: city.HeldGrant, at: Any
):
    sender, key = request.getfixturevalue(scanner), city.new_key()
    code = grant.code(at)

    first, again = sender.scan(code, key=key), sender.scan(code, key=key)
    other = sender.scan(grant.code(at), key=key)

    assert first.status_code == again.status_code == 200
    assert first.content == again.content
    assert city.problem(other) == (422, "idempotency.key_reused")


def test_idempotency_key__of_a_refusal__same_refusal(
    counter: city.DeskBrowser, grant: city.HeldGrant, at: Any
):
    code, key = grant.code(at), city.new_key()
    counter.scan(code)

    answers = [counter.scan(code, key=key) for _ in range(2)]

    assert [city.problem(each) for each in answers] == [(409, "code.already_used")] * 2


# Proofs and signatures


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"htm": "GET"}, "proof.invalid"),
        ({"htu": "http://127.0.0.1:8000/api/resident/v1/me"}, "proof.invalid"),
        ({"htu": "http://elsewhere/api/counter/v1/scans"}, "proof.invalid"),
        ({"ath": "A" * 43}, "proof.invalid"),
        ({"ath": None}, "proof.invalid"),
        ({"jti": "short"}, "proof.invalid"),
        ({"iat": -70}, "proof.expired"),
        ({"iat": +40}, "proof.expired"),
    ],
    ids=str,
)
def test_desk_proof__wrongly_aimed__401_and_the_code_unused(
    counter: city.DeskBrowser,
    grant: city.HeldGrant,
    at: Any,
    changes: dict[str, Any],
    code: str,
):
    if "iat" in changes:
        changes = {"iat": int(clock.now().timestamp()) + changes["iat"]}
    proof = city.key_proof(counter.key, method="POST", path=SCANS, token=counter.token, **changes)
    shown, before = grant.code(at), contents()
    body = {"code": shown, "purpose": city.PURPOSE, "case_number": "1"}

    answer = counter.send("POST", SCANS, body, key=city.new_key(), **{"Desk-Proof": proof})

    assert city.problem(answer) == (401, code)
    assert contents() == before
    assert counter.scan(shown).status_code == 200


def test_desk_proof__replayed__401_and_done_once(
    counter: city.DeskBrowser, grant: city.HeldGrant, at: Any
):
    proof = city.key_proof(counter.key, method="POST", path=SCANS, token=counter.token)
    body = {"code": grant.code(at), "purpose": city.PURPOSE, "case_number": "1"}

    first, second = (
        counter.send("POST", SCANS, body, key=city.new_key(), **{"Desk-Proof": proof})
        for _ in range(2)
    )

    assert first.status_code == 200
    assert city.problem(second) == (401, "proof.replayed")


def test_terminal__replayed_or_changed_request__401(
    kiosk: city.Machine, grant: city.HeldGrant, at: Any
):
    headers: dict[str, str] = {}
    body = {"code": grant.code(at), "purpose": city.PURPOSE}
    raw, key = json.dumps(body).encode(), city.new_key()
    added = city.http_signatures.sign_request(
        city.Parts(
            method="POST",
            target_uri=settings.PUBLIC_URL + KIOSK_SCANS,
            headers={"content-type": "application/json", "idempotency-key": key},
            body=raw,
        ),
        key_id=kiosk.key_id,
        private=kiosk.private,
        algorithm="ed25519",
        at=clock.now(),
        nonce=uuid.uuid4().hex,
    )
    headers = {**added, "Idempotency-Key": key}

    changed = city.send("POST", KIOSK_SCANS, raw.replace(b"residence", b"registrar"), headers)
    other_key = city.send("POST", KIOSK_SCANS, raw, {**headers, "Idempotency-Key": city.new_key()})
    elsewhere = city.send("POST", KIOSK_SCANS + "?x=1", raw, headers)
    first = city.send("POST", KIOSK_SCANS, raw, headers)
    second = city.send("POST", KIOSK_SCANS, raw, headers)

    assert city.problem(changed) == (401, "signature.digest_wrong")
    assert city.problem(other_key) == (401, "signature.invalid")
    assert city.problem(elsewhere) == (401, "signature.invalid")
    assert first.status_code == 200
    assert city.problem(second) == (401, "signature.replayed")


@pytest.mark.parametrize("seconds", [-70, 40])
def test_terminal__signed_at_another_time__401(kiosk: city.Machine, seconds: int, monkeypatch: Any):
    real = clock.now
    monkeypatch.setattr(city.clock, "now", lambda: real() + timedelta(seconds=seconds))
    stale = city.http_signatures.sign_request(
        city.Parts(method="POST", target_uri=settings.PUBLIC_URL + KIOSK_SCANS,
                   headers={"content-type": "application/json"}, body=b"{}"),
        key_id=kiosk.key_id, private=kiosk.private, algorithm="ed25519", at=clock.now(),
        nonce=uuid.uuid4().hex,
    )  # fmt: skip
    monkeypatch.setattr(city.clock, "now", real)

    answer = city.send("POST", KIOSK_SCANS, b"{}", stale)

    expected = "signature.expired" if seconds < 0 else "signature.clock_wrong"
    assert city.problem(answer) == (401, expected)


@pytest.mark.parametrize(
    "path",
    [
        "/api/resident/v1/access-log?limit=0",
        "/api/resident/v1/access-log?limit=101",
        "/api/resident/v1/access-log?limit=%EF%BC%91",
        "/api/resident/v1/access-log?limit=1.0",
        "/api/resident/v1/access-log?limit=%2B1",
        "/api/resident/v1/access-log?limit=1&limit=2",
        "/api/resident/v1/access-log?cursor=x",
        "/api/resident/v1/access-log?resident=1",
        "/api/resident/v1/access-log?cursor=%00",
    ],
)
def test_query__not_as_it_must_be__400(phone: city.Phone, path: str):
    assert city.problem(phone.send("GET", path)) == (400, "request.invalid")


@pytest.mark.parametrize(
    "path", ["/api/resident/v1/access-log/1", "/api/resident/v1/nothing", "/api/", "/%00", "/.env",
             "/api/resident/v1/me/", "/api/openapi.json", "/admin/"],
)  # fmt: skip
def test_path__that_there_is_not__404_as_a_problem(phone: city.Phone, path: str):
    assert city.problem(phone.send("GET", path)) == (404, "object.not_found")


# Whatever else may come

texts = st.text(max_size=40) | st.sampled_from(
    ["13900000001", "000000", "VP1:", "VP1:6BF", "１２", "\u202e", "%_", "../", "=1+1", "{{7*7}}",
     "370702198001019902", "residence-permit", "A" * 16, "a.b.c", "王秀英"]
)  # fmt: skip
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
MEMBERS = ["phone", "one_time_code", "assertion", "real_name", "id_number", "request", "code",
           "purpose", "case_number", "enrolment_code", "username", "password"]  # fmt: skip
bodies = (
    st.dictionaries(st.sampled_from(MEMBERS) | texts, values, max_size=4).map(
        lambda value: json.dumps(value).encode()
    )
    | values.map(lambda value: json.dumps(value).encode())
    | st.binary(max_size=60)
)


@cache
def posts() -> dict[str, dict[str, Any]]:
    """The described ones; where audiences share one method, the first of them stands for all."""
    described = json.loads(OPENAPI.read_text(encoding="utf-8"))["paths"]
    methods = {}
    for pattern in get_resolver().url_patterns:
        path = "/" + re.sub(r"<\w+:(\w+)>", r"{\1}", str(pattern.pattern))
        post = getattr(getattr(pattern.callback, "cls", None), "post", None)
        if post is not None and "post" in described.get(path, {}):
            methods.setdefault(post, path)
    return {path: described[path]["post"] for path in methods.values()}


def shaped(operation: dict[str, Any]) -> st.SearchStrategy[bytes]:
    """Bodies with the very members of a route, each with any value."""
    example = operation["requestBody"]["content"]["application/json"]["examples"]
    members = next(iter(example.values()))["value"]
    made = {name: st.just(value) | values | texts for name, value in members.items()}
    return st.fixed_dictionaries(made).map(lambda value: json.dumps(value).encode())


def caller_of(path: str) -> str:
    """The name of a route's own caller among `sender`'s."""
    operation = posts()[path]
    if operation["tags"] == ["public"]:
        return "public"
    scheme = next(iter(operation["security"][0]))
    return path.split("/")[2] if scheme in ("machine", "staff") else scheme


def first_of_their_callers() -> set[str]:
    """One route of each kind of caller."""
    return set({caller_of(path): path for path in sorted(posts(), reverse=True)}.values())


def sender(name: str, request: pytest.FixtureRequest, *, at: datetime) -> Sender:
    """A caller by name, and nobody else."""
    if name in ("bank", "merchant"):
        shop = open_shop()
        open_waterworks(shop)  # it issues bills as well
        return shop.till.send if name == "merchant" else shop.system.machine.send
    hall = request.getfixturevalue("hall")
    match name:
        case "resident":
            return request.getfixturevalue("phone").send
        case "counter":
            counter = request.getfixturevalue("counter")
            Staff.objects.filter(id=counter.staff.id).update(roles=["registrar", "register-review"])
            return counter.send
        case "finance" | "operations" | "administration":
            official = city.sign_in_clerk(city.make_desk(hall, name="财务室"), username="a", at=at)
            roles = ["finance", "operations", "administrator", "approver"]
            Staff.objects.filter(user__username="a").update(roles=roles)
            return official.send
        case "terminal":
            return request.getfixturevalue("kiosk").send
        case "register":
            return city.make_terminal(hall, scene="register", key_id="register-1").send
        case "department":
            return city.make_department(hall).send
        case "issuer":
            Issuer.objects.create(organisation=hall, code="stub", card_types=["bus"])
            return city.make_terminal(hall, scene="issuer", key_id="issuer-1").send
        case "key_dpop":
            return city.Phone().send
        case "key_desk_proof":
            counter = request.getfixturevalue("counter")
            return city.DeskBrowser(counter.desk, counter.key).send
        case "key_signature":
            return new_till
        case "public":
            return lambda method, path, body, key=None: city.send(method, path, body, {})
        case "platform":
            return lambda _method, _path, body, key=None: sensors.push(body)
    raise AssertionError(f"nobody calls himself {name}")


def new_till(method: str, path: str, body: Any = None, **others: Any) -> Any:
    """A till on its way in, whose key is in its body whenever that is an object."""
    private = signing.generate_p256()
    try:
        told = json.loads(body)
        if isinstance(told, dict) and "jwk" not in told:
            body = json.dumps(told | {"jwk": signing.jwk_of(private)}).encode()
    except ValueError:
        pass
    thumbprint = signing.thumbprint(signing.jwk_of(private))
    parts = city.Parts(
        method=method,
        target_uri=settings.PUBLIC_URL + path,
        headers={"content-type": "application/json"} if body else {},
        body=body or b"",
    )
    added = city.http_signatures.sign_request(
        parts,
        key_id=thumbprint,
        private=private,
        algorithm="ecdsa-p256-sha256",
        at=clock.now(),
        nonce=uuid.uuid4().hex,
    )
    return city.send(method, path, body or None, added)


@pytest.mark.parametrize("path", sorted(posts()))
def test_any_body__to_any_post__documented_problem_and_never_a_500(
    request: pytest.FixtureRequest, path: str, at: datetime
):
    """What reads a body is common to all routes: any bodies go to one of each kind of caller, and
    to those that ask for none; the rest get half as many, which have the very members they want."""
    operation = posts()[path]
    send = sender(caller_of(path), request, at=at)
    is_whole = IS_FULL or path in first_of_their_callers()
    asked = bodies if "requestBody" not in operation else shaped(operation)
    numbers = {
        each["name"]
        for each in operation.get("parameters", [])
        if each["in"] == "path" and each["schema"]["type"] == "integer"
    }
    url = re.sub(r"\{(\w+)\}", lambda name: "1" if name[1] in numbers else NOBODY, path)
    takes_key = any(each["name"] == "Idempotency-Key" for each in operation.get("parameters", []))

    @hypothesis_settings(
        max_examples=EXAMPLES if is_whole else EXAMPLES // 2, deadline=None, database=None,
        derandomize=True, suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(bodies | asked if is_whole else asked)
    def any_body(body: bytes) -> None:
        answer = send("POST", url, body, key=city.new_key() if takes_key else None)

        assert answer.status_code < 500, (body, answer.content)
        documented = operation["responses"].get(str(answer.status_code))
        assert documented is not None, (body, answer.status_code)
        if answer.status_code >= 400:
            status, code = city.problem(answer)
            assert f"`{code}`" in documented["description"], (body, status, code)

    any_body()


def test_key__of_nobody__is_not_let_in_by_its_form():
    stranger = city.DeskBrowser(city.Desk(), signing.generate_p256())
    stranger.token = "A" * 43

    assert city.problem(stranger.scan("VP1:X")) == (401, "token.unknown")
