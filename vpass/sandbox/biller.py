"""A biller's server: sends bills by the batch to V Pass, signed as docs/http-signatures.md says.

It has no customers of its own; a demonstration tells it whose server it is, and whom to bill.
"""

from collections.abc import Mapping
from typing import Any

import aiohttp
from yarl import URL

from vpass.sandbox.faults import json_bytes
from vpass.sandbox.signatures import Signatures
from vpass.sandbox.sites import read_object

ANSWER_WITHIN_S = 15.0
MAX_ANSWER_BYTES = 1_048_576
ROUTE = "/api/merchant/v1/bill-batches"

_MEMBERS = {"key_id", "private_key_pem", "idempotency_key", "bills"}


class Biller:
    """Sends to V Pass; without its address it can send nothing."""

    def __init__(self, *, vpass_url: str, caller_key_id: str, caller_public_pem: bytes) -> None:
        self._address = f"{vpass_url}{ROUTE}" if vpass_url else ""
        self._caller = {"caller_key_id": caller_key_id, "caller_public_pem": caller_public_pem}

    async def control(self, what: str, members: Mapping[str, Any]) -> dict[str, Any]:
        """`uploads` sends `bills` with `idempotency_key`, signed by `key_id`'s `private_key_pem`;
        gives `status` (0: no answer) and `answer`. Raises LookupError and ValueError."""
        if not self._address or what != "uploads":
            raise LookupError(what)
        if members.keys() != _MEMBERS or not isinstance(members["bills"], list):
            raise ValueError("members")
        texts = [members[name] for name in sorted(_MEMBERS - {"bills"})]
        if not all(isinstance(text, str) for text in texts):
            raise ValueError("texts")
        signatures = Signatures(
            **self._caller,  # type: ignore[arg-type]
            own_key_id=members["key_id"],
            own_private_pem=members["private_key_pem"].encode(),
            label="biller",
        )
        body = json_bytes({"bills": members["bills"]})
        question = signatures.sign_question(
            url=self._address,
            headers={
                "Content-Type": "application/json",
                "Idempotency-Key": members["idempotency_key"],
            },
            body=body,
        )
        return await _post(self._address, dict(question.headers), body)


async def _post(address: str, headers: Mapping[str, str], body: bytes) -> dict[str, Any]:
    limits = aiohttp.ClientTimeout(total=ANSWER_WITHIN_S)
    try:
        async with (
            aiohttp.ClientSession(timeout=limits) as session,
            session.post(
                URL(address, encoded=True), data=body, headers=headers, allow_redirects=False
            ) as answer,
        ):
            content = await answer.content.read(MAX_ANSWER_BYTES)
            return {"status": answer.status, "answer": read_object(content)}
    except (aiohttp.ClientError, TimeoutError, OSError):
        return {"status": 0, "answer": {}}
