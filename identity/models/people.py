"""The rows of people: residents, their phones and log, organisations and their scanners."""

import uuid

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q

from identity import states
from vpass.common.sealed_fields import SealedText

# The names an entitlement may hold; `disclosure` says what each of them shows. A photo is for
# comparing faces at a counter: it can be looked at there, and neither asked for nor sent.
SHAREABLE = [
    "real_name",
    "id_number",
    "id_last4",
    "birth_date",
    "sex",
    "over_18",
    "over_65",
    "phone",
]
ATTRIBUTES = [*SHAREABLE, "photo"]
# Where desks and machines of an organisation may work: scenes of codes, and those of systems.
SCENES = [
    "id",
    "pay",
    "bus",
    "door",
    "library",
    "check_in",
    "remote",
    "department",
    "issuer",
    "operations",
]


class Organisation(models.Model):
    """A department, hall, hospital or firm that asks residents who they are.

    `scenes` and `attributes` bound what it and all below it may be registered for; null means
    whatever the one above may.
    """

    class Kind(models.TextChoices):
        CITY = "city"
        COUNTY = "county"
        HALL = "hall"
        DEPARTMENT = "department"
        MERCHANT = "merchant"
        BANK = "bank"
        ISSUER = "issuer"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    parent = models.ForeignKey("self", models.PROTECT, null=True, blank=True)
    kind = models.TextField(choices=Kind.choices)
    name_zh = models.TextField()
    name_en = models.TextField()
    scenes = ArrayField(models.TextField(), null=True, blank=True)
    attributes = ArrayField(models.TextField(), null=True, blank=True)
    state = models.TextField(default=states.REGISTRATION.initial)

    class Meta:
        constraints = [
            states.REGISTRATION.sql_check("state", "organisation_state"),
            models.UniqueConstraint(fields=["parent", "name_zh"], name="organisation_name"),
            models.CheckConstraint(
                condition=Q(scenes__isnull=True) | Q(scenes__contained_by=SCENES),
                name="organisation_scenes_known",
            ),
            models.CheckConstraint(
                condition=Q(attributes__isnull=True) | Q(attributes__contained_by=ATTRIBUTES),
                name="organisation_attributes_known",
            ),
        ]


class Desk(models.Model):
    """A counter's desk; its browser holds a key, so a stolen password alone opens nothing."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    organisation = models.ForeignKey(Organisation, models.PROTECT)
    name_zh = models.TextField()
    name_en = models.TextField()
    scene = models.TextField(default="id")
    state = models.TextField(default=states.REGISTRATION.initial)
    key_point = models.BinaryField(max_length=33, null=True)
    key_thumbprint = models.TextField(null=True, unique=True)

    class Meta:
        constraints = [
            states.REGISTRATION.sql_check("state", "desk_state"),
            models.UniqueConstraint(fields=["organisation", "name_zh"], name="desk_name"),
        ]


class DeskEnrolment(models.Model):
    """A code, good once and for a short time, by which a desk's browser enrols its key."""

    code_hash = models.BinaryField(primary_key=True, max_length=32)
    desk = models.ForeignKey(Desk, models.CASCADE)
    expires_at = models.DateTimeField()
    used_at = models.DateTimeField(null=True)


