"""Knows what is still open on a card: what cards themselves know, and what upper floors add."""

from cards import queries
from cards.models import Card, Freeze
from vpass.common import contributions
from vpass.common.errors import Conflict

# Asked with `card_id`; an answer is a list of problem codes, such as ["library.loan_open"].
QUESTION = "cards.open_obligations"

DEBT, STOPPED = "card.debt", "card.stopped"


class CardObliged(Conflict):
    """Something is still open on this card."""

    code = "card.obliged"
    title_zh = "该卡尚有未了结的事项"


def refuse_while_obliged(card: Card) -> None:
    """Return when nothing is open on a locked card.

    Raises CardObliged with the member `obligations`, the codes of what is.
    """
    found = open_obligations(card)
    if found:
        raise CardObliged(obligations=found)


def open_obligations(card: Card) -> list[str]:
    """The codes of what is open on a locked card, in alphabetical order, each once.

    A lost card, and one that somebody else has stopped, stay: bound again they would be good.
    """
    found = {DEBT} if queries.open_debts(card.account_id).exists() else set()
    others = card.freezes.filter(lifted_at=None).exclude(source=Freeze.Source.HOLDER)
    if card.state == "lost" or others.exists():
        found.add(STOPPED)
    for _, codes in contributions.ask(QUESTION, card_id=card.id):
        found.update(codes)
    return sorted(found)
