"""What happened is told to every consumer, after the work, in the end exactly once."""

import threading
import time
import uuid
from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest
from celery.exceptions import SoftTimeLimitExceeded
from django.db import connection, transaction

from tests.statements import statements
from tests.together import WAIT_S, together
from vpass.common import errors, outbox, states
from vpass.common.models import OutboxDelivery

AT = datetime(2026, 6, 1, 4, 0, 0, tzinfo=UTC)
CARD = uuid.UUID("01234567-89ab-4def-8123-456789abcdef")

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def rings(monkeypatch):
    """No registered consumer, and a bell that only counts."""
    monkeypatch.setattr(outbox, "_subscriptions", {})
    rung = []
    monkeypatch.setattr(outbox, "ring", lambda: rung.append(1))
    return rung


@pytest.fixture
def heard():
    events = []
    outbox.subscribe("card.tapped", "fares", events.append)
    return events


def publish(payload=None, *, name="card.tapped", at=AT):
    with transaction.atomic():
        return outbox.publish(name, payload or {"card": CARD}, at=at)


def deliver(seconds=0, **options):
    return outbox.deliver_due(at=AT + timedelta(seconds=seconds), **options)


def test_publish__two_consumers__each_hears_it_once(rings):
    heard = []
    outbox.subscribe("card.tapped", "fares", lambda event: heard.append(("fares", event)))
    outbox.subscribe("card.tapped", "presence", lambda event: heard.append(("presence", event)))

    event_id = publish(
        {"card": CARD, "fare_fen": 150, "stops": [1, 2], "kind": "bus", "free": False}
    )

    assert rings == [1]
    assert deliver() == 2
    assert deliver() == 0
    assert sorted(consumer for consumer, _ in heard) == ["fares", "presence"]
    assert heard[0][1] == outbox.Event(
        id=event_id,
        name="card.tapped",
        payload={"card": str(CARD), "fare_fen": 150, "stops": [1, 2], "kind": "bus", "free": False},
        published_at=AT,
        attempt=1,
    )


def test_publish__one_statement_and_one_ring(heard, rings):
    with statements() as sent, transaction.atomic():
        outbox.publish("card.tapped", {"n": 1}, at=AT)
        outbox.publish("card.tapped", {"n": 2}, at=AT)

    assert len(sent) == 2
    assert rings == [1]


def test_publish__work_rolls_back__nothing_told(heard, rings):
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        outbox.publish("card.tapped", {"card": CARD}, at=AT)
        raise ZeroDivisionError

    assert (deliver(), heard, rings) == (0, [], [])


def test_publish__outside_a_transaction__refused(heard):
    with pytest.raises(RuntimeError, match="transaction"):
        outbox.publish("card.tapped", {"card": CARD}, at=AT)


def test_publish__no_consumer__nothing_written(rings):
    with statements() as sent:
        publish()

    assert (sent, rings, OutboxDelivery.objects.count()) == ([], [], 0)


@pytest.mark.parametrize(
    "payload",
    [
        {"name": "张三"},
        {"text": "two words"},
        {"long": "x" * 65},
        {"f": 1.5},
        {"d": {"a": 1}},
        {"at": AT},
        {"b": b"x"},
    ],
)
def test_publish__anything_but_ids_and_numbers__refused(heard, payload):
    with pytest.raises(ValueError, match="ids and numbers"):
        publish(payload)

    assert OutboxDelivery.objects.count() == 0


def test_publish__from_other_sql__in_one_statement(heard):
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(
            "WITH told AS (SELECT outbox_publish_v1(%s, 'card.tapped', '{\"n\": 7}', %s, %s) AS n)"
            " SELECT n FROM told",
            [str(uuid.uuid4()), outbox.consumers_of("card.tapped"), AT],
        )
        assert cursor.fetchone() == (1,)

    assert deliver() == 1
    assert heard[0].payload == {"n": 7}


def test_deliver_due__not_yet_due__waits(heard):
    publish(at=AT + timedelta(seconds=1))

    assert deliver(0) == 0
    assert deliver(1) == 1


