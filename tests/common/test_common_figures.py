"""Figures come from every floor, in the order of the operations page."""

from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection

from tests.statements import statements
from vpass.common import contributions, figures, ids
from vpass.common.figures import Figure

AT = datetime(2026, 6, 1, 4, 0, 0, tzinfo=UTC)

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _own_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contributions, "_contributors", {})


def put(state: str, *, published_at: datetime = AT, count: int = 1) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO common_outbox (event_id, name, consumer, payload, published_at, due_at,"
            " state) SELECT gen_random_uuid(), 'card.tapped', 'fares', '{}', %s, %s, %s"
            " FROM generate_series(1, %s)",
            [published_at, published_at, state, count],
        )


def test_collect__contributions__by_group_and_the_outbox_among_them():
    today = Figure("taps", "刷卡", "Taps", 7, "count", "today", (7, *[0] * 23))
    runs = Figure("buses", "公交车", "Buses", 3, "count", "runs")
    contributions.register(figures.QUESTION, "cards", lambda *, at: [today, runs])

    found = figures.collect(at=AT)

    assert found[0] == runs
    assert found[-1] == today
    assert [figure.name for figure in found[1:-1]] == [
        "outbox_pending",
        "outbox_oldest",
        "outbox_dead",
    ]


def test_collect__outbox__what_waits_how_long_and_what_is_dead():
    put("pending", published_at=AT - timedelta(seconds=75))
    put("pending", count=2)
    put("dead", count=4)
    put("delivered")

    with statements() as sent:
        found = figures.collect(at=AT)

    assert [(figure.name, figure.value, figure.unit) for figure in found] == [
        ("outbox_pending", 3, "count"),
        ("outbox_oldest", 75, "seconds"),
        ("outbox_dead", 4, "count"),
    ]
    assert len(sent) == 1


def test_recent__many_ask__the_floors_once_in_half_a_minute_and_the_outbox_each_time(
    monkeypatch: pytest.MonkeyPatch,
):
    asked: list[datetime] = []

    def count(*, at: datetime) -> list[Figure]:
        asked.append(at)
        return [Figure("taps", "刷卡", "Taps", len(asked), "count", "today")]

    contributions.register(figures.QUESTION, "cards", lambda *, at: count(at=at))
    monkeypatch.setattr(figures, "_Kept", type("_Kept", (), dict(vars(figures._Kept))))
    seen = []

    for seconds in (0, 5, 29, 30, 31, 10):
        put("dead")
        found = figures.recent(at=AT + timedelta(seconds=seconds))
        seen.append((found[2].value, found[-1].value))

    assert seen == [(1, 1), (2, 1), (3, 1), (4, 2), (5, 2), (6, 3)]
    assert asked == [AT, AT + timedelta(seconds=30), AT + timedelta(seconds=10)]


@pytest.mark.parametrize(
    ("at", "begun"),
    [
        (datetime(2026, 6, 1, 15, 59, 59, tzinfo=UTC), datetime(2026, 5, 31, 16, tzinfo=UTC)),
        (datetime(2026, 6, 1, 16, 0, 0, tzinfo=UTC), datetime(2026, 6, 1, 16, tzinfo=UTC)),
    ],
)
def test_day_begins__around_midnight__the_citys_own(at: datetime, begun: datetime):
    assert figures.day_begins(at) == begun


def test_by_hour__a_few__the_others_are_nothing():
    assert figures.by_hour({0: 1, 23: 5}) == (1, *[0] * 22, 5)


def test_first_uuid7__of_a_moment__below_its_ids_and_above_those_before():
    first = ids.first_uuid7(AT)

    assert ids.uuid7(AT - timedelta(milliseconds=1)) < first <= ids.uuid7(AT)
    assert (first.version, first.variant) == (7, "specified in RFC 4122")
