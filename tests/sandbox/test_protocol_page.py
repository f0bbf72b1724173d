"""The example of docs/register-protocol.md is true: our code and an independent library agree."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from http_message_signatures import HTTPMessageVerifier, MappingKeyResolver
from http_message_signatures.algorithms import ED25519

from vpass.common import http_signatures, signing
from vpass.common.http_signatures import Parts

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "register-protocol.md").read_text("utf-8")
BLOCKS = re.findall(r"^```\n(.*?)\n```$", PAGE, flags=re.M | re.S)
PUBLIC_PEM, QUESTION, QUESTION_BASE, ANSWER, ANSWER_BASE = BLOCKS
AT = datetime(2026, 3, 2, 1, 30, 1, tzinfo=UTC)
URL = "https://register.example/v1/matches"
KEY = signing.VerificationKey("Ed25519", signing.load_public(PUBLIC_PEM))


@dataclass
class Message:
    """What the independent library wants of a message."""

    method: str
    url: str
    headers: dict[str, str]


@dataclass
class AnswerMessage:
    status_code: int
    headers: dict[str, str]
    request: Message


class Verifier(HTTPMessageVerifier):
    max_clock_skew = timedelta(days=36_500)  # the example is of one day


def read(message: str) -> tuple[dict[str, str], bytes]:
    head, _, body = message.partition("\n\n")
    headers = dict(line.split(": ", 1) for line in head.splitlines()[1:])
    return {name.lower(): value for name, value in headers.items()}, body.encode()


def test_question__both_readers__accept_it():
    headers, body = read(QUESTION)

    ours = http_signatures.verify_request(
        Parts(method="POST", target_uri=URL, headers=headers, body=body),
        find_key=lambda key_id: KEY if key_id == "vpass-1" else None,
        at=AT,
    )
    (theirs,) = independent("vpass-1").verify(
        Message("POST", URL, headers), max_age=None, body=body
    )

    assert len(body) == int(headers["content-length"]) == 110
    assert ours.nonce == theirs.nonce == "cXVlc3Rpb24gbm9uY2UxNg"
    assert KEY.verify(QUESTION_BASE.encode(), ours.signature)


def test_answer__both_readers__accept_it_for_this_question_only():
    headers, body = read(ANSWER)
    asked, _ = read(QUESTION)
    signature = http_signatures.signature_bytes(asked)

    ours = verify(headers, body, signature)
    independent("register-1").verify(
        AnswerMessage(200, headers, Message("POST", URL, asked)), max_age=None, body=body
    )

    assert len(body) == int(headers["content-length"]) == 155
    assert KEY.verify(ANSWER_BASE.encode(), ours.signature)
    with pytest.raises(http_signatures.SignatureInvalid):
        verify(headers, body, signature[::-1])


def verify(
    headers: dict[str, str], body: bytes, signature: bytes
) -> http_signatures.VerifiedSignature:
    return http_signatures.verify_response(
        200,
        headers,
        body,
        request_signature=signature,
        find_key=lambda key_id: KEY if key_id == "register-1" else None,
        at=AT,
        label="register",
    )


def independent(key_id: str) -> Verifier:
    keys = MappingKeyResolver(public_keys={key_id: PUBLIC_PEM.encode()}, private_keys={})
    return Verifier(signature_algorithm=ED25519, key_resolver=keys)
