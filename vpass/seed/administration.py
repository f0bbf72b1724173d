"""The demo city's administrators: what gives rights takes both of them."""

from datetime import datetime
from typing import Any

from identity import disputes, staffing
from identity.models import Desk, Organisation
from vpass.seed.people import desk_code_of, hire


def hire_administrators(
    city: Organisation, name: str, *, rooms: tuple[int, int], at: datetime
) -> dict[str, Any]:
    """One who proposes, and one who approves and answers corrections; with a desk for each."""
    desks = [
        Desk.objects.create(
            organisation=city, name_zh=f"机构管理室{n}", name_en=f"Administration office {n}"
        )
        for n in rooms
    ]
    return {
        "staff": [
            hire(city, f"{name}-a", roles=[staffing.ADMINISTRATOR]),
            hire(city, f"{name}-b", roles=[staffing.APPROVER, disputes.ROLE]),
        ],
        "desk_enrolment_codes": [desk_code_of(desk, at=at) for desk in desks],
    }
