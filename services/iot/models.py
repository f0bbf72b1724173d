"""The rows of the IoT city: inbox, events, devices and their twins, and parking."""

import uuid

from django.db import models
from django.db.models import F, Q
from django.db.models.constraints import Deferrable

from identity.models import Organisation, Resident
from services.iot import states


class InboxMessage(models.Model):
    """A pushed message as it came, until it is drained. Partitioned by shard.

    `id` only orders the messages of a shard; the table has no unique index, so that taking in is
    cheap.
    """

    id = models.BigAutoField(primary_key=True)
    shard = models.SmallIntegerField()
    source = models.TextField()
    received_at = models.DateTimeField()
    body = models.BinaryField()

    class Meta:
        db_table = "iot_inbox"


class Event(models.Model):
    """What one service of a device said of one moment. Append-only, partitioned by UTC day.

    `key` is the SHA-256 of the content, so that a message pushed twice is one event.
    """

    pk = models.CompositePrimaryKey("event_time", "key")
    event_time = models.DateTimeField()
    key = models.BinaryField(max_length=32)
    device = models.ForeignKey("iot.Device", models.DO_NOTHING, db_constraint=False, db_index=False)
    service = models.TextField()
    props = models.JSONField()
    received_at = models.DateTimeField()

    class Meta:
        db_table = "iot_event"
        indexes = [models.Index(fields=["device", "-event_time"], name="iot_event_of_device")]


class Device(models.Model):
    """A device as its platform names it; `info` is what the platform told of it last."""

    id = models.BigAutoField(primary_key=True)
    source = models.TextField()
    external_id = models.TextField()
    info = models.JSONField(default=dict)
    heard_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["source", "external_id"], name="iot_device_once")
        ]


class Twin(models.Model):
    """What a device reported last, by event time: {service: {property: [value, Unix ms]}}.

    `version` counts the events in it, so it does not depend on the order in which they came.
    """

    device = models.OneToOneField(Device, models.PROTECT, primary_key=True)
    reported = models.JSONField(default=dict)
    version = models.BigIntegerField(default=0)


class Quarantined(models.Model):
    """An event of an impossible time: kept for people to look at, never in a twin."""

    key = models.BinaryField(primary_key=True, max_length=32)
    source = models.TextField()
    device = models.TextField()
    service = models.TextField()
    event_time = models.DateTimeField()
    props = models.JSONField()
    received_at = models.DateTimeField()

    class Meta:
        indexes = [models.Index(fields=["received_at"], name="iot_quarantined_age")]


class DeadLetter(models.Model):
    """A message that nobody could read, as it came; it can be replayed."""

    id = models.BigAutoField(primary_key=True)
    source = models.TextField()
    received_at = models.DateTimeField()
    body = models.BinaryField()
    reason = models.TextField()

    class Meta:
        indexes = [models.Index(fields=["received_at"], name="iot_dead_letter_age")]


class ParkingTariff(models.Model):
    """What parking costs, in fen: the first minutes nothing, then each half hour begun."""

    name = models.TextField(unique=True)
    free_minutes = models.IntegerField()
    half_hour_fen = models.BigIntegerField()
    day_cap_fen = models.BigIntegerField()

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(free_minutes__gte=0, half_hour_fen__gte=0, day_cap_fen__gte=0),
                name="iot_parking_tariff_sound",
            )
        ]


class ParkingBay(models.Model):
    """A bay with its sensor; `code` is painted on the ground."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    code = models.TextField(unique=True)
    device = models.OneToOneField(Device, models.PROTECT)
    operator = models.ForeignKey(Organisation, models.PROTECT)
    tariff = models.ForeignKey(ParkingTariff, models.PROTECT)
    location_zh = models.TextField()
    location_en = models.TextField()


class ParkingClaim(models.Model):
    """A resident's word "this is my car", about the stay that had begun last at `moment`."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    bay = models.ForeignKey(ParkingBay, models.PROTECT)
    resident = models.ForeignKey(Resident, models.PROTECT)
    moment = models.DateTimeField()
    claimed_at = models.DateTimeField()

    class Meta:
        indexes = [models.Index(fields=["bay", "moment"], name="iot_parking_claim_of_bay")]


class ParkingSession(models.Model):
    """One stay of one car, in event time. With its end settled, stay and fee stand for good.

    `late_change_fen`: by how much readings that came after that would have changed the fee.
    """

    id = models.UUIDField(primary_key=True)
    bay = models.ForeignKey(ParkingBay, models.PROTECT)
    started_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True)
    claim = models.OneToOneField(ParkingClaim, models.PROTECT, null=True)
    state = models.TextField(default=states.PARKING_SESSION.initial)
    fee_fen = models.BigIntegerField(null=True)
    charge_id = models.UUIDField(null=True)
    late_change_fen = models.BigIntegerField(default=0)

    class Meta:
        constraints = [
            states.PARKING_SESSION.sql_check("state", "iot_parking_session_state"),
            models.CheckConstraint(
                condition=Q(ended_at__isnull=True) | Q(ended_at__gte=F("started_at")),
                name="iot_parking_session_times",
            ),
            models.CheckConstraint(
                condition=Q(state="open", ended_at__isnull=True)
                | (~Q(state="open") & Q(ended_at__isnull=False)),
                name="iot_parking_session_end",
            ),
            models.CheckConstraint(
                condition=((Q(state="open") | Q(state="ended")) & Q(fee_fen__isnull=True))
                | (~Q(state="open") & ~Q(state="ended") & Q(fee_fen__gte=0)),
                name="iot_parking_session_fee",
            ),
            models.CheckConstraint(
                condition=(~Q(state="due") & ~Q(state="paid") & ~Q(state="waived"))
                | Q(claim__isnull=False, charge_id__isnull=False),
                name="iot_parking_session_charged",
            ),
            models.UniqueConstraint(
                fields=["bay"], condition=Q(ended_at__isnull=True), name="iot_parking_one_open"
            ),
            models.UniqueConstraint(
                fields=["bay", "started_at"],
                name="iot_parking_start_once",
                deferrable=Deferrable.DEFERRED,
            ),
        ]
        indexes = [
            models.Index(
                fields=["ended_at"],
                condition=Q(state__in=["ended", "unclaimed"]),
                name="iot_parking_to_settle",
            )
        ]
