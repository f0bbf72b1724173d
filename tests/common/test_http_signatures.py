"""HTTP message signatures: frozen vectors, every malformed header, and another implementation."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import http_message_signatures as theirs
import pytest
from http_message_signatures.algorithms import ECDSA_P256_SHA256, ED25519
from hypothesis import given
from hypothesis import strategies as st

from vpass.common import http_signatures, signing
from vpass.common.http_signatures import Parts, SignatureRefused, VerifiedSignature

ROOT = Path(__file__).resolve().parents[2]
VECTORS = json.loads((ROOT / "tests/common/vectors/http_signatures.json").read_text())
AT = datetime.fromtimestamp(VECTORS["at"], tz=UTC)
REQUESTS: dict[str, Any] = VECTORS["requests"]
INPUT = REQUESTS["post_ed25519"]["headers"]["signature-input"]
SIGNATURE = REQUESTS["post_ed25519"]["headers"]["signature"]
THEIR_ALGORITHMS = {"ed25519": ED25519, "ecdsa-p256-sha256": ECDSA_P256_SHA256}


def _private(algorithm: str) -> Any:
    pem = VECTORS["keys"][algorithm]["private_pem"]
    is_ed25519 = algorithm == "ed25519"
    return signing.load_ed25519_private(pem) if is_ed25519 else signing.load_private(pem)


def _key(algorithm: str) -> signing.VerificationKey:
    public = signing.load_public(VECTORS["keys"][algorithm]["public_pem"])
    return signing.VerificationKey(http_signatures.ALGORITHM_NAMES[algorithm], public)


def _parts(name: str = "post_ed25519") -> Parts:
    vector = REQUESTS[name]
    return Parts(
        method=vector["method"],
        target_uri=vector["target_uri"],
        headers=dict(vector["headers"]),
        body=vector["body"].encode(),
    )


def _verify(parts: Parts, *, algorithm: str = "ed25519", at: datetime = AT) -> VerifiedSignature:
    key = _key(algorithm)
    return http_signatures.verify_request(
        parts, find_key=lambda key_id: key if key_id == "terminal-7f3a" else None, at=at
    )


def _changed(**headers: str | None) -> Parts:
    parts = _parts()
    merged = {**parts.headers, **{name.replace("_", "-"): v for name, v in headers.items()}}
    return replace(parts, headers={name: v for name, v in merged.items() if v is not None})


def _code(parts: Parts, **more: Any) -> str:
    with pytest.raises(SignatureRefused) as refused:
        _verify(parts, **more)
    assert refused.value.status == 401
    return refused.value.code


@pytest.mark.parametrize("name", REQUESTS)
def test_verify_request__frozen_vector__accepted(name: str):
    found = _verify(_parts(name), algorithm=REQUESTS[name]["algorithm"])

    assert found.key_id == "terminal-7f3a"
    assert found.created == AT
    assert found.nonce == ("q9Yw3nT0aLk2sVx9" if name == "get_ed25519" else "q9Yw3nT0aLk2sVx8")
    assert len(found.signature) == 64


def test_sign_request__frozen_vector__same_bytes():
    vector = REQUESTS["post_ed25519"]
    kept = ("content-type", "idempotency-key")
    unsigned = replace(_parts(), headers={name: vector["headers"][name] for name in kept})

    added = http_signatures.sign_request(
        unsigned,
        key_id="terminal-7f3a",
        private=_private("ed25519"),
        algorithm="ed25519",
        at=AT,
        nonce="q9Yw3nT0aLk2sVx8",
    )

    assert added == {
        "Content-Digest": vector["headers"]["content-digest"],
        "Signature-Input": vector["headers"]["signature-input"],
        "Signature": vector["headers"]["signature"],
    }


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"signature": None, "signature_input": None}, "signature.missing"),
        ({"signature": None}, "signature.malformed"),
        ({"signature_input": None}, "signature.malformed"),
        ({"signature": ""}, "signature.malformed"),
        ({"signature": "vpass"}, "signature.malformed"),
        ({"signature": "vpass=?1"}, "signature.malformed"),
        ({"signature": SIGNATURE.replace("vpass", "other")}, "signature.malformed"),
        ({"signature": SIGNATURE + ", " + SIGNATURE}, "signature.malformed"),
        ({"signature": SIGNATURE + ";a=1"}, "signature.malformed"),
        ({"signature": SIGNATURE.replace("AQ==", "AR==")}, "signature.malformed"),
        ({"signature": SIGNATURE.replace("==:", ":")}, "signature.malformed"),
        ({"signature": SIGNATURE.replace("z8VR", "z8V")}, "signature.malformed"),
        ({"signature": SIGNATURE.replace("z8VR", "z8V-")}, "signature.malformed"),
        ({"signature": SIGNATURE.replace("z8VR", "z9VR")}, "signature.invalid"),
        ({"signature_input": "vpass"}, "signature.malformed"),
        ({"signature_input": INPUT.replace("vpass", "other")}, "signature.malformed"),
        ({"signature_input": INPUT + ", " + INPUT}, "signature.malformed"),
        ({"signature_input": INPUT + ', b=("@method")'}, "signature.malformed"),
        ({"signature_input": INPUT.replace(" ", "  ")}, "signature.malformed"),
        ({"signature_input": INPUT.replace("(", "( ")}, "signature.malformed"),
        ({"signature_input": INPUT.replace("vpass=", "vpass= ")}, "signature.malformed"),
        ({"signature_input": INPUT.replace(";alg", "; alg")}, "signature.malformed"),
        ({"signature_input": INPUT + "x" * 2000}, "signature.malformed"),
        ({"signature_input": INPUT + ';tag="t"'}, "signature.malformed"),
        ({"signature_input": INPUT + ";expires=1767225700"}, "signature.malformed"),
        ({"signature_input": INPUT + ";created=1767225600"}, "signature.malformed"),
        ({"signature_input": INPUT.replace(";created=1767225600", "")}, "signature.malformed"),
        ({"signature_input": INPUT.replace(';nonce="q9Yw3nT0aLk2sVx8"', "")},
         "signature.malformed"),
        ({"signature_input": INPUT.replace(';alg="ed25519"', "")}, "signature.malformed"),
        ({"signature_input": INPUT.replace(';keyid="terminal-7f3a"', "")}, "signature.malformed"),
        ({"signature_input": INPUT.replace("1767225600", "-1767225600")}, "signature.malformed"),
        ({"signature_input": INPUT.replace("1767225600", "1767225600.0")}, "signature.malformed"),
        ({"signature_input": INPUT.replace("1767225600", '"1767225600"')}, "signature.malformed"),
        ({"signature_input": INPUT.replace("1767225600", "01767225600")}, "signature.malformed"),
        ({"signature_input": INPUT.replace("1767225600", "999999999999999")},
         "signature.malformed"),
        ({"signature_input": INPUT.replace("1767225600", "١٧٦٧٢٢٥٦٠٠")}, "signature.malformed"),
        ({"signature_input": INPUT.replace("q9Yw3nT0aLk2sVx8", "short")}, "signature.malformed"),
        ({"signature_input": INPUT.replace("q9Yw3nT0aLk2sVx8", "n" * 65)}, "signature.malformed"),
        ({"signature_input": INPUT.replace("q9Yw3nT0aLk2sVx8", "with a space here")},
         "signature.malformed"),
        ({"signature_input": INPUT.replace('"terminal-7f3a"', '""')}, "signature.malformed"),
        ({"signature_input": INPUT.replace("terminal-7f3a", "k\\\"ey")}, "signature.malformed"),
        ({"signature_input": INPUT.replace("terminal-7f3a", "another")}, "signature.key_unknown"),
        ({"signature_input": INPUT.replace("ed25519", "none")}, "signature.algorithm_refused"),
        ({"signature_input": INPUT.replace("ed25519", "hmac-sha256")},
         "signature.algorithm_refused"),
        ({"signature_input": INPUT.replace("ed25519", "ecdsa-p256-sha256")},
         "signature.algorithm_refused"),
        ({"signature_input": INPUT.replace('"@method" ', '"@method" "@method" ')},
         "signature.malformed"),
        ({"signature_input": INPUT.replace('"@method"', '"@method";sf')}, "signature.malformed"),
        ({"signature_input": INPUT.replace('"@method"', '"@authority"')}, "signature.malformed"),
        ({"signature_input": INPUT.replace('"@method"', '"date"')}, "signature.malformed"),
        ({"signature_input": INPUT.replace('"@method"', '"@METHOD"')}, "signature.malformed"),
        ({"signature_input": INPUT.replace('"@method"', "@method")}, "signature.malformed"),
        ({"signature_input": INPUT.replace('"@method" ', "")}, "signature.incomplete"),
        ({"signature_input": INPUT.replace('"@target-uri" ', "")}, "signature.incomplete"),
        ({"signature_input": INPUT.replace('"content-digest" ', "")}, "signature.incomplete"),
        ({"signature_input": INPUT.replace('"content-type" ', "")}, "signature.incomplete"),
        ({"signature_input": INPUT.replace(' "idempotency-key"', "")}, "signature.incomplete"),
        ({"signature_input": 'vpass=()' + INPUT[INPUT.index(";"):]}, "signature.incomplete"),
        ({"idempotency_key": None}, "signature.incomplete"),
        ({"content_type": None}, "signature.incomplete"),
        ({"content_type": "application/json\r\nx: y"}, "signature.malformed"),
        ({"content_type": "application/jsön"}, "signature.malformed"),
        ({"content_type": "text/plain"}, "signature.invalid"),
        ({"idempotency_key": "another-key-0001"}, "signature.invalid"),
        ({"content_digest": None}, "signature.digest_missing"),
        ({"content_digest": "sha-256=:AAAA:"}, "signature.malformed"),
        ({"content_digest": "sha-512=:AAAA:"}, "signature.malformed"),
        ({"content_digest": "md5=:AAAA:, sha-256=:AAAA:"}, "signature.malformed"),
        ({"content_digest": http_signatures.content_digest(b"{}")}, "signature.digest_wrong"),
    ],
)  # fmt: skip
def test_verify_request__header_changed__exact_code(changed: dict[str, str | None], code: str):
    assert _code(_changed(**changed)) == code


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"method": "PUT"}, "signature.invalid"),
        ({"target_uri": "https://other.example/api/terminal/v1/scans"}, "signature.invalid"),
        ({"target_uri": "https://vpass.example/api/terminal/v1/scans?a=1"}, "signature.invalid"),
        ({"target_uri": "https://vpass.example/城市"}, "signature.malformed"),
        ({"body": b"{}"}, "signature.digest_wrong"),
        ({"body": b""}, "signature.digest_wrong"),
    ],
)
def test_verify_request__message_changed__exact_code(changed: dict[str, Any], code: str):
    assert _code(replace(_parts(), **changed)) == code


@pytest.mark.parametrize(
    ("seconds", "code"),
    [(60, None), (61, "signature.expired"), (-30, None), (-31, "signature.clock_wrong")],
)
def test_verify_request__age__sixty_back_and_thirty_ahead(seconds: int, code: str | None):
    at = AT + timedelta(seconds=seconds)

    if code is None:
        assert _verify(_parts(), at=at).key_id == "terminal-7f3a"
    else:
        assert _code(_parts(), at=at) == code


def test_verify_request__stale_or_malformed__key_is_not_even_looked_up():
    asked: list[str] = []

    def find_key(key_id: str) -> None:
        asked.append(key_id)

    for parts, at in [(_changed(signature_input="x"), AT), (_parts(), AT + timedelta(minutes=5))]:
        with pytest.raises(SignatureRefused):
            http_signatures.verify_request(parts, find_key=find_key, at=at)

    assert asked == []


@given(text=st.text(max_size=300), name=st.sampled_from(["signature", "signature_input"]))
def test_verify_request__any_text_as_header__always_a_named_refusal(text: str, name: str):
    assert _code(_changed(**{name: text})).startswith("signature.")


def _answer() -> tuple[int, dict[str, str], bytes]:
    vector = VECTORS["answer"]
    return vector["status"], dict(vector["headers"]), vector["body"].encode()


def _verify_answer(
    status: int, headers: dict[str, str], body: bytes, tie: bytes | None
) -> VerifiedSignature:
    return http_signatures.verify_response(
        status,
        headers,
        body,
        request_signature=tie,
        find_key=lambda key_id: _key("ed25519"),
        at=AT + timedelta(seconds=1),
    )


def test_verify_response__frozen_vector__accepted():
    tie = http_signatures.signature_bytes(_parts().headers)

    found = _verify_answer(*_answer(), tie)

    assert (found.key_id, found.nonce) == ("vpass-1", "")


def test_sign_response__frozen_vector__same_bytes():
    status, headers, body = _answer()

    added = http_signatures.sign_response(
        status,
        {"content-type": "application/json"},
        body,
        request_signature=http_signatures.signature_bytes(_parts().headers),
        key_id="vpass-1",
        private=_private("ed25519"),
        algorithm="ed25519",
        at=AT + timedelta(seconds=1),
    )

    assert {name.lower(): value for name, value in added.items()} == {
        name: value for name, value in headers.items() if name != "content-type"
    }


def test_verify_response__answer_to_another_request__refused():
    tie = http_signatures.signature_bytes(_parts("get_ed25519").headers)

    with pytest.raises(http_signatures.SignatureInvalid):
        _verify_answer(*_answer(), tie)


def test_verify_response__tie_left_out__refused():
    status, headers, body = _answer()
    untied = http_signatures.sign_response(
        status,
        {"content-type": "application/json"},
        body,
        request_signature=None,
        key_id="vpass-1",
        private=_private("ed25519"),
        algorithm="ed25519",
        at=AT,
    )
    sent = headers | {name.lower(): value for name, value in untied.items()}

    assert _verify_answer(status, sent, body, None).key_id == "vpass-1"
    with pytest.raises(http_signatures.SignatureIncomplete):
        _verify_answer(status, sent, body, http_signatures.signature_bytes(_parts().headers))


@pytest.mark.parametrize(
    ("status", "body", "code"),
    [(500, None, "signature.invalid"), (200, b"{}", "signature.digest_wrong")],
)
def test_verify_response__changed__refused(status: int, body: bytes | None, code: str):
    _, headers, own = _answer()
    tie = http_signatures.signature_bytes(_parts().headers)

    with pytest.raises(SignatureRefused) as refused:
        _verify_answer(status, headers, own if body is None else body, tie)

    assert refused.value.code == code


# Against an implementation that is not ours


class _TheirKeys(theirs.HTTPSignatureKeyResolver):
    def __init__(self, algorithm: str) -> None:
        self.pems = VECTORS["keys"][algorithm]

    def resolve_public_key(self, key_id: str) -> bytes:
        return self.pems["public_pem"].encode()

    def resolve_private_key(self, key_id: str) -> bytes:
        return self.pems["private_pem"].encode()


@pytest.mark.parametrize("algorithm", THEIR_ALGORITHMS)
def test_sign_request__verified_by_another_implementation(algorithm: str):
    now = datetime.now(tz=UTC)
    parts = replace(_parts(), headers={"content-type": "application/json"})
    added = http_signatures.sign_request(
        parts,
        key_id="terminal-7f3a",
        private=_private(algorithm),
        algorithm=algorithm,
        at=now,
        nonce="q9Yw3nT0aLk2sVx8",
    )
    message = SimpleNamespace(
        method=parts.method, url=parts.target_uri, headers={**parts.headers, **added}
    )

    verifier = theirs.HTTPMessageVerifier(
        signature_algorithm=THEIR_ALGORITHMS[algorithm], key_resolver=_TheirKeys(algorithm)
    )
    verifier.allow_label_only_selection = True
    found = verifier.verify(message, body=parts.body)

    assert [(each.label, each.nonce) for each in found] == [("vpass", "q9Yw3nT0aLk2sVx8")]


@pytest.mark.parametrize("algorithm", THEIR_ALGORITHMS)
@pytest.mark.parametrize("attempt", range(4))  # half of their P-256 signatures have a high s
def test_verify_request__signed_by_another_implementation(algorithm: str, attempt: int):
    now = datetime.now(tz=UTC)
    body = b'{"attempt":%d}' % attempt
    message = SimpleNamespace(
        method="POST",
        url="https://vpass.example/api/terminal/v1/scans?a=b%20c",
        headers={"content-type": "application/json", "idempotency-key": "key-0000001"},
    )
    signer = theirs.HTTPMessageSigner(
        signature_algorithm=THEIR_ALGORITHMS[algorithm], key_resolver=_TheirKeys(algorithm)
    )
    signer.sign(
        message,
        key_id="terminal-7f3a",
        created=now,
        nonce="q9Yw3nT0aLk2sVx8",
        label="vpass",
        covered_component_ids=("@method", "@target-uri", "content-type", "idempotency-key"),
        body=body,
    )

    found = _verify(
        Parts(
            method="POST",
            target_uri=message.url,
            headers={name.lower(): value for name, value in message.headers.items()},
            body=body,
        ),
        algorithm=algorithm,
        at=now,
    )

    assert found.nonce == "q9Yw3nT0aLk2sVx8"


def test_guide__worked_example__has_the_frozen_numbers():
    guide = (ROOT / "docs/http-signatures.md").read_text()
    request, answer = REQUESTS["post_ed25519"], VECTORS["answer"]

    assert request["body"] in guide
    assert VECTORS["keys"]["ed25519"]["private_pem"] in guide
    for value in [*request["headers"].values(), *answer["headers"].values()]:
        assert value in guide
    for name in ("signature-input", "signature"):
        assert f"{name.title()}: {request['headers'][name]}" in guide
