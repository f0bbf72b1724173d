"""What a resident's app may ask of the counters: what is offered, and the resident's bookings."""

from typing import Any
from uuid import UUID

from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from services import booking, catalogue
from services.api import examples
from services.models import Booking, Service, Slot
from vpass.common.api import (
    Audience,
    Endpoint,
    PageQuery,
    StrictSerializer,
    describes,
    page_serializer,
)
from vpass.common.callers import required
from vpass.common.errors import NotFound
from vpass.common.policy import LevelTooLow

VERIFIED = 2


class Words(StrictSerializer):
    zh = serializers.CharField()
    en = serializers.CharField()


class ServiceShown(StrictSerializer):
    id = serializers.UUIDField()
    code = serializers.CharField()
    name = Words()
    description = Words()
    organisation = Words()
    minutes = serializers.IntegerField(help_text="How long it takes.")
    level = serializers.IntegerField(help_text="The assurance level it needs.")
    channel = serializers.ChoiceField(choices=Service.Channel.choices)


class SlotsQuery(PageQuery):
    day = serializers.DateField(
        required=False,
        format="%Y-%m-%d",
        input_formats=["%Y-%m-%d"],
        help_text="A date in the city; all days to come when left out.",
    )


class SlotShown(StrictSerializer):
    id = serializers.UUIDField()
    day = serializers.DateField(format="%Y-%m-%d")
    starts_at = serializers.DateTimeField()
    ends_at = serializers.DateTimeField()
    free = serializers.IntegerField(help_text="Seats you may have; the one you hold is one.")


class HoldRequest(StrictSerializer):
    slot_id = serializers.UUIDField()


class NothingMore(StrictSerializer):
    """Nothing: the address says it all."""


class ServiceNamed(Words):
    id = serializers.UUIDField()
    code = serializers.CharField()


class TicketOfMine(StrictSerializer):
    label = serializers.CharField(  # type: ignore[assignment]
        help_text="The number that is called, such as A012."
    )
    state = serializers.CharField(help_text="waiting, called, serving, served, missed or closed.")
    desk = Words(allow_null=True)


class BookingShown(StrictSerializer):
    id = serializers.UUIDField()
    state = serializers.CharField(
        help_text="held (until `held_until`), booked, checked_in, served, cancelled, expired or "
        "missed."
    )
    service = ServiceNamed()
    organisation = Words()
    starts_at = serializers.DateTimeField()
    ends_at = serializers.DateTimeField()
    held_until = serializers.DateTimeField(allow_null=True)
    ticket = TicketOfMine(allow_null=True)


class Services(Endpoint):
    """What the city's counters offer."""

    audience = Audience.RESIDENT
    level = VERIFIED

    @describes(answers={200: page_serializer(ServiceShown)}, paged=True, examples=examples.SERVICES)
    def get(self, request: Request) -> Response:
        """List the services."""
        return self.page(catalogue.services_offered(), render=_service, order=("code", "id"))


class OneService(Endpoint):
    """One service."""

    audience = Audience.RESIDENT
    level = VERIFIED

    @describes(answers={200: ServiceShown}, problems=[NotFound], examples=examples.SERVICE)
    def get(self, request: Request, service_id: UUID) -> Response:
        """Show what it is and what it needs."""
        return Response(_service(catalogue.service_offered(service_id)))


class Slots(Endpoint):
    """When a service is given."""

    audience = Audience.RESIDENT
    level = VERIFIED

    @describes(
        answers={200: page_serializer(SlotShown)},
        query=SlotsQuery,
        problems=[NotFound],
        examples=examples.SLOTS,
    )
    def get(self, request: Request, service_id: UUID) -> Response:
        """List the slots to come, the next first, full ones too."""
        slots = catalogue.slots_offered(
            service_id,
            resident_id=required(self.caller.resident_id),
            day=self.read_query(SlotsQuery).get("day"),
            at=self.at,
        )
        return self.page(slots, render=_slot, order=("starts_at", "id"), query=SlotsQuery)


