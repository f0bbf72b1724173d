"""The hotline of the demo city: who answers when a phone is lost, and a desk for them."""

from datetime import datetime
from typing import Any

from identity.models import Desk, Organisation
from vpass.seed.people import desk_code_of, hire, open_organisation


def open_hotline(city: Organisation, *, at: datetime) -> dict[str, Any]:
    """The hotline's office with one clerk, and the code by which its browser becomes a desk."""
    office = open_organisation(city, "department", "12345 市民热线", "12345 Citizens' Hotline")
    desk = Desk.objects.create(organisation=office, name_zh="1号坐席", name_en="Seat 1")
    return {
        "clerk": hire(office, "day-hotline", roles=["hotline"]),
        "desk_enrolment_code": desk_code_of(desk, at=at),
    }
