"""Who gets through the edge, at what cost, and with which code everybody else is turned away."""

import uuid
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

import pytest
from django.db import transaction
from django.test import override_settings
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.test import APIRequestFactory

from tests.statements import statements
from vpass.common import callers, clock, http_signatures, key_proofs, signing
from vpass.common.api import Audience, Endpoint
from vpass.common.callers import Caller, KnownCaller
from vpass.common.http_signatures import Parts

CITY = "https://vpass.example"
DEVICE = signing.generate_p256()
DESK = signing.generate_p256()
MACHINE = signing.generate_ed25519()
TOKEN = "a-token-of-full-entropy-0123456789"
TERMINAL_ID = uuid.UUID(int=7)
RESIDENT = Caller(kind="resident", id=uuid.UUID(int=1), key_id="device", level=1)
STAFF = Caller(kind="staff", id=uuid.UUID(int=2), key_id="desk", roles=frozenset({"clerk"}))
TERMINAL = Caller(kind="terminal", id=TERMINAL_ID, key_id="terminal-1")
requests = APIRequestFactory()


class Me(Endpoint):
    audience = Audience.RESIDENT

    def get(self, request: Request) -> Response:
        return Response({"caller": self.caller.scope, "key": self.proof.thumbprint})


class Proven(Me):
    level = 2


class Enrolments(Endpoint):
    audience = Audience.RESIDENT
    signed_in = False

    def post(self, request: Request) -> Response:
        return Response({"caller": self.caller.scope, "key": self.proof.thumbprint})


class Sessions(Enrolments):
    audience = Audience.COUNTER


class Desk(Me):
    audience = Audience.COUNTER


class Managers(Desk):
    roles = frozenset({"manager"})


class TerminalScans(Endpoint):
    audience = Audience.TERMINAL

    def get(self, request: Request) -> Response:
        return Response({"caller": self.caller.scope})

    def post(self, request: Request) -> Response:
        if self.request.data.get("fail"):
            with transaction.atomic():
                raise RuntimeError("the work fails")
        return Response({"caller": self.caller.scope, "read": self.request.data})


class BankOrders(TerminalScans):
    audience = Audience.BANK


@pytest.fixture(autouse=True)
def public_url() -> Iterator[None]:
    with override_settings(PUBLIC_URL=CITY, ALLOWED_HOSTS=["*"]):
        yield


@pytest.fixture(autouse=True)
def known(monkeypatch: pytest.MonkeyPatch) -> dict[str, KnownCaller]:
    """Resolvers that know one token and the key ids put here."""
    machines = {
        "terminal-1": KnownCaller(
            caller=TERMINAL, key=signing.VerificationKey("Ed25519", MACHINE.public_key())
        )
    }
    by_hash = {
        "resident": KnownCaller(
            caller=RESIDENT, key=signing.VerificationKey("ES256", DEVICE.public_key())
        ),
        "staff": KnownCaller(caller=STAFF, key=signing.VerificationKey("ES256", DESK.public_key())),
    }

    def finder(kind: str) -> Callable[[bytes, datetime], KnownCaller | None]:
        hashed = key_proofs.token_hash(TOKEN)
        return lambda token_hash, at: by_hash[kind] if token_hash == hashed else None

    monkeypatch.setattr(callers, "_by_hash", {kind: finder(kind) for kind in by_hash})
    monkeypatch.setattr(callers, "_by_key_id", {"machine": lambda key_id, at: machines.get(key_id)})
    return machines


def _proof(
    private: Any, *, method: str = "GET", path: str = "/x", token: str | None = TOKEN
) -> str:
    claims = {
        "jti": uuid.uuid4().hex,
        "htm": method,
        "htu": CITY + path,
        "iat": int(clock.now().timestamp()),
    }
    if token is not None:
        claims["ath"] = signing.b64url_encode(key_proofs.token_hash(token))
    return signing.encode_jws(claims, private, typ="dpop+jwt", jwk=signing.jwk_of(private))


def _call(endpoint: type[Endpoint], request: Any) -> Response:
    response = endpoint.as_view()(request)
    response.render()
    return response


def _signed(body: bytes = b'{"a":1}', *, target: str = "/scans", **more: Any) -> dict[str, str]:
    headers = {"content-type": "application/json"} if body else {}
    known = {
        "key_id": "terminal-1", "private": MACHINE, "algorithm": "ed25519", "at": clock.now(),
        "nonce": uuid.uuid4().hex,
    } | more  # fmt: skip
    parts = Parts(
        method="POST" if body else "GET", target_uri=CITY + target, headers=headers, body=body
    )
    return http_signatures.sign_request(parts, **known)


def _post(endpoint: type[Endpoint], body: bytes, headers: dict[str, str]) -> Response:
    request = requests.generic(
        "POST", "/scans", body, content_type="application/json", headers=headers
    )
    return _call(endpoint, request)


def _refused(response: Response, status: int, code: str) -> None:
    assert (response.status_code, response.data["code"]) == (status, code)
    assert response["Content-Type"] == "application/problem+json"
    assert response["Cache-Control"] == "no-store"
    assert ("WWW-Authenticate" in response) == (status == 401)


