"""The rows of organisations: their desks, machines and staff, and what they may see."""

import uuid

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import F, Func, Q

from identity import states

# The function of the database which says that an organisation and all above it are active.
IS_OPEN = "organisation_is_open_v1"
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
PLACE_SCENES = [
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
    "register",
]
# Rights and bounds may name logging in at a web service as well.
SCENES = [*PLACE_SCENES, "login"]


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

    def is_open(self) -> bool:
        """Whether it and all above it are active now. One statement."""
        is_open = Func(F("id"), function=IS_OPEN, output_field=models.BooleanField())
        return Organisation.objects.filter(is_open, id=self.id).exists()


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


class Store(models.Model):
    """A merchant's place of business, in which its tills and doors stand.

    `code` is the merchant's own. The point is in degrees of WGS 84, known or not.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    organisation = models.ForeignKey(Organisation, models.PROTECT)
    code = models.TextField()
    name_zh = models.TextField()
    name_en = models.TextField()
    address = models.TextField()
    longitude = models.FloatField(null=True)
    latitude = models.FloatField(null=True)
    state = models.TextField(default=states.REGISTRATION.initial)

    class Meta:
        constraints = [
            states.REGISTRATION.sql_check("state", "store_state"),
            models.UniqueConstraint(fields=["organisation", "code"], name="store_code"),
            models.UniqueConstraint(fields=["organisation", "name_zh"], name="store_name"),
            # What a terminal's own constraint refers to: it stands in a store of its organisation.
            models.UniqueConstraint(fields=["id", "organisation"], name="store_of_organisation"),
            models.CheckConstraint(
                condition=Q(longitude__isnull=True, latitude__isnull=True)
                | Q(
                    longitude__isnull=False,
                    latitude__isnull=False,
                    longitude__range=(-180, 180),
                    latitude__range=(-90, 90),
                ),
                name="store_point",
            ),
        ]


class Terminal(models.Model):
    """A door, till, bus validator or kiosk that calls by itself with a key of its own.

    A merchant's may stand in one of its stores, and is refused while that is closed.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    organisation = models.ForeignKey(Organisation, models.PROTECT)
    store = models.ForeignKey(Store, models.PROTECT, null=True)
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
