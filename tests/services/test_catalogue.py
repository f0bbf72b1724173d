"""What is offered, and how many seats of it a resident may have."""

from datetime import datetime, timedelta

import pytest

from identity.models import Organisation
from services.models import Slot
from tests import city
from tests.hall import QUARTER, RESIDENT, Hall, book, hold
from vpass.common import clock

pytestmark = pytest.mark.django_db(transaction=True)


def free(phone: city.Phone, hall: Hall, query: str = "") -> list[int]:
    answer = phone.send("GET", f"{RESIDENT}/services/{hall.service.id}/slots{query}")
    assert answer.status_code == 200, answer.content
    return [each["free"] for each in answer.json()["items"]]


def test_services__listed_with_both_languages(phone: city.Phone, hall: Hall):
    (item,) = phone.send("GET", f"{RESIDENT}/services").json()["items"]

    assert item["name"] == {"zh": "办理居住证", "en": "Residence permit"}
    assert item == phone.send("GET", f"{RESIDENT}/services/{hall.service.id}").json()


@pytest.mark.parametrize("which", ["own", "above"])
def test_services__of_a_suspended_organisation__not_offered(
    phone: city.Phone, hall: Hall, which: str
):
    Organisation.objects.update(state="suspended")
    if which == "above":
        own = Organisation.objects.filter(id=hall.service.organisation_id)
        county = city.make_organisation("寒亭区", kind="county", state="suspended")
        own.update(state="active", parent=county)

    assert phone.send("GET", f"{RESIDENT}/services").json()["items"] == []
    for path in ("", "/slots"):
        answer = phone.send("GET", f"{RESIDENT}/services/{hall.service.id}{path}")
        assert city.problem(answer) == (404, "object.not_found")


def test_slots__free_seats__own_hold_counts_as_free_and_anothers_does_not(
    phone: city.Phone, hall: Hall, slot: Slot, at: datetime
):
    neighbour = city.make_phone(1, at=at)
    assert free(phone, hall) == [2]

    hold(phone, slot, at=at)

    assert (free(phone, hall), free(neighbour, hall)) == ([2], [1])
    book(neighbour, slot, at=at)
    assert (free(phone, hall), free(neighbour, hall)) == ([1], [0])


def test_slots__of_a_day__only_what_is_to_come(phone: city.Phone, hall: Hall, at: datetime):
    hall.slot(starts_at=at - QUARTER)
    tomorrow = hall.slot(starts_at=at + timedelta(days=1), seats=3)

    assert free(phone, hall, f"?day={tomorrow.day}") == [3]
    assert free(phone, hall, f"?day={clock.city_date(at - timedelta(days=1))}") == []
    bad = phone.send("GET", f"{RESIDENT}/services/{hall.service.id}/slots?day=2026-13-01")
    assert city.problem(bad) == (400, "request.invalid")


def test_slots__in_pages__each_once_in_order(phone: city.Phone, hall: Hall, at: datetime):
    made = [hall.slot(starts_at=at + QUARTER * n) for n in range(1, 6)]
    path = f"{RESIDENT}/services/{hall.service.id}/slots?limit=2"
    seen, cursor = [], ""
    while cursor is not None:
        page = phone.send("GET", path + (f"&cursor={cursor}" if cursor else "")).json()
        seen += [each["id"] for each in page["items"]]
        cursor = page["next"]

    assert seen == [str(each.id) for each in made]