# Residents


@pytest.mark.django_db
def test_resident__token_and_proof__one_statement_beside_the_resolver():
    headers = {"Authorization": f"DPoP {TOKEN}", "DPoP": _proof(DEVICE)}

    with statements() as sent:
        response = _call(Me, requests.get("/x", headers=headers))

    assert response.data == {
        "caller": f"resident:{RESIDENT.id}",
        "key": signing.thumbprint(signing.jwk_of(DEVICE)),
    }
    assert [each.split(" (")[0] for each in sent] == ["INSERT INTO common_seen"]


@pytest.mark.django_db
def test_resident__host_header_differs__our_public_url_counts():
    headers = {"Authorization": f"DPoP {TOKEN}", "DPoP": _proof(DEVICE), "Host": "evil.example"}

    assert _call(Me, requests.get("/x?limit=5", headers=headers)).status_code == 200


@pytest.mark.django_db
def test_resident__same_proof_twice__second_refused():
    headers = {"Authorization": f"DPoP {TOKEN}", "DPoP": _proof(DEVICE)}
    assert _call(Me, requests.get("/x", headers=headers)).status_code == 200

    response = _call(Me, requests.get("/x", headers=headers))

    _refused(response, 401, "proof.replayed")
    assert response["WWW-Authenticate"] == 'DPoP algs="ES256", error="invalid_dpop_proof"'


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        (dict, "caller.not_authenticated"),
        (lambda: {"Authorization": ""}, "caller.not_authenticated"),
        (lambda: {"Authorization": "DPoP"}, "caller.not_authenticated"),
        (lambda: {"Authorization": f"Bearer {TOKEN}"}, "caller.not_authenticated"),
        (lambda: {"Authorization": "DPoP short"}, "caller.not_authenticated"),
        (lambda: {"Authorization": f"DPoP {TOKEN} {TOKEN}"}, "caller.not_authenticated"),
        (lambda: {"Authorization": "DPoP " + "ü" * 20}, "caller.not_authenticated"),
        (lambda: {"Authorization": "DPoP " + "x" * 600}, "caller.not_authenticated"),
        (lambda: {"Authorization": f"DPoP {TOKEN}"}, "proof.missing"),
        (lambda: {"Authorization": f"DPoP {TOKEN}", "DPoP": "x"}, "proof.invalid"),
        (lambda: {"Authorization": f"DPoP {TOKEN}x", "DPoP": _proof(DEVICE)}, "token.unknown"),
        (lambda: {"Authorization": f"DPoP {TOKEN}", "DPoP": _proof(DESK)}, "proof.invalid"),
        (lambda: {"Authorization": f"DPoP {TOKEN}", "DPoP": _proof(DEVICE, token=None)},
         "proof.invalid"),
        (lambda: {"Authorization": f"DPoP {TOKEN}", "DPoP": _proof(DEVICE, path="/y")},
         "proof.invalid"),
        (lambda: {"Authorization": f"DPoP {TOKEN}", "DPoP": _proof(DEVICE, method="POST")},
         "proof.invalid"),
    ],
)  # fmt: skip
def test_resident__bad_credentials__exact_code(headers: Callable[[], dict[str, str]], code: str):
    _refused(_call(Me, requests.get("/x", headers=headers())), 401, code)


@pytest.mark.django_db
def test_resident__level_too_low__refused_with_the_level_needed():
    headers = {"Authorization": f"DPoP {TOKEN}", "DPoP": _proof(DEVICE)}

    response = _call(Proven, requests.get("/x", headers=headers))

    _refused(response, 403, "caller.level_too_low")
    assert response.data["level_needed"] == 2


@pytest.mark.django_db
def test_key_alone__proof_without_token__caller_is_the_key():
    proof = _proof(DEVICE, method="POST", token=None)

    response = _call(Enrolments, requests.post("/x", headers={"DPoP": proof}))

    thumbprint = signing.thumbprint(signing.jwk_of(DEVICE))
    assert response.data == {"caller": f"key:{thumbprint}", "key": thumbprint}


def test_key_alone__no_proof__refused():
    _refused(_call(Enrolments, requests.post("/x")), 401, "proof.missing")


def test_key_alone__desk_with_a_phones_header__refused():
    proof = _proof(DESK, method="POST", token=None)

    _refused(_call(Sessions, requests.post("/x", headers={"DPoP": proof})), 401, "proof.missing")


# Staff


def _staff(proof: str | None, *, cookie: str = "__Host-vpass-staff", token: str = TOKEN) -> Any:
    request = requests.get("/x", headers={"Desk-Proof": proof} if proof else {})
    request.COOKIES[cookie] = token
    return request


