"""The rows of reverse scans: what a counter shows for a phone to sign."""

import uuid

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q

from identity import states
from identity.models.organisations import ATTRIBUTES, Desk, Organisation, Staff
from identity.models.people import AccessLine, Device


class ReverseScan(models.Model):
    """A nonce that a counter shows as a QR code, and the phone that signed it, once.

    Only the hash of the nonce is kept. `word` is what the phone signed over desk, purpose, fields
    and nonce (JWS); `line` is the resident's line once the counter has seen the fields.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    nonce_hash = models.BinaryField(max_length=32, unique=True)
    organisation = models.ForeignKey(Organisation, models.PROTECT)
    desk = models.ForeignKey(Desk, models.PROTECT)
    staff = models.ForeignKey(Staff, models.PROTECT)
    scene = models.TextField()
    purpose = models.TextField()
    fields = ArrayField(models.TextField())
    case_number = models.TextField()
    state = models.TextField(default=states.REVERSE_SCAN.initial)
    shown_at = models.DateTimeField()
    expires_at = models.DateTimeField()
    device = models.ForeignKey(Device, models.PROTECT, null=True)
    word = models.TextField(null=True)
    line = models.OneToOneField(AccessLine, models.PROTECT, null=True)

    class Meta:
        constraints = [
            states.REVERSE_SCAN.sql_check("state", "reverse_scan_state"),
            models.CheckConstraint(
                condition=Q(fields__contained_by=ATTRIBUTES), name="reverse_scan_known"
            ),
            models.CheckConstraint(
                condition=Q(state="shown")
                | Q(state="expired")
                | Q(device__isnull=False, word__isnull=False),
                name="reverse_scan_signed",
            ),
            # Nothing is seen without a line in the log.
            models.CheckConstraint(
                condition=Q(state="collected") ^ Q(line__isnull=True), name="reverse_scan_in_log"
            ),
        ]
        indexes = [
            models.Index(
                fields=["expires_at"],
                condition=Q(state__in=["shown", "answered"]),
                name="reverse_scan_due",
            ),
        ]
