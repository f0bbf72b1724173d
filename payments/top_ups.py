"""Tops a wallet up from a bound bank card: the money is there when the bank has booked it."""

import uuid
from dataclasses import dataclass
from datetime import datetime

from django.db.models import Prefetch, QuerySet

from payments import accounts, debits, sources
from payments.models import Debit, DebitChange
from vpass.common.callers import Caller, required
from vpass.common.errors import NotFound
from vpass.common.idempotency import IdempotencyKey, once

MAX_TOP_UP_FEN = 5_000_000


@dataclass(frozen=True, kw_only=True)
class TopUpBegun:
    """A top-up that is on its way from now on; `created_at` is RFC 3339 in UTC."""

    id: str
    amount_fen: int
    state: str
    created_at: str


def top_up(
    *,
    caller: Caller,
    card_id: uuid.UUID,
    amount_fen: int,
    idempotency_key: IdempotencyKey,
    at: datetime,
) -> TopUpBegun:
    """Take money from the caller's own bank card into the wallet, once the bank has booked it.

    `amount_fen` is 1 to MAX_TOP_UP_FEN. Raises NotFound for another's card, AccountSuspended,
    cards.paying.CardNotUsable, and what `once` raises.
    """
    resident_id = required(caller.resident_id)
    with once(idempotency_key, at=at) as claim:
        if claim.answer is None:
            accounts.refuse_suspended(resident_id)
            source = sources.bank_card(resident_id=resident_id, card_id=card_id, at=at)
            debit = debits.prepare(
                card=source.card,
                bank=source.bank,
                resident_id=resident_id,
                amount_fen=amount_fen,
                at=at,
            )
            begun = TopUpBegun(
                id=str(debit.id),
                amount_fen=amount_fen,
                state=debit.state,
                created_at=at.isoformat(),
            )
            claim.answer = vars(begun)
        return TopUpBegun(**claim.answer)


def top_ups_of(*, resident_id: uuid.UUID) -> QuerySet[Debit]:
    """The resident's top-ups by card, with bank and history; order them by falling id."""
    history = Prefetch("changes", DebitChange.objects.order_by("id"))
    return (
        Debit.objects.select_related("bank__organisation")
        .prefetch_related(history)
        .filter(resident_id=resident_id, purpose=Debit.Purpose.TOP_UP)
    )


def top_up_of(*, resident_id: uuid.UUID, top_up_id: uuid.UUID) -> Debit:
    """Return a top-up with its history. Raises NotFound, also for another resident's."""
    found = top_ups_of(resident_id=resident_id).filter(id=top_up_id).first()
    if found is None:
        raise NotFound
    return found
