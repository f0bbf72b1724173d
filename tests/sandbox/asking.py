"""Asks the sandbox without our adapters: signed as its pages say, one thing wrong at will."""

import base64
import hashlib
import http.client
import json
import secrets
import uuid
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings

from vpass.common import clock, http_signatures, signing
from vpass.common.encodings import b64url_encode

SIGNED = ('"@method"', '"@target-uri"', '"content-digest"', '"content-type"')


def question(**members: Any) -> dict[str, Any]:
    """The body of a question to the register, about nobody unless told otherwise."""
    asked = {"real_name": "无此人", "id_number": "370702199001019910"}
    return {"request_id": str(uuid.uuid4()), **asked, **members}


def message(**members: Any) -> dict[str, Any]:
    """The body of a text message."""
    return {"message_id": str(uuid.uuid4()), "to": "13911112222", "text": "您好", **members}


def signed_headers(
    url: str,
    body: bytes,
    *,
    created: int | None = None,
    nonce: str | None = None,
    key_id: str = "vpass-1",
    label: str = "vpass",
    components: tuple[str, ...] = SIGNED,
    extra: str = "",
    private: signing.Ed25519Private | None = None,
) -> dict[str, str]:
    """The headers of a signed POST, written out by hand so that every part can be made wrong."""
    digest = base64.b64encode(hashlib.sha256(body).digest()).decode()
    headers = {"content-type": "application/json", "content-digest": f"sha-256=:{digest}:"}
    values = {'"@method"': "POST", '"@target-uri"': url, '"@status"': "200"}
    values |= {f'"{name}"': value for name, value in headers.items()}
    seconds = created if created is not None else int(clock.now().timestamp())
    nonce = nonce if nonce is not None else b64url_encode(secrets.token_bytes(16))
    parameters = f"({' '.join(components)});created={seconds}"
    parameters += f';keyid="{key_id}";nonce="{nonce}";alg="ed25519"{extra}'
    lines = [f"{name}: {values[name]}" for name in components]
    base = "\n".join([*lines, f'"@signature-params": {parameters}']).encode()
    key = private or signing.load_ed25519_private(settings.SECRETS.machine_private_key_pem)
    signature = base64.b64encode(signing.ed25519_sign(key, base)).decode()
    return {
        **headers,
        "signature-input": f"{label}={parameters}",
        "signature": f"{label}=:{signature}:",
    }


def post(
    url: str, body: bytes, headers: dict[str, str]
) -> tuple[int, dict[str, Any], http.client.HTTPMessage]:
    """Sends a POST: the status, the JSON object and the headers of the answer."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=10)
    try:
        connection.request("POST", parts.path, body=body, headers=headers)
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read() or b"{}"), answer.headers
    finally:
        connection.close()


def ask(url: str, members: Any, **wrong: Any) -> tuple[int, dict[str, Any]]:
    """Sends `members` signed, with what `wrong` says of the signature; status and JSON object."""
    body = json.dumps(members, ensure_ascii=False).encode()
    status, answer, _ = post(url, body, signed_headers(url, body, **wrong))
    return status, answer


def proof_of(
    headers: http.client.HTTPMessage, body: bytes, question_headers: dict[str, str], public_pem: str
) -> http_signatures.VerifiedSignature:
    """Verifies an answer of the register with our own code."""
    key = signing.VerificationKey("Ed25519", signing.load_public(public_pem))
    return http_signatures.verify_response(
        200,
        {name.lower(): value for name, value in headers.items()},
        body,
        request_signature=http_signatures.signature_bytes(
            {"signature": question_headers["signature"]}
        ),
        find_key=lambda key_id: key if key_id == "register-1" else None,
        at=clock.now(),
        label="register",
    )
