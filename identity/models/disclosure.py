"""The rows of disclosure: what residents dispute, consent to, share, and let others do."""

import uuid
from datetime import timedelta

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import F, Q

from identity import states
from identity.models.organisations import SHAREABLE, Desk, Organisation, Staff
from identity.models.people import AccessLine, Resident
from vpass.common.sealed_fields import SealedText

SHARE_LIFE = timedelta(hours=24)
# What somebody may do for another; never pay.
DELEGABLE_SCENES = ["id", "check_in", "library", "door"]


class AccessSeal(models.Model):
    """What a shard of the access log held between two ids, chained and keyed. Append-only.

    `marks` has 32 bytes for each line: its id (16) and the beginning of its SHA-256 (16).
    """

    shard = models.PositiveSmallIntegerField()
    number = models.PositiveIntegerField()
    after_id = models.UUIDField()
    upto_id = models.UUIDField()
    marks = models.BinaryField()
    digest = models.BinaryField(max_length=32)
    sealed_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["shard", "number"], name="access_seal_once"),
            models.CheckConstraint(
                condition=Q(upto_id__gt=F("after_id")), name="access_seal_goes_forward"
            ),
        ]


class Dispute(models.Model):
    """A resident's doubt about a line of the access log, and the organisation's answer."""

    line = models.OneToOneField(AccessLine, models.PROTECT, primary_key=True)
    resident = models.ForeignKey(Resident, models.PROTECT)
    organisation = models.ForeignKey(Organisation, models.PROTECT)
    state = models.TextField(default=states.DISPUTE.initial)
    note = SealedText(null=True)
    opened_at = models.DateTimeField()
    answer = SealedText(null=True)
    answered_by = models.ForeignKey(Staff, models.PROTECT, null=True)
    answered_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            states.DISPUTE.sql_check("state", "dispute_state"),
            models.CheckConstraint(
                condition=Q(state="open")
                | Q(state="withdrawn")
                | Q(answer__isnull=False, answered_by__isnull=False, answered_at__isnull=False),
                name="dispute_answered",
            ),
        ]
        indexes = [models.Index(fields=["organisation", "-line"], name="dispute_of_organisation")]


class Consent(models.Model):
    """What an organisation asks a resident for beyond its right, after a scan; good once.

    `word` is what the phone signed, `receipt` what the city signed over it (JWS both).
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    resident = models.ForeignKey(Resident, models.PROTECT)
    organisation = models.ForeignKey(Organisation, models.PROTECT)
    desk = models.ForeignKey(Desk, models.PROTECT)
    staff = models.ForeignKey(Staff, models.PROTECT)
    line = models.ForeignKey(AccessLine, models.PROTECT)
    scene = models.TextField()
    purpose = models.TextField()
    fields = ArrayField(models.TextField())
    case_number = models.TextField(null=True)
    state = models.TextField(default=states.CONSENT.initial)
    asked_at = models.DateTimeField()
    expires_at = models.DateTimeField()
    release_by = models.DateTimeField(null=True)
    word = models.TextField(null=True)
    receipt = models.TextField(null=True)

    class Meta:
        constraints = [
            states.CONSENT.sql_check("state", "consent_state"),
            models.CheckConstraint(
                condition=Q(fields__contained_by=SHAREABLE) & ~Q(fields=[]), name="consent_known"
            ),
            # Nothing is released without the resident's word and the city's receipt.
            models.CheckConstraint(
                condition=Q(state="asked")
                | Q(state="refused")
                | Q(state="expired")
                | Q(word__isnull=False, receipt__isnull=False, release_by__isnull=False),
                name="consent_given_in_writing",
            ),
            models.UniqueConstraint(
                fields=["organisation", "resident"],
                condition=Q(state="asked"),
                name="consent_asked_once",
            ),
        ]
        indexes = [
            models.Index(fields=["resident", "-asked_at", "-id"], name="consent_of_resident"),
            models.Index(
                fields=["expires_at"],
                condition=Q(state__in=["asked", "approved"]),
                name="consent_due",
            ),
        ]


class CaseShare(models.Model):
    """A resident's record in chosen parts for one department and one matter, to be opened once."""

    class Decision(models.TextChoices):
        GRANTED = "granted"
        DECLINED = "declined"
        RETURNED = "returned"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    handle_hash = models.BinaryField(max_length=32, unique=True)
    resident = models.ForeignKey(Resident, models.PROTECT)
    organisation = models.ForeignKey(Organisation, models.PROTECT)
    purpose = models.TextField()
    matter = SealedText()
    fields = ArrayField(models.TextField())
    state = models.TextField(default=states.CASE_SHARE.initial)
    created_at = models.DateTimeField()
    expires_at = models.DateTimeField()
    word = SealedText()
    receipt = models.TextField()
    opened_at = models.DateTimeField(null=True)
    official = SealedText(null=True)
    case_number = models.TextField(null=True)
    decision = models.TextField(null=True, choices=Decision.choices)
    decision_note = SealedText(null=True)
    concluded_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            states.CASE_SHARE.sql_check("state", "case_share_state"),
            models.CheckConstraint(
                condition=Q(fields__contained_by=SHAREABLE) & ~Q(fields=[]),
                name="case_share_known",
            ),
            models.CheckConstraint(
                condition=Q(expires_at__lte=F("created_at") + SHARE_LIFE),
                name="case_share_short_lived",
            ),
            models.CheckConstraint(
                condition=(~Q(state="opened") & ~Q(state="concluded"))
                | Q(opened_at__isnull=False, opened_at__lt=F("expires_at")),
                name="case_share_opened_in_time",
            ),
            models.CheckConstraint(
                condition=Q(state="concluded") ^ Q(decision__isnull=True),
                name="case_share_decision",
            ),
        ]
        indexes = [
            models.Index(fields=["resident", "-created_at", "-id"], name="case_share_of_resident"),
            models.Index(
                fields=["expires_at"], condition=Q(state="offered"), name="case_share_due"
            ),
        ]


