"""What another floor does with a code: looked up, judged and written in its own statements."""

from datetime import datetime
from typing import Any

import pytest
from django.db import transaction

from identity import codes
from identity.access_log import Deed, DeedUndone
from identity.models import AccessLine, Grant, Organisation, Redemption
from identity.queries import GrantFound, Look
from tests import city
from tests.statements import statements

pytestmark = pytest.mark.django_db(transaction=True)


class Renaming:
    """An occasion which renames the hall, if told to, and refuses for the reason it is given."""

    def __init__(self, *, goes: bool = True, reason: str | None = None) -> None:
        self.goes, self.reason = goes, reason
        self.seen: list[int] = []

    def looks_at(self) -> Look:
        levels = "SELECT r.level FROM identity_resident r WHERE r.id = identity_grant.resident_id"
        return Look(f"to_json(({levels}) + %(look_more)s)", {"look_more": 10})

    def refusal(self, found: GrantFound) -> str | None:
        self.seen.append(found.looked)
        return self.reason

    def deed(self) -> Deed:
        return Deed(
            sql=""", deed AS (
                UPDATE identity_organisation SET name_en = %(deed_name)s
                FROM verdict WHERE reason IS NULL AND %(deed_goes)s RETURNING 1
            )""",
            values={"deed_name": "Renamed", "deed_goes": self.goes},
        )


def use(kiosk: city.Machine, grant: city.HeldGrant, occasion: Renaming, *, at: datetime) -> Any:
    shown = codes.read_genuine(grant.code(at), at=at)
    with transaction.atomic():
        return codes.use_code(
            caller=kiosk.caller,
            shown=shown,
            purpose=city.PURPOSE,
            case_number=None,
            occasion=occasion,
            at=at,
        )


def name_of(hall: Organisation) -> str:
    return Organisation.objects.get(id=hall.id).name_en


def test_occasion__accepted__looked_at_and_done_in_the_same_two_statements(
    hall: Organisation, kiosk: city.Machine, grant: city.HeldGrant, at: datetime
):
    occasion = Renaming()

    with statements() as sent:
        found = use(kiosk, grant, occasion, at=at)

    assert len(sent) == 2
    assert found.reason is None
    assert occasion.seen == [12]
    assert name_of(hall) == "Renamed"


def test_occasion__refuses__the_code_used_the_line_written_and_nothing_done(
    hall: Organisation, kiosk: city.Machine, grant: city.HeldGrant, at: datetime
):
    found = use(kiosk, grant, Renaming(reason="card.frozen"), at=at)

    assert (found.resident, found.reason) == (None, "card.frozen")
    assert name_of(hall) == "Weifang Hall"
    assert Redemption.objects.count() == 1
    line = AccessLine.objects.get()
    assert (line.outcome, line.reason, line.fields) == ("refused", "card.frozen", [])


def test_occasion__code_used_already__nothing_done(
    hall: Organisation, kiosk: city.Machine, grant: city.HeldGrant, at: datetime
):
    code = grant.code(at, nonce=b"123456")
    kiosk.scan(code)
    shown = codes.read_genuine(code, at=at)

    with transaction.atomic():
        found = codes.use_code(
            caller=kiosk.caller,
            shown=shown,
            purpose=city.PURPOSE,
            case_number=None,
            occasion=Renaming(),
            at=at,
        )

    assert found.reason == "code.already_used"
    assert name_of(hall) == "Weifang Hall"


def test_occasion__identity_has_a_reason_of_its_own__not_even_judged(
    hall: Organisation, kiosk: city.Machine, grant: city.HeldGrant, at: datetime
):
    Grant.objects.update(ended_at=at)
    occasion = Renaming()

    assert use(kiosk, grant, occasion, at=at).reason == "code.revoked"
    assert occasion.seen == []
    assert name_of(hall) == "Weifang Hall"


def test_occasion__not_done_after_all__everything_is_taken_back(
    hall: Organisation, kiosk: city.Machine, grant: city.HeldGrant, at: datetime
):
    with pytest.raises(DeedUndone):
        use(kiosk, grant, Renaming(goes=False), at=at)

    assert name_of(hall) == "Weifang Hall"
    assert not Redemption.objects.exists()
    assert not AccessLine.objects.exists()
