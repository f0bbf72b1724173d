"""Tells the rest of the city what happened: events written with the work, delivered after it."""

import json
import re
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from celery.exceptions import SoftTimeLimitExceeded
from django.db import connection, transaction

from vpass.common import doorbell
from vpass.common.errors import NotFound
from vpass.common.observability import log
from vpass.common.states import OUTBOX_DELIVERY
from vpass.common.transactions import require_autocommit, require_transaction

MAX_ATTEMPTS = 10
FIRST_RETRY = timedelta(seconds=10)
LONGEST_RETRY = timedelta(hours=1)
# Longer than a task may run, so that only a delivery whose relay died is taken a second time.
TAKEN_FOR = timedelta(seconds=65)
BATCH = 20
RUN_FOR_S = 20.0
KEPT_FOR = timedelta(days=7)

TASK = "vpass.common.tasks.deliver_outbox"

_PURGE_ROWS = 10_000
_NAME = re.compile(r"[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)+")
_PLAIN = re.compile(r"[A-Za-z0-9._:+-]{0,64}", re.ASCII)


@dataclass(frozen=True, kw_only=True)
class Event:
    """What happened: `payload` holds ids and numbers; `attempt` counts the tries, from 1."""

    id: uuid.UUID
    name: str
    payload: dict[str, Any]
    published_at: datetime
    attempt: int


@dataclass(frozen=True, kw_only=True)
class Backlog:
    """How much is waiting: due deliveries, all undone ones, dead letters, and the longest wait."""

    due: int
    pending: int
    dead: int
    oldest_s: float


class ConsumerGone(Exception):
    """The consumer an event was written for has not subscribed in this program."""


Handler = Callable[[Event], None]


@dataclass(frozen=True)
class _Subscription:
    handler: Handler
    calls_out: bool


_subscriptions: dict[str, dict[str, _Subscription]] = {}


def subscribe(name: str, consumer: str, handler: Handler, *, calls_out: bool = False) -> None:
    """Has `handler` hear of every event `name` from now on; call it when an app gets ready.

    The handler reads what it needs by the ids of the payload. It may run twice. It runs inside the
    transaction that marks the delivery done and makes no network call; one that `calls_out` runs
    outside of any transaction instead. Raises ValueError for a second handler of one consumer.
    """
    if not _NAME.fullmatch(name):
        raise ValueError(f"malformed event name {name!r}")
    subscription = _Subscription(handler, calls_out)
    if _subscriptions.setdefault(name, {}).setdefault(consumer, subscription) != subscription:
        raise ValueError(f"{consumer} has subscribed to {name} already")


def consumers_of(name: str) -> list[str]:
    """The consumers of an event, in alphabetical order."""
    return sorted(_subscriptions.get(name, {}))


def publish(name: str, payload: Mapping[str, Any], *, at: datetime) -> uuid.UUID:
    """Writes the event in the caller's transaction, in one statement, and returns its id.

    Its consumers are woken after the commit. Without a consumer nothing is written. `payload` is
    flat: ids, codes (at most 64 letters, digits and ._:+-), whole numbers, or lists of these;
    anything else raises ValueError, so that no personal data travels.
    """
    require_transaction("an event")
    if not _NAME.fullmatch(name):
        raise ValueError(f"malformed event name {name!r}")
    text = json.dumps({key: _plain(value) for key, value in payload.items()})
    event_id = uuid.uuid4()
    if consumers := consumers_of(name):
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT outbox_publish_v1(%s, %s, %s, %s, %s)",
                [str(event_id), name, text, consumers, at],
            )
        ring_on_commit()
    return event_id


def ring_on_commit() -> None:
    """Wakes the relay once after the present transaction, for SQL that published by itself."""
    if not any(entry[1] is ring for entry in connection.run_on_commit):
        transaction.on_commit(ring)


def ring() -> None:
    """Wakes the relay; a sweeper finds what a lost ring left."""
    doorbell.ring(TASK)


def deliver_due(*, at: datetime, limit: int = 100) -> int:
    """Delivers up to `limit` events due at `at`, each in a transaction of its own.

    Any number of relays may run at once; each delivery is done by one of them. A handler that
    fails rolls back alone and is tried again after 10 s, 20 s, 40 s … 1 h; after 10 attempts it
    is a dead letter. Ends early after 20 s. Returns how many were delivered.
    """
    require_autocommit("delivery")
    end = time.monotonic() + RUN_FOR_S
    tried = delivered = 0
    while tried < limit:
        taken = _take(at=at, is_fresh=True, limit=min(BATCH, limit - tried))
        taken += _take(at=at, is_fresh=False, limit=1)
        if not taken:
            break
        for index, delivery in enumerate(taken):
            if time.monotonic() > end:
                _give_back(taken[index:], at=at)
                return delivered
            tried += 1
            delivered += _deliver(delivery, at=at)
    return delivered


