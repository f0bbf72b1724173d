"""Takes money from a bound bank card: for the wallet, or for a payment at a till.

Nothing is posted before the bank has booked; until then the money is nobody's here. `top_up` goes
into the wallet. `payment` carries an order on: it is captured, or resolved after a lost answer,
with the money going through the wallet to the merchant in one transaction; it fails, or is
reversed, when the bank will certainly not pay. `payments.pursuit` does the asking.
"""

import uuid
from dataclasses import replace
from datetime import datetime, timedelta

from cards import paying
from cards.paying import PayableCard
from payments import accounts, grades, history, ledger, queries, states
from payments.banks import BankStanding, DebitOrder, PartnerBank
from payments.captures import capture_order
from payments.models import Bank, Debit, DebitChange
from payments.pursuit import Pursuit
from vpass.common import clock, ids, outbox
from vpass.common.callers import Caller
from vpass.common.errors import Conflict
from vpass.common.idempotency import IdempotencyKey
from vpass.common.outbox import Event

DEBIT_PREPARED = "payments.debit_prepared"

NEVER_ARRIVED = "debit.never_arrived"  # why an order is reversed of which the bank never heard
OPEN = "card.debit_open"  # what is still to be settled on a card
# Somebody stands at the till: after that a payment is not ordered any more, only asked about.
PAY_WITHIN = timedelta(minutes=2)

# What becomes of an order by what becomes of its debit.
_ORDER_AFTER = {
    ("unknown", "capturing"): "unknown",
    ("booked", "capturing"): "captured",
    ("booked", "unknown"): "resolved",
    ("rejected", "capturing"): "failed",
    ("rejected", "unknown"): "reversed",
    ("never_arrived", "unknown"): "reversed",
}


class DebitContradicted(Conflict):
    """The debit has ended otherwise, for good."""

    code = "debit.contradicted"
    title_zh = "该笔扣款已有不同的最终结果"


class DebitPursuit(Pursuit[Debit]):
    """Debits: what is booked is posted, into the wallet or through it to a merchant."""

    rows = Debit
    changes = DebitChange
    table = states.DEBIT
    contradicted = DebitContradicted
    actor = "debits"

    def order(self, bank: PartnerBank, work: Debit, *, at: datetime) -> BankStanding:
        """See Pursuit."""
        order = DebitOrder(
            debit_id=work.id,
            account_token=work.account_token,
            amount_fen=work.amount_fen,
            purpose=work.purpose,
            reference=work.reference,
            business_date=work.business_date,
        )
        return bank.debit(order, at=at)

    def inquire(self, bank: PartnerBank, work: Debit, *, at: datetime) -> BankStanding:
        """See Pursuit."""
        return bank.inquire_debit(work.id, at=at)

    def is_too_late(self, work: Debit, *, at: datetime) -> bool:
        """See Pursuit: a payment, after PAY_WITHIN; any debit of a card that is not good now."""
        is_over = work.purpose == Debit.Purpose.PAYMENT and at >= work.created_at + PAY_WITHIN
        return is_over or not paying.is_good_to_debit(card_id=work.card_id, at=at)

    def follow(self, work: Debit, *, booked_at: datetime | None, actor: str, at: datetime) -> None:
        """See Pursuit."""
        if work.order_id is not None:
            _carry_on(work, work.order_id, booked_at=booked_at or at, actor=actor, at=at)
        elif work.state == "booked":
            accounts.credit_wallet(
                resident_id=work.resident_id,
                bank=work.bank,
                amount_fen=work.amount_fen,
                caller="debits",
                key=str(work.id),
                event_at=booked_at or at,
                at=at,
            )


PURSUIT = DebitPursuit()


