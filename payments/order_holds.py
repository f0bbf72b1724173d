"""Ends all holds of an order together: none of them is captured while another is left behind."""

import uuid
from collections.abc import Sequence
from datetime import datetime

from payments import ledger
from payments.ledger import Leg, Posted
from vpass.common import clock


def capture_all(
    *,
    reference: uuid.UUID,
    kind: str,
    caller: str,
    key: str,
    legs: Sequence[Leg],
    order_id: uuid.UUID | None = None,
    event_at: datetime,
    at: datetime,
) -> Posted:
    """Posts the legs from all that is held for `reference`, as one transaction, and frees the rest.

    The legs that debit a held account are what is captured of it: nothing up to all it holds, and
    at least 1 fen of all together. Of several holds on one account the older gives first; one that
    gives nothing is voided. A replay of the same key gives the known transaction. Raises
    HoldNotOpen unless every hold is open, HoldExceeded, NotFound when there is none, and what
    ledger.post raises.
    """
    row = ledger.call(
        "SELECT transaction_id, is_new FROM capture_all_v1(%s, %s, %s, %s, %s, %s, %s, %s,"
        " %s::bigint[], %s::bigint[], %s::bigint[])",
        [
            reference, kind, caller, key, order_id, clock.city_date(at), event_at, at,
            *ledger.arrays(legs),
        ],
    )  # fmt: skip
    return Posted(*row)


def void_all(*, reference: uuid.UUID, at: datetime) -> int:
    """Frees all open holds of `reference`; returns how many.

    Raises HoldNotOpen when none of them is open any more, NotFound when there never was one.
    """
    return int(ledger.call("SELECT void_all_v1(%s, %s)", [reference, at])[0])
