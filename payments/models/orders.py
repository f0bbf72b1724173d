"""Merchants, what is paid to them, and what goes back."""

import uuid

from django.db import models
from django.db.models import F, Q

from identity.models import Organisation, Resident, Store, Terminal
from payments import states
from vpass.common.sealed_fields import SealedText

PURPOSE, SCENE = "payment", "pay"  # what a merchant's tills use codes for


class Merchant(models.Model):
    """A shop or biller; payouts go to `payout_account`, a token of its bank's.

    One till alone gives back up to `refund_alone_fen` of a payment, two give back the rest; null
    means that one may give back all of it.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    organisation = models.OneToOneField(Organisation, models.PROTECT)
    bank = models.ForeignKey("payments.Bank", models.PROTECT)
    payout_account = SealedText()
    state = models.TextField(default=states.MERCHANT.initial)
    refund_alone_fen = models.BigIntegerField(null=True)
    credit_code = models.TextField(null=True, unique=True)  # 统一社会信用代码

    class Meta:
        constraints = [
            states.MERCHANT.sql_check("state", "merchant_state"),
            models.CheckConstraint(
                condition=Q(refund_alone_fen__isnull=True) | Q(refund_alone_fen__gte=0),
                name="merchant_refund_alone",
            ),
        ]


class Order(models.Model):
    """A payment by a resident to a merchant, in fen; one that a charge has led to has no till.

    `store` is where the till stood, whatever becomes of the till.
    `way` is how it was asked for; `grade` and `counted_on` are what it was counted under for the
    day's limit, and the day.
    """

    class Way(models.TextChoices):
        CODE = "code"  # the one code, scanned
        DIGITS = "digits"  # 18 digits at an old till
        QR_STATIC = "qr_static"
        QR_DYNAMIC = "qr_dynamic"
        APP = "app"  # a bill, an order in an app, a charge

    id = models.UUIDField(primary_key=True)
    merchant = models.ForeignKey(Merchant, models.PROTECT, db_index=False)
    till = models.ForeignKey(Terminal, models.PROTECT, null=True, db_index=False)
    payer = models.ForeignKey(Resident, models.PROTECT, db_index=False)
    amount_fen = models.BigIntegerField()
    title = models.TextField()
    merchant_reference = models.TextField()
    state = models.TextField(default=states.ORDER.initial)
    reason = models.TextField(null=True)
    captured_fen = models.BigIntegerField(default=0)
    refunded_fen = models.BigIntegerField(default=0)
    confirm_by = models.DateTimeField(null=True)
    created_at = models.DateTimeField()
    way = models.TextField(choices=Way.choices, default=Way.APP, db_default=Way.APP)
    grade = models.TextField(null=True)
    counted_on = models.DateField(null=True)
    needs_pin = models.BooleanField(default=False, db_default=False)
    store = models.ForeignKey(Store, models.PROTECT, null=True, db_index=False)
    cashier = models.TextField(null=True)  # the number of who stood at the till, as it signed it

    class Meta:
        constraints = [
            states.ORDER.sql_check("state", "order_state"),
            models.UniqueConstraint(
                fields=["merchant", "merchant_reference"], name="order_reference_once"
            ),
            models.CheckConstraint(condition=Q(amount_fen__gt=0), name="order_amount"),
            models.CheckConstraint(
                condition=Q(refunded_fen__gte=0)
                & Q(refunded_fen__lte=F("captured_fen"))
                & Q(captured_fen__lte=F("amount_fen")),
                name="order_refunded",
            ),
        ]
        indexes = [
            models.Index(fields=["payer", "-id"], name="order_of_payer"),
            models.Index(fields=["merchant", "-id"], name="order_of_merchant"),
            models.Index(
                fields=["store", "-id"], condition=Q(store__isnull=False), name="order_of_store"
            ),
            models.Index(
                fields=["confirm_by"], condition=Q(state="confirming"), name="order_to_expire"
            ),
        ]


class OrderChange(models.Model):
    """The history of an order. Append-only."""

    order = models.ForeignKey(Order, models.PROTECT, related_name="changes")
    from_state = models.TextField()
    to_state = models.TextField()
    event = models.TextField()
    actor = models.TextField()
    at = models.DateTimeField()


class Refund(models.Model):
    """Money that went back to the payer; the reference is the merchant's own. Append-only."""

    id = models.UUIDField(primary_key=True)
    order = models.ForeignKey(Order, models.PROTECT, related_name="refunds")
    reference = models.TextField()
    amount_fen = models.BigIntegerField()
    at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["order", "reference"], name="refund_once"),
            models.CheckConstraint(condition=Q(amount_fen__gt=0), name="refund_amount"),
        ]


class RefundRequest(models.Model):
    """A refund that one till has asked for and another decides; done, it has the refund's id."""

    id = models.UUIDField(primary_key=True)
    order = models.ForeignKey(Order, models.PROTECT, related_name="refund_requests")
    reference = models.TextField()
    amount_fen = models.BigIntegerField()
    state = models.TextField(default=states.REFUND_REQUEST.initial)
    asked_by = models.ForeignKey(Terminal, models.PROTECT, related_name="+")
    asked_at = models.DateTimeField()
    decided_by = models.ForeignKey(Terminal, models.PROTECT, null=True, related_name="+")
    decided_at = models.DateTimeField(null=True)
    refund = models.OneToOneField(Refund, models.PROTECT, null=True)

    class Meta:
        constraints = [
            states.REFUND_REQUEST.sql_check("state", "refund_request_state"),
            models.UniqueConstraint(fields=["order", "reference"], name="refund_request_once"),
            models.CheckConstraint(condition=Q(amount_fen__gt=0), name="refund_request_amount"),
            models.CheckConstraint(
                condition=Q(state="approved", refund__isnull=False, decided_by__isnull=False)
                & ~Q(asked_by=F("decided_by"))
                | (~Q(state="approved") & Q(refund__isnull=True)),
                name="refund_request_four_eyes",
            ),
        ]
        indexes = [
            models.Index(
                fields=["asked_at"], condition=Q(state="asked"), name="refund_request_to_end"
            ),
        ]
