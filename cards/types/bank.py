"""A bank card: bound at its bank, paid from by the bank's token, its number never kept."""

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
    text,
)

_TOKEN = r"[A-Za-z0-9_-]{16,64}"  # noqa: S105 - the form of one
_LAST4 = r"[0-9]{4}"
_BRAND = r"[A-Za-z0-9-]([A-Za-z0-9 -]{0,18}[A-Za-z0-9-])?"


class BankCard(CardType):
    """The bank compares name, ID number, card number and phone, and names the account."""

    code = "bank"
    zh = "银行卡"
    en = "Bank card"
    fields = (Field(name="card_number", zh="银行卡号", en="Card number", form=r"[0-9]{16,19}"),)
    max_per_person = 5
    asks_phone = True
    pays = True
    example = Example(
        fields={"card_number": "621700002000030002"},
        card={
            "account_token": "tok_7Qm2xV9dKc4hZs6b_0002",
            "last4": "0002",
            "brand": "UnionPay",
        },
        facts={"brand": "UnionPay"},
    )

    def read_card(
        self, card: Mapping[str, Any], *, told: Mapping[str, str], holder: Holder
    ) -> Issued:
        """See CardType."""
        exactly(card, "account_token", "last4", "brand")
        issued = _issued(text(card, "account_token", _TOKEN), card)
        if not told["card_number"].endswith(issued.last4):
            raise AnswerMalformed("last4")
        return issued

    def read_replacement(
        self, name: str, facts: Mapping[str, Any], *, valid_until: date | None
    ) -> Issued:
        """See CardType."""
        exactly(facts, "last4", "brand")
        return _issued(text({"new_card": name}, "new_card", _TOKEN), facts, valid_until=valid_until)


def _issued(token: str, told: Mapping[str, Any], *, valid_until: date | None = None) -> Issued:
    last4 = text(told, "last4", _LAST4)
    if not token.endswith(last4):
        raise AnswerMalformed("last4")
    facts = {"brand": text(told, "brand", _BRAND)}
    return Issued(token=token, last4=last4, facts=facts, valid_until=valid_until)
