"""Shows residents what the city's counters offer, and when."""

import uuid
from datetime import date, datetime

from django.db.models import QuerySet

from identity.organisations import is_open
from services import queries
from services.models import Service, Slot
from vpass.common.errors import NotFound


def services_offered() -> QuerySet[Service]:
    """The services of organisations that are open, to be ordered by `code` and `id`.

    An organisation is open when it and all above it are active.
    """
    return Service.objects.select_related("organisation").filter(is_open("organisation"))


def service_offered(service_id: uuid.UUID) -> Service:
    """One service. Raises NotFound."""
    service = services_offered().filter(id=service_id).first()
    if service is None:
        raise NotFound
    return service


def slots_offered(
    service_id: uuid.UUID, *, resident_id: uuid.UUID, day: date | None, at: datetime
) -> QuerySet[Slot]:
    """The slots of a service after `at`, each with `free`: how many seats this resident may have.

    `day` is a date in the city; all days when None. To be ordered by `starts_at` and `id`. Raises
    NotFound for a service that is not offered.
    """
    service = service_offered(service_id)
    return queries.slots_of(service.id, resident_id=resident_id, day=day, at=at)
