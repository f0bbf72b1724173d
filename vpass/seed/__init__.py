"""Fills a small city to work with: the same names every time, with fresh log-ins."""

import json
from datetime import datetime
from pathlib import Path

from django.db import transaction

from identity import counter_checks, keys, status_list
from identity.models import Desk, MachineKey, Organisation, Terminal
from payments.settlement import windows
from vpass.common.signing import ed25519_public_bytes, generate_ed25519, private_pem
from vpass.secrets import write_once
from vpass.seed import cards, relying_parties
from vpass.seed.administration import hire_administrators
from vpass.seed.bills import open_billers
from vpass.seed.booking import open_appointments
from vpass.seed.disclosure import hire_privacy_officer, open_departments, refine_hall
from vpass.seed.hotline import open_hotline
from vpass.seed.iot import open_parking
from vpass.seed.levels import hire_registrar, open_register
from vpass.seed.money import hire_accountants, open_bank, open_shop
from vpass.seed.operations import hire_operator
from vpass.seed.people import desk_code_of, hire, open_organisation, terminal_code_of
from vpass.seed.shops import open_unmanned_shop

LOGINS = "demo.json"

HALL_PURPOSES = [
    ("residence-permit", "办理居住证", "Residence permit", ["real_name", "id_last4", "over_18"]),
    ("name-only", "核对姓名", "Check the name", ["real_name"]),
    ("adult-only", "核验成年", "Proof of age", ["over_18"]),
]
HOSPITAL_PURPOSES = [
    ("registration", "挂号登记", "Hospital registration", ["real_name", "id_number", "sex"]),
]


def fill_city(*, state_dir: Path, at: datetime) -> None:
    """Make the demo organisations, desks, staff and terminal, once, with their log-ins.

    A city that has its organisations already is left as it is.
    """
    keys.current_signer(at=at)
    status_list.sign_due(at=at)
    if Organisation.objects.filter(kind="city").exists():
        relying_parties.point_at_sandbox()
        return
    with transaction.atomic():
        city = Organisation.objects.create(kind="city", name_zh="潍坊市", name_en="Weifang")
        hall = open_organisation(
            city, "hall", "潍坊市政务服务中心", "Weifang Government Service Hall", HALL_PURPOSES
        )
        hospital = open_organisation(
            city, "department", "潍坊市人民医院", "Weifang People's Hospital", HOSPITAL_PURPOSES
        )
        desks = [
            Desk.objects.create(organisation=hall, name_zh=f"{n}号窗口", name_en=f"Desk {n}")
            for n in (1, 2)
        ]
        terminal = Terminal.objects.create(
            organisation=hospital, scene="id", name_zh="自助挂号机", name_en="Registration kiosk"
        )
        private = generate_ed25519()
        MachineKey.objects.create(
            id="kiosk-1",
            terminal=terminal,
            algorithm="Ed25519",
            public_key=ed25519_public_bytes(private),
        )
        office = open_organisation(city, "department", "潍坊市财政局", "Weifang Finance Bureau")
        refine_hall(hall)
        bank = open_bank(city)
        tills = open_shop(city, bank=bank)
        doors = open_unmanned_shop(city, bank=bank)
        open_parking(city, bank=bank, at=at)
        open_register(city)
        appointments = open_appointments(hall, at=at)
        logins = {
            "clerk": hire(hall, "clerk", roles=[counter_checks.ROLE]),
            "desk_enrolment_code": desk_code_of(desks[0], at=at),
            "till_enrolment_code": terminal_code_of(tills[0], at=at),
            "door_enrolment_code": terminal_code_of(doors[0], at=at),
            "finance": hire_accountants(office, "finance", rooms=(1, 2), at=at),
            "check_in": appointments["check_in"],
            "operations": hire_operator(city, at=at),
            "privacy": hire_privacy_officer(hall, "privacy", room=1, at=at),
            "administration": hire_administrators(city, "administrator", rooms=(1, 2), at=at),
            "departments": open_departments(city),
            "day": {
                "clerk": hire(hall, "day-clerk"),
                "desk_enrolment_code": desk_code_of(desks[1], at=at),
                "till_enrolment_code": terminal_code_of(tills[1], at=at),
                "door_enrolment_code": terminal_code_of(doors[1], at=at),
                "finance": hire_accountants(office, "day-finance", rooms=(3, 4), at=at),
                "check_in": appointments["day"],
                "hotline": open_hotline(city, at=at),
                "registrar": hire_registrar(hall, at=at),
                "privacy": hire_privacy_officer(hall, "day-privacy", room=2, at=at),
                "administration": hire_administrators(city, "day-admin", rooms=(3, 4), at=at),
            },
            "terminal": {
                "id": str(terminal.id),
                "key_id": "kiosk-1",
                "private_key_pem": private_pem(private),
            },
            **cards.open_issuers(city, bank=bank),
            **open_billers(city, bank=bank, at=at),
        }
        windows.ensure_open(at=at)
        relying_parties.open_sites(city, state_dir=state_dir, at=at)
        write_once(state_dir / LOGINS, json.dumps(logins, indent=1, ensure_ascii=False))
