"""Answers who may see what: picks exactly the attributes an entitlement names, and no more."""

import hmac
import uuid
from collections.abc import Callable, Sequence
from datetime import date, datetime
from hashlib import sha256

from django.conf import settings

from identity.models import Resident
from vpass.common.clock import city_date
from vpass.common.encodings import b64url_encode

Value = str | bool | None


def age_on(birth_date: date, day: date) -> int:
    """Return the age in completed years; someone born on 29 February comes of age on 1 March."""
    return day.year - birth_date.year - ((day.month, day.day) < (birth_date.month, birth_date.day))


def birth_date_of(id_number: str) -> date:
    """Return the birth date that stands in digits 7 to 14 of an ID number (GB 11643-1999)."""
    return date(int(id_number[6:10]), int(id_number[10:12]), int(id_number[12:14]))


def _from_id(read: Callable[[str, date], Value]) -> Callable[[Resident, date], Value]:
    return lambda person, day: None if person.id_number is None else read(person.id_number, day)


# Every attribute and predicate that an entitlement may name. `day` is today in the city.
ATTRIBUTES: dict[str, Callable[[Resident, date], Value]] = {
    "real_name": lambda person, day: person.real_name,
    "id_number": lambda person, day: person.id_number,
    "id_last4": _from_id(lambda number, day: number[-4:]),
    "birth_date": _from_id(lambda number, day: birth_date_of(number).isoformat()),
    "sex": _from_id(lambda number, day: "male" if int(number[16]) % 2 else "female"),
    "over_18": _from_id(lambda number, day: age_on(birth_date_of(number), day) >= 18),
    "over_65": _from_id(lambda number, day: age_on(birth_date_of(number), day) >= 65),
    "phone": lambda person, day: person.phone,
    # Only that there is one: the picture comes from the register, for who may look (`photos`).
    "photo": _from_id(lambda number, day: True),
}


def disclose(*, resident: Resident, attributes: Sequence[str], at: datetime) -> dict[str, Value]:
    """Return the named attributes of a resident; None stands for one that is not known (yet).

    Raises KeyError for a name that no attribute has: entitlements are checked when they are
    written.
    """
    day = city_date(at)
    return {name: ATTRIBUTES[name](resident, day) for name in attributes}


def pseudonym(*, resident_id: uuid.UUID, organisation_id: uuid.UUID | None) -> str:
    """Return the name by which one organisation knows a resident: 43 base64url characters.

    It is an HMAC-SHA256 over both ids under the city's pairwise key, so two organisations can't
    compare. A caller without an organisation has no right to a name: ValueError.
    """
    if organisation_id is None:
        raise ValueError("only organisations know people by a pseudonym")
    digest = hmac.digest(
        settings.SECRETS.pairwise_key, organisation_id.bytes + resident_id.bytes, sha256
    )
    return b64url_encode(digest)
