"""What Cloud Pay keeps of a person: told in an export, open before a deletion, forgotten in it.

The ledger and its orders stay, under the account's id; so do cases of risk, which judge payments.
A bill that nobody pays is its biller's demand, whoever has an account: only a payment of it that is
under way, such as an order that waits for a word in the app, keeps an account open.
"""

import uuid
from datetime import datetime

from django.db.models import F

from identity.own_data import Section, fields_of
from payments import bills, ledger, queries, states
from payments.models import (
    BillFollow,
    BillPayment,
    BillReceipt,
    Charge,
    Debit,
    FundingSource,
    Order,
    PayCode,
    PayerHandle,
    PaymentPin,
    PaymentSource,
    Payout,
    Refund,
    RiskCase,
    Spending,
    TopUpNumber,
    Visit,
)

BALANCE, CHARGE = "payments.balance", "payments.charge_due"
ORDER, AT_BANK = "payments.order_open", "payments.bank_open"
BILL, RISK = "payments.bill_open", "payments.risk_open"

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
    # Captured, and the bill does not know it yet; what came to nothing counts no more.
    paying = BillPayment.objects.filter(payer_id=resident_id, paid_at=None, released_at=None)
    if paying.exclude(order__state__in=bills.ENDED).exists():
        found.add(BILL)
    # From the payment on, until the suspension it brings stands for it.
    if RiskCase.objects.filter(resident_id=resident_id, state="open", outcome="freeze").exists():
        found.add(RISK)
    payouts = Payout.objects.filter(resident_id=resident_id).exclude(state__in=states.PAYOUT.final)
    debits = Debit.objects.filter(resident_id=resident_id).exclude(state__in=states.DEBIT.final)
    if payouts.exists() or debits.exists():
        found.add(AT_BANK)
    return sorted(found)


def export(*, resident_id: uuid.UUID) -> dict[str, Section]:
    """Return a resident's money: its moves, orders, refunds, charges, bills, the ways in and out,
    and what is kept of how the resident pays."""
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
                "state", "store_id", "created_at",
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
        "bill_payments": Section(
            BillPayment.objects.filter(payer_id=resident_id),
            fields_of(
                "order_id", "bill_id", "amount_fen", "refunded_fen", "paid_at", "released_at"
            ),
        ),
        "bill_receipts": Section(
            BillReceipt.objects.filter(payment__payer_id=resident_id),
            fields_of("payment_id", "code", "content", "signature", "at"),
        ),
        "bill_follows": Section(BillFollow.objects.filter(**mine), fields_of("id", "at")),
    } | _ways(resident_id)  # fmt: skip


def _ways(resident_id: uuid.UUID) -> dict[str, Section]:
    """How payments are asked for and trusted. Of a case of risk the rules are not told."""
    mine = {"resident_id": resident_id}
    return {
        "pay_codes": Section(
            PayCode.objects.filter(device__resident_id=resident_id),
            fields_of("issued_at", "expires_at", "used_at"),
        ),
        "payer_handles": Section(
            PayerHandle.objects.filter(**mine), fields_of("merchant_id", "created_at", "ended_at")
        ),
        "payment_pin": Section(PaymentPin.objects.filter(**mine), fields_of("set_at", "tries")),
        "risk_cases": Section(
            RiskCase.objects.filter(**mine),
            fields_of("id", "order_id", "outcome", "state", "opened_at", "decided_at"),
        ),
        "spending": Section(
            Spending.objects.filter(**mine), fields_of("on_date", "grade", "used_fen")
        ),
    }


def forget(*, resident_id: uuid.UUID, at: datetime) -> None:
    """Forget the bank accounts and the top-up number: what still comes in, its bank takes back.

    With them go PIN, pay codes, the leaves given to merchants, whose bills were followed, and how
    much was spent on each day. Payments of bills with their receipts stay as the ledger does, and
    so do cases of risk.
    """
    mine = {"resident_id": resident_id}
    PayCode.objects.filter(device__resident_id=resident_id).delete()
    for model in (
        TopUpNumber, PaymentSource, FundingSource, PaymentPin, PayerHandle, BillFollow, Spending,
    ):  # fmt: skip
        model._default_manager.filter(**mine).delete()
    for rows in (Payout.objects.filter(**mine), Debit.objects.filter(**mine)):
        for work in rows.order_by("id"):
            work.account_token, work.account_last4 = "", ""
            work.save(update_fields=["account_token", "account_last4"])
