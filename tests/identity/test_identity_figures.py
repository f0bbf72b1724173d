"""Today's scans and enrolments, counted by the city's day and by index."""

from datetime import datetime, timedelta

import pytest
from django.db import connection

from identity import figures
from identity.models import AccessLine, Enrolment
from tests import city
from tests.statements import statements
from vpass.common.clock import CITY_ZONE
from vpass.common.ids import uuid7

NINE = datetime(2026, 6, 1, 9, 30, tzinfo=CITY_ZONE)


def write_line(counter: city.DeskBrowser, phone: city.Phone, *, at: datetime, outcome: str) -> None:
    assert phone.device is not None
    AccessLine.objects.create(
        id=uuid7(at),
        resident_id=phone.device.resident_id,
        organisation=counter.desk.organisation,
        desk=counter.desk,
        staff=counter.staff,
        scene="id",
        purpose=city.PURPOSE,
        fields=[],
        outcome=outcome,
        at=at,
    )


def write_enrolment(*, at: datetime, state: str) -> None:
    Enrolment.objects.create(
        thumbprint=city.new_key(),
        phone="13800000001",
        point=bytes(33),
        one_time_code="000000",
        state=state,
        created_at=at,
        expires_at=at + timedelta(minutes=5),
    )


@pytest.mark.django_db(transaction=True)
def test_figures__yesterday_and_today__todays_by_the_hour_in_one_statement(
    counter: city.DeskBrowser, kiosk: city.Machine, phone: city.Phone
):
    midnight = NINE.replace(hour=0, minute=0)
    for at, outcome in (
        (midnight - timedelta(seconds=1), "accepted"),
        (midnight, "accepted"),
        (NINE, "accepted"),
        (NINE, "refused"),
        (NINE + timedelta(minutes=29), "accepted"),
    ):
        write_line(counter, phone, at=at, outcome=outcome)
    city.make_desk(counter.desk.organisation, name="2号窗口")
    type(counter.desk).objects.filter(name_zh="2号窗口").update(state="suspended")

    with statements() as sent:
        found = {each.name: each for each in figures.figures(at=NINE + timedelta(hours=1))}

    assert len(sent) == 1
    assert found["scans_accepted"].value == 3
    assert found["scans_accepted"].hours == (1, *[0] * 8, 2, *[0] * 14)
    assert found["scans_refused"].value == 1
    assert (found["desks"].value, found["terminals"].value) == (1, 1)


@pytest.mark.django_db(transaction=True)
def test_figures__enrolments__those_proven_today():
    midnight = NINE.replace(hour=0, minute=0)
    write_enrolment(at=midnight - timedelta(seconds=1), state="phone_proven")
    write_enrolment(at=midnight, state="phone_proven")
    write_enrolment(at=NINE, state="phone_given")

    found = {each.name: each.value for each in figures.figures(at=NINE)}

    assert (found["enrolments"], found["register_reviews"]) == (1, 0)


@pytest.mark.django_db(transaction=True)
def test_figures__plan__enters_the_long_tables_by_an_index():
    with connection.cursor() as cursor:
        cursor.execute("SET enable_seqscan = off")
        try:
            cursor.execute(
                "EXPLAIN " + figures._COUNT,
                {"zone": "Asia/Shanghai", "first": uuid7(NINE), "ends": NINE},
            )
            plan = "\n".join(row[0] for row in cursor.fetchall())
        finally:
            cursor.execute("RESET enable_seqscan")

    for table in ("identity_accessline", "identity_enrolment"):
        assert f"Seq Scan on {table}" not in plan
