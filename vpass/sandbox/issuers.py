"""The card issuers of docs/issuer-protocol.md: public security, a bank and a bus company."""

import hashlib
import re
import unicodedata
from collections.abc import Callable, Mapping
from datetime import date
from typing import Any

from vpass.sandbox import population
from vpass.sandbox.population import Person
from vpass.sandbox.sites import Answer, Journal, Site, refusal

CARD_TYPES = {"public-security": "id", "weifang-bank": "bank", "weifang-bus": "bus"}
CONCESSIONS = {"0": "none", "1": "student", "2": "senior", "3": "disabled"}
BUS_CARDS_END = "2035-12-31"

_QUESTION = {"binding_id", "card_type", "real_name", "id_number", "fields"}
_FIELDS: Mapping[str, frozenset[str]] = {
    "id": frozenset(),
    "bank": frozenset({"card_number", "phone"}),
    "bus": frozenset({"card_number"}),
}
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_ID_NUMBER = re.compile(r"[0-9]{17}[0-9X]", re.ASCII)
_CARD_NUMBERS = {
    "bank": re.compile(r"[0-9]{16,19}", re.ASCII),
    "bus": re.compile(r"[0-9]{8,20}", re.ASCII),
}
_PHONE = re.compile(r"[0-9]{11}", re.ASCII)
_BANK_CARD = re.compile(r"621700([0-9]{5})(00|08|09)[0-9]([0-9]{4})", re.ASCII)
_BUS_CARD = re.compile(r"3707([0-9]{5})([0-389])[0-9]", re.ASCII)

Verdict = dict[str, Any]
NOT_FOUND: Verdict = {"status": "refused", "reason": "not_found"}


class Issuers(Site):
    """Three issuers, each at a path of its own, with one journal and one key."""

    name = "issuers"
    routes = tuple(f"/{code}/v1/bindings" for code in CARD_TYPES)
    signs_answers = True

    def __init__(self) -> None:
        self._journal = Journal()
        self._refused = 0

    def answer(self, *, route: str, members: Mapping[str, Any]) -> Answer:
        code = route.split("/")[1]
        if not _is_question(members):
            self.refused()
            return refusal(400, "malformed")
        if members["card_type"] != CARD_TYPES[code]:
            return refusal(404, "not_found")
        identifier = f"{code}|{members['binding_id']}"
        is_known, earlier = self._journal.recall(identifier, members)
        if is_known and earlier is None:
            return refusal(409, "binding_id_reused")
        judge = _JUDGES[members["card_type"]]
        # A repeat as well: the card may have been stopped since.
        answer = Answer(200, {"binding_id": members["binding_id"], **judge(members)})
        if not is_known:
            self._journal.write(identifier, members, answer)
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

    def demo_cards(self, place: int) -> dict[str, Any]:
        """The cards of the person at a place; raises LookupError when there is nobody."""
        person = _person_at(place)
        if person is None:
            raise LookupError(place)
        last4 = _draw(person, "last4", 9_000) + 1_000
        bank = [bank_card_number(place, last4=f"{last4}"), bank_card_number(place, last4="0002")]
        bus = [bus_card_number(place, kind=kind) for kind in "01"]
        return {
            "id": [{"fields": {}, "card": _id_card(person)}],
            "bank": [
                {
                    "fields": {"card_number": number, "phone": person.phone},
                    "card": _bank_card(person, number),
                }
                for number in bank
            ],
            "bus": [
                {"fields": {"card_number": number}, "card": _bus_card(number)} for number in bus
            ],
        }


def bank_card_number(place: int, *, last4: str, kind: str = "00") -> str:
    """The number of 18 digits of a bank card of the person at a place."""
    head, tail = f"621700{place:05d}{kind}", last4
    return next(number for digit in "0123456789" if _is_luhn(number := f"{head}{digit}{tail}"))


def bus_card_number(place: int, *, kind: str = "0") -> str:
    """The number of 11 digits of a bus card of the person at a place."""
    head = f"3707{place:05d}{kind}"
    return next(number for digit in "0123456789" if _is_luhn(number := f"{head}{digit}"))


