"""The population register over signed HTTP, as docs/register-protocol.md lays down."""

import base64
import binascii
import re
import uuid
from collections.abc import Callable, Mapping
from datetime import date, datetime
from functools import cache, partial
from typing import Any, TypeVar

from django.conf import settings

from identity.register import (
    PopulationRegister,
    RegisterAnswerInvalid,
    RegisteredEnterprise,
    RegisteredPerson,
    RegisterUnavailable,
)
from vpass.common import signing
from vpass.common.clock import city_date
from vpass.common.outgoing import Peer, PeerAnswerInvalid, PeerRefused, PeerUnavailable
from vpass.common.signing import Ed25519Public, VerificationKey

_PERSON = {"request_id", "census_id", "real_name", "birth_date", "sex"}
_CENSUS_ID = re.compile(r"[0-9A-Z]{1,32}")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)

_Answer = Mapping[str, Any]
T = TypeVar("T")


class HttpRegister:
    """Asks one register; its answers are signed and tied to the question."""

    def __init__(self, peer: Peer) -> None:
        self._peer = peer

    def match(self, *, real_name: str, id_number: str, at: datetime) -> RegisteredPerson | None:
        """See PopulationRegister."""
        question = {"real_name": real_name, "id_number": id_number}
        return self._ask("/v1/matches", question, partial(_read_match, at=at), at=at)

    def child(
        self,
        *,
        real_name: str,
        id_number: str,
        child_name: str,
        child_id_number: str,
        at: datetime,
    ) -> RegisteredPerson | None:
        """See PopulationRegister."""
        question = {
            "relation": "child",
            "real_name": real_name,
            "id_number": id_number,
            "other_real_name": child_name,
            "other_id_number": child_id_number,
        }
        return self._ask("/v1/relations", question, partial(_read_child, at=at), at=at)

    def enterprise(
        self, *, real_name: str, id_number: str, credit_code: str, at: datetime
    ) -> RegisteredEnterprise | None:
        """See PopulationRegister."""
        question = {"real_name": real_name, "id_number": id_number, "credit_code": credit_code}
        return self._ask("/v1/representatives", question, _read_enterprise, at=at)

    def photo(self, *, real_name: str, id_number: str, at: datetime) -> bytes | None:
        """See PopulationRegister."""
        question = {"real_name": real_name, "id_number": id_number}
        return self._ask("/v1/photos", question, _read_photo, at=at)

    def _ask(
        self, path: str, question: dict[str, str], read: Callable[..., T], *, at: datetime
    ) -> T:
        whole = {"request_id": str(uuid.uuid4()), **question}
        try:
            return self._peer.post(
                path, whole, expected=200, read=partial(read, question=whole), at=at
            )
        except PeerUnavailable as error:
            raise RegisterUnavailable(retry_after=error.retry_after) from error
        except (PeerAnswerInvalid, PeerRefused) as error:
            raise RegisterAnswerInvalid from error


@cache
def population_register() -> PopulationRegister:
    """Return the register that the settings name; one circuit for the whole process."""
    public = signing.load_public(settings.REGISTER_PUBLIC_KEY_PEM)
    if not isinstance(public, Ed25519Public):
        raise TypeError("the register signs with Ed25519")
    return HttpRegister(
        Peer(
            name="register",
            base_url=settings.REGISTER_URL,
            label="register",
            key_id=settings.REGISTER_KEY_ID,
            key=VerificationKey("Ed25519", public),
        )
    )


def _read_match(answer: _Answer, *, question: _Answer, at: datetime) -> RegisteredPerson | None:
    if not _is_yes(answer, "matched", question=question):
        return None
    return _read_person(answer, told="matched", real_name=question["real_name"], at=at)


def _read_child(answer: _Answer, *, question: _Answer, at: datetime) -> RegisteredPerson | None:
    if not _is_yes(answer, "related", question=question):
        return None
    return _read_person(answer, told="related", real_name=question["other_real_name"], at=at)


def _read_enterprise(answer: _Answer, *, question: _Answer) -> RegisteredEnterprise | None:
    if not _is_yes(answer, "represents", question=question):
        return None
    if answer.keys() != {"request_id", "represents", "credit_code", "enterprise_name"}:
        raise PeerAnswerInvalid("shape")
    name = answer["enterprise_name"]
    if answer["credit_code"] != question["credit_code"]:
        raise PeerAnswerInvalid("credit_code")
    if not isinstance(name, str) or not 1 <= len(name) <= 100 or not name.isprintable():
        raise PeerAnswerInvalid("enterprise_name")
    return RegisteredEnterprise(credit_code=question["credit_code"], name=name)


def _read_photo(answer: _Answer, *, question: _Answer) -> bytes | None:
    if not _is_yes(answer, "found", question=question):
        return None
    if answer.keys() != {"request_id", "found", "photo"} or type(answer["photo"]) is not str:
        raise PeerAnswerInvalid("shape")
    try:
        return base64.b64decode(answer["photo"], validate=True)
    except (binascii.Error, ValueError) as error:
        raise PeerAnswerInvalid("photo") from error


def _is_yes(answer: _Answer, told: str, *, question: _Answer) -> bool:
    if answer.get("request_id") != question["request_id"]:
        raise PeerAnswerInvalid("request_id")
    if answer.get(told) is False and len(answer) == 2:
        return False
    if answer.get(told) is not True:
        raise PeerAnswerInvalid("shape")
    return True


def _read_person(answer: _Answer, *, told: str, real_name: str, at: datetime) -> RegisteredPerson:
    if answer.keys() != {told, *_PERSON}:
        raise PeerAnswerInvalid("shape")
    if answer["real_name"] != real_name:
        raise PeerAnswerInvalid("real_name")
    census_id, sex = answer["census_id"], answer["sex"]
    if not isinstance(census_id, str) or not _CENSUS_ID.fullmatch(census_id):
        raise PeerAnswerInvalid("census_id")
    if sex not in ("F", "M"):
        raise PeerAnswerInvalid("sex")
    birth_date = _birth_date(answer["birth_date"], latest=city_date(at))
    return RegisteredPerson(census_id=census_id, birth_date=birth_date, sex=sex)


def _birth_date(text: object, *, latest: date) -> date:
    if not isinstance(text, str) or not _DATE.fullmatch(text):
        raise PeerAnswerInvalid("birth_date")
    try:
        birth_date = date.fromisoformat(text)
    except ValueError as error:
        raise PeerAnswerInvalid("birth_date") from error
    if birth_date > latest:
        raise PeerAnswerInvalid("birth_date")
    return birth_date
