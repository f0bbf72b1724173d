"""Moves the money of a captured order to its merchant, and tells of it."""

import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from typing import Any

from payments import ledger, order_holds
from payments.history import Then
from payments.ledger import InsufficientFunds, Leg
from payments.models import Order
from payments.queries import Parties
from vpass.common import clock, outbox

ORDER_CAPTURED = "payments.order_captured"
# The same of an order that pays a bill; one of its own, so that other payments write no delivery.
BILL_CAPTURED = "payments.bill_captured"
BILL_REFERENCE = "bill:"  # how these orders' merchant references begin
# What `capture_order` posts from the balance, after the order's row `made` in the same statement.
_POSTED = """
    SELECT p.transaction_id
    FROM made, post_v1('payment', 'order:' || made.id, 'capture', made.id, NULL,
        %(business_date)s, %(at)s, %(at)s, ARRAY[%(payer_account)s::bigint],
        ARRAY[%(merchant_account)s::bigint], ARRAY[%(captured_fen)s::bigint]) p
"""
BALANCE_TRIES = 20  # each was lost to another payment that went through


class BalanceMoved(InsufficientFunds):
    """There is not enough money on the account.

    Another payment has taken what this one was to take of the balance, beside the card.
    """


def capture_order(
    order: Order,
    parties: Parties,
    *,
    from_bank: int | None = None,
    by_bank_fen: int | None = None,
    held_for: uuid.UUID | None = None,
    event_at: datetime | None = None,
    at: datetime,
) -> None:
    """Move what a captured order says from payer to merchant and tell of it, within the caller's
    transaction.

    With `from_bank`, the account of a bank which has booked it from the payer's card, the money
    comes from there, through the payer's wallet, all of it or `by_bank_fen`; `event_at` is then
    when. With `held_for` it comes out of what is held for that reference, and the rest is freed.
    Raises InsufficientFunds, and with `held_for` what order_holds.capture_all raises.
    """
    if parties.payer_account is None or parties.merchant_account is None:
        raise InsufficientFunds  # a wallet into which nothing was ever put
    legs = [Leg(parties.payer_account, parties.merchant_account, order.captured_fen)]
    if from_bank is not None:
        fen = order.captured_fen if by_bank_fen is None else by_bank_fen
        legs.insert(0, Leg(from_bank, parties.payer_account, fen))
    asked: dict[str, Any] = {
        "kind": "payment",
        "caller": f"order:{order.id}",
        "key": "capture",
        "legs": legs,
        "order_id": order.id,
        "event_at": event_at or at,
        "at": at,
    }
    if held_for is None:
        ledger.post(**asked)
    else:
        order_holds.capture_all(reference=held_for, **asked)
    tell_captured(order, at=at)


def posting_of(order: Order, parties: Parties, *, at: datetime) -> Then:
    """What `capture_order` posts from the balance, as a part of the statement that writes the
    order; `tell_captured` has to follow. Raises InsufficientFunds without an account."""
    if parties.payer_account is None or parties.merchant_account is None:
        raise InsufficientFunds  # a wallet into which nothing was ever put
    values = {
        "business_date": clock.city_date(at),
        "payer_account": parties.payer_account,
        "merchant_account": parties.merchant_account,
    }
    return Then(_POSTED, values)


def tell_captured(order: Order, *, at: datetime) -> None:
    """Tell of an order whose money has moved, within the transaction that has moved it."""
    event = {
        "order_id": order.id,
        "merchant_id": order.merchant_id,
        "payer_id": order.payer_id,
        "amount_fen": order.captured_fen,
    }
    outbox.publish(ORDER_CAPTURED, event, at=at)
    if order.merchant_reference.startswith(BILL_REFERENCE):
        outbox.publish(BILL_CAPTURED, event, at=at)


@contextmanager
def naming_shortage(parties: Callable[[], Parties]) -> Iterator[None]:
    """Raise what the ledger's refusals stand for: of a balance that is short, BalanceMoved when
    the payer has chosen a card too, else InsufficientFunds."""
    try:
        with ledger.naming_refusals():
            yield
    except InsufficientFunds as error:
        if parties().card_id is None:
            raise
        raise BalanceMoved from error


def with_balance_moving(work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Do the work anew when another payment has taken of the balance what it counted on, since the
    card may pay more of it; so many times. Raises BalanceMoved after that, and what `work` does."""
    for _ in range(BALANCE_TRIES - 1):
        with suppress(BalanceMoved):
            return work()
    return work()
