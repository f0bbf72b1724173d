"""The population register over signed HTTP, as docs/register-protocol.md lays down."""

import re
import uuid
from collections.abc import Mapping
from datetime import date, datetime
from functools import cache, partial
from typing import Any

from django.conf import settings

from identity.register import (
    PopulationRegister,
    RegisterAnswerInvalid,
    RegisteredPerson,
    RegisterUnavailable,
)
from vpass.common import signing
from vpass.common.clock import city_date
from vpass.common.outgoing import Peer, PeerAnswerInvalid, PeerRefused, PeerUnavailable
from vpass.common.signing import Ed25519Public, VerificationKey

_MATCHED = {"request_id", "matched", "census_id", "real_name", "birth_date", "sex"}
_CENSUS_ID = re.compile(r"[0-9A-Z]{1,32}")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)


class HttpRegister:
    """Asks one register; its answers are signed and tied to the question."""

    def __init__(self, peer: Peer) -> None:
        self._peer = peer

    def match(self, *, real_name: str, id_number: str, at: datetime) -> RegisteredPerson | None:
        """See PopulationRegister."""
        question = {
            "request_id": str(uuid.uuid4()),
            "real_name": real_name,
            "id_number": id_number,
        }
        try:
            return self._peer.post(
                "/v1/matches",
                question,
                expected=200,
                read=partial(_read, question=question, at=at),
                at=at,
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


def _read(
    answer: Mapping[str, Any], *, question: Mapping[str, str], at: datetime
) -> RegisteredPerson | None:
    if answer.get("request_id") != question["request_id"]:
        raise PeerAnswerInvalid("request_id")
    if answer.get("matched") is False and len(answer) == 2:
        return None
    if answer.keys() != _MATCHED or answer["matched"] is not True:
        raise PeerAnswerInvalid("shape")
    if answer["real_name"] != question["real_name"]:
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
