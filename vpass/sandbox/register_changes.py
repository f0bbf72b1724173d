"""The register's own word: it tells V Pass what changed, as docs/register-protocol.md section 7."""

import re
import uuid
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import aiohttp
from yarl import URL

from vpass.sandbox.faults import json_bytes
from vpass.sandbox.population import Person
from vpass.sandbox.register import Register
from vpass.sandbox.signatures import Signatures, time_now
from vpass.sandbox.sites import read_object

ANSWER_WITHIN_S = 15.0
MAX_COPIES = 10
ROUTE = "/api/register/v1/changes"
KINDS = ("name_changed", "number_corrected", "died", "death_withdrawn")

_ID_NUMBER = re.compile(r"[0-9]{17}[0-9X]", re.ASCII)
_MEMBERS = {"id_number", "kind", "new_name", "new_number", "sequence", "event_id", "copies", "tell"}


class RegisterChanges:
    """Changes an entry and tells it; without V Pass's address it can tell nothing."""

    def __init__(self, *, register: Register, signatures: Signatures, vpass_url: str) -> None:
        self._register = register
        self._signatures = signatures
        self._url = f"{vpass_url}{ROUTE}" if vpass_url else ""

    async def control(self, members: Mapping[str, Any]) -> dict[str, Any]:
        """Changes the entry of an ID number. Raises LookupError and ValueError.

        `tell` false keeps the event, so that another program can carry it.
        """
        kind = members.get("kind")
        if members.keys() - _MEMBERS or kind not in KINDS:
            raise ValueError("kind")
        copies = members.get("copies", 1)
        if type(copies) is not int or not 1 <= copies <= MAX_COPIES:
            raise ValueError("copies")
        person = self._register.find(str(members.get("id_number")))
        if person is None:
            raise LookupError("id_number")
        changed = _changed(person, members)
        self._register.enter(person, changed)
        event: dict[str, Any] = {
            "event_id": members.get("event_id", str(uuid.uuid4())),
            "kind": kind,
            "census_id": person.census_id,
            # Rises also when the sandbox is started anew.
            "sequence": members.get("sequence", time_now()),
        }
        if kind == "name_changed":
            event["real_name"] = changed.real_name
        if kind == "number_corrected":
            event["id_number"] = changed.id_number
        if members.get("tell") is False:
            return {"event": event, "answers": []}
        if not self._url:
            raise LookupError("the register has not been told where V Pass answers")
        return {"event": event, "answers": [await self._tell(event) for _ in range(copies)]}

    async def _tell(self, event: Mapping[str, Any]) -> dict[str, Any]:
        body = json_bytes(dict(event))
        headers = {
            "Content-Type": "application/json",
            "Idempotency-Key": str(event["event_id"]),
        }
        question = self._signatures.sign_question(url=self._url, headers=headers, body=body)
        limits = aiohttp.ClientTimeout(total=ANSWER_WITHIN_S)
        try:
            async with (
                aiohttp.ClientSession(timeout=limits) as session,
                session.post(
                    URL(self._url, encoded=True),
                    data=body,
                    headers=question.headers,
                    allow_redirects=False,
                ) as answer,
            ):
                return {"status": answer.status, "answer": read_object(await answer.read())}
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError):
            return {"status": 0, "answer": {}}


def _changed(person: Person, members: Mapping[str, Any]) -> Person:
    kind = members["kind"]
    if kind == "name_changed":
        name = members.get("new_name")
        if not isinstance(name, str) or not 2 <= len(name) <= 50:
            raise ValueError("new_name")
        return replace(person, real_name=name)
    if kind == "number_corrected":
        number = members.get("new_number")
        if not isinstance(number, str) or not _ID_NUMBER.fullmatch(number):
            raise ValueError("new_number")
        return replace(person, id_number=number)
    return replace(person, is_living=kind == "death_withdrawn")
