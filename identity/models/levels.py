"""The rows of how identities are proven, taken over, and kept as the register has them."""

import uuid

from django.db import models
from django.db.models import Q

from identity import states
from identity.models.organisations import Desk, Organisation, Staff
from identity.models.people import AccessLine, Device, Resident
from vpass.common.sealed_fields import SealedText


class LevelCheck(models.Model):
    """A way to level 3 that a phone has begun; good once, for a short time, with few tries.

    Of what goes with it only a keyed hash is kept: the challenge of a face check, or the number
    that is said at a counter. Nothing of anybody's face is kept.
    """

    class Kind(models.TextChoices):
        FACE = "face"
        COUNTER = "counter"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    resident = models.ForeignKey(Resident, models.CASCADE)
    device = models.ForeignKey(Device, models.CASCADE)
    kind = models.TextField(choices=Kind.choices)
    secret_hash = models.BinaryField(max_length=32)
    tries = models.PositiveSmallIntegerField(default=0)
    state = models.TextField(default=states.LEVEL_CHECK.initial)
    created_at = models.DateTimeField()
    expires_at = models.DateTimeField(db_index=True)

    class Meta:
        constraints = [
            states.LEVEL_CHECK.sql_check("state", "level_check_state"),
            models.CheckConstraint(
                condition=Q(kind__in=["face", "counter"]), name="level_check_kind"
            ),
            models.UniqueConstraint(
                fields=["resident", "kind"],
                condition=Q(state="asked"),
                name="level_check_one_asked",
            ),
        ]


class InPersonCheck(models.Model):
    """A clerk's word that person, photo and document belong together. Append-only."""

    class Document(models.TextChoices):
        ID_CARD = "id_card"
        TEMPORARY_ID_CARD = "temporary_id_card"
        HOUSEHOLD_REGISTER = "household_register"
        PASSPORT = "passport"

    line = models.OneToOneField(AccessLine, models.PROTECT, primary_key=True)
    resident = models.ForeignKey(Resident, models.PROTECT)
    organisation = models.ForeignKey(Organisation, models.PROTECT)
    desk = models.ForeignKey(Desk, models.PROTECT)
    staff = models.ForeignKey(Staff, models.PROTECT)
    document_kind = models.TextField(choices=Document.choices)
    case_number = models.TextField()
    at = models.DateTimeField()

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(
                    document_kind__in=[
                        "id_card", "temporary_id_card", "household_register", "passport",
                    ]
                ),
                name="in_person_document_known",
            ),
            models.CheckConstraint(condition=~Q(case_number=""), name="in_person_case_said"),
        ]  # fmt: skip


class Takeover(models.Model):
    """A user of the older Cloud Pay, known by phone and by the account there.

    The account here waits for the first phone that proves the number.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    resident = models.OneToOneField(Resident, models.PROTECT)
    reference = SealedText()
    reference_hash = models.BinaryField(max_length=32, unique=True)
    imported_at = models.DateTimeField()
    claimed_at = models.DateTimeField(null=True)


class RegisterChange(models.Model):
    """An event of the population register, by its own id: received once, whatever came of it.

    `body` is kept only while people have to look at it. Of each person's events on a track
    ("name", "number", "life") one with a lower sequence than the last applied changes nothing.
    """

    id = models.UUIDField(primary_key=True, editable=False)
    organisation = models.ForeignKey(Organisation, models.PROTECT)
    kind = models.TextField()
    track = models.TextField()
    sequence = models.PositiveBigIntegerField()
    census_hash = models.BinaryField(max_length=32)
    digest = models.BinaryField(max_length=32)
    resident = models.ForeignKey(Resident, models.PROTECT, null=True)
    body = SealedText(null=True)
    state = models.TextField(default=states.REGISTER_CHANGE.initial)
    received_at = models.DateTimeField()

    class Meta:
        constraints = [
            states.REGISTER_CHANGE.sql_check("state", "register_change_state"),
            models.CheckConstraint(
                condition=Q(
                    kind__in=["name_changed", "number_corrected", "died", "death_withdrawn"],
                    track__in=["name", "number", "life"],
                ),
                name="register_change_known",
            ),
            models.CheckConstraint(
                condition=Q(state="review") | Q(body__isnull=True), name="register_change_body_gone"
            ),
            models.UniqueConstraint(
                fields=["resident", "track", "sequence"],
                condition=Q(state="applied"),
                name="register_change_applied_once",
            ),
        ]
        indexes = [
            models.Index(
                fields=["received_at"], condition=Q(state="review"), name="register_change_waiting"
            ),
            models.Index(fields=["census_hash"], name="register_change_of_person"),
        ]
