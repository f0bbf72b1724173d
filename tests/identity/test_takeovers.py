"""Users of the older Cloud Pay: an account waits for its phone, and nothing is lost on the way."""

import io
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import transaction

from identity import takeovers
from identity.api import resident as api
from identity.models import Device, Enrolment, Resident, Takeover
from payments import accounts, openings
from payments.settlement import windows
from tests import city, proving
from tests.ledger import standing
from vpass.common.models import AuditEvent

pytestmark = pytest.mark.django_db(transaction=True)

PERSON = city.PEOPLE[5]


def take_over(*rows: tuple[str, str]) -> takeovers.Imported:
    return takeovers.import_users(rows, actor="administrator", at=city.clock.now())


def enrol(phone: city.Phone, number: str = PERSON.phone) -> Any:
    phone.send("POST", f"{city.RESIDENT}/enrolments", {"phone": number})
    row = Enrolment.objects.get(thumbprint=phone.thumbprint)
    path = f"{city.RESIDENT}/enrolments/{row.id}/phone-proof"
    answer = phone.send("POST", path, {"one_time_code": row.one_time_code})
    if answer.status_code == 200:
        phone.token = answer.json()["access_token"]
    return answer


def test_take_over__rows__each_judged_alone_and_safe_to_repeat():
    city.make_phone(1, at=city.clock.now())
    rows = [
        (PERSON.phone, "CP-1"),
        ("1390000000", "CP-2"),
        ("13700000000", "CP 3"),
        ("13700000001", "CP-1"),  # another number's
        (PERSON.phone, "CP-4"),  # another reference
        (city.PEOPLE[1].phone, "CP-5"),  # has an account here
    ]

    first, second = take_over(*rows), take_over(*rows)

    refused = [
        (2, "phone_invalid"),
        (3, "reference_invalid"),
        (4, "reference_of_another"),
        (5, "phone_of_another"),
    ]
    assert first == takeovers.Imported(opened=1, joined=1, repeated=0, refused=refused)
    assert second == takeovers.Imported(opened=0, joined=0, repeated=2, refused=refused)
    assert (Resident.objects.count(), Takeover.objects.count()) == (2, 2)
    waiting = Takeover.objects.get(claimed_at=None)
    assert (waiting.resident.level, waiting.resident.phone) == (1, PERSON.phone)
    assert takeovers.opening_reference(resident_id=waiting.resident_id) == "CP-1"
    assert AuditEvent.objects.first().detail == {
        "opened": 1, "joined": 1, "repeated": 0, "refused": 4,
    }  # fmt: skip


def test_take_over__then_levels_one_two_three__same_account_and_balance(
    monkeypatch: pytest.MonkeyPatch,
):
    at = city.clock.now()
    windows.ensure_open(at=at)
    monkeypatch.setattr(api.http, "population_register", city.StubRegister)
    take_over((PERSON.phone, "CP-1"))
    resident = Resident.objects.get()
    account = accounts.resident_account(resident.id)
    with transaction.atomic():
        openings.book(
            takeover_id=openings.takeover_of("CP-1"),
            resident_id=resident.id,
            amount_fen=12_345,
            at=at,
        )
    phone = city.Phone()

    assert enrol(phone).json()["resident"] == {"level": 1}
    seen = [(Resident.objects.get().level, standing(account)[0])]
    proof = {"real_name": PERSON.real_name, "id_number": PERSON.id_number}
    phone.send("POST", f"{city.RESIDENT}/identity-proofs", proof, key=city.new_key())
    seen.append((Resident.objects.get().level, standing(account)[0]))
    begun = phone.send("POST", f"{city.RESIDENT}/face-checks", {}, key=city.new_key()).json()
    path = f"{city.RESIDENT}/face-checks/{begun['id']}/result"
    phone.send("POST", path, {"result": proving.look(begun)}, key=city.new_key())
    seen.append((Resident.objects.get().level, standing(account)[0]))

    assert seen == [(1, 12_345), (2, 12_345), (3, 12_345)]
    assert Resident.objects.get().id == resident.id
    assert accounts.resident_account(resident.id) == account
    assert phone.send("GET", f"{city.RESIDENT}/wallet").json()["balance_fen"] == 12_345


def test_claim__second_phone_of_the_number__taken():
    take_over((PERSON.phone, "CP-1"))
    first, second = city.Phone(), city.Phone()
    enrol(first)
    # A minute later: one code a minute goes to a number.
    Enrolment.objects.update(created_at="2020-01-01T00:00:00Z")
    _forget_limits()

    answer = enrol(second)

    assert city.problem(answer) == (409, "enrolment.phone_taken")
    assert Device.objects.get().thumbprint == first.thumbprint
    assert Takeover.objects.get().claimed_at is not None


def test_claim__moved_to_a_phone_and_proven_meanwhile__not_open_to_the_number_alone():
    take_over((PERSON.phone, "CP-1"))
    thief = city.Phone()
    resident = Resident.objects.get()
    owner = city.Phone()
    city.devices.bind_device(
        resident=resident,
        point=city.signing.public_point(owner.key),
        thumbprint=owner.thumbprint,
        at=city.clock.now(),
    )

    answer = enrol(thief)

    assert city.problem(answer) == (409, "enrolment.phone_taken")
    assert Device.objects.get().thumbprint == owner.thumbprint


def test_claim__suspended_account__refused_and_still_waiting():
    take_over((PERSON.phone, "CP-1"))
    Resident.objects.update(state="suspended")

    assert city.problem(enrol(city.Phone())) == (403, "account.suspended")
    assert Takeover.objects.get().claimed_at is None
    assert Device.objects.count() == 0


def test_command__file__counts_and_row_numbers_and_no_phone(tmp_path: Path):
    file, said = tmp_path / "users.csv", io.StringIO()
    file.write_text(f"{PERSON.phone},CP-1\n13700000000\n13700000001, CP-2 \n", "utf-8")

    with pytest.raises(CommandError, match="1 rows were refused"):
        call_command("take_over", file, stdout=said)

    assert said.getvalue().splitlines() == [
        "2 opened, 0 joined to accounts that were here, 0 known already, 1 refused",
        "row 2: phone_invalid",
    ]
    with pytest.raises(CommandError, match="cannot be read: FileNotFoundError"):
        call_command("take_over", tmp_path / "missing.csv", stdout=said)
    assert Takeover.objects.count() == 2


def _forget_limits() -> None:
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM common_limit")
