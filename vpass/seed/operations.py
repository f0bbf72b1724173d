"""The demo city's operator, with a desk in the operations room."""

from datetime import datetime
from typing import Any

from identity.models import Desk, Organisation
from vpass.seed.people import desk_code_of, hire, open_organisation


def hire_operator(city: Organisation, *, at: datetime) -> dict[str, Any]:
    """Somebody who watches the program; the log-in and the desk's enrolment code."""
    room = open_organisation(city, "department", "潍坊市大数据局", "Weifang Big Data Bureau")
    desk = Desk.objects.create(
        organisation=room, name_zh="运行值班室", name_en="Operations room", scene="operations"
    )
    return {
        "staff": hire(room, "operator", roles=["operations"]),
        "desk_enrolment_code": desk_code_of(desk, at=at),
    }
