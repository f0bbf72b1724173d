"""The rows of codes: the keys and grants behind them, their single use, and what blocks them."""

import uuid

from django.db import models
from django.db.models import Q

from identity import states
from identity.models.people import Device, Resident
from vpass.common.sealed_fields import SealedText


class SigningKey(models.Model):
    """A key by which the city signs grants; `private` is DER in base64, sealed."""

    id = models.BinaryField(primary_key=True, max_length=4)
    point = models.BinaryField(max_length=33)
    private = SealedText()
    state = models.TextField(default=states.SIGNING_KEY.initial)
    published_at = models.DateTimeField()
    active_from = models.DateTimeField(null=True)
    superseded_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            states.SIGNING_KEY.sql_check("state", "signing_key_state"),
            models.UniqueConstraint(
                fields=["state"], condition=Q(state="current"), name="signing_key_one_current"
            ),
            models.UniqueConstraint(
                fields=["state"], condition=Q(state="next"), name="signing_key_one_next"
            ),
        ]


class Grant(models.Model):
    """The right of one phone to make codes for a day, named by a random handle of 16 bytes."""

    handle = models.BinaryField(primary_key=True, max_length=16)
    resident = models.ForeignKey(Resident, models.CASCADE)
    device = models.ForeignKey(Device, models.CASCADE)
    key_id = models.BinaryField(max_length=4)
    # Null: a code that the server issued, good online only.
    status_index = models.BigIntegerField(unique=True, null=True)
    issued_at = models.DateTimeField()
    expires_at = models.DateTimeField(db_index=True)
    ended_at = models.DateTimeField(null=True)
    # Set when the device's holder acts for somebody else: the resident, or an enterprise.
    delegation = models.ForeignKey("Delegation", models.PROTECT, null=True)


class Redemption(models.Model):
    """A code's single use: the primary key is the hash of what both its layers say."""

    jti = models.BinaryField(primary_key=True, max_length=32)
    grant = models.ForeignKey(Grant, models.PROTECT, db_constraint=False)
    scanner = models.TextField()
    at = models.DateTimeField(db_index=True)


class StatusShard(models.Model):
    """One published status list: 2^20 places for grants that all expire on one day (UTC)."""

    number = models.PositiveSmallIntegerField(primary_key=True)
    expires_on = models.DateField(db_index=True)
    digest = models.BinaryField(max_length=32)  # of the entries
    lst = models.BinaryField()  # the entries, packed
    token = models.BinaryField()  # the signed list
    issued_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(number__lt=4096), name="status_shard_number")
        ]


class StatusEntry(models.Model):
    """The place of a grant that is not simply valid, with its value in the status list."""

    index = models.BigIntegerField(primary_key=True)
    value = models.PositiveSmallIntegerField()

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(value__in=[1, 2, 3, 12, 13, 14, 15]), name="status_entry_value"
            )
        ]


class Suspension(models.Model):
    """A person's code blocked by one source: everything, or paying, riding or doors alone."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    resident = models.ForeignKey(Resident, models.CASCADE)
    source = models.TextField()
    scope = models.TextField()
    reason = models.TextField()
    state = models.TextField(default=states.SUSPENSION.initial)
    set_at = models.DateTimeField()

    class Meta:
        constraints = [
            states.SUSPENSION.sql_check("state", "suspension_state"),
            models.CheckConstraint(
                condition=Q(source__in=["holder", "police", "risk", "operator", "register"])
                & Q(scope__in=["all", "pay", "bus", "door"]),
                name="suspension_known",
            ),
            models.UniqueConstraint(
                fields=["resident", "source", "scope"],
                condition=Q(state="in_force"),
                name="suspension_once",
            ),
        ]
