"""Who proves people in the demo city: the register's own system, and a registrar at a desk."""

from datetime import datetime
from typing import Any

from django.conf import settings

from identity import counter_checks, register_changes
from identity.models import Desk, Entitlement, MachineKey, Organisation, Terminal
from identity.organisations import REGISTER
from vpass.common.signing import Ed25519Public, ed25519_public_bytes, load_public
from vpass.seed.people import desk_code_of, hire, open_organisation

_CHANGES = [
    ("name-changed", "姓名变更", "Change of name", ["real_name"]),
    ("number-corrected", "身份证号码更正", "Correction of the ID number", ["id_number"]),
    ("died", "死亡登记", "Registration of death", []),
    ("death-withdrawn", "撤销死亡登记", "Withdrawal of a death", []),
]


def open_register(city: Organisation) -> None:
    """The office that keeps the register, with its system's key for calling us."""
    office = open_organisation(
        city,
        "department",
        "潍坊市人口登记管理处",
        "Weifang Population Registry",
        _CHANGES,
        scene=register_changes.SCENE,
    )
    system = Terminal.objects.create(
        organisation=office, scene=REGISTER, name_zh="人口登记系统", name_en="Population register"
    )
    public = load_public(settings.REGISTER_PUBLIC_KEY_PEM)
    if not isinstance(public, Ed25519Public):
        raise TypeError("the register signs with Ed25519")
    MachineKey.objects.create(
        id=settings.REGISTER_KEY_ID,
        terminal=system,
        algorithm="Ed25519",
        public_key=ed25519_public_bytes(public),
    )


def hire_registrar(hall: Organisation, *, at: datetime) -> dict[str, Any]:
    """Somebody who sees people and documents, at a desk; what the hall may see for that."""
    Entitlement.objects.create(
        organisation=hall,
        scene=counter_checks.SCENE,
        purpose=counter_checks.PURPOSE,
        purpose_zh="当面核验身份",
        purpose_en="Identity check in person",
        attributes=["real_name", "id_number", "birth_date", "photo"],
        needs_case=True,
    )
    desk = Desk.objects.create(organisation=hall, name_zh="实名核验窗口", name_en="Registrar")
    roles = [counter_checks.ROLE, register_changes.REVIEW_ROLE]
    return {
        "clerk": hire(hall, "day-registrar", roles=roles),
        "desk_enrolment_code": desk_code_of(desk, at=at),
    }