@pytest.mark.django_db
def test_staff__cookie_and_desk_proof__accepted():
    with statements() as sent:
        response = _call(Desk, _staff(_proof(DESK)))

    assert response.data["caller"] == f"staff:{STAFF.id}"
    assert len(sent) == 1


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        (lambda: _staff(None), "proof.missing"),
        (lambda: _staff(_proof(DEVICE)), "proof.invalid"),
        (lambda: _staff(_proof(DESK), token="x"), "caller.not_authenticated"),
        (lambda: _staff(_proof(DESK), token=TOKEN + "x"), "token.unknown"),
        (lambda: _staff(_proof(DESK), cookie="vpass-staff"), "caller.not_authenticated"),
        (lambda: requests.get("/x"), "caller.not_authenticated"),
    ],
)
def test_staff__bad_credentials__exact_code(request_: Callable[[], Any], code: str):
    _refused(_call(Desk, request_()), 401, code)


@pytest.mark.django_db
def test_staff__plain_http__cookie_without_host_prefix():
    with override_settings(PUBLIC_URL="http://127.0.0.1:8000"):
        claims = {
            "jti": uuid.uuid4().hex, "htm": "GET", "htu": "http://127.0.0.1:8000/x",
            "iat": int(clock.now().timestamp()),
            "ath": signing.b64url_encode(key_proofs.token_hash(TOKEN)),
        }  # fmt: skip
        proof = signing.encode_jws(claims, DESK, typ="dpop+jwt", jwk=signing.jwk_of(DESK))

        response = _call(Desk, _staff(proof, cookie="vpass-staff"))

    assert response.status_code == 200


@pytest.mark.django_db
def test_staff__role_missing__refused():
    _refused(_call(Managers, _staff(_proof(DESK))), 403, "caller.role_missing")


# Machines


@pytest.mark.django_db
def test_machine__signed_post__one_statement_beside_the_resolver():
    body = b'{"a":1}'

    with statements() as sent:
        response = _post(TerminalScans, body, _signed(body))

    assert response.data == {"caller": f"terminal:{TERMINAL_ID}", "read": {"a": 1}}
    assert [each.split(" (")[0] for each in sent] == ["INSERT INTO common_seen"]


@pytest.mark.django_db
def test_machine__get_with_query__raw_query_is_signed():
    headers = _signed(b"", target="/scans?a=%E5%9F%8E&b=|")

    request = requests.get("/scans", headers=headers)
    request.META["QUERY_STRING"] = "a=%E5%9F%8E&b=|"

    assert _call(TerminalScans, request).status_code == 200


@pytest.mark.django_db
def test_machine__same_nonce_twice__second_refused():
    headers = _signed()
    assert _post(TerminalScans, b'{"a":1}', headers).status_code == 200

    response = _post(TerminalScans, b'{"a":1}', headers)

    _refused(response, 401, "signature.replayed")
    assert response["WWW-Authenticate"].startswith("Signature ")


@pytest.mark.django_db(transaction=True)
def test_machine__work_fails__nonce_stays_spent():
    headers = _signed(b'{"fail":true}')

    failed = _post(TerminalScans, b'{"fail":true}', headers)
    again = _post(TerminalScans, b'{"fail":true}', headers)

    assert (failed.status_code, failed.data["code"]) == (500, "server.error")
    _refused(again, 401, "signature.replayed")


@pytest.mark.parametrize(
    ("signed", "code"),
    [
        (dict, "signature.missing"),
        (lambda: _signed(key_id="terminal-2"), "signature.key_unknown"),
        (lambda: _signed(private=signing.generate_ed25519()), "signature.invalid"),
        (
            lambda: _signed(private=DEVICE, algorithm="ecdsa-p256-sha256"),
            "signature.algorithm_refused",
        ),
        (lambda: _signed(target="/scans?a=1"), "signature.invalid"),
        (lambda: _signed(b'{"a":2}'), "signature.digest_wrong"),
        (lambda: _signed() | {"Idempotency-Key": "key-000001"}, "signature.incomplete"),
        (lambda: _signed() | {"Signature": "ü"}, "signature.malformed"),
    ],
)
def test_machine__bad_signature__exact_code(signed: Callable[[], dict[str, str]], code: str):
    _refused(_post(TerminalScans, b'{"a":1}', signed()), 401, code)


@pytest.mark.django_db
def test_machine__of_another_audience__refused():
    _refused(_post(BankOrders, b'{"a":1}', _signed()), 403, "caller.wrong_audience")


@pytest.mark.django_db
def test_bank__answer_is_signed_and_tied_to_the_request(
    known: dict[str, KnownCaller], settings: Any
):
    bank = Caller(kind="bank", id=uuid.UUID(int=9), key_id="terminal-1")
    known["terminal-1"] = KnownCaller(caller=bank, key=known["terminal-1"].key)
    headers = _signed()

    response = _post(BankOrders, b'{"a":1}', headers)

    pem = settings.SECRETS.machine_private_key_pem
    key = signing.VerificationKey("Ed25519", signing.load_ed25519_private(pem).public_key())
    found = http_signatures.verify_response(
        200,
        {name.lower(): value for name, value in response.items()},
        response.content,
        request_signature=http_signatures.signature_bytes({"signature": headers["Signature"]}),
        find_key=lambda key_id: key,
        at=clock.now(),
    )
    assert found.key_id == settings.SECRETS.machine_key_id