class Bookings(Endpoint):
    """The resident's appointments."""

    audience = Audience.RESIDENT
    level = VERIFIED

    @describes(
        request=HoldRequest,
        answers={201: BookingShown},
        idempotent=True,
        problems=[
            NotFound,
            LevelTooLow,
            booking.SlotFull,
            booking.SlotOver,
            booking.BookingExists,
        ],
        examples=examples.HOLD,
    )
    def post(self, request: Request) -> Response:
        """Hold a seat for five minutes; one held before of that service and day is given back."""
        held = booking.hold_seat(
            caller=self.caller,
            idempotency_key=self.idempotency(),
            at=self.at,
            **self.read(HoldRequest),
        )
        return Response(vars(held), status=201)

    @describes(answers={200: page_serializer(BookingShown)}, paged=True, examples=examples.BOOKINGS)
    def get(self, request: Request) -> Response:
        """List the appointments, those made last first."""
        return self.page(
            booking.bookings_of(caller=self.caller), render=self._render, order=("-id",)
        )

    def _render(self, each: Booking) -> dict[str, Any]:
        return vars(booking.show_found(each, at=self.at))


class OneBooking(Endpoint):
    """One appointment of the resident."""

    audience = Audience.RESIDENT
    level = VERIFIED

    @describes(answers={200: BookingShown}, problems=[NotFound], examples=examples.BOOKING)
    def get(self, request: Request, booking_id: UUID) -> Response:
        """Show how it stands, with the queue ticket once checked in."""
        found = booking.booking_of(caller=self.caller, booking_id=booking_id)
        return Response(vars(booking.show_found(found, at=self.at)))


class BookingConfirmations(Endpoint):
    """A held seat is booked."""

    audience = Audience.RESIDENT
    level = VERIFIED

    @describes(
        request=NothingMore,
        answers={200: BookingShown},
        idempotent=True,
        problems=[NotFound, booking.HoldExpired, booking.BookingOver],
        examples=examples.BOOKING_CONFIRMATION,
    )
    def post(self, request: Request, booking_id: UUID) -> Response:
        """Book the seat that is held."""
        self.read(NothingMore)
        booked = booking.confirm_booking(
            caller=self.caller,
            booking_id=booking_id,
            idempotency_key=self.idempotency(),
            at=self.at,
        )
        return Response(vars(booked))


class BookingCancellations(Endpoint):
    """A seat is given back."""

    audience = Audience.RESIDENT
    level = VERIFIED

    @describes(
        request=NothingMore,
        answers={200: BookingShown},
        idempotent=True,
        problems=[NotFound, booking.BookingOver],
        examples=examples.BOOKING_CANCELLATION,
    )
    def post(self, request: Request, booking_id: UUID) -> Response:
        """Give the seat back, held or booked; others find it free a little later."""
        self.read(NothingMore)
        cancelled = booking.cancel_booking(
            caller=self.caller,
            booking_id=booking_id,
            idempotency_key=self.idempotency(),
            at=self.at,
        )
        return Response(vars(cancelled))


def _service(service: Service) -> dict[str, Any]:
    organisation = service.organisation
    return {
        "id": service.id,
        "code": service.code,
        "name": {"zh": service.name_zh, "en": service.name_en},
        "description": {"zh": service.description_zh, "en": service.description_en},
        "organisation": {"zh": organisation.name_zh, "en": organisation.name_en},
        "minutes": service.minutes,
        "level": service.level,
        "channel": service.channel,
    }


def _slot(slot: Slot) -> dict[str, Any]:
    shown: Any = slot  # with the annotation of queries.slots_of
    return {
        "id": slot.id,
        "day": slot.day,
        "starts_at": slot.starts_at,
        "ends_at": slot.ends_at,
        "free": shown.free,
    }
