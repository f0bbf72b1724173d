"""The resident identity card, issued by the public security bureau."""

from collections.abc import Mapping
from datetime import date
from typing import Any

from cards.card_type import CardType, Example, Holder, Issued, exactly, last_day, text

_ID_NUMBER = r"[0-9]{17}[0-9X]"


class IdCard(CardType):
    """Its number is the ID number that the register has confirmed; the issuer adds its end."""

    code = "id"
    zh = "居民身份证"
    en = "Resident ID card"
    example = Example(fields={}, card={"valid_until": "2036-06-30"}, facts={})

    def read_card(
        self, card: Mapping[str, Any], *, told: Mapping[str, str], holder: Holder
    ) -> Issued:
        """See CardType."""
        exactly(card, "valid_until")
        return _issued(holder.id_number, valid_until=last_day(card))

    def read_replacement(
        self, name: str, facts: Mapping[str, Any], *, valid_until: date | None
    ) -> Issued:
        """See CardType."""
        exactly(facts)
        number = text({"new_card": name}, "new_card", _ID_NUMBER)
        return _issued(number, valid_until=valid_until)


def _issued(number: str, *, valid_until: date | None) -> Issued:
    # The end of an ID number is personal: it stands nowhere but in the sealed number.
    return Issued(number=number, last4="", facts={}, valid_until=valid_until)
