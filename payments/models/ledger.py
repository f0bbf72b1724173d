"""The ledger's rows. Only the posting functions of `payments/sql` write them.

An account's balance is what was credited less what was debited, in fen: residents' and merchants'
accounts are what Cloud Pay owes them, a bank's clearing account is negative by what it holds for
us.
"""

from django.db import models
from django.db.models import F, Q

from payments import states


class Account(models.Model):
    """A place where money stands: of a resident, a merchant, or at a bank."""

    class Kind(models.TextChoices):
        RESIDENT = "resident"
        MERCHANT = "merchant"
        BANK = "bank"
        FEE = "fee"
        SUSPENSE = "suspense"

    kind = models.TextField(choices=Kind.choices)
    owner = models.TextField()
    currency = models.TextField(default="CNY")
    shards = models.PositiveSmallIntegerField(db_default=1)  # rows its balance is spread over

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["kind", "owner", "currency"], name="account_once"),
            models.CheckConstraint(
                condition=Q(shards__gte=1) & Q(shards__lte=64), name="account_shards"
            ),
        ]


class Balance(models.Model):
    """What stands on an account, and how much of it is held; `floor_fen` null means no floor.

    An account that many pay at once has several rows (shards): the sum is what stands on it. The
    first, 0, has the floor and what is held; the others never fall below zero.
    """

    account = models.ForeignKey(Account, models.PROTECT, db_index=False)
    shard = models.PositiveSmallIntegerField(default=0)
    posted_fen = models.BigIntegerField(default=0)
    held_fen = models.BigIntegerField(default=0)
    floor_fen = models.BigIntegerField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["account", "shard"], name="balance_once"),
            models.CheckConstraint(condition=Q(held_fen__gte=0), name="balance_held"),
            models.CheckConstraint(
                condition=Q(floor_fen__isnull=True)
                | Q(posted_fen__gte=F("floor_fen") + F("held_fen")),
                name="balance_floor",
            ),
        ]


class Transaction(models.Model):
    """Postings that belong together; its key is unique for ever within its caller. Append-only."""

    kind = models.TextField()
    caller = models.TextField()
    key = models.TextField()
    order_id = models.UUIDField(null=True, db_index=True)
    reverses = models.OneToOneField("self", models.PROTECT, null=True, related_name="reversed_by")
    business_date = models.DateField()
    window = models.ForeignKey("payments.Window", models.PROTECT, db_index=False)
    event_at = models.DateTimeField()
    at = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["caller", "key"], name="transaction_once")]
        indexes = [models.Index(fields=["window", "id"], name="transaction_of_window")]


class Posting(models.Model):
    """An amount in fen from the debited to the credited account: always balanced. Append-only."""

    transaction = models.ForeignKey(Transaction, models.PROTECT, db_index=False)
    seq = models.PositiveSmallIntegerField()
    debit = models.ForeignKey(Account, models.PROTECT, related_name="debits", db_index=False)
    credit = models.ForeignKey(Account, models.PROTECT, related_name="credits", db_index=False)
    amount_fen = models.BigIntegerField()

    class Meta:
        indexes = [
            models.Index(fields=["debit", "id"], name="posting_of_debit"),
            models.Index(fields=["credit", "id"], name="posting_of_credit"),
        ]
        constraints = [
            models.UniqueConstraint(fields=["transaction", "seq"], name="posting_once"),
            models.CheckConstraint(condition=Q(amount_fen__gt=0), name="posting_amount"),
            models.CheckConstraint(condition=~Q(debit=F("credit")), name="posting_two_sides"),
        ]


class AccountLine(models.Model):
    """A posting as the owner of one of its accounts reads it; `signed_fen` is what came in, or went
    out.

    A view of both sides, each in the order of an index: a page of it costs the same however long
    the account's history is. `id` is the posting's, so it is unique within an account.
    """

    transaction = models.ForeignKey(Transaction, models.DO_NOTHING, related_name="+")
    account = models.ForeignKey(Account, models.DO_NOTHING, related_name="+")
    amount_fen = models.BigIntegerField()
    signed_fen = models.BigIntegerField()

    class Meta:
        managed = False
        db_table = "payments_accountline"


class Hold(models.Model):
    """Money set aside on an account until it is captured, voided or expired."""

    id = models.UUIDField(primary_key=True)
    account = models.ForeignKey(Account, models.PROTECT)
    amount_fen = models.BigIntegerField()
    captured_fen = models.BigIntegerField(default=0)
    purpose = models.TextField()
    reference = models.UUIDField()
    state = models.TextField(default=states.HOLD.initial)
    expires_at = models.DateTimeField(null=True)
    at = models.DateTimeField()

    class Meta:
        constraints = [
            states.HOLD.sql_check("state", "hold_state"),
            models.UniqueConstraint(fields=["reference", "purpose"], name="hold_once"),
            models.CheckConstraint(condition=Q(amount_fen__gt=0), name="hold_amount"),
            models.CheckConstraint(
                condition=Q(captured_fen__gte=0) & Q(captured_fen__lte=F("amount_fen")),
                name="hold_captured",
            ),
        ]


class LedgerSeal(models.Model):
    """What transactions of a closed window were like, chained and keyed. Append-only.

    Covers those of the window with ids over `after_id` up to `upto_id`; the last seal of a window
    says so. `marks` has 16 bytes for each: its id and the beginning of its SHA-256. `content` is
    the SHA-256 over all of theirs (payments.seals).
    """

    number = models.PositiveBigIntegerField(unique=True)
    window = models.ForeignKey("payments.Window", models.PROTECT, related_name="+")
    after_id = models.BigIntegerField()
    upto_id = models.BigIntegerField()
    is_last = models.BooleanField()
    transactions = models.PositiveIntegerField()
    postings = models.PositiveIntegerField()
    marks = models.BinaryField()
    content = models.BinaryField(max_length=32)
    digest = models.BinaryField(max_length=32)
    sealed_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["window"], condition=Q(is_last=True), name="ledger_seal_last_once"
            ),
            models.CheckConstraint(
                condition=Q(upto_id__gte=F("after_id")), name="ledger_seal_goes_forward"
            ),
        ]
