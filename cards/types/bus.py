"""The bus company's card, which knows the fare's concession."""

from collections.abc import Mapping
from datetime import date
from typing import Any

from cards.card_type import (
    AnswerMalformed,
    CardType,
    Example,
    Field,
    Holder,
    Issued,
    exactly,
    last_day,
    text,
)

_NUMBER = r"[0-9]{8,20}"
_CONCESSION = "none|student|senior|disabled"


class BusCard(CardType):
    """Taps at a bus with it are charged to its holder."""

    code = "bus"
    zh = "公交卡"
    en = "Bus card"
    fields = (Field(name="card_number", zh="公交卡号", en="Card number", form=_NUMBER),)
    stops_on_debt = True
    example = Example(
        fields={"card_number": "37070020009"},
        card={"card_number": "37070020009", "concession": "none", "valid_until": "2035-12-31"},
        facts={"concession": "none"},
    )

    def read_card(
        self, card: Mapping[str, Any], *, told: Mapping[str, str], holder: Holder
    ) -> Issued:
        """See CardType."""
        exactly(card, "card_number", "concession", "valid_until")
        if card["card_number"] != told["card_number"]:
            raise AnswerMalformed("card_number")
        return _issued(told["card_number"], card, valid_until=last_day(card))

    def read_replacement(
        self, name: str, facts: Mapping[str, Any], *, valid_until: date | None
    ) -> Issued:
        """See CardType."""
        exactly(facts, "concession")
        number = text({"new_card": name}, "new_card", _NUMBER)
        return _issued(number, facts, valid_until=valid_until)


def _issued(number: str, told: Mapping[str, Any], *, valid_until: date | None) -> Issued:
    facts = {"concession": text(told, "concession", _CONCESSION)}
    return Issued(number=number, last4=number[-4:], facts=facts, valid_until=valid_until)
