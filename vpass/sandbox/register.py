"""The population register of docs/register-protocol.md, with invented people."""

import base64
import re
import unicodedata
from collections.abc import Callable, Mapping
from typing import Any

from vpass.sandbox import population
from vpass.sandbox.population import Person
from vpass.sandbox.portraits import portrait
from vpass.sandbox.sites import Answer, Journal, Site, refusal

_UUID4 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
_ID_NUMBER = re.compile(r"[0-9]{17}[0-9X]", re.ASCII)
_CREDIT_CODE = re.compile(r"[0-9A-Z]{18}", re.ASCII)


class Register(Site):
    """Says whether a name and an ID number belong to one living person."""

    name = "register"
    routes = ("/v1/matches", "/v1/relations", "/v1/representatives", "/v1/photos")
    signs_answers = True

    def __init__(self) -> None:
        self._people = {person.id_number: person for person in population.people()}
        self._is_grown = False
        self._journal = Journal()
        self._refused = 0

    def answer(self, *, route: str, members: Mapping[str, Any]) -> Answer:
        if not _is_question(members, _MEMBERS[route]):
            self.refused()
            return refusal(400, "malformed")
        request_id = members["request_id"]
        is_known, earlier = self._journal.recall(request_id, members)
        if is_known:
            return earlier or refusal(409, "request_id_reused")
        look_up = {
            "/v1/matches": self._match,
            "/v1/relations": self._relation,
            "/v1/representatives": self._representative,
            "/v1/photos": self._photo,
        }[route]
        answer = Answer(200, {"request_id": request_id} | look_up(members))
        self._journal.write(request_id, members, answer)
        return answer

    def refused(self) -> None:
        self._refused += 1

    def journal(self) -> dict[str, int]:
        """Counts, for those who test what a lost answer leaves behind."""
        return {
            "questions": self._journal.written,
            "repeats": self._journal.repeats,
            "refused": self._refused,
        }

    def some_people(self, *, first: int, count: int) -> dict[str, Any]:
        """People of the crowd by their places; raises ValueError for places nobody has."""
        if not (first >= 0 and 1 <= count <= 100 and first + count <= population.CROWD_SIZE):
            raise ValueError("no such places")
        some = population.crowd()[first : first + count]
        return {"people": [_shown(person) for person in some]}

    def demo_people(self) -> dict[str, Any]:
        """The people a demonstration may play, and the special cases by name."""
        everyone = population.people()
        return {
            "people": [_shown(person) for person in everyone[: population.DEMO_PEOPLE]],
            "special": {
                "minor": _shown(everyone[population.MINOR]),
                "deceased": _shown(everyone[population.DECEASED]),
                "same_name": [
                    _shown(everyone[population.NAMESAKE_A]),
                    _shown(everyone[population.NAMESAKE_B]),
                ],
            },
        }

    def find(self, id_number: str) -> Person | None:
        """The person of an ID number, living or not."""
        self._grow(id_number)
        return self._people.get(id_number)

    def find_by(self, is_meant: Callable[[Person], bool]) -> Person | None:
        """The first person of whom this is true."""
        for grown in (False, True):
            if grown:
                self._grow("")
            found = next((each for each in self._people.values() if is_meant(each)), None)
            if found is not None:
                return found
        return None

    def enter(self, former: Person, changed: Person) -> None:
        """Puts a person's changed entry in the place of the former one."""
        self._people.pop(former.id_number, None)
        self._people[changed.id_number] = changed

    def some_family(self, *, place: int) -> dict[str, Any]:
        """The child and the firm of somebody of the crowd; raises ValueError for no such place."""
        if not 0 <= place < population.CROWD_SIZE:
            raise ValueError("no such place")
        child, firm = population.child_of(place), population.enterprise_of(place)
        return {
            "child": {"real_name": child.real_name, "id_number": child.id_number},
            "enterprise": {"credit_code": firm.credit_code, "name": firm.name},
        }

    def _match(self, members: Mapping[str, Any]) -> dict[str, Any]:
        person = self._living(members)
        return {"matched": False} if person is None else {"matched": True} | _told(person)

    def _relation(self, members: Mapping[str, Any]) -> dict[str, Any]:
        parent = self._living(members)
        child = None if parent is None else population.child_of(_place(parent))
        asked = (members["other_real_name"], members["other_id_number"])
        if child is None or (child.real_name, child.id_number) != asked:
            return {"related": False}
        return {"related": True} | _told(child)

    def _representative(self, members: Mapping[str, Any]) -> dict[str, Any]:
        person = self._living(members)
        firm = None if person is None else population.enterprise_of(_place(person))
        if firm is None or firm.credit_code != members["credit_code"]:
            return {"represents": False}
        return {
            "represents": True,
            "credit_code": firm.credit_code,
            "enterprise_name": firm.name,
        }

    def _photo(self, members: Mapping[str, Any]) -> dict[str, Any]:
        person = self._living(members)
        if person is None:
            return {"found": False}
        photo = base64.b64encode(portrait(person.census_id)).decode()
        return {"found": True, "photo": photo}

    def _grow(self, id_number: str) -> None:
        """The crowd comes in when somebody asks for one of it."""
        if id_number in self._people or self._is_grown:
            return
        self._is_grown = True
        known = {person.census_id for person in self._people.values()}
        for person in population.crowd():
            if person.census_id not in known:
                self._people[person.id_number] = person

    def _living(self, members: Mapping[str, Any]) -> Person | None:
        person = self.find(members["id_number"])
        if person is None or person.real_name != members["real_name"] or not person.is_living:
            return None
        return person


# What each question consists of besides its request_id.
_MEMBERS = {
    "/v1/matches": {"real_name", "id_number"},
    "/v1/relations": {
        "relation", "real_name", "id_number", "other_real_name", "other_id_number",
    },
    "/v1/representatives": {"real_name", "id_number", "credit_code"},
    "/v1/photos": {"real_name", "id_number"},
}  # fmt: skip
_FORMS: dict[str, Callable[[str], bool]] = {
    "request_id": lambda value: _UUID4.fullmatch(value) is not None,
    "relation": lambda value: value == "child",
    "credit_code": lambda value: _CREDIT_CODE.fullmatch(value) is not None,
    "id_number": lambda value: _ID_NUMBER.fullmatch(value) is not None,
    "other_id_number": lambda value: _ID_NUMBER.fullmatch(value) is not None,
    "real_name": lambda value: _is_name(value),
    "other_real_name": lambda value: _is_name(value),
}


def _is_question(members: Mapping[str, Any], expected: set[str]) -> bool:
    return members.keys() == {"request_id", *expected} and all(
        isinstance(value, str) and _FORMS[name](value) for name, value in members.items()
    )


def _is_name(name: str) -> bool:
    return (
        1 <= len(name) <= 50
        and name == name.strip()
        and unicodedata.normalize("NFC", name) == name
        and all(unicodedata.category(character)[0] != "C" for character in name)
    )


def _place(person: Person) -> int:
    return int(person.census_id[4:]) - 1


def _told(person: Person) -> dict[str, Any]:
    return {
        "census_id": person.census_id,
        "real_name": person.real_name,
        "birth_date": person.birth_date.isoformat(),
        "sex": person.sex,
    }


def _shown(person: Person) -> dict[str, str]:
    return {
        "real_name": person.real_name,
        "id_number": person.id_number,
        "phone": person.phone,
    }