def test_deliver_due__one_fails__others_go_on_and_its_work_rolls_back():
    heard = []

    def fail(event):
        with connection.cursor() as cursor:
            cursor.execute("INSERT INTO common_seen VALUES ('x', %s)", [AT])
            cursor.execute("SELECT 1 / 0")

    outbox.subscribe("card.tapped", "broken", fail)
    outbox.subscribe("card.tapped", "fares", heard.append)
    publish()

    assert deliver() == 1

    assert len(heard) == 1
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM common_seen")
        assert cursor.fetchone() == (0,)
    row = OutboxDelivery.objects.get(consumer="broken")
    assert (row.state, row.attempts, row.error) == ("pending", 1, "DataError")
    assert row.due_at == AT + timedelta(seconds=10)


def test_deliver_due__fails_for_ever__dead_letter_after_ten():
    def fail(event):
        raise KeyError("a text which may name a person")

    outbox.subscribe("card.tapped", "broken", fail)
    publish()
    at, waits = AT, []
    while (row := OutboxDelivery.objects.get()).state == "pending":
        waits.append((row.due_at - at).total_seconds())
        at = row.due_at
        assert outbox.deliver_due(at=at) == 0

    assert waits == [0, 10, 20, 40, 80, 160, 320, 640, 1280, 2560]
    assert (row.state, row.attempts, row.error) == ("dead", 10, "KeyError")
    assert outbox.deliver_due(at=at + timedelta(days=1)) == 0
    backlog = outbox.backlog(at=at)
    assert (backlog.due, backlog.pending, backlog.dead) == (0, 0, 1)


def test_deliver_due__relay_killed_each_time__dead_letter_and_others_unharmed(heard, monkeypatch):
    class Killed(BaseException):
        """Nothing of the program runs after it, as with SIGKILL."""

    def kill(event):
        raise Killed

    outbox.subscribe("gate.opened", "killer", kill)
    publish(name="gate.opened")
    for _ in range(5):
        publish()
    at = AT
    for _ in range(12):
        try:
            outbox.deliver_due(at=at)
        except Killed:
            at += outbox.TAKEN_FOR

    assert len(heard) == 5
    row = OutboxDelivery.objects.get(consumer="killer")
    assert (row.state, row.error) == ("dead", "relay lost")
    assert max(OutboxDelivery.objects.exclude(pk=row.pk).values_list("attempts", flat=True)) <= 2


def test_deliver_due__calls_out__outside_of_any_transaction():
    seen = []
    outbox.subscribe(
        "card.tapped",
        "sms",
        lambda event: seen.append((event.attempt, connection.in_atomic_block)),
        calls_out=True,
    )
    publish()

    assert deliver() == 1
    assert deliver() == 0
    assert seen == [(1, False)]
    assert OutboxDelivery.objects.get().state == "delivered"


def test_deliver_due__calls_out_and_fails__tried_again():
    def fail_once(event):
        if event.attempt == 1:
            raise ConnectionResetError

    outbox.subscribe("card.tapped", "sms", fail_once, calls_out=True)
    publish()

    assert (deliver(0), deliver(9), deliver(10)) == (0, 0, 1)
    row = OutboxDelivery.objects.get()
    assert (row.state, row.attempts, row.error) == ("delivered", 2, "")


def test_deliver_due__time_is_up__the_rest_given_back(monkeypatch):
    heard = []

    def take_long(event):
        heard.append(event)
        time.sleep(0.3)

    monkeypatch.setattr(outbox, "RUN_FOR_S", 0.25)
    outbox.subscribe("card.tapped", "slow", take_long)
    for _ in range(3):
        publish()

    assert deliver() == 1

    rows = OutboxDelivery.objects.filter(state="pending")
    assert set(rows.values_list("attempts", "due_at")) == {(0, AT)}
    assert rows.count() == 3 - len(heard)


def test_deliver_due__task_out_of_time__run_ends_and_delivery_comes_again():
    def run_out_of_time(event):
        if event.attempt == 1:
            raise SoftTimeLimitExceeded

    outbox.subscribe("gate.opened", "slow", run_out_of_time)
    publish(name="gate.opened")

    with pytest.raises(SoftTimeLimitExceeded):
        deliver()

    assert deliver(64) == 0
    assert deliver(65) == 1


def test_deliver_due__taken_by_another_since__left_to_it(heard):
    publish()
    (taken,) = outbox._take(at=AT, is_fresh=True, limit=1)
    assert deliver(65) == 1

    assert outbox._deliver(taken, at=AT) is False

    assert len(heard) == 1