class Terminal(models.Model):
    """A door, till, bus validator or kiosk that calls by itself with a key of its own."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    organisation = models.ForeignKey(Organisation, models.PROTECT)
    name_zh = models.TextField()
    name_en = models.TextField()
    scene = models.TextField()
    state = models.TextField(default=states.REGISTRATION.initial)

    class Meta:
        constraints = [states.REGISTRATION.sql_check("state", "terminal_state")]


class TerminalEnrolment(models.Model):
    """A code, good once and for a short time, by which a machine enrols the key it made itself."""

    code_hash = models.BinaryField(primary_key=True, max_length=32)
    terminal = models.ForeignKey(Terminal, models.CASCADE)
    expires_at = models.DateTimeField()
    used_at = models.DateTimeField(null=True)


class MachineKey(models.Model):
    """A public key by which a terminal signs its requests; the algorithm is pinned to it."""

    id = models.TextField(primary_key=True)
    terminal = models.ForeignKey(Terminal, models.CASCADE)
    algorithm = models.TextField(choices=[("Ed25519", "Ed25519"), ("ES256", "ES256")])
    public_key = models.BinaryField()
    state = models.TextField(default=states.MACHINE_KEY.initial)
    # Set when a successor has taken over: until then both are good.
    retires_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            states.MACHINE_KEY.sql_check("state", "machine_key_state"),
            models.UniqueConstraint(
                fields=["terminal"],
                condition=Q(state="active", retires_at__isnull=True),
                name="machine_key_one_current",
            ),
            models.UniqueConstraint(
                fields=["terminal"],
                condition=Q(state="active", retires_at__isnull=False),
                name="machine_key_one_retiring",
            ),
        ]


class Staff(models.Model):
    """A person who works at an organisation's counters."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    user = models.OneToOneField(settings.AUTH_USER_MODEL, models.PROTECT)
    organisation = models.ForeignKey(Organisation, models.PROTECT)
    roles = ArrayField(models.TextField(), default=list)
    state = models.TextField(default=states.REGISTRATION.initial)

    class Meta:
        constraints = [states.REGISTRATION.sql_check("state", "staff_state")]


class StaffSession(models.Model):
    """A clerk's sign-in at one desk; only the hash of its token is kept.

    A new password of theirs ends it: a trigger on the log-ins' table sees to that.
    """

    token_hash = models.BinaryField(primary_key=True, max_length=32)
    staff = models.ForeignKey(Staff, models.CASCADE)
    desk = models.ForeignKey(Desk, models.CASCADE)
    created_at = models.DateTimeField()
    expires_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True)


class Entitlement(models.Model):
    """What an organisation may see in a scene for a purpose: names of attributes and predicates."""

    organisation = models.ForeignKey(Organisation, models.CASCADE)
    scene = models.TextField()
    purpose = models.TextField()
    purpose_zh = models.TextField()
    purpose_en = models.TextField()
    attributes = ArrayField(models.TextField())
    # What may be asked for beyond that, with the resident's consent each time.
    may_ask = ArrayField(models.TextField(), default=list)
    # Whether a look needs a member of staff and a case number.
    needs_case = models.BooleanField(default=False)
    # Whether the organisation knows people again, by their pseudonym.
    knows_holder = models.BooleanField(default=True)
    # Whether the resident's log withholds place and case number, because others could be known
    # by them (a will at a notary's).
    shields_others = models.BooleanField(default=False)
    # For how long the law keeps a look out of the resident's log, and which law.
    deferred_days = models.PositiveSmallIntegerField(default=0)
    legal_basis = models.TextField(default="")
    # When the right ended; the row stays, since the residents' logs quote its words.
    ended_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["organisation", "scene", "purpose"], name="entitlement_once"
            ),
            models.CheckConstraint(
                condition=Q(attributes__contained_by=ATTRIBUTES), name="entitlement_known"
            ),
            models.CheckConstraint(
                condition=Q(may_ask__contained_by=SHAREABLE), name="entitlement_known_to_ask"
            ),
            models.CheckConstraint(
                condition=Q(deferred_days=0) | ~Q(legal_basis=""),
                name="entitlement_deferred_by_law",
            ),
            models.CheckConstraint(
                condition=Q(deferred_days__lte=3650), name="entitlement_deferred_not_for_ever"
            ),
        ]


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
    one_time_code = SealedText()
    tries = models.PositiveSmallIntegerField(default=0)
    state = models.TextField(default=states.ENROLMENT.initial)
    created_at = models.DateTimeField()
    expires_at = models.DateTimeField(db_index=True)

    class Meta:
        constraints = [states.ENROLMENT.sql_check("state", "enrolment_state")]


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
    resident = models.ForeignKey(Resident, models.PROTECT)
    organisation = models.ForeignKey(Organisation, models.PROTECT, null=True)
    desk = models.ForeignKey(Desk, models.PROTECT, null=True)
    terminal = models.ForeignKey(Terminal, models.PROTECT, null=True)
    staff = models.ForeignKey(Staff, models.PROTECT, null=True)
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
    delegation = models.ForeignKey("Delegation", models.PROTECT, null=True)

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