def _judge_id(members: Mapping[str, Any]) -> Verdict:
    # The first two hundred are there at once; the crowd is invented only when it is needed.
    for everybody in (population.people, population.crowd):
        for person in everybody():
            if _is_of(person, members):
                return _confirmed(_id_card(person))
    return NOT_FOUND


def _judge_bank(members: Mapping[str, Any]) -> Verdict:
    number = members["fields"]["card_number"]
    form = _BANK_CARD.fullmatch(number)
    person = _person_at(int(form[1])) if form and _is_luhn(number) else None
    if form is None or person is None or not _is_of(person, members):
        return NOT_FOUND
    if members["fields"]["phone"] != person.phone:
        return NOT_FOUND
    return _stopped(form[2][1]) or _confirmed(_bank_card(person, number))


def _judge_bus(members: Mapping[str, Any]) -> Verdict:
    number = members["fields"]["card_number"]
    form = _BUS_CARD.fullmatch(number)
    person = _person_at(int(form[1])) if form and _is_luhn(number) else None
    if form is None or person is None or not _is_of(person, members):
        return NOT_FOUND
    return _stopped(form[2]) or _confirmed(_bus_card(number))


_JUDGES: Mapping[str, Callable[[Mapping[str, Any]], Verdict]] = {
    "id": _judge_id,
    "bank": _judge_bank,
    "bus": _judge_bus,
}


def _confirmed(card: dict[str, Any]) -> Verdict:
    return {"status": "confirmed", "card": card}


def _stopped(kind: str) -> Verdict | None:
    reason = {"8": "expired", "9": "stopped"}.get(kind)
    return None if reason is None else {"status": "refused", "reason": reason}


def _id_card(person: Person) -> dict[str, Any]:
    if person.birth_date < date(1970, 1, 1):
        return {"valid_until": None}  # from 46 years on an ID card is good without end
    day = 1 + _draw(person, "day", 28)
    return {"valid_until": f"{2030 + _draw(person, 'year', 10)}-06-{day:02d}"}


def _bank_card(person: Person, number: str) -> dict[str, Any]:
    last4 = number[-4:]
    # The account has one name on both sides of the bank.
    payer = hashlib.sha256(f"{person.real_name}|{last4}".encode()).hexdigest()[:20]
    return {"account_token": f"tok_{payer}_{last4}", "last4": last4, "brand": "UnionPay"}


def _bus_card(number: str) -> dict[str, Any]:
    return {
        "card_number": number,
        "concession": CONCESSIONS[number[9]],
        "valid_until": BUS_CARDS_END,
    }


def _is_of(person: Person, members: Mapping[str, Any]) -> bool:
    named = (members["real_name"], members["id_number"])
    return person.is_living and named == (person.real_name, person.id_number)


def _person_at(place: int) -> Person | None:
    if place < population.SIZE:
        return population.people()[place]
    return population.crowd()[place] if place < population.CROWD_SIZE else None


def _draw(person: Person, what: str, choices: int) -> int:
    digest = hashlib.sha256(f"{person.census_id}|{what}".encode()).digest()
    return int.from_bytes(digest[:8]) % choices


def _is_luhn(number: str) -> bool:
    total = 0
    for position, digit in enumerate(reversed(number)):
        value = int(digit) * (1 + position % 2)
        total += value - 9 * (value > 9)
    return total % 10 == 0


def _is_question(members: Mapping[str, Any]) -> bool:
    if members.keys() != _QUESTION or not isinstance(members["fields"], dict):
        return False
    texts = [value for name, value in members.items() if name != "fields"]
    if not all(isinstance(value, str) for value in [*texts, *members["fields"].values()]):
        return False
    fields, name = members["fields"], members["real_name"]
    card_type = members["card_type"]
    return (
        card_type in _FIELDS
        and fields.keys() == _FIELDS[card_type]
        and _UUID.fullmatch(members["binding_id"]) is not None
        and _ID_NUMBER.fullmatch(members["id_number"]) is not None
        and 1 <= len(name) <= 50
        and name == name.strip()
        and unicodedata.normalize("NFC", name) == name
        and all(unicodedata.category(character)[0] != "C" for character in name)
        and (
            "card_number" not in fields
            or _CARD_NUMBERS[card_type].fullmatch(fields["card_number"]) is not None
        )
        and ("phone" not in fields or _PHONE.fullmatch(fields["phone"]) is not None)
    )