def backlog(*, at: datetime) -> Backlog:
    """What is waiting at `at`, in one statement."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FILTER (WHERE state = 'pending' AND due_at <= %(at)s),"
            " count(*) FILTER (WHERE state = 'pending'), count(*) FILTER (WHERE state = 'dead'),"
            " min(published_at) FILTER (WHERE state = 'pending')"
            " FROM common_outbox WHERE state IN ('pending', 'dead')",
            {"at": at},
        )
        due, pending, dead, oldest = cursor.fetchone()
    oldest_s = max(0.0, (at - oldest).total_seconds()) if oldest else 0.0
    return Backlog(due=due, pending=pending, dead=dead, oldest_s=oldest_s)


def redeliver(delivery_id: int, *, at: datetime) -> None:
    """Gives a dead letter ten new attempts, from `at`.

    Raises NotFound, and states.IllegalTransition unless it is dead.
    """
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT state FROM common_outbox WHERE id = %s FOR UPDATE", [delivery_id])
        row = cursor.fetchone()
        if row is None:
            raise NotFound
        OUTBOX_DELIVERY.check(row[0], "pending")
        cursor.execute(
            "UPDATE common_outbox SET state = 'pending', attempts = 0, due_at = %s, error = ''"
            " WHERE id = %s",
            [at, delivery_id],
        )
        ring_on_commit()


def purge(*, at: datetime) -> int:
    """Forgets what was delivered more than 7 days ago, a bounded number at a time."""
    with connection.cursor() as cursor:
        cursor.execute(
            "DELETE FROM common_outbox WHERE id IN (SELECT id FROM common_outbox"
            " WHERE state = 'delivered' AND done_at < %s ORDER BY done_at LIMIT %s)",
            [at - KEPT_FOR, _PURGE_ROWS],
        )
        return int(cursor.rowcount)


@dataclass(frozen=True)
class _Taken:
    """A delivery which is this relay's until `TAKEN_FOR` is over."""

    row_id: int
    consumer: str
    event: Event


def _take(*, at: datetime, is_fresh: bool, limit: int) -> list[_Taken]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT id, attempts, event_id, name, consumer, payload::text, published_at"
            " FROM outbox_take_v1(%s, %s, %s, %s, %s)",
            [is_fresh, limit, MAX_ATTEMPTS, at, at + TAKEN_FOR],
        )
        return [
            _Taken(
                row_id=row_id,
                consumer=consumer,
                event=Event(
                    id=event_id,
                    name=name,
                    payload=json.loads(text),
                    published_at=published_at,
                    attempt=attempts,
                ),
            )
            for row_id, attempts, event_id, name, consumer, text, published_at in cursor.fetchall()
        ]


def _give_back(untried: list[_Taken], *, at: datetime) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE common_outbox SET attempts = attempts - 1, due_at = %s"
            " WHERE id = ANY(%s) AND state = 'pending' AND due_at = %s",
            [at, [taken.row_id for taken in untried], at + TAKEN_FOR],
        )


def _deliver(taken: _Taken, *, at: datetime) -> bool:
    subscription = _subscriptions.get(taken.event.name, {}).get(taken.consumer)
    try:
        if subscription is None:
            raise ConsumerGone
        if subscription.calls_out:
            subscription.handler(taken.event)
            return _mark_delivered(taken, at=at)
        with transaction.atomic():
            # Marked first: it locks the row, and whoever took it since would wait or be told.
            is_ours = _mark_delivered(taken, at=at)
            if is_ours:
                subscription.handler(taken.event)
            return is_ours
    except SoftTimeLimitExceeded:
        raise
    except Exception as error:  # noqa: BLE001  whatever a handler does, the others go on
        _note_failure(taken, error, at=at)
        return False


def _mark_delivered(taken: _Taken, *, at: datetime) -> bool:
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE common_outbox SET state = 'delivered', done_at = %s, error = ''"
            " WHERE id = %s AND state = 'pending' AND attempts = %s",
            [at, taken.row_id, taken.event.attempt],
        )
        return bool(cursor.rowcount == 1)


def _note_failure(taken: _Taken, error: Exception, *, at: datetime) -> None:
    event = taken.event
    state = "dead" if event.attempt >= MAX_ATTEMPTS else "pending"
    wait = min(FIRST_RETRY * 2 ** (event.attempt - 1), LONGEST_RETRY)
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE common_outbox SET state = %s, due_at = %s, error = %s"
            " WHERE id = %s AND state = 'pending' AND attempts = %s",
            [state, at + wait, type(error).__name__, taken.row_id, event.attempt],
        )
    log.warning(
        "delivery_failed",
        name=event.name,
        consumer=taken.consumer,
        event_id=str(event.id),
        attempt=event.attempt,
        state=state,
        exc_info=error,
    )


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, uuid.UUID):
        return str(value)
    if isinstance(value, str) and _PLAIN.fullmatch(value):
        return value
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value if not isinstance(item, list | tuple)]
    raise ValueError(f"an event carries ids and numbers only, not {type(value).__name__}")
