"""The demo city's departments that take case shares, and the hall's privacy officer."""

from datetime import datetime
from typing import Any

from identity import disputes, organisations
from identity.case_shares import SCENE
from identity.models import Desk, Entitlement, MachineKey, Organisation, Terminal
from vpass.common.signing import ed25519_public_bytes, generate_ed25519, private_pem
from vpass.seed.people import desk_code_of, hire, open_organisation

PENSION = ("pension", "养老金资格认证", "Pension entitlement", ["real_name", "id_number"])
INSURANCE = ("insurance-record", "参保记录", "Insurance record", ["real_name", "id_number"])


def refine_hall(hall: Organisation) -> None:
    """What the hall may ask for with consent, and where it need not know people again."""
    mine = Entitlement.objects.filter(organisation=hall)
    mine.filter(purpose="residence-permit").update(may_ask=["id_number", "phone"], needs_case=True)
    mine.filter(purpose="adult-only").update(knows_holder=False)


def open_departments(city: Organisation) -> list[dict[str, str]]:
    """Two departments that take case shares; returns how their systems sign."""
    named = [
        ("潍坊市社会保险事业中心", "Weifang Social Insurance Centre", PENSION, "department-1"),
        ("潍坊市医疗保障局", "Weifang Healthcare Security Bureau", INSURANCE, "department-2"),
    ]
    return [
        _open_department(city, name_zh, name_en, matter, key_id)
        for name_zh, name_en, matter, key_id in named
    ]


def hire_privacy_officer(hall: Organisation, name: str, *, room: int, at: datetime) -> Any:
    """Somebody who answers disputes, at a desk of their own; returns the log-in."""
    desk = Desk.objects.create(
        organisation=hall, name_zh=f"隐私保护室{room}", name_en=f"Privacy office {room}"
    )
    login = hire(hall, name, roles=[disputes.ROLE])
    return {"login": login, "desk_enrolment_code": desk_code_of(desk, at=at)}


def _open_department(
    city: Organisation,
    name_zh: str,
    name_en: str,
    matter: tuple[str, str, str, list[str]],
    key_id: str,
) -> dict[str, str]:
    organisation = open_organisation(city, "department", name_zh, name_en, [matter], scene=SCENE)
    Entitlement.objects.filter(organisation=organisation).update(may_ask=["phone", "birth_date"])
    system = Terminal.objects.create(
        organisation=organisation,
        scene=organisations.DEPARTMENT,
        name_zh="业务系统",
        name_en="Case system",
    )
    private = generate_ed25519()
    MachineKey.objects.create(
        id=key_id,
        terminal=system,
        algorithm="Ed25519",
        public_key=ed25519_public_bytes(private),
    )
    return {"key_id": key_id, "private_key_pem": private_pem(private)}
