"""The examples of docs/bank-protocol.md are true: our code and an independent library agree."""

import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from http_message_signatures import HTTPMessageVerifier, MappingKeyResolver
from http_message_signatures.algorithms import ED25519

from vpass.common import http_signatures, signing
from vpass.common.http_signatures import Parts

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "bank-protocol.md").read_text("utf-8")
EXAMPLE = PAGE[PAGE.index("## 10. Example") : PAGE.index("## 11.")]
BLOCKS = re.findall(r"^```\n(.*?)\n```$", EXAMPLE, flags=re.M | re.S)
PUBLIC_PEM = BLOCKS[0]
CREDIT, CREDIT_BASE, CREDITED, CREDITED_BASE = BLOCKS[1:5]
ORDER, ORDER_BASE, ACCEPTED, ACCEPTED_BASE = BLOCKS[5:9]
INQUIRY, BOOKED, NEVER_ARRIVED, STATEMENT = BLOCKS[9:]
KEY = signing.VerificationKey("Ed25519", signing.load_public(PUBLIC_PEM))


@dataclass
class Message:
    """What the independent library wants of a question."""

    method: str
    url: str
    headers: dict[str, str]


@dataclass
class AnswerMessage:
    status_code: int
    headers: dict[str, str]
    request: Message


class Verifier(HTTPMessageVerifier):
    max_clock_skew = timedelta(days=36_500)  # the examples are of one day


def read(message: str) -> tuple[Message, bytes, datetime]:
    head, _, body = message.partition("\n\n")
    first, *lines = head.splitlines()
    headers = {n.lower(): v for n, v in (line.split(": ", 1) for line in lines)}
    assert len(body.encode()) == int(headers["content-length"])
    created = re.search(r"created=(\d+)", headers["signature-input"])
    assert created is not None
    at = datetime.fromtimestamp(int(created[1]), tz=UTC)
    path = first.split(" ")[1]
    return Message("POST", f"https://{headers.get('host')}{path}", headers), body.encode(), at


def independent(key_id: str) -> Verifier:
    keys = MappingKeyResolver(public_keys={key_id: PUBLIC_PEM.encode()}, private_keys={})
    return Verifier(signature_algorithm=ED25519, key_resolver=keys)


@pytest.mark.parametrize(
    ("question", "base", "key_id"),
    [(CREDIT, CREDIT_BASE, "bank-1"), (ORDER, ORDER_BASE, "vpass-1"), (INQUIRY, None, "vpass-1")],
    ids=["credit", "order", "inquiry"],
)
def test_question__both_readers__accept_it(question: str, base: str | None, key_id: str):
    message, body, at = read(question)

    ours = http_signatures.verify_request(
        Parts(method="POST", target_uri=message.url, headers=message.headers, body=body),
        find_key=lambda name: KEY if name == key_id else None,
        at=at,
    )
    (theirs,) = independent(key_id).verify(message, max_age=None, body=body)

    assert ours.nonce == theirs.nonce
    assert len(ours.nonce) == 22
    assert base is None or KEY.verify(base.encode(), ours.signature)


@pytest.mark.parametrize(
    ("question", "answer", "base", "key_id", "label"),
    [
        (CREDIT, CREDITED, CREDITED_BASE, "vpass-1", "vpass"),
        (ORDER, ACCEPTED, ACCEPTED_BASE, "bank-1", "bank"),
        (INQUIRY, BOOKED, None, "bank-1", "bank"),
    ],
    ids=["credited", "accepted", "booked"],
)
def test_answer__both_readers__accept_it_for_this_question_only(
    question: str, answer: str, base: str | None, key_id: str, label: str
):
    asked, _, _ = read(question)
    answered, body, at = read(answer)
    signature = http_signatures.signature_bytes(asked.headers)

    ours = verify(answered.headers, body, signature, key_id=key_id, label=label, at=at)
    independent(key_id).verify(AnswerMessage(200, answered.headers, asked), max_age=None, body=body)

    assert base is None or KEY.verify(base.encode(), ours.signature)
    with pytest.raises(http_signatures.SignatureInvalid):
        verify(answered.headers, body, signature[::-1], key_id=key_id, label=label, at=at)


def test_numbers__the_story_adds_up():
    credit, order = json.loads(read(CREDIT)[1]), json.loads(read(ORDER)[1])
    booked, statement = json.loads(read(BOOKED)[1]), json.loads(STATEMENT)

    assert json.loads(NEVER_ARRIVED)["status"] == "never_arrived"
    assert order["account_token"] == credit["payer_account_token"]
    assert booked["payout_id"] == order["payout_id"]
    first, second = statement["entries"]
    assert (first["notice_id"], first["amount_fen"]) == (credit["notice_id"], 50_000)
    assert (second["payout_id"], second["amount_fen"]) == (order["payout_id"], 25_000)
    assert (first["booked_at"], second["booked_at"]) == (credit["booked_at"], booked["booked_at"])
    assert statement["closing_fen"] == statement["opening_fen"] + 50_000 - 25_000


def verify(
    headers: dict[str, str], body: bytes, signature: bytes, *, key_id: str, label: str, at: Any
) -> http_signatures.VerifiedSignature:
    return http_signatures.verify_response(
        200,
        headers,
        body,
        request_signature=signature,
        find_key=lambda name: KEY if name == key_id else None,
        at=at,
        label=label,
    )
