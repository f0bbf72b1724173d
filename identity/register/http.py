"""The population register over signed HTTP, as docs/register-protocol.md lays down."""

import re
import uuid
from datetime import date, datetime
from functools import cache

from django.conf import settings

from identity.register import (
    PopulationRegister,
    RegisterAnswerInvalid,
    RegisteredPerson,
    RegisterUnavailable,
)
from vpass.common import signing
from vpass.common.clock import city_date
from vpass.common.outgoing import Peer, PeerAnswerInvalid, PeerUnavailable
from vpass.common.signing import Ed25519Public, VerificationKey

_MATCHED = {"request_id", "matched", "census_id", "real_name", "birth_date", "sex"}
_CENSUS_ID = re.compile(r"[0-9A-Z]{1,32}")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


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
            answer = self._peer.post("/v1/matches", question, expected=200, at=at)
        except PeerUnavailable as error:
            raise RegisterUnavailable(retry_after=error.retry_after or 10) from error
        except PeerAnswerInvalid as error:
            raise RegisterAnswerInvalid from error
        if answer.status != 200 or answer.body.get("request_id") != question["request_id"]:
            raise RegisterAnswerInvalid
        if answer.body.get("matched") is False and len(answer.body) == 2:
            return None
        return _person(answer.body, real_name=real_name, at=at)


@cache
def population_register() -> PopulationRegister:
    """Return the register that the settings name; one circuit for the whole process."""
    public = signing.load_public(settings.REGISTER_PUBLIC_KEY_PEM)
    if not isinstance(public, Ed25519Public):
        raise TypeError("the register signs with Ed25519")
    return HttpRegister(
        Peer(
            base_url=settings.REGISTER_URL,
            label="register",
            key_id=settings.REGISTER_KEY_ID,
            key=VerificationKey("Ed25519", public),
        )
    )


def _person(body: dict[str, object], *, real_name: str, at: datetime) -> RegisteredPerson:
    census_id, born, sex = body.get("census_id"), body.get("birth_date"), body.get("sex")
    is_well_formed = (
        body.keys() == _MATCHED
        and body["matched"] is True
        and body["real_name"] == real_name
        and isinstance(census_id, str)
        and _CENSUS_ID.fullmatch(census_id)
        and isinstance(born, str)
        and _DATE.fullmatch(born)
        and sex in ("F", "M")
    )
    if not is_well_formed:
        raise RegisterAnswerInvalid
    try:
        birth_date = date.fromisoformat(str(born))
    except ValueError as error:
        raise RegisterAnswerInvalid from error
    if birth_date > city_date(at):
        raise RegisterAnswerInvalid
    return RegisteredPerson(census_id=str(census_id), birth_date=birth_date, sex=str(sex))
