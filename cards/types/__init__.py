"""The card types there are: one line each."""

from cards.card_type import CardType
from cards.types import bank, bus, id_card

CARD_TYPES: dict[str, CardType] = {
    one.code: one
    for one in (
        id_card.IdCard(),
        bank.BankCard(),
        bus.BusCard(),
    )
}
