"""What proves people goes through every flow, and stands nowhere in clear afterwards."""

import io
import logging
import uuid
from datetime import datetime
from typing import Any

import pytest

from identity import takeovers
from identity.api import level_desk
from identity.models import Organisation, Resident, Staff
from tests import city, proving
from tests.contracts.test_canaries import dump_of_database, dump_of_redis, found_in
from tests.identity.test_counter_checks import ENROLMENTS, SEEN
from tests.identity.test_register_changes import CHANGES
from vpass.common import outbox

pytestmark = pytest.mark.django_db(transaction=True)

PERSON, OTHER = city.PEOPLE[7], city.PEOPLE[8]
NEW_NAME = "欧阳金丝雀"
REFERENCE = "CANARY-REFERENCE-4711"


def test_everything_that_proves__afterwards__no_canary_in_clear(
    hall: Organisation, counter: city.DeskBrowser, at: datetime, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(level_desk.http, "population_register", city.StubRegister)
    log = io.StringIO()
    handler = logging.StreamHandler(log)
    logging.getLogger().addHandler(handler)
    Staff.objects.update(roles=["registrar", "register-review"])
    office = city.make_organisation("人口登记管理处", kind="department")
    register = city.make_terminal(office, scene="register", key_id="register-1")
    phone, other = city.make_phone(7, level=1, at=at), city.make_phone(8, at=at)
    try:
        takeovers.import_users([("13700000000", REFERENCE)], actor="t", at=at)
        said = phone.send("POST", f"{city.RESIDENT}/counter-numbers", {}, key=city.new_key())
        told = {
            "phone": PERSON.phone,
            "number": said.json()["number"],
            "real_name": PERSON.real_name,
            "id_number": PERSON.id_number,
            **SEEN,
        }
        wrong = counter.send("POST", ENROLMENTS, told | {"number": "00000000"}, key=city.new_key())
        right = counter.send("POST", ENROLMENTS, told, key=city.new_key())
        path = f"{city.RESIDENT}/face-checks"
        begun = other.send("POST", path, {}, key=city.new_key()).json()
        results = [proving.look(begun, mode) for mode in ("other_key", "spoof")]
        refused = [
            other.send("POST", f"{path}/{begun['id']}/result", {"result": each}, key=city.new_key())
            for each in results
        ]
        events: list[dict[str, Any]] = [
            {"kind": "name_changed", "real_name": NEW_NAME},
            {"kind": "number_corrected", "id_number": OTHER.id_number},
            {"kind": "number_corrected", "real_name": NEW_NAME},
        ]
        taken = [
            register.send(
                "POST",
                CHANGES,
                {
                    "event_id": str(uuid.uuid4()),
                    "census_id": PERSON.census_id,
                    "sequence": number,
                    **each,
                },
            )
            for number, each in enumerate(events, 1)
        ]
        outbox.deliver_due(at=at)
    finally:
        logging.getLogger().removeHandler(handler)

    assert (wrong.status_code, right.status_code) == (422, 200)
    assert [each.status_code for each in refused] == [422, 422]
    assert [each.json().get("state") for each in taken] == ["applied", "review", None]
    assert Resident.objects.get(id=phone.device.resident_id).real_name == NEW_NAME
    canaries = {
        "name": PERSON.real_name,
        "new name": NEW_NAME,
        "number": PERSON.id_number,
        "other number": OTHER.id_number,
        "phone": PERSON.phone,
        "census": PERSON.census_id,
        "reference": REFERENCE,
        "said": said.json()["number"],
        "challenge": begun["challenge"],
        "subject": begun["subject"],
    }
    answers = [each.content.decode() for each in (wrong, *refused, *taken)]
    dumps = (dump_of_database(), dump_of_redis(), log.getvalue(), "\n".join(answers))
    assert [found_in(dump, canaries) for dump in dumps] == [set()] * 4
