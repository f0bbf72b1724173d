"""Partner banks, the money that comes from them and goes to them."""

import uuid

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q

from cards.models import Card
from identity.models import Organisation, Resident
from payments import states
from vpass.common.sealed_fields import SealedText


class Bank(models.Model):
    """A partner bank. Its own key for calling us is a machine key of its organisation."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    organisation = models.OneToOneField(Organisation, models.PROTECT)
    code = models.TextField(unique=True)


class TopUpNumber(models.Model):
    """The number of 12 digits by which a bank names a resident's wallet in a credit notice."""

    number = models.TextField(primary_key=True)
    resident = models.OneToOneField(Resident, models.PROTECT)


class FundingSource(models.Model):
    """A resident's bank account, as the bank's token; known from the credit that came from it."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    resident = models.ForeignKey(Resident, models.PROTECT)
    bank = models.ForeignKey(Bank, models.PROTECT)
    account_token = SealedText()
    token_hash = models.BinaryField(max_length=32)
    last4 = models.TextField()
    created_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["resident", "bank", "token_hash"], name="funding_source_once"
            )
        ]


class CreditNotice(models.Model):
    """A bank's word that it received money for a resident; a notice is booked once. Append-only."""

    class Outcome(models.TextChoices):
        CREDITED = "credited"
        RETURNED = "returned"

    id = models.UUIDField(primary_key=True)
    bank = models.ForeignKey(Bank, models.PROTECT)
    notice_id = models.TextField()
    resident = models.ForeignKey(Resident, models.PROTECT, null=True)
    amount_fen = models.BigIntegerField()
    outcome = models.TextField(choices=Outcome.choices)
    reason = models.TextField(null=True)
    booked_at = models.DateTimeField()
    at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["bank", "notice_id"], name="credit_notice_once"),
            models.CheckConstraint(condition=Q(amount_fen__gt=0), name="credit_notice_amount"),
        ]


class BankWork(models.Model):
    """What a bank is asked to do once, and how it stands there."""

    id = models.UUIDField(primary_key=True)
    bank = models.ForeignKey(Bank, models.PROTECT)
    account_token = SealedText()
    account_last4 = models.TextField()
    amount_fen = models.BigIntegerField()
    reference = models.TextField()
    business_date = models.DateField()
    reason = models.TextField(null=True)
    bank_reference = models.TextField(null=True)
    inquiries = models.PositiveSmallIntegerField(default=0)
    next_inquiry_at = models.DateTimeField(null=True)
    created_at = models.DateTimeField()
    state = models.TextField()  # of an edge table of each kind's own

    class Meta:
        abstract = True


class BankWorkChange(models.Model):
    """A line of the history of such work. Append-only."""

    from_state = models.TextField()
    to_state = models.TextField()
    event = models.TextField()
    actor = models.TextField()
    at = models.DateTimeField()

    class Meta:
        abstract = True


class Payout(BankWork):
    """Money on its way to a bank account: a resident's withdrawal, what goes back to the card that
    has paid, or a merchant's settlement."""

    class Purpose(models.TextChoices):
        WITHDRAWAL = "withdrawal"
        REFUND = "refund"
        SETTLEMENT = "settlement"

    purpose = models.TextField(choices=Purpose.choices)
    resident = models.ForeignKey(Resident, models.PROTECT, null=True)
    merchant = models.ForeignKey("payments.Merchant", models.PROTECT, null=True)
    state = models.TextField(default=states.PAYOUT.initial)

    class Meta:
        constraints = [
            states.PAYOUT.sql_check("state", "payout_state"),
            models.CheckConstraint(condition=Q(amount_fen__gt=0), name="payout_amount"),
            models.CheckConstraint(
                condition=Q(
                    resident__isnull=False,
                    merchant__isnull=True,
                    purpose__in=["withdrawal", "refund"],
                )
                | Q(resident__isnull=True, merchant__isnull=False, purpose="settlement"),
                name="payout_payee",
            ),
        ]
        indexes = [
            models.Index(
                fields=["next_inquiry_at"],
                condition=Q(next_inquiry_at__isnull=False),
                name="payout_to_ask",
            ),
            models.Index(fields=["resident", "-id"], name="payout_of_resident"),
        ]


class PayoutChange(BankWorkChange):
    """The history of a payout. Append-only."""

    payout = models.ForeignKey(Payout, models.PROTECT, related_name="changes")


class Debit(BankWork):
    """Money on its way from a bound bank card: into the wallet, or for a payment at a till.

    Nothing is posted before the bank has booked it.
    """

    class Purpose(models.TextChoices):
        TOP_UP = "top_up"
        PAYMENT = "payment"

    purpose = models.TextField(choices=Purpose.choices)
    resident = models.ForeignKey(Resident, models.PROTECT)
    card = models.ForeignKey(Card, models.PROTECT)
    order = models.OneToOneField("payments.Order", models.PROTECT, null=True)
    state = models.TextField(default=states.DEBIT.initial)

    class Meta:
        constraints = [
            states.DEBIT.sql_check("state", "debit_state"),
            models.CheckConstraint(condition=Q(amount_fen__gt=0), name="debit_amount"),
            models.CheckConstraint(
                condition=Q(order__isnull=True, purpose="top_up")
                | Q(order__isnull=False, purpose="payment"),
                name="debit_order",
            ),
        ]
        indexes = [
            models.Index(
                fields=["next_inquiry_at"],
                condition=Q(next_inquiry_at__isnull=False),
                name="debit_to_ask",
            ),
            models.Index(fields=["resident", "-id"], name="debit_of_resident"),
        ]


class DebitChange(BankWorkChange):
    """The history of a debit. Append-only."""

    debit = models.ForeignKey(Debit, models.PROTECT, related_name="changes")


class PaymentSource(models.Model):
    """What a resident pays with: a bank card, or without one the balance.

    `kinds` is the order in which several pay together (payments.sources.SOURCES); empty: the card
    alone, or without one the balance. `version` counts the choices.
    """

    resident = models.OneToOneField(Resident, models.PROTECT, primary_key=True)
    card = models.ForeignKey(Card, models.PROTECT, null=True)
    version = models.PositiveIntegerField()
    kinds = ArrayField(models.TextField(), default=list, db_default=[])
