"""What the demo hall offers by appointment, and the desk where people check in for it."""

from datetime import datetime
from typing import Any

from identity.models import Desk, Entitlement, Organisation
from services import counter, slots
from services.models import Service, SlotTemplate
from vpass.seed.people import desk_code_of, hire

SEATS = 4
DAY_MINUTES = 24 * 60


def open_appointments(hall: Organisation, *, at: datetime) -> dict[str, Any]:
    """Residence permits every quarter of an hour, day and night; returns log-ins of the desks.

    The hall never closes, so that the city can be tried at any hour.
    """
    service = Service.objects.create(
        organisation=hall,
        code="residence-permit",
        name_zh="办理居住证",
        name_en="Residence permit",
        description_zh="首次申领或签注居住证。请带居住证明；身份证不用带，出示 V Pass 码即可。",
        description_en="First issue or yearly endorsement. Bring proof of residence; "
        "your V Pass code stands in for the ID card.",
        minutes=15,
        reappears_within_s=0,  # so that a cancelled seat can be seen to come back
    )
    SlotTemplate.objects.bulk_create(
        SlotTemplate(
            service=service, weekday=weekday, from_minute=0, to_minute=DAY_MINUTES, seats=SEATS
        )
        for weekday in range(1, 8)
    )
    slots.make_slots(at=at)
    Entitlement.objects.create(
        organisation=hall,
        scene=counter.SCENE,
        purpose=counter.PURPOSE,
        purpose_zh="预约签到",
        purpose_en="Check-in",
        attributes=["real_name"],
    )
    return {
        "check_in": _desk(hall, "签到台", "Check-in desk", "receptionist", at=at),
        "day": _desk(hall, "2号签到台", "Check-in desk 2", "day-receptionist", at=at),
    }


def _desk(
    hall: Organisation, name_zh: str, name_en: str, username: str, *, at: datetime
) -> dict[str, Any]:
    desk = Desk.objects.create(
        organisation=hall, name_zh=name_zh, name_en=name_en, scene=counter.SCENE
    )
    return {"staff": hire(hall, username), "desk_enrolment_code": desk_code_of(desk, at=at)}
