"""The population register of docs/register-protocol.md, with invented people."""

import re
import unicodedata
from collections.abc import Mapping
from typing import Any

from vpass.sandbox import population
from vpass.sandbox.population import Person
from vpass.sandbox.sites import Answer, Journal, Site, refusal

_UUID4 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
_ID_NUMBER = re.compile(r"[0-9]{17}[0-9X]", re.ASCII)


class Register(Site):
    """Says whether a name and an ID number belong to one living person."""

    name = "register"
    routes = ("/v1/matches",)
    signs_answers = True

    def __init__(self) -> None:
        self._people = {person.id_number: person for person in population.people()}
        self._journal = Journal()
        self._refused = 0

    def answer(self, *, route: str, members: Mapping[str, Any]) -> Answer:
        if not _is_question(members):
            self.refused()
            return refusal(400, "malformed")
        request_id = members["request_id"]
        is_known, earlier = self._journal.recall(request_id, members)
        if is_known:
            return earlier or refusal(409, "request_id_reused")
        answer = Answer(200, {"request_id": request_id} | self._look_up(members))
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

    def _look_up(self, members: Mapping[str, Any]) -> dict[str, Any]:
        is_grown = len(self._people) == population.CROWD_SIZE
        if members["id_number"] not in self._people and not is_grown:
            self._people = {person.id_number: person for person in population.crowd()}
        person = self._people.get(members["id_number"])
        if person is None or person.real_name != members["real_name"] or not person.is_living:
            return {"matched": False}
        return {
            "matched": True,
            "census_id": person.census_id,
            "real_name": person.real_name,
            "birth_date": person.birth_date.isoformat(),
            "sex": person.sex,
        }


def _is_question(members: Mapping[str, Any]) -> bool:
    if members.keys() != {"request_id", "real_name", "id_number"}:
        return False
    if not all(isinstance(value, str) for value in members.values()):
        return False
    name = members["real_name"]
    return (
        _UUID4.fullmatch(members["request_id"]) is not None
        and _ID_NUMBER.fullmatch(members["id_number"]) is not None
        and 1 <= len(name) <= 50
        and name == name.strip()
        and unicodedata.normalize("NFC", name) == name
        and all(unicodedata.category(character)[0] != "C" for character in name)
    )


def _shown(person: Person) -> dict[str, str]:
    return {
        "real_name": person.real_name,
        "id_number": person.id_number,
        "phone": person.phone,
    }
