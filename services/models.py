"""The rows of the city's counters: what is offered, who has booked it, and who is called next."""

import uuid

from django.db import models
from django.db.models import F, Q

from identity.models import Desk, Organisation, Resident
from services import states

ACTIVE_BOOKING = ("held", "booked", "checked_in")
AT_A_DESK = ("called", "serving")


class Service(models.Model):
    """What an organisation does for residents at its counters, by appointment or in turn.

    `level` is the least assurance level to book it; one person may have one active booking of it
    on a day. A cancelled seat is offered again only after a random time of up to
    `reappears_within_s`, so that nobody can hand it to another.
    """

    class Channel(models.TextChoices):
        COUNTER = "counter"
        VIDEO = "video"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    organisation = models.ForeignKey(Organisation, models.PROTECT)
    code = models.TextField()
    name_zh = models.TextField()
    name_en = models.TextField()
    description_zh = models.TextField()
    description_en = models.TextField()
    minutes = models.PositiveSmallIntegerField()
    level = models.PositiveSmallIntegerField(default=2)
    channel = models.TextField(choices=Channel.choices, default=Channel.COUNTER)
    prefix = models.TextField(default="A")
    reappears_within_s = models.PositiveIntegerField(default=300)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["organisation", "code"], name="service_code_once"),
            models.CheckConstraint(condition=Q(minutes__range=(1, 480)), name="service_minutes"),
            models.CheckConstraint(condition=Q(level__range=(2, 3)), name="service_level"),
            models.CheckConstraint(
                condition=Q(prefix__regex=r"^[A-Z]{1,2}$"), name="service_prefix"
            ),
        ]


class SlotTemplate(models.Model):
    """When a service is offered, week by week: [from, to) in minutes of the city's day.

    `weekday` is 1 for Monday to 7 (ISO 8601); a slot begins every `minutes` of the service.
    """

    service = models.ForeignKey(Service, models.CASCADE)
    weekday = models.PositiveSmallIntegerField()
    from_minute = models.PositiveSmallIntegerField()
    to_minute = models.PositiveSmallIntegerField()
    seats = models.PositiveSmallIntegerField()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["service", "weekday", "from_minute"], name="slot_template_once"
            ),
            models.CheckConstraint(condition=Q(weekday__range=(1, 7)), name="slot_template_day"),
            models.CheckConstraint(
                condition=Q(from_minute__lt=F("to_minute")) & Q(to_minute__lte=1440),
                name="slot_template_period",
            ),
            models.CheckConstraint(condition=Q(seats__range=(1, 200)), name="slot_template_seats"),
        ]