class Enterprise(models.Model):
    """A firm for which people act, by its unified social credit code (GB 32100)."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    credit_code = models.TextField(unique=True)
    name = models.TextField()
    confirmed_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(credit_code__regex=r"^[0-9A-Z]{18}$"), name="enterprise_credit_code"
            ),
        ]


class Delegation(models.Model):
    """The right of one resident, the delegate, to act for another or for an enterprise.

    The principal is either a resident or an enterprise. An offer names the delegate by the hash of
    a phone number until it is accepted. `appointed_by` is the right on which an appointee's rests.
    """

    class Kind(models.TextChoices):
        CHILD = "child"
        CARE = "care"
        ENTERPRISE = "enterprise"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    kind = models.TextField(choices=Kind.choices)
    principal = models.ForeignKey(
        Resident, models.PROTECT, null=True, related_name="delegations_given"
    )
    enterprise = models.ForeignKey(Enterprise, models.PROTECT, null=True)
    delegate = models.ForeignKey(
        Resident, models.PROTECT, null=True, related_name="delegations_held"
    )
    delegate_phone = SealedText(null=True)
    delegate_phone_hash = models.BinaryField(max_length=32, null=True)
    appointed_by = models.ForeignKey("self", models.PROTECT, null=True)
    scenes = ArrayField(models.TextField())
    purposes = ArrayField(models.TextField(), default=list)
    state = models.TextField(default=states.DELEGATION.initial)
    created_at = models.DateTimeField()
    expires_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True)
    word = SealedText(null=True)
    acceptance = SealedText(null=True)
    receipt = models.TextField(null=True)

    class Meta:
        constraints = [
            states.DELEGATION.sql_check("state", "delegation_state"),
            models.CheckConstraint(
                condition=Q(principal__isnull=True) ^ Q(enterprise__isnull=True),
                name="delegation_one_principal",
            ),
            models.CheckConstraint(
                condition=Q(kind="enterprise") ^ Q(enterprise__isnull=True),
                name="delegation_kind_fits",
            ),
            models.CheckConstraint(
                condition=~Q(state="active") | Q(delegate__isnull=False, receipt__isnull=False),
                name="delegation_active_has_delegate",
            ),
            models.CheckConstraint(
                condition=Q(principal__isnull=True)
                | Q(delegate__isnull=True)
                | ~Q(principal=F("delegate")),
                name="delegation_to_another",
            ),
            models.CheckConstraint(
                condition=Q(scenes__contained_by=DELEGABLE_SCENES) & ~Q(scenes=[]),
                name="delegation_scenes",
            ),
            models.UniqueConstraint(
                fields=["principal", "delegate", "kind"],
                condition=Q(state="active", principal__isnull=False),
                name="delegation_once",
            ),
            models.UniqueConstraint(
                fields=["enterprise", "delegate"],
                condition=Q(state="active", enterprise__isnull=False),
                name="delegation_of_enterprise_once",
            ),
        ]
        indexes = [
            models.Index(fields=["delegate_phone_hash"], name="delegation_offered_to"),
            models.Index(fields=["delegate", "state"], name="delegation_held_by"),
        ]
