"""How a payment is asked for and how far its payer is trusted: codes, limits, PINs, risk."""

from collections.abc import Mapping
from typing import Final

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import F, Q

from identity.models import Device, Resident, Staff, Terminal
from payments import states

# What 银发〔2017〕296号, article 12, lets be paid by barcode in a day, by grade; A by agreement.
CAPS: Final[Mapping[str, int | None]] = {"A": None, "B": 500_000, "C": 100_000, "D": 50_000}


class PaymentLimit(models.Model):
    """What a payer may pay by barcode who is verified in one way; a row of 银发〔2017〕296号.

    `means` is how the payment is verified, `device` the grade of the phone's key, `level` the least
    assurance level. Above `single_fen` more is needed; `daily_fen` null means by agreement.
    """

    class Means(models.TextChoices):
        STATIC = "static"  # a merchant's printed QR, whatever verifies it
        CODE = "code"  # the shown code alone
        SIGNATURE = "signature"  # the phone's word over payee and amount
        PIN = "pin"  # the same, and the payment PIN

    means = models.TextField(choices=Means.choices)
    device = models.TextField(choices=[("hardware", "hardware"), ("software", "software")])
    level = models.PositiveSmallIntegerField()
    grade = models.TextField(choices=[(letter, letter) for letter in "ABCD"])
    single_fen = models.BigIntegerField()
    daily_fen = models.BigIntegerField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["means", "device", "level"], name="payment_limit_once"),
            models.CheckConstraint(
                condition=Q(single_fen__gte=0)
                & (Q(daily_fen__isnull=True) | Q(daily_fen__gte=F("single_fen"))),
                name="payment_limit_daily",
            ),
            models.CheckConstraint(
                condition=Q(daily_fen__isnull=True)
                | Q(grade="A")
                | Q(grade="B", daily_fen__lte=CAPS["B"])
                | Q(grade="C", daily_fen__lte=CAPS["C"])
                | Q(grade="D", daily_fen__lte=CAPS["D"]),
                name="payment_limit_cap",
            ),
        ]


class Spending(models.Model):
    """What a resident has paid on a city day under one grade; counted up in one statement."""

    resident = models.ForeignKey(Resident, models.PROTECT, db_index=False)
    on_date = models.DateField()
    grade = models.TextField()
    used_fen = models.BigIntegerField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["resident", "on_date", "grade"], name="spending_once"),
            models.CheckConstraint(condition=Q(used_fen__gte=0), name="spending_amount"),
        ]


class PayCode(models.Model):
    """An 18-digit pay code by its keyed hash: good for a minute and once, for one phone."""

    code_hash = models.BinaryField(primary_key=True, max_length=32)
    device = models.ForeignKey(Device, models.CASCADE)
    issued_at = models.DateTimeField()
    expires_at = models.DateTimeField(db_index=True)
    used_at = models.DateTimeField(null=True)


class PayCodeFailure(models.Model):
    """How many pay codes a till has tried in vain in its present window."""

    till = models.OneToOneField(Terminal, models.CASCADE, primary_key=True)
    failed = models.PositiveIntegerField()
    ends_at = models.DateTimeField()


class MerchantQr(models.Model):
    """What a merchant shows instead of scanning: a printed QR, a till's for one amount, a link."""

    class Kind(models.TextChoices):
        STATIC = "static"
        DYNAMIC = "dynamic"
        LINK = "link"

    id = models.UUIDField(primary_key=True)
    merchant = models.ForeignKey("payments.Merchant", models.PROTECT)
    till = models.ForeignKey(Terminal, models.PROTECT)
    kind = models.TextField(choices=Kind.choices)
    title = models.TextField()
    amount_fen = models.BigIntegerField(null=True)
    merchant_reference = models.TextField(null=True)
    created_at = models.DateTimeField()
    expires_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["merchant", "merchant_reference"],
                condition=Q(merchant_reference__isnull=False),
                name="merchant_qr_reference_once",
            ),
            models.CheckConstraint(
                condition=Q(
                    kind="static",
                    amount_fen__isnull=True,
                    merchant_reference__isnull=True,
                    expires_at__isnull=True,
                )
                | (
                    ~Q(kind="static")
                    & Q(amount_fen__gt=0, merchant_reference__isnull=False)
                    & Q(expires_at__isnull=False)
                ),
                name="merchant_qr_form",
            ),
        ]


