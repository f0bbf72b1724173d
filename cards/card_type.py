"""Says what a card type is: what its holder and its issuer tell, and what becomes a card of it.

A type is one small file in `cards/types/` and one line in its table; tests/cards/test_card_types.py
holds every one of them to what this module promises. Pure Python: no row, no request.
"""

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any, ClassVar

from vpass.common.errors import BadRequest

_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)


class AnswerMalformed(Exception):
    """An issuer's words about a card are not what the card's type knows; names the member."""


@dataclass(frozen=True, kw_only=True)
class Field:
    """What the holder has to tell of a card: its name, words for it, and its form."""

    name: str
    zh: str
    en: str
    form: str  # a regular expression for the whole text, ASCII


@dataclass(frozen=True, kw_only=True)
class Holder:
    """The resident as the population register and the phone network know them."""

    real_name: str = field(repr=False)
    id_number: str = field(repr=False)
    phone: str = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class Issued:
    """A card as its issuer confirms it.

    Either `number` or `token` is there: a card that is paid from has no number with us. `last4` is
    empty when the number's end is personal. `facts` are what the type shows beside, and nothing
    personal; `valid_until` None is without end.
    """

    number: str | None = field(default=None, repr=False)
    token: str | None = field(default=None, repr=False)
    last4: str
    facts: Mapping[str, str]
    valid_until: date | None = None

    @property
    def name(self) -> str:
        """What the issuer calls the card: its number or its token."""
        return str(self.number or self.token)


@dataclass(frozen=True, kw_only=True)
class Example:
    """A holder's fields and an issuer's card that are good, for the tests and the documents."""

    fields: Mapping[str, str]
    card: Mapping[str, Any]
    facts: Mapping[str, str]


class CardType(ABC):
    """A kind of card.

    `max_per_person` is how many a resident may have at once; the database holds it too.
    `asks_phone`: the issuer is told the phone number that the resident has proven. `pays`: money is
    taken from the card, so a token of it is kept and no number. `stops_on_debt`: the card is not
    good while something is owed for its use.
    """

    code: ClassVar[str]
    zh: ClassVar[str]
    en: ClassVar[str]
    fields: ClassVar[tuple[Field, ...]] = ()
    max_per_person: ClassVar[int] = 1
    asks_phone: ClassVar[bool] = False
    pays: ClassVar[bool] = False
    stops_on_debt: ClassVar[bool] = False
    example: ClassVar[Example]

    def read_fields(self, told: Mapping[str, str]) -> dict[str, str]:
        """What the holder has told, all of it and in the right form; raises BadRequest."""
        known = {one.name: one for one in self.fields}
        wrong = [(name, "unknown") for name in told.keys() - known.keys()]
        wrong += [(name, "required") for name in known.keys() - told.keys()]
        wrong += [
            (name, "invalid")
            for name in known.keys() & told.keys()
            if not re.fullmatch(known[name].form, told[name], re.ASCII)
        ]
        if wrong:
            raise BadRequest(
                errors=[
                    {"field": f"fields.{name[:64]}", "code": code} for name, code in sorted(wrong)
                ]
            )
        return dict(told)

    def question(self, told: Mapping[str, str], *, holder: Holder) -> dict[str, str]:
        """The `fields` of the question to the issuer."""
        return dict(told) | ({"phone": holder.phone} if self.asks_phone else {})

    @abstractmethod
    def read_card(
        self, card: Mapping[str, Any], *, told: Mapping[str, str], holder: Holder
    ) -> Issued:
        """The card that an issuer confirms in answer to what was told; raises AnswerMalformed."""

    @abstractmethod
    def read_replacement(
        self, name: str, facts: Mapping[str, Any], *, valid_until: date | None
    ) -> Issued:
        """The card that an issuer gives for an older one; raises AnswerMalformed."""


def exactly(card: Mapping[str, Any], *names: str) -> None:
    """Returns when these are the members and no other; raises AnswerMalformed."""
    if card.keys() != set(names):
        raise AnswerMalformed("shape")


def text(card: Mapping[str, Any], name: str, form: str) -> str:
    """The member's text, of this form as a whole; raises AnswerMalformed."""
    value = card[name]
    if not isinstance(value, str) or not re.fullmatch(form, value, re.ASCII):
        raise AnswerMalformed(name)
    return value


def last_day(card: Mapping[str, Any], name: str = "valid_until") -> date | None:
    """The member's day, YYYY-MM-DD or null; raises AnswerMalformed."""
    value = card[name]
    if value is None:
        return None
    if not isinstance(value, str) or not _DATE.fullmatch(value):
        raise AnswerMalformed(name)
    try:
        return date.fromisoformat(value)
    except ValueError as error:
        raise AnswerMalformed(name) from error
