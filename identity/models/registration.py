"""The rows of registration, and of what residents ask about their own record."""

import uuid

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import F, Q

from identity import states
from identity.models.organisations import Organisation, Staff
from identity.models.people import Device, Resident
from vpass.common.sealed_fields import SealedText


class RegistrationProposal(models.Model):
    """Something powerful that one administrator proposes and another approves.

    `organisation` is where it takes effect, `subject` what it is about, `digest` hashes action,
    subject and detail. `detail` holds names, scenes and numbers, nothing personal.
    """

    id = models.UUIDField(primary_key=True)
    action = models.TextField()
    organisation = models.ForeignKey(Organisation, models.PROTECT)
    subject = models.UUIDField()
    detail = models.JSONField()
    digest = models.BinaryField(max_length=32)
    proposed_by = models.ForeignKey(Staff, models.PROTECT, related_name="+")
    decided_by = models.ForeignKey(Staff, models.PROTECT, null=True, related_name="+")
    state = models.TextField(default=states.REGISTRATION_PROPOSAL.initial)
    proposed_at = models.DateTimeField()
    decided_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            states.REGISTRATION_PROPOSAL.sql_check("state", "registration_proposal_state"),
            models.UniqueConstraint(
                fields=["digest"], condition=Q(state="proposed"), name="registration_open_once"
            ),
            models.CheckConstraint(
                condition=~Q(state="approved")
                | (Q(decided_by__isnull=False) & ~Q(proposed_by=F("decided_by"))),
                name="registration_four_eyes",
            ),
        ]
        indexes = [
            models.Index(
                fields=["proposed_at"],
                condition=Q(state="proposed"),
                name="registration_to_expire",
            )
        ]


class Invitation(models.Model):
    """A code, good once and for a short time, by which somebody becomes staff or comes back in."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    code_hash = models.BinaryField(max_length=32, unique=True)
    staff = models.ForeignKey(Staff, models.PROTECT)
    state = models.TextField(default=states.INVITATION.initial)
    expires_at = models.DateTimeField()

    class Meta:
        constraints = [
            states.INVITATION.sql_check("state", "invitation_state"),
            models.UniqueConstraint(
                fields=["staff"],
                condition=Q(state__in=["open", "prepared"]),
                name="invitation_one_open",
            ),
        ]


class Correction(models.Model):
    """A resident's word that a field of the record is wrong, and the answer to it."""

    class Field(models.TextChoices):
        REAL_NAME = "real_name"
        ID_NUMBER = "id_number"
        BIRTH_DATE = "birth_date"
        SEX = "sex"

    id = models.UUIDField(primary_key=True)
    resident = models.ForeignKey(Resident, models.PROTECT)
    organisation = models.ForeignKey(Organisation, models.PROTECT)
    field = models.TextField(choices=Field.choices)
    note = SealedText(null=True)
    state = models.TextField(default=states.CORRECTION.initial)
    asked_at = models.DateTimeField()
    answer = SealedText(null=True)
    answered_by = models.ForeignKey(Staff, models.PROTECT, null=True)
    ended_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            states.CORRECTION.sql_check("state", "correction_state"),
            models.CheckConstraint(
                condition=(Q(state="granted") | Q(state="refused")) ^ Q(answered_by__isnull=True),
                name="correction_answered",
            ),
            models.UniqueConstraint(
                fields=["resident", "field"], condition=Q(state="open"), name="correction_open_once"
            ),
        ]
        indexes = [
            models.Index(fields=["organisation", "-id"], name="correction_of_organisation"),
            models.Index(fields=["resident", "-id"], name="correction_of_resident"),
        ]


class Deletion(models.Model):
    """A resident's wish to be forgotten, done when `due_at` has come; `word` is what was signed.

    `device` is the phone that signed: the wish ends with it.
    """

    id = models.UUIDField(primary_key=True)
    resident = models.ForeignKey(Resident, models.PROTECT)
    device = models.ForeignKey(Device, models.PROTECT, null=True)
    word = SealedText(null=True)
    state = models.TextField(default=states.DELETION.initial)
    asked_at = models.DateTimeField()
    due_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True)
    # The codes of what was still open when its time had come.
    obligations = ArrayField(models.TextField(), default=list)

    class Meta:
        constraints = [
            states.DELETION.sql_check("state", "deletion_state"),
            models.UniqueConstraint(
                fields=["resident"], condition=Q(state="waiting"), name="deletion_waiting_once"
            ),
            models.CheckConstraint(
                condition=Q(state="waiting") ^ Q(ended_at__isnull=False), name="deletion_ended"
            ),
            models.CheckConstraint(
                condition=~Q(state="done") | Q(ended_at__gte=F("due_at")),
                name="deletion_not_before_its_time",
            ),
        ]
        indexes = [
            models.Index(fields=["due_at"], condition=Q(state="waiting"), name="deletion_due"),
            models.Index(fields=["resident", "-id"], name="deletion_of_resident"),
        ]
