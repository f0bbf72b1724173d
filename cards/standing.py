"""Says whether a card is good at a moment, and why not."""

from datetime import date

FROZEN, DEBT, EXPIRED = "card.frozen", "card.debt", "card.expired"


def fault(
    *, state: str, is_frozen: bool, valid_until: date | None, is_in_debt: bool, today: date
) -> str | None:
    """Return the problem code for which a card is not good `today`, or None for a good one.

    `is_in_debt` counts for the types of card that debts stop. The worst comes first: the state
    ("card.lost" and so on), then the date, stops by whatever source, and debts.
    """
    if state != "active":
        return f"card.{state}"
    if valid_until is not None and valid_until < today:
        return EXPIRED
    if is_frozen:
        return FROZEN
    return DEBT if is_in_debt else None
