"""Proofs of a phone's or desk's key: the frozen vector, and a code for each thing wrong."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from vpass.common import key_proofs, signing
from vpass.common.errors import NotAuthenticated
from vpass.common.key_proofs import KeyProof

ROOT = Path(__file__).resolve().parents[2]
VECTOR = json.loads((ROOT / "tests/common/vectors/key_proofs.json").read_text())
AT = datetime.fromtimestamp(VECTOR["at"], tz=UTC)
PRIVATE = signing.load_private(VECTOR["private_pem"])
JWK = signing.jwk_of(PRIVATE)
KEY = signing.VerificationKey("ES256", PRIVATE.public_key())
ATH = signing.b64url_encode(key_proofs.token_hash(VECTOR["access_token"]))
CLAIMS = {
    "jti": "Vq3nZ0yTq1eG8sKx",
    "htm": VECTOR["method"],
    "htu": VECTOR["url"],
    "iat": VECTOR["at"],
    "ath": ATH,
}


def _proof(*, typ: str = "dpop+jwt", jwk: Any = JWK, kid: str | None = None, **claims: Any) -> str:
    merged = {name: value for name, value in (CLAIMS | claims).items() if value is not None}
    return signing.encode_jws(merged, PRIVATE, typ=typ, jwk=jwk, kid=kid)


def _prove(token: str, *, at: datetime = AT, **more: Any) -> KeyProof:
    known = {"access_token": VECTOR["access_token"], "bound_to": KEY} | more
    return key_proofs.prove_key(
        key_proofs.read_proof(token), method=VECTOR["method"], url=VECTOR["url"], at=at, **known
    )


def _code(token: str, **more: Any) -> str:
    with pytest.raises(NotAuthenticated) as refused:
        _prove(token, **more)
    return refused.value.code


@pytest.mark.django_db
def test_prove_key__frozen_vector__accepted_once():
    proof = _prove(VECTOR["proof"])

    assert proof.thumbprint == VECTOR["thumbprint"]
    assert proof.jwk == JWK
    assert proof.point == signing.public_point(PRIVATE)
    assert _code(VECTOR["proof"]) == "proof.replayed"


@pytest.mark.django_db
def test_prove_key__same_jti_in_another_proof__refused():
    _prove(_proof())

    assert _code(_proof(iat=VECTOR["at"] - 1)) == "proof.replayed"


@pytest.mark.parametrize(
    ("token", "code"),
    [
        ("", "proof.missing"),
        ("x", "proof.invalid"),
        ("a.b.c", "proof.invalid"),
        ("é.b.c", "proof.invalid"),
        (VECTOR["proof"] + ", " + VECTOR["proof"], "proof.invalid"),
        (VECTOR["proof"] + "=", "proof.invalid"),
        (VECTOR["proof"][:-3], "proof.invalid"),
        (VECTOR["proof_high_s"], "proof.invalid"),
        ("A" * 9000, "proof.invalid"),
        (_proof(typ="jwt"), "proof.invalid"),
        (_proof(kid="k"), "proof.invalid"),
        (_proof(jwk=None), "proof.invalid"),
        (_proof(jwk=JWK | {"d": "AA"}), "proof.invalid"),
        (_proof(jwk=JWK | {"crv": "P-384"}), "proof.invalid"),
        (_proof(jwk={"kty": "RSA", "n": "AQAB", "e": "AQAB"}), "proof.invalid"),
        (_proof(jwk=signing.jwk_of(signing.generate_p256())), "proof.invalid"),
        (_proof(htm="POST"), "proof.invalid"),
        (_proof(htm="get"), "proof.invalid"),
        (_proof(htm=None), "proof.invalid"),
        (_proof(htu=VECTOR["url"] + "?a=1"), "proof.invalid"),
        (_proof(htu="https://other.example/api/resident/v1/me"), "proof.invalid"),
        (_proof(htu=["x"]), "proof.invalid"),
        (_proof(jti=None), "proof.invalid"),
        (_proof(jti="short"), "proof.invalid"),
        (_proof(jti="j" * 65), "proof.invalid"),
        (_proof(jti=1234567890123456), "proof.invalid"),
        (_proof(iat=None), "proof.invalid"),
        (_proof(iat="1767225600"), "proof.invalid"),
        (_proof(iat=True), "proof.invalid"),
        (_proof(iat=1767225600.5), "proof.invalid"),
        (_proof(iat=-1), "proof.invalid"),
        (_proof(ath=None), "proof.invalid"),
        (_proof(ath="x"), "proof.invalid"),
        (_proof(ath=5), "proof.invalid"),
        (_proof(aud="x"), "proof.invalid"),
        (_proof(exp=VECTOR["at"] - 60), "proof.expired"),
        (_proof(iat=VECTOR["at"] - 61), "proof.expired"),
        (_proof(iat=VECTOR["at"] + 6), "proof.expired"),
    ],
)
def test_prove_key__wrong_proof__exact_code_and_nothing_spent(token: str, code: str):
    # No database here: a refused proof costs no statement.
    assert _code(token) == code


def test_prove_key__expired__tells_the_right_time():
    with pytest.raises(key_proofs.ProofExpired) as refused:
        _prove(_proof(iat=VECTOR["at"] - 61))

    assert refused.value.members == {"server_time": "2026-01-01T00:00:00.000+00:00"}


@pytest.mark.django_db
@pytest.mark.parametrize("seconds", [60, -5])
def test_prove_key__edge_of_time__accepted(seconds: int):
    assert _prove(_proof(), at=AT + timedelta(seconds=seconds)).jwk == JWK


def test_prove_key__bound_to_another_key__refused():
    other = signing.VerificationKey("ES256", signing.generate_p256().public_key())

    assert _code(_proof(), bound_to=other) == "proof.invalid"


def test_prove_key__bound_to_a_key_of_another_kind__refused():
    other = signing.VerificationKey("Ed25519", signing.generate_ed25519().public_key())

    assert _code(_proof(), bound_to=other) == "proof.invalid"


@pytest.mark.django_db
def test_prove_key__without_token__only_a_proof_that_names_none():
    assert _code(_proof(), access_token=None, bound_to=None) == "proof.invalid"

    assert _prove(_proof(ath=None), access_token=None, bound_to=None).jwk == JWK


def test_guide__worked_example__has_the_frozen_numbers():
    guide = (ROOT / "docs/phone-proofs.md").read_text()

    assert "\n.".join(VECTOR["proof"].split(".")) in guide
    for name in ("private_pem", "thumbprint", "access_token", "url", "jti"):
        assert VECTOR[name] in guide
