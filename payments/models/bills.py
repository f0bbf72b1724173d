"""Bills: who issues them, what they ask for by head, and what was paid of them."""

import uuid

from django.db import models
from django.db.models import F, Q

from identity.models import Resident
from payments import states
from payments.models.orders import Merchant, Order


class Biller(models.Model):
    """A merchant that issues bills. `number` is its own in notice codes, 1 to 9999.

    `surcharge_ppm` is what a day after the due date costs, in millionths of what is unpaid.
    """

    class Kind(models.TextChoices):
        UTILITY = "utility"
        TUITION = "tuition"
        HOSPITAL = "hospital"
        FEE = "fee"
        FINE = "fine"

    merchant = models.OneToOneField(Merchant, models.PROTECT, primary_key=True)
    kind = models.TextField(choices=Kind.choices)
    number = models.PositiveSmallIntegerField(unique=True)
    surcharge_ppm = models.PositiveIntegerField(default=0)

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(number__range=(1, 9999)), name="biller_number"),
            models.CheckConstraint(condition=Q(surcharge_ppm__lte=30_000), name="biller_surcharge"),
        ]


class BillHead(models.Model):
    """What a biller asks money for (water, sewage, principal …); priority 1 is paid first."""

    biller = models.ForeignKey(Biller, models.PROTECT, related_name="heads")
    code = models.TextField()
    name_zh = models.TextField()
    name_en = models.TextField()
    priority = models.PositiveSmallIntegerField()
    is_surcharge = models.BooleanField(default=False)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["biller", "code"], name="bill_head_once"),
            models.UniqueConstraint(fields=["biller", "priority"], name="bill_head_priority"),
            models.UniqueConstraint(
                fields=["biller"], condition=Q(is_surcharge=True), name="bill_head_surcharge_once"
            ),
        ]


class Bill(models.Model):
    """A demand for money, in fen: `amount_fen` is the sum of its lines, the surcharge's too.

    `payer_hash` is the keyed hash of whom it is for; `payer_kind` says what was hashed.
    `reserved_fen` waits in payments that have been opened and not yet ended. `accrued` is the exact
    surcharge up to the day `accrued_until`, in millionths of a fen.
    """

    class PayerKind(models.TextChoices):
        HOLDER = "holder"
        ID_NUMBER = "id_number"
        CUSTOMER = "customer"

    id = models.UUIDField(primary_key=True)
    biller = models.ForeignKey(Biller, models.PROTECT)
    reference = models.TextField()
    notice_code = models.TextField(unique=True)
    payer_kind = models.TextField(choices=PayerKind.choices)
    payer_hash = models.BinaryField(max_length=32)
    title = models.TextField()
    period_from = models.DateField()
    period_to = models.DateField()
    due_date = models.DateField()
    version = models.PositiveSmallIntegerField(default=1)
    amount_fen = models.BigIntegerField()
    paid_fen = models.BigIntegerField(default=0)
    reserved_fen = models.BigIntegerField(default=0)
    accrued = models.BigIntegerField(default=0)
    accrued_until = models.DateField()
    payments_opened = models.PositiveIntegerField(default=0)
    state = models.TextField(default=states.BILL.initial)
    created_at = models.DateTimeField()

    class Meta:
        constraints = [
            states.BILL.sql_check("state", "bill_state"),
            models.UniqueConstraint(fields=["biller", "reference"], name="bill_reference_once"),
            models.CheckConstraint(condition=Q(period_from__lt=F("period_to")), name="bill_period"),
            models.CheckConstraint(condition=Q(amount_fen__gt=0), name="bill_amount"),
            models.CheckConstraint(condition=Q(accrued__gte=0), name="bill_accrued"),
            models.CheckConstraint(
                condition=Q(paid_fen__gte=0)
                & Q(reserved_fen__gte=0)
                & Q(amount_fen__gte=F("paid_fen") + F("reserved_fen")),
                name="bill_not_overpaid",
            ),
            models.CheckConstraint(
                condition=Q(state="unpaid", paid_fen=0)
                | Q(state="part_paid", paid_fen__gt=0, paid_fen__lt=F("amount_fen"))
                | Q(state="paid", paid_fen=F("amount_fen"))
                | Q(state="cancelled", paid_fen=0, reserved_fen=0),
                name="bill_state_as_paid",
            ),
        ]
        indexes = [
            models.Index(fields=["payer_hash", "-id"], name="bill_of_payer"),
            models.Index(fields=["biller", "-id"], name="bill_of_biller"),
            models.Index(
                fields=["due_date"],
                condition=Q(state__in=["unpaid", "part_paid"]),
                name="bill_to_remind",
            ),
        ]