class PayerHandle(models.Model):
    """A resident's leave for one merchant to ask for payments in the app, by a pseudonym."""

    handle_hash = models.BinaryField(primary_key=True, max_length=32)
    merchant = models.ForeignKey("payments.Merchant", models.PROTECT)
    resident = models.ForeignKey(Resident, models.PROTECT)
    created_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["merchant", "resident"], name="payer_handle_once")
        ]


class PaymentPin(models.Model):
    """A resident's payment PIN, as Argon2 of its keyed hash; `tries` since it was last right."""

    resident = models.OneToOneField(Resident, models.PROTECT, primary_key=True)
    pin_hash = models.TextField()
    tries = models.PositiveSmallIntegerField(default=0)
    set_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(tries__lte=10), name="payment_pin_tries"),
        ]


class RiskRule(models.Model):
    """When a payment looks unusual, and what then: a row that staff can change, not code."""

    class Kind(models.TextChoices):
        HOUR_COUNT = "hour_count"  # payments of the last hour, this one too
        HOUR_FEN = "hour_fen"
        DAY_COUNT = "day_count"  # of the last 24 hours
        DAY_FEN = "day_fen"
        AMOUNT_FEN = "amount_fen"
        NEW_DEVICE_HOURS = "new_device_hours"  # the phone is bound for fewer hours
        OTHER_COUNTY = "other_county"  # paid before, `threshold` times, but never in this county

    class Outcome(models.TextChoices):
        REVIEW = "review"
        CONFIRM = "confirm"
        PIN = "pin"
        FREEZE = "freeze"

    name = models.TextField(primary_key=True)
    kind = models.TextField(choices=Kind.choices)
    threshold = models.BigIntegerField()
    from_fen = models.BigIntegerField(default=0)
    outcome = models.TextField(choices=Outcome.choices)
    is_active = models.BooleanField(default=True)
    words_zh = models.TextField()
    words_en = models.TextField()

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(threshold__gte=0, from_fen__gte=0), name="risk_rule_amounts"
            ),
            models.CheckConstraint(
                condition=Q(
                    kind__in=[
                        "hour_count", "hour_fen", "day_count", "day_fen", "amount_fen",
                        "new_device_hours", "other_county",
                    ]
                ),
                name="risk_rule_kind",
            ),
            models.CheckConstraint(
                condition=Q(outcome__in=["review", "confirm", "pin", "freeze"]),
                name="risk_rule_outcome",
            ),
        ]  # fmt: skip


class RiskCase(models.Model):
    """A payment that a rule has met, for somebody to look at; an open freeze stops paying."""

    id = models.UUIDField(primary_key=True)
    order = models.OneToOneField("payments.Order", models.PROTECT)
    resident = models.ForeignKey(Resident, models.PROTECT)
    outcome = models.TextField(choices=RiskRule.Outcome.choices)
    reasons = ArrayField(models.TextField())
    state = models.TextField(default=states.RISK_CASE.initial)
    opened_at = models.DateTimeField()
    decided_at = models.DateTimeField(null=True)
    decided_by = models.ForeignKey(Staff, models.PROTECT, null=True)

    class Meta:
        constraints = [
            states.RISK_CASE.sql_check("state", "risk_case_state"),
            models.CheckConstraint(
                condition=Q(state="open", decided_at__isnull=True, decided_by__isnull=True)
                | (~Q(state="open") & Q(decided_at__isnull=False, decided_by__isnull=False)),
                name="risk_case_decided",
            ),
        ]
        indexes = [
            models.Index(fields=["-id"], condition=Q(state="open"), name="risk_case_to_decide"),
            models.Index(
                fields=["resident"],
                condition=Q(state="open", outcome="freeze"),
                name="risk_case_freezing",
            ),
        ]