def prepare(
    *,
    card: PayableCard,
    bank: Bank,
    resident_id: uuid.UUID,
    order_id: uuid.UUID | None = None,
    amount_fen: int,
    at: datetime,
) -> Debit:
    """Write a debit of a card at its bank down, in the caller's transaction; it is sent afterwards.

    With `order_id` it pays that order, which is `capturing`, else it tops the wallet up.
    """
    debit_id = ids.uuid7(at)
    purpose = Debit.Purpose.TOP_UP if order_id is None else Debit.Purpose.PAYMENT
    business_date = clock.city_date(at)
    letter = "T" if order_id is None else "P"
    debit = Debit(
        id=debit_id,
        bank=bank,
        purpose=purpose,
        resident_id=resident_id,
        card_id=card.card_id,
        order_id=order_id,
        account_token=card.account_token,
        account_last4=card.last4,
        amount_fen=amount_fen,
        reference=f"V PASS {letter}-{business_date:%Y%m%d}-{debit_id.hex[-8:].upper()}",
        business_date=business_date,
        created_at=at,
    )
    PURSUIT.write(debit, at=at)
    outbox.publish(DEBIT_PREPARED, {"debit": debit_id}, at=at)
    return debit


def send_prepared(event: Event) -> None:
    """Order the debit of an event from its bank, outside of any transaction."""
    pursue(debit_id=uuid.UUID(event.payload["debit"]), at=clock.now())


def pursue_due(*, at: datetime, limit: int = 50) -> int:
    """Send what is unsent and inquire about what is open, where it is time; returns how many."""
    return PURSUIT.pursue_due(at=at, limit=limit)


def pursue(*, debit_id: uuid.UUID, at: datetime) -> None:
    """Take the next step with a debit at its bank: order it, or ask how it stands."""
    PURSUIT.pursue(work_id=debit_id, at=at)


def open_on_card(*, card_id: uuid.UUID) -> list[str]:
    """What payments answer to cards.obligations.QUESTION: a debit whose end is not known."""
    is_open = Debit.objects.filter(card_id=card_id).exclude(state__in=states.DEBIT.final).exists()
    return [OPEN] if is_open else []


def take_notice(
    *,
    caller: Caller,
    debit_id: uuid.UUID,
    standing: BankStanding,
    idempotency_key: IdempotencyKey,
    at: datetime,
) -> None:
    """Take a bank's word that one of its debits is booked or rejected; a repeat changes nothing.

    Raises NotFound for a debit of another bank, DebitContradicted when it has ended otherwise, and
    what `once` raises.
    """
    PURSUIT.take_notice(
        caller=caller,
        work_id=debit_id,
        standing=standing,
        idempotency_key=idempotency_key,
        at=at,
    )


def _carry_on(
    debit: Debit, order_id: uuid.UUID, *, booked_at: datetime, actor: str, at: datetime
) -> None:
    """Move the order as its debit has moved; a booked one pays it, whoever is suspended by now."""
    locked = queries.lock_order(order_id)
    if locked is None:
        raise RuntimeError("a debit for a payment has an order")
    order, parties = locked.order, locked.parties
    to_state = _ORDER_AFTER.get((debit.state, order.state))
    if to_state is None:
        if debit.state in states.DEBIT.final:
            raise RuntimeError("a debit ends while its order waits for it")
        return
    if debit.amount_fen < order.amount_fen and debit.state in states.DEBIT.final:
        # What the balance pays of it was held; freed and taken in one transaction, it goes nowhere
        # else in between.
        ledger.void(hold_id=order.id, at=at)
    if debit.state == "booked":
        history.change_order(order, to_state, captured_fen=order.amount_fen, actor=actor, at=at)
        from_bank = accounts.bank_account(debit.bank)
        payer_account = parties.payer_account or accounts.resident_account(order.payer_id)
        capture_order(
            order,
            replace(parties, payer_account=payer_account),
            from_bank=from_bank,
            by_bank_fen=debit.amount_fen,
            event_at=booked_at,
            at=at,
        )
        return
    if to_state in states.ORDER.final:
        grades.give_back(order)
    reasons = {"rejected": f"bank.{debit.reason}", "never_arrived": NEVER_ARRIVED}
    history.change_order(order, to_state, reason=reasons.get(debit.state), actor=actor, at=at)
