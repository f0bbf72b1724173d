"""Brings over what somebody had in the older Cloud Pay, once for each account there.

The books balance against one suspense account: below zero by what was opened and its bank has not
yet handed over. Two people stand behind each posting (`proposals`).
"""

import uuid
from datetime import datetime

from identity import takeovers
from payments import accounts, ledger, queries
from payments.ledger import KeyTaken, Leg
from vpass.common import outbox
from vpass.common.errors import Conflict, NotFound

OLDER_SYSTEM = "older-cloud-pay"  # owner of the suspense account, and caller of its postings


class OpeningBooked(Conflict):
    """The balance of this account of the older system has been brought over already."""

    code = "opening.booked"
    title_zh = "该旧账户余额已转入"


def takeover_of(reference: str) -> uuid.UUID:
    """Return the takeover of an account of the older system. Raises NotFound."""
    found = takeovers.find_reference(reference)
    if found is None or found.resident.state == "closed":
        raise NotFound
    return found.id


def book(*, takeover_id: uuid.UUID, resident_id: uuid.UUID, amount_fen: int, at: datetime) -> None:
    """Put the balance into the wallet, in the caller's transaction: once for ever.

    Raises NotFound for an account that was deleted meanwhile, OpeningBooked.
    """
    if queries.lock_resident(resident_id) == "closed":
        raise NotFound
    older = ledger.open_account(kind="suspense", owner=OLDER_SYSTEM, floor_fen=None)
    leg = Leg(debit=older, credit=accounts.resident_account(resident_id), amount_fen=amount_fen)
    key = str(takeover_id)
    try:
        posted = ledger.post(
            kind="opening", caller=OLDER_SYSTEM, key=key, legs=[leg], event_at=at, at=at
        )
    except KeyTaken as error:
        raise OpeningBooked from error
    if not posted.is_new:
        raise OpeningBooked
    told = {"resident": resident_id, "amount_fen": amount_fen}
    outbox.publish(accounts.WALLET_CREDITED, told, at=at)
