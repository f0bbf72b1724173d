"""What residents owe to merchants without having shown a code: a fare, a parking fee."""

from django.db import models
from django.db.models import Q

from identity.models import Resident
from payments import states
from payments.models.orders import Merchant, Order


class Charge(models.Model):
    """An amount in fen that a merchant is owed, by its own reference, until an order has paid it.

    `reference` is "<kind>:<uuid>", as in "tap:…"; a till's references hold no colon.
    """

    id = models.UUIDField(primary_key=True)
    merchant = models.ForeignKey(Merchant, models.PROTECT)
    payer = models.ForeignKey(Resident, models.PROTECT)
    amount_fen = models.BigIntegerField()
    title = models.TextField()
    reference = models.TextField()
    state = models.TextField(default=states.CHARGE.initial)
    order = models.OneToOneField(Order, models.PROTECT, null=True)
    created_at = models.DateTimeField()

    class Meta:
        constraints = [
            states.CHARGE.sql_check("state", "charge_state"),
            models.UniqueConstraint(fields=["merchant", "reference"], name="charge_reference_once"),
            models.CheckConstraint(condition=Q(amount_fen__gt=0), name="charge_amount"),
            models.CheckConstraint(
                condition=Q(state="paid", order__isnull=False)
                | (~Q(state="paid") & Q(order__isnull=True)),
                name="charge_paid_by_order",
            ),
        ]
        indexes = [
            models.Index(
                fields=["payer", "id"], condition=Q(state="due"), name="charge_due_of_payer"
            )
        ]


class ChargeChange(models.Model):
    """The history of a charge. Append-only."""

    charge = models.ForeignKey(Charge, models.PROTECT, related_name="changes")
    from_state = models.TextField()
    to_state = models.TextField()
    event = models.TextField()
    actor = models.TextField()
    at = models.DateTimeField()