class Slot(models.Model):
    """A time at which a service is given, [starts_at, ends_at), to as many as it has seats.

    `day` is the date in the city on which it begins.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    service = models.ForeignKey(Service, models.PROTECT)
    day = models.DateField()
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["service", "starts_at"], name="slot_once"),
            models.CheckConstraint(condition=Q(starts_at__lt=F("ends_at")), name="slot_period"),
        ]


class Booking(models.Model):
    """A resident's seat in a slot; `day` is the slot's date in the city."""

    id = models.UUIDField(primary_key=True)
    resident = models.ForeignKey(Resident, models.PROTECT)
    service = models.ForeignKey(Service, models.PROTECT)
    slot = models.ForeignKey(Slot, models.PROTECT)
    day = models.DateField()
    state = models.TextField(default=states.BOOKING.initial)
    held_until = models.DateTimeField()
    created_at = models.DateTimeField()

    class Meta:
        constraints = [
            states.BOOKING.sql_check("state", "booking_state"),
            models.UniqueConstraint(
                fields=["resident", "service", "day"],
                condition=Q(state__in=ACTIVE_BOOKING),
                name="booking_one_a_day",
            ),
        ]
        indexes = [
            models.Index(fields=["resident", "-id"], name="booking_of_resident"),
            models.Index(
                fields=["held_until"], condition=Q(state="held"), name="booking_to_expire"
            ),
            models.Index(fields=["slot"], condition=Q(state="booked"), name="booking_to_come"),
        ]


class Seat(models.Model):
    """One person's place in a slot: free from `free_from` on, or taken for good where it is null.

    A hold frees its seat by itself when its time is over; `booking` is who has it, or had it last.
    """

    slot = models.ForeignKey(Slot, models.PROTECT)
    n = models.PositiveSmallIntegerField()
    free_from = models.DateTimeField(null=True)
    booking = models.OneToOneField(Booking, models.PROTECT, null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["slot", "n"], name="seat_once"),
            models.CheckConstraint(
                condition=Q(free_from__isnull=False) | Q(booking__isnull=False),
                name="seat_taken_by",
            ),
        ]


class BookingChange(models.Model):
    """The history of a booking. Append-only."""

    booking = models.ForeignKey(Booking, models.PROTECT, related_name="changes")
    from_state = models.TextField()
    to_state = models.TextField()
    event = models.TextField()
    actor = models.TextField()
    at = models.DateTimeField()


class TicketCounter(models.Model):
    """The last number given out, by organisation, day and prefix."""

    organisation = models.ForeignKey(Organisation, models.PROTECT)
    day = models.DateField()
    prefix = models.TextField()
    last = models.PositiveIntegerField()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["organisation", "day", "prefix"], name="ticket_counter_once"
            ),
        ]


class Ticket(models.Model):
    """Somebody's place in an organisation's queue, booked or walked in (`booking` null).

    Called in the order of `priority`, `due_at` and id; a desk has one ticket at a time.
    """

    id = models.UUIDField(primary_key=True)
    organisation = models.ForeignKey(Organisation, models.PROTECT)
    service = models.ForeignKey(Service, models.PROTECT)
    resident = models.ForeignKey(Resident, models.PROTECT)
    booking = models.OneToOneField(Booking, models.PROTECT, null=True)
    day = models.DateField()
    prefix = models.TextField()
    number = models.PositiveIntegerField()
    state = models.TextField(default=states.TICKET.initial)
    priority = models.PositiveSmallIntegerField(default=1)
    due_at = models.DateTimeField()
    issued_at = models.DateTimeField()
    desk = models.ForeignKey(Desk, models.PROTECT, null=True)
    called_at = models.DateTimeField(null=True)
    calls = models.PositiveSmallIntegerField(default=0)

    class Meta:
        constraints = [
            states.TICKET.sql_check("state", "ticket_state"),
            models.UniqueConstraint(
                fields=["organisation", "day", "prefix", "number"], name="ticket_number_once"
            ),
            models.UniqueConstraint(
                fields=["desk"], condition=Q(state__in=AT_A_DESK), name="ticket_one_at_a_desk"
            ),
            models.UniqueConstraint(
                fields=["resident", "service"],
                condition=Q(booking__isnull=True) & ~Q(state__in=("served", "closed")),
                name="ticket_one_walk_in",
            ),
            models.CheckConstraint(
                condition=~Q(state="called") & ~Q(state="serving")
                | Q(desk__isnull=False) & Q(called_at__isnull=False),
                name="ticket_called_by",
            ),
        ]
        indexes = [
            models.Index(
                fields=["organisation", "priority", "due_at", "id"],
                condition=Q(state="waiting"),
                name="ticket_next",
            ),
            models.Index(
                fields=["issued_at"],
                condition=~Q(state__in=("served", "closed")),
                name="ticket_to_close",
            ),
        ]

    @property
    def label(self) -> str:
        """What stands on the ticket: "A012"."""
        return f"{self.prefix}{self.number:03d}"


class TicketChange(models.Model):
    """The history of a ticket. Append-only."""

    ticket = models.ForeignKey(Ticket, models.PROTECT, related_name="changes")
    from_state = models.TextField()
    to_state = models.TextField()
    event = models.TextField()
    actor = models.TextField()
    at = models.DateTimeField()