class BillLine(models.Model):
    """A bill's amount for one head and one period, which begins at `period_from`."""

    bill = models.ForeignKey(Bill, models.PROTECT, related_name="lines")
    head = models.ForeignKey(BillHead, models.PROTECT)
    period_from = models.DateField()
    amount_fen = models.BigIntegerField()
    paid_fen = models.BigIntegerField(default=0)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["bill", "head", "period_from"], name="bill_line_once"),
            models.CheckConstraint(
                condition=Q(paid_fen__gte=0) & Q(paid_fen__lte=F("amount_fen")),
                name="bill_line_not_overpaid",
            ),
        ]


class BillVersion(models.Model):
    """What a bill asked for from one amendment to the next; `lines` are head, period and fen.
    Append-only."""

    bill = models.ForeignKey(Bill, models.PROTECT, related_name="versions")
    version = models.PositiveSmallIntegerField()
    title = models.TextField()
    due_date = models.DateField()
    lines = models.JSONField()
    actor = models.TextField()
    at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["bill", "version"], name="bill_version_once")
        ]


class BillChange(models.Model):
    """The history of a bill's state. Append-only."""

    bill = models.ForeignKey(Bill, models.PROTECT, related_name="changes")
    from_state = models.TextField()
    to_state = models.TextField()
    event = models.TextField()
    actor = models.TextField()
    at = models.DateTimeField()


class BillPayment(models.Model):
    """An order that pays (part of) a bill: open, then paid or released, never both."""

    order = models.OneToOneField(Order, models.PROTECT, primary_key=True)
    bill = models.ForeignKey(Bill, models.PROTECT, related_name="payments")
    number = models.PositiveIntegerField()
    payer = models.ForeignKey(Resident, models.PROTECT)
    amount_fen = models.BigIntegerField()
    refunded_fen = models.BigIntegerField(default=0)
    paid_at = models.DateTimeField(null=True)
    released_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["bill", "number"], name="bill_payment_once"),
            models.CheckConstraint(condition=Q(amount_fen__gt=0), name="bill_payment_amount"),
            models.CheckConstraint(
                condition=Q(paid_at__isnull=True) | Q(released_at__isnull=True),
                name="bill_payment_one_end",
            ),
            models.CheckConstraint(
                condition=Q(refunded_fen=0)
                | Q(
                    paid_at__isnull=False,
                    refunded_fen__gt=0,
                    refunded_fen__lte=F("amount_fen"),
                ),
                name="bill_payment_refunded",
            ),
        ]
        indexes = [models.Index(fields=["payer", "-order"], name="bill_payment_of_payer")]


class BillShare(models.Model):
    """What a payment gave to a line, or a refund took from it (below 0). Append-only."""

    payment = models.ForeignKey(BillPayment, models.PROTECT, related_name="shares")
    line = models.ForeignKey(BillLine, models.PROTECT)
    refund = models.UUIDField(null=True)
    amount_fen = models.BigIntegerField()
    at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["payment", "line", "refund"],
                nulls_distinct=False,
                name="bill_share_once",
            ),
            models.CheckConstraint(
                condition=Q(refund__isnull=True, amount_fen__gt=0)
                | Q(refund__isnull=False, amount_fen__lt=0),
                name="bill_share_sign",
            ),
        ]


class BillReceipt(models.Model):
    """The city's signed word that a payment came in; it holds no name. Append-only."""

    payment = models.OneToOneField(BillPayment, models.PROTECT, primary_key=True)
    code = models.TextField(unique=True)
    content = models.TextField()
    signature = models.TextField()
    at = models.DateTimeField()


class BillFollow(models.Model):
    """A resident sees the bills of this payer, a customer number proven by one of its bills."""

    resident = models.ForeignKey(Resident, models.PROTECT)
    payer_hash = models.BinaryField(max_length=32)
    at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["resident", "payer_hash"], name="bill_follow_once")
        ]


class BillReminder(models.Model):
    """That a bill's payer was reminded, once of each kind for each due date. Append-only."""

    class Kind(models.TextChoices):
        DUE_SOON = "due_soon"
        OVERDUE = "overdue"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    bill = models.ForeignKey(Bill, models.PROTECT, related_name="reminders")
    kind = models.TextField(choices=Kind.choices)
    due_date = models.DateField()
    at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["bill", "kind", "due_date"], name="bill_reminder_once")
        ]
