"""The rows of people: residents, their phones, their tokens and the log of looks at them."""

import uuid

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q

from identity import states
from identity.models.organisations import Desk, Organisation, Staff, Terminal
from vpass.common.sealed_fields import SealedText


class Resident(models.Model):
    """One person's one active account. Level 1: phone; 2: matched in the population register;
    3: that, and seen by a face check or at a counter.

    A dependent (a child without a phone) is known by the register alone and acts through others.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    level = models.PositiveSmallIntegerField(default=1)
    state = models.TextField(default=states.RESIDENT.initial)
    phone = SealedText(null=True)
    phone_hash = models.BinaryField(max_length=32, null=True)
    is_dependent = models.BooleanField(default=False)
    real_name = SealedText(null=True)
    id_number = SealedText(null=True)
    id_number_hash = models.BinaryField(max_length=32, null=True)
    census_hash = models.BinaryField(max_length=32, null=True)
    # The bit set of scenes that partial suspensions close; `suspensions` alone writes it.
    suspended_scenes = models.PositiveSmallIntegerField(default=0, db_default=0)
    created_at = models.DateTimeField()

    class Meta:
        constraints = [
            states.RESIDENT.sql_check("state", "resident_state"),
            models.CheckConstraint(condition=Q(level__range=(1, 3)), name="resident_level"),
            models.CheckConstraint(
                condition=Q(level=1) | Q(census_hash__isnull=False), name="resident_level_proven"
            ),
            models.CheckConstraint(
                condition=Q(is_dependent=True) | Q(state="closed") | Q(phone_hash__isnull=False),
                name="resident_phone_known",
            ),
            models.UniqueConstraint(
                fields=["phone_hash"], condition=~Q(state="closed"), name="resident_phone_once"
            ),
            models.UniqueConstraint(
                fields=["census_hash"], condition=~Q(state="closed"), name="resident_person_once"
            ),
            models.UniqueConstraint(
                fields=["id_number_hash"], condition=~Q(state="closed"), name="resident_number_once"
            ),
        ]


class Device(models.Model):
    """A resident's phone, known by its key; `point` is the compressed P-256 public key.

    Of grade "hardware" is a key whose chip's maker vouched for it: `attested_root` is the SHA-256
    of the root's public key, and a challenge serves one key alone.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    resident = models.ForeignKey(Resident, models.CASCADE)
    point = models.BinaryField(max_length=33)
    thumbprint = models.TextField(unique=True)
    grade = models.TextField(choices=[("hardware", "hardware"), ("software", "software")])
    attested_root = models.TextField(null=True)
    attestation_challenge = models.BinaryField(max_length=32, null=True, unique=True)
    state = models.TextField(default=states.DEVICE.initial)
    bound_at = models.DateTimeField()

    class Meta:
        constraints = [
            states.DEVICE.sql_check("state", "device_state"),
            models.CheckConstraint(
                condition=Q(grade="software", attested_root=None, attestation_challenge=None)
                | Q(
                    grade="hardware",
                    attested_root__isnull=False,
                    attestation_challenge__isnull=False,
                ),
                name="device_grade_attested",
            ),
        ]


class AccessToken(models.Model):
    """A device-bound access token (RFC 9449); only its hash is kept."""

    token_hash = models.BinaryField(primary_key=True, max_length=32)
    device = models.ForeignKey(Device, models.CASCADE)
    family = models.ForeignKey("TokenFamily", models.CASCADE, null=True)
    expires_at = models.DateTimeField(db_index=True)


class Enrolment(models.Model):
    """A phone number on its way to an account, bound to the key that began it."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    thumbprint = models.TextField()
    point = models.BinaryField(max_length=33)
    phone = SealedText()
    phone_hash = models.BinaryField(max_length=32)
    one_time_code = SealedText()
    tries = models.PositiveSmallIntegerField(default=0)
    state = models.TextField(default=states.ENROLMENT.initial)
    created_at = models.DateTimeField()
    expires_at = models.DateTimeField(db_index=True)

    class Meta:
        constraints = [states.ENROLMENT.sql_check("state", "enrolment_state")]
        indexes = [models.Index(fields=["phone_hash"], name="enrolment_of_phone")]


class AccessLine(models.Model):
    """One use of a code or look at a record, as the resident may read it. Append-only.

    `fields` and `asked` are names, never values; `asked` is what was asked for beyond the right.
    Without an organisation it was the resident's own phone. `delegation` tells that somebody acted
    for another; both have a line then.
    """

    class Outcome(models.TextChoices):
        ACCEPTED = "accepted"
        REFUSED = "refused"

    id = models.UUIDField(primary_key=True)
    resident = models.ForeignKey(Resident, models.PROTECT, db_index=False)
    organisation = models.ForeignKey(Organisation, models.PROTECT, null=True, db_index=False)
    desk = models.ForeignKey(Desk, models.PROTECT, null=True, db_index=False)
    terminal = models.ForeignKey(Terminal, models.PROTECT, null=True, db_index=False)
    staff = models.ForeignKey(Staff, models.PROTECT, null=True, db_index=False)
    scene = models.TextField()
    purpose = models.TextField()
    case_number = models.TextField(null=True)
    fields = ArrayField(models.TextField())
    outcome = models.TextField(choices=Outcome.choices)
    reason = models.TextField(null=True)
    at = models.DateTimeField()
    asked = ArrayField(models.TextField(), default=list)
    visible_from = models.DateTimeField(null=True)
    is_shielded = models.BooleanField(default=False)
    delegation = models.ForeignKey("Delegation", models.PROTECT, null=True, db_index=False)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(organisation__isnull=False) | Q(scene="own"), name="access_line_by_whom"
            ),
        ]
        indexes = [
            models.Index(fields=["resident", "-id"], name="access_line_of_resident"),
            models.Index(
                fields=["delegation", "-id"],
                condition=Q(delegation__isnull=False),
                name="access_line_of_delegation",
            ),
        ]


class StateChange(models.Model):
    """The history of every state: what changed, from, to, by what event, by whom. Append-only."""

    object_kind = models.TextField()
    object_id = models.TextField()
    from_state = models.TextField()
    to_state = models.TextField()
    event = models.TextField()
    actor = models.TextField()
    at = models.DateTimeField()

    class Meta:
        indexes = [models.Index(fields=["object_kind", "object_id"], name="state_change_of_object")]


class TokenFamily(models.Model):
    """The tokens that follow from one sign-in of a phone; a reuse ends them all (RFC 9700)."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    device = models.ForeignKey(Device, models.CASCADE)
    state = models.TextField(default=states.TOKEN_FAMILY.initial)
    created_at = models.DateTimeField()

    class Meta:
        constraints = [
            states.TOKEN_FAMILY.sql_check("state", "token_family_state"),
            models.UniqueConstraint(
                fields=["device"], condition=Q(state="alive"), name="token_family_one_alive"
            ),
        ]


class RefreshToken(models.Model):
    """A refresh token, good once; only its hash is kept."""

    token_hash = models.BinaryField(primary_key=True, max_length=32)
    family = models.ForeignKey(TokenFamily, models.CASCADE)
    expires_at = models.DateTimeField(db_index=True)
    used_at = models.DateTimeField(null=True)
