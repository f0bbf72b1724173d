"""What Cloud Pay keeps of a person: told in an export, open before a deletion, forgotten in it.

The ledger and its orders stay, under the account's id.
"""

import uuid
from datetime import datetime

from django.db.models import F

from identity.own_data import Section, fields_of
from payments import ledger, queries, states
from payments.models import (
    Charge,
    Debit,
    FundingSource,
    Order,
    PaymentSource,
    Payout,
    Refund,
    TopUpNumber,
    Visit,
)

BALANCE, CHARGE = "payments.balance", "payments.charge_due"
ORDER, AT_BANK = "payments.order_open", "payments.bank_open"

_WAITING = ("created", "confirming", "authorised", "capturing", "unknown")


def open_obligations(*, resident_id: uuid.UUID) -> list[str]:
    """Return the codes of money and payments that are not settled."""
    found = set()
    account = queries.account_of(kind="resident", owner=str(resident_id))
    if account is not None:
        standing = ledger.balance_of(account)
        if standing.posted_fen or standing.available_fen:
            found.add(BALANCE)
    if Charge.objects.filter(payer_id=resident_id, state="due").exists():
        found.add(CHARGE)
    if Order.objects.filter(payer_id=resident_id, state__in=_WAITING).exists():
        found.add(ORDER)
    payouts = Payout.objects.filter(resident_id=resident_id).exclude(state__in=states.PAYOUT.final)
    debits = Debit.objects.filter(resident_id=resident_id).exclude(state__in=states.DEBIT.final)
    if payouts.exists() or debits.exists():
        found.add(AT_BANK)
    return sorted(found)


def export(*, resident_id: uuid.UUID) -> dict[str, Section]:
    """Return a resident's money: its moves, orders, refunds, charges, and the ways in and out."""
    account = queries.account_of(kind="resident", owner=str(resident_id))
    mine = {"resident_id": resident_id}
    return {
        "wallet": Section(
            queries.postings_of(account).annotate(
                kind=F("transaction__kind"), at=F("transaction__at")
            ),
            fields_of("id", "kind", "signed_fen", "title", "merchant_zh", "merchant_en", "at"),
        ),
        "orders": Section(
            Order.objects.filter(payer_id=resident_id),
            fields_of(
                "id", "merchant_id", "title", "amount_fen", "captured_fen", "refunded_fen",
                "state", "created_at",
            ),
        ),
        "refunds": Section(
            Refund.objects.filter(order__payer_id=resident_id),
            fields_of("id", "order_id", "amount_fen", "at"),
        ),
        "charges": Section(
            Charge.objects.filter(payer_id=resident_id),
            fields_of("id", "merchant_id", "title", "amount_fen", "state", "created_at"),
        ),
        "visits": Section(
            Visit.objects.filter(payer_id=resident_id),
            fields_of("id", "merchant_id", "held_fen", "state", "entered_at", "left_at"),
        ),
        "bank_accounts": Section(
            FundingSource.objects.filter(**mine), fields_of("id", "bank_id", "last4", "created_at")
        ),
        "withdrawals": Section(
            Payout.objects.filter(**mine),
            fields_of("id", "bank_id", "account_last4", "amount_fen", "state", "created_at"),
        ),
        "bank_debits": Section(
            Debit.objects.filter(**mine),
            fields_of("id", "bank_id", "card_id", "amount_fen", "state", "created_at"),
        ),
        "top_up_number": Section(TopUpNumber.objects.filter(**mine), fields_of("number")),
    }  # fmt: skip


def forget(*, resident_id: uuid.UUID, at: datetime) -> None:
    """Forget the bank accounts and the top-up number: what still comes in, its bank takes back."""
    mine = {"resident_id": resident_id}
    TopUpNumber.objects.filter(**mine).delete()
    PaymentSource.objects.filter(**mine).delete()
    FundingSource.objects.filter(**mine).delete()
    for rows in (Payout.objects.filter(**mine), Debit.objects.filter(**mine)):
        for work in rows.order_by("id"):
            work.account_token, work.account_last4 = "", ""
            work.save(update_fields=["account_token", "account_last4"])