def test_deliver_due__consumer_gone__kept_for_its_return(heard, monkeypatch):
    publish()
    monkeypatch.setattr(outbox, "_subscriptions", {})

    assert deliver() == 0

    row = OutboxDelivery.objects.get()
    assert (row.state, row.error) == ("pending", "ConsumerGone")


def test_deliver_due__limit__kept(heard):
    for _ in range(45):
        publish()

    assert deliver(limit=30) == 30
    assert deliver(limit=30) == 15


def test_deliver_due__handler_publishes__delivered_too(heard):
    outbox.subscribe(
        "gate.opened", "presence", lambda event: outbox.publish("card.tapped", {"n": 1}, at=AT)
    )
    publish(name="gate.opened")

    assert deliver() == 2
    assert len(heard) == 1


def test_deliver_due__inside_a_transaction__refused():
    with transaction.atomic(), pytest.raises(RuntimeError):
        deliver()


def count_deliveries(relay):
    """How often each of 60 events was heard by the end of `relay`, run four times at once."""
    heard = Counter()
    lock = threading.Lock()

    def hear(event):
        time.sleep(0.001)
        with lock:
            heard[event.payload["n"]] += 1

    outbox.subscribe("card.tapped", "fares", hear)
    for number in range(60):
        publish({"n": number})

    results = together(4, relay)

    assert not [result for result in results if isinstance(result, Exception)]
    return heard


def test_deliver_due__four_relays_at_once__each_event_once():
    heard = count_deliveries(lambda _: deliver(limit=1000))

    assert heard == Counter(range(60))
    assert set(OutboxDelivery.objects.values_list("state", "attempts")) == {("delivered", 1)}


def test_deliver_due__guard_off__the_race_is_real(monkeypatch):
    """Relays which only look deliver twice, so the test above can fail."""
    looked = threading.Barrier(4)

    def look_and_hand_over(_):
        rows = list(OutboxDelivery.objects.filter(state="pending"))
        looked.wait(WAIT_S)
        for row in rows:
            handler = outbox._subscriptions[row.name][row.consumer].handler
            event = outbox.Event(
                id=row.event_id, name=row.name, payload=row.payload, published_at=AT, attempt=1
            )
            handler(event)

    assert set(count_deliveries(look_and_hand_over).values()) == {4}


def test_backlog__counts_and_oldest(heard):
    assert outbox.backlog(at=AT) == outbox.Backlog(due=0, pending=0, dead=0, oldest_s=0.0)
    publish()
    publish(at=AT + timedelta(seconds=60))

    with statements() as sent:
        backlog = outbox.backlog(at=AT + timedelta(seconds=30))

    assert backlog == outbox.Backlog(due=1, pending=2, dead=0, oldest_s=30.0)
    assert len(sent) == 1


def test_redeliver__dead_letter__tried_anew(heard, rings):
    publish()
    OutboxDelivery.objects.update(state="dead", attempts=10, error="KeyError")
    row_id = OutboxDelivery.objects.get().id
    rings.clear()

    outbox.redeliver(row_id, at=AT)

    assert rings == [1]
    assert deliver() == 1
    with pytest.raises(states.IllegalTransition):
        outbox.redeliver(row_id, at=AT)
    with pytest.raises(errors.NotFound):
        outbox.redeliver(0, at=AT)


def test_purge__delivered_a_week_ago__forgotten(heard):
    publish()
    deliver()
    publish()

    assert outbox.purge(at=AT + outbox.KEPT_FOR) == 0
    assert outbox.purge(at=AT + outbox.KEPT_FOR + timedelta(seconds=1)) == 1
    assert OutboxDelivery.objects.get().state == "pending"


def test_subscribe__same_consumer_twice__only_the_same_handler():
    def handler(event):
        pass

    outbox.subscribe("card.tapped", "fares", handler)
    outbox.subscribe("card.tapped", "fares", handler)
    with pytest.raises(ValueError, match="already"):
        outbox.subscribe("card.tapped", "fares", lambda event: None)
    with pytest.raises(ValueError, match="malformed"):
        outbox.subscribe("Card tapped", "fares", handler)

    assert outbox.consumers_of("card.tapped") == ["fares"]
    assert outbox.consumers_of("card.lost") == []
