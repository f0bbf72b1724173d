"""Shops without staff: their doors, and who is inside."""

from django.db import models
from django.db.models import Q

from identity.models import Resident, Terminal
from payments import states
from payments.models.orders import Merchant, Order


class ShopDoor(models.Model):
    """The door of an unmanned shop, a machine of the merchant's.

    Whoever it lets in has `hold_fen` held on the balance, for `stay_minutes` at most. A closed one
    lets nobody in.
    """

    terminal = models.OneToOneField(Terminal, models.PROTECT, primary_key=True)
    hold_fen = models.BigIntegerField()
    stay_minutes = models.PositiveSmallIntegerField(default=60)
    state = models.TextField(default=states.SHOP_DOOR.initial, db_default=states.SHOP_DOOR.initial)

    class Meta:
        constraints = [
            states.SHOP_DOOR.sql_check("state", "shop_door_state"),
            models.CheckConstraint(condition=Q(hold_fen__gt=0), name="shop_door_hold"),
            models.CheckConstraint(
                condition=Q(stay_minutes__range=(1, 1440)), name="shop_door_stay"
            ),
        ]


class Visit(models.Model):
    """A resident in an unmanned shop; the hold on the balance has the visit's id.

    `merchant_reference` is the shop's own, `grade` what the hold was counted under for the day's
    limit, `order` what was paid for what was taken.
    """

    id = models.UUIDField(primary_key=True)
    door = models.ForeignKey(ShopDoor, models.PROTECT)
    merchant = models.ForeignKey(Merchant, models.PROTECT)
    payer = models.ForeignKey(Resident, models.PROTECT)
    merchant_reference = models.TextField()
    held_fen = models.BigIntegerField()
    grade = models.TextField()
    state = models.TextField(default=states.VISIT.initial)
    order = models.OneToOneField(Order, models.PROTECT, null=True)
    entered_at = models.DateTimeField()
    leave_by = models.DateTimeField()
    left_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            states.VISIT.sql_check("state", "visit_state"),
            models.UniqueConstraint(
                fields=["merchant", "merchant_reference"], name="visit_reference_once"
            ),
            models.CheckConstraint(condition=Q(held_fen__gt=0), name="visit_held"),
            models.CheckConstraint(
                condition=Q(state="inside", left_at__isnull=True)
                | (~Q(state="inside") & Q(left_at__isnull=False)),
                name="visit_left",
            ),
            models.CheckConstraint(
                condition=Q(state="paid", order__isnull=False)
                | (~Q(state="paid") & Q(order__isnull=True)),
                name="visit_paid",
            ),
        ]
        indexes = [
            models.Index(fields=["payer", "-id"], name="visit_of_payer"),
            models.Index(fields=["leave_by"], condition=Q(state="inside"), name="visit_to_end"),
        ]


class VisitChange(models.Model):
    """The history of a visit. Append-only."""

    visit = models.ForeignKey(Visit, models.PROTECT, related_name="changes")
    from_state = models.TextField()
    to_state = models.TextField()
    event = models.TextField()
    actor = models.TextField()
    at = models.DateTimeField()
