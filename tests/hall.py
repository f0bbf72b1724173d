"""A hall with one service for tests: its slots, its check-in desks, and what people do there."""

import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from identity.models import Entitlement, Organisation
from services import booking, counter, queueing
from services.models import Seat, Service, Slot
from tests import city
from vpass.common.clock import city_date

RESIDENT = "/api/resident/v1"
COUNTER = "/api/counter/v1"
QUARTER = timedelta(minutes=15)
ALWAYS = datetime(2020, 1, 1, tzinfo=UTC)


@dataclass
class Hall:
    """An organisation with a service, and its check-in desks with a clerk at each."""

    organisation: Organisation
    service: Service
    desks: list[city.DeskBrowser] = field(default_factory=list)

    def slot(self, *, starts_at: datetime, seats: int = 1) -> Slot:
        """A slot of a quarter of an hour, with so many free seats."""
        slot = Slot.objects.create(
            service=self.service,
            day=city_date(starts_at),
            starts_at=starts_at,
            ends_at=starts_at + QUARTER,
        )
        Seat.objects.bulk_create(
            Seat(slot=slot, n=n, free_from=ALWAYS) for n in range(1, seats + 1)
        )
        return slot

    def desk(self, *, at: datetime) -> city.DeskBrowser:
        """One more check-in desk with its clerk."""
        number = len(self.desks) + 1
        made = city.make_desk(self.organisation, name=f"签到台 {uuid.uuid4()}")
        made.desk.scene = counter.SCENE
        made.desk.save(update_fields=["scene"])
        username = f"receptionist-{number}-{self.organisation.id}"
        self.desks.append(city.sign_in_clerk(made, username=username, at=at))
        return self.desks[-1]


def open_hall(name: str = "潍坊市政务服务中心", **changes: Any) -> Hall:
    """A hall whose desks may check people in and see their name."""
    organisation = city.make_organisation(name)
    Entitlement.objects.create(
        organisation=organisation,
        scene=counter.SCENE,
        purpose=counter.PURPOSE,
        purpose_zh="预约签到",
        purpose_en="Check-in",
        attributes=["real_name"],
    )
    service = Service.objects.create(
        **{
            "organisation": organisation,
            "code": "residence-permit",
            "name_zh": "办理居住证",
            "name_en": "Residence permit",
            "description_zh": "请带居住证明。",
            "description_en": "Bring proof of residence.",
            "minutes": 15,
            "reappears_within_s": 0,
        }
        | changes
    )
    return Hall(organisation, service)


def hold(phone: city.Phone, slot: Slot, *, at: datetime) -> booking.Shown:
    caller = phone.caller
    return booking.hold_seat(
        caller=caller, slot_id=slot.id, idempotency_key=city.idempotency(caller.scope), at=at
    )


def confirm(phone: city.Phone, booking_id: Any, *, at: datetime) -> booking.Shown:
    caller = phone.caller
    return booking.confirm_booking(
        caller=caller,
        booking_id=uuid.UUID(str(booking_id)),
        idempotency_key=city.idempotency(caller.scope),
        at=at,
    )


def cancel(phone: city.Phone, booking_id: Any, *, at: datetime) -> booking.Shown:
    caller = phone.caller
    return booking.cancel_booking(
        caller=caller,
        booking_id=uuid.UUID(str(booking_id)),
        idempotency_key=city.idempotency(caller.scope),
        at=at,
    )


def book(phone: city.Phone, slot: Slot, *, at: datetime) -> booking.Shown:
    """A seat held and confirmed."""
    return confirm(phone, hold(phone, slot, at=at).id, at=at)


def check_in(
    desk: city.DeskBrowser, code: str, *, walk_in: str | None = None, at: datetime
) -> counter.CheckedIn:
    return counter.check_in(
        caller=desk.caller,
        code=code,
        walk_in_service=walk_in,
        idempotency_key=city.idempotency(desk.caller.scope),
        at=at,
    )


def call_next(desk: city.DeskBrowser, *, at: datetime) -> queueing.TicketShown | None:
    return queueing.call_next(
        caller=desk.caller, idempotency_key=city.idempotency(desk.caller.scope), at=at
    )


def step(work: Any, desk: city.DeskBrowser, ticket_id: str, *, at: datetime) -> Any:
    """A step with a ticket at a desk: recall, serve, finish or miss."""
    return work(
        caller=desk.caller,
        ticket_id=uuid.UUID(ticket_id),
        idempotency_key=city.idempotency(desk.caller.scope),
        at=at,
    )
