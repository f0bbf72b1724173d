"""Empties the inbox, shard by shard: reads, tells redeliveries apart, and has everybody hear."""

import gc
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

from celery.exceptions import SoftTimeLimitExceeded
from django.conf import settings
from django.db import (
    DatabaseError,
    InterfaceError,
    OperationalError,
    connection,
    transaction,
)

from services.iot import partitions, twins
from services.iot.applications import CITY_APPLICATIONS
from services.iot.city_application import Heard
from services.iot.dialects import DIALECTS, Dialect
from services.iot.messages import (
    DeviceTold,
    Reading,
    Unreadable,
    canonical,
    key_of,
    microseconds,
    read_body,
)
from services.iot.models import DeadLetter, Device, Quarantined
from vpass.common.api.problems import is_passing
from vpass.common.observability import log

BATCH = 4_000
BATCH_BYTES = 1024 * 1024  # a message alone may be larger
LOCK_CLASS = 22098

_LOCKED = "55P03"  # the database's time-out of waiting for a lock
_TOO_SLOW = "57014"  # the database's time-out of a statement

_TAKE = """
DELETE FROM iot_inbox WHERE shard = %(shard)s AND id = ANY (ARRAY(
    SELECT id FROM (
        SELECT id, sum(size) OVER (ORDER BY id) - size AS bytes_before FROM (
            SELECT id, length(body) AS size FROM iot_inbox WHERE shard = %(shard)s
            ORDER BY id LIMIT %(limit)s
        ) first
    ) counted WHERE bytes_before < %(limit_bytes)s
)) RETURNING id, source, received_at, body
"""
_KNOWN_DEVICES = """
SELECT d.source, d.external_id, d.id FROM iot_device d
WHERE d.external_id = ANY (%(names)s) AND d.source = ANY (%(sources)s)
"""
_NEW_DEVICES = """
WITH made AS (
    INSERT INTO iot_device (source, external_id, info, heard_at)
    SELECT *, '{}', %(at)s FROM unnest(%(sources)s::text[], %(names)s::text[])
    ON CONFLICT (source, external_id) DO NOTHING RETURNING id
)
INSERT INTO iot_twin (device_id, reported, version) SELECT id, '{}', 0 FROM made
"""
# The keys are one after the other in a single bytea, the props in one JSON array.
_WRITE_EVENTS = """
INSERT INTO iot_event (key, event_time, device_id, service, props, received_at)
SELECT substring(%(keys)s::bytea FROM n::integer * 32 - 31 FOR 32),
    'epoch'::timestamptz + moment * interval '1 microsecond', device,
    (%(services)s::text[])[service], props,
    'epoch'::timestamptz + received * interval '1 microsecond'
FROM ROWS FROM (
    unnest(%(moments)s::bigint[]), unnest(%(devices)s::bigint[]),
    unnest(%(service_numbers)s::integer[]), unnest(%(received)s::bigint[]),
    jsonb_array_elements(%(props)s::jsonb)
) WITH ORDINALITY AS e (moment, device, service, received, props, n)
ON CONFLICT DO NOTHING RETURNING key
"""


class _Row(NamedTuple):
    """A message as it lies in the inbox."""

    id: int
    source: str
    received_at: datetime
    body: bytes


class _Event(NamedTuple):
    """A reading with its key and where it came from."""

    key: bytes
    source: str
    received_at: datetime
    reading: Reading
    props: bytes  # canonical

    @property
    def name(self) -> tuple[str, str]:
        return self.source, self.reading.device


@dataclass
class _Batch:
    """What a number of messages come to."""

    events: dict[bytes, _Event] = field(default_factory=dict)
    impossible: list[_Event] = field(default_factory=list)
    told: list[tuple[str, DeviceTold]] = field(default_factory=list)
    dead: list[tuple[_Row, str]] = field(default_factory=list)


class _Poisoned(Exception):
    """At least one of the messages cannot be stored, although it could be read, or not so many."""


def drain(*, shard: int, at: datetime, limit: int = BATCH) -> int:
    """Take in up to `limit` messages of a shard, in the order they came, and return how many;
    fewer when they are large, so that a batch fits into memory.

    0 also while another drains this shard. Safe to run twice, at once, or to be killed: messages
    leave the inbox in the transaction that writes what they say. What cannot be read, or alone
    not be written in time, becomes a dead letter, what has an impossible time is quarantined, and
    neither holds up the rest.
    """
    _ensure_days(at=at)
    while True:
        try:
            with _no_collection(), transaction.atomic():
                rows = _take(shard, limit)
                if rows:
                    _work(rows, at=at)
            return len(rows)
        except _Poisoned as error:
            if len(rows) == 1:
                log.warning("message_poisoned", exc_info=error.__cause__)
                return _bury_first(rows[0], shard)
            # Anew with half: what is sound commits, until the poisoned one is the first alone.
            limit = len(rows) // 2


@contextmanager
def _no_collection() -> Iterator[None]:
    """A batch makes tens of thousands of objects and no cycles: looking for some among all that
    the program holds, time and again, took a fifth of the time."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _ensure_days(*, at: datetime) -> None:
    try:
        partitions.ensure(at=at)
    except OperationalError as error:
        # Somebody reads the events for long: the coming days can wait, and are asked for again.
        if getattr(error.__cause__, "pgcode", None) != _LOCKED or not partitions.has_day(at):
            raise
        log.warning("days_not_made", exc_info=error)


def _bury_first(row: _Row, shard: int) -> int:
    with transaction.atomic():
        if _take(shard, 1) == [row]:
            _bury([(row, "not_storable")])
            return 1
        transaction.set_rollback(True)  # another has been here meanwhile
    return 0


def _take(shard: int, limit: int) -> list[_Row]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(%s, %s)", [LOCK_CLASS, shard])
        if not cursor.fetchone()[0]:
            return []
        cursor.execute(_TAKE, {"shard": shard, "limit": limit, "limit_bytes": BATCH_BYTES})
        return [
            _Row(id_, source, received_at, bytes(body))
            for id_, source, received_at, body in sorted(cursor.fetchall())
        ]


def _work(rows: Sequence[_Row], *, at: datetime) -> None:
    batch = _read(rows, at=at)
    try:
        _write(batch, at=at)
    except SoftTimeLimitExceeded:
        raise
    except (DatabaseError, InterfaceError) as error:
        state = getattr(error.__cause__, "pgcode", None)
        # A connection that ended, for it was idle too long or the server went, leaves no state.
        is_too_much = state == _TOO_SLOW or (len(rows) > 1 and state in (None, "25P03"))
        if is_passing(error) and not is_too_much:
            raise
        raise _Poisoned from error
    except ValueError as error:  # a text that the driver cannot even send
        raise _Poisoned from error


# Reading


def _read(rows: Sequence[_Row], *, at: datetime) -> _Batch:
    batch = _Batch()
    dialects = {
        source: DIALECTS[kind]
        for source, (kind, _) in settings.SECRETS.iot_sources.items()
        if kind in DIALECTS
    }
    for row in rows:
        try:
            if row.source not in dialects:
                raise Unreadable("source")
            _read_one(row, dialects[row.source], batch, at=at)
        except Unreadable as error:
            batch.dead.append((row, error.reason))
        except SoftTimeLimitExceeded:
            raise
        except Exception as error:  # noqa: BLE001  whatever one message does, the others go on
            log.error("message_not_understood", exc_info=error)
            batch.dead.append((row, "not_understood"))
    return batch


def _read_one(row: _Row, dialect: Dialect, batch: _Batch, *, at: datetime) -> None:
    events: list[_Event] = []
    told: list[tuple[str, DeviceTold]] = []
    for said in dialect(read_body(row.body)):
        if isinstance(said, Reading):
            props = canonical(said.props)
            key = key_of(row.source, said, props)
            events.append(_Event(key, row.source, row.received_at, said, props))
        else:
            told.append((row.source, said))
    # Only now: a message is taken in whole or not at all.
    batch.told += told
    # A message may have waited; its older days are kept for one day more and gone then.
    earliest = max(row.received_at, at - partitions.KEPT_LONGER) - partitions.PAST
    latest = row.received_at + partitions.FUTURE
    for event in events:
        if earliest <= event.reading.event_time <= latest:
            batch.events.setdefault(event.key, event)
        else:
            batch.impossible.append(event)


# Writing


def _write(batch: _Batch, *, at: datetime) -> None:
    if batch.dead:
        _bury(batch.dead)
    if batch.impossible:
        _quarantine(batch.impossible)
    names = {event.name for event in batch.events.values()}
    names |= {(source, told.device) for source, told in batch.told}
    devices = _devices(names, at=at) if names else {}
    for source, told in batch.told:
        Device.objects.filter(id=devices[source, told.device]).update(info=told.info)
    if batch.events:
        heard = _write_events(batch.events, devices)
        if heard:
            twins.advance(heard)
        _tell_applications(heard, at=at)


def _devices(names: set[tuple[str, str]], *, at: datetime) -> dict[tuple[str, str], int]:
    """The ids of devices; one that was never heard before is written down with an empty twin."""
    found = _known_devices(names)
    if missing := sorted(names - found.keys()):
        sources, external_ids = map(list, zip(*missing, strict=True))
        with connection.cursor() as cursor:
            cursor.execute(_NEW_DEVICES, {"sources": sources, "names": external_ids, "at": at})
        found |= _known_devices(set(missing))
    return found


def _known_devices(names: set[tuple[str, str]]) -> dict[tuple[str, str], int]:
    asked = {
        "sources": sorted({source for source, _ in names}),
        "names": [external_id for _, external_id in names],
    }
    with connection.cursor() as cursor:
        cursor.execute(_KNOWN_DEVICES, asked)
        return {(source, name): id_ for source, name, id_ in cursor.fetchall()}


def _write_events(events: dict[bytes, _Event], devices: dict[tuple[str, str], int]) -> list[Heard]:
    """Write what was never heard before, in one statement; returns exactly that."""
    # In the index's order: quickest, and two writers of the same cannot wait for each other.
    written = sorted(events.values(), key=lambda event: (event.reading.event_time, event.key))
    names = sorted({event.reading.service for event in written})
    services = {name: number for number, name in enumerate(names, start=1)}
    values: dict[str, Any] = {
        "keys": b"".join(event.key for event in written),
        "moments": _numbers(microseconds(event.reading.event_time) for event in written),
        "devices": _numbers(devices[event.name] for event in written),
        "services": names,
        "service_numbers": _numbers(services[event.reading.service] for event in written),
        "received": _numbers(microseconds(event.received_at) for event in written),
        "props": (b"[%b]" % b",".join(event.props for event in written)).decode(),
    }
    with connection.cursor() as cursor:
        cursor.execute(_WRITE_EVENTS, values)
        if cursor.rowcount < len(written):
            written = [events[bytes(key)] for (key,) in cursor.fetchall()]
    return [
        Heard(devices[source, device], service, event_time, props)
        for _, source, _, (device, service, event_time, _, props), _ in written
    ]


def _tell_applications(heard: Sequence[Heard], *, at: datetime) -> None:
    for application in CITY_APPLICATIONS.values():
        if wanted := [each for each in heard if each.service in application.services]:
            application.on_readings(wanted, at)


def _quarantine(events: Sequence[_Event]) -> None:
    Quarantined.objects.bulk_create(
        [
            Quarantined(
                key=event.key,
                source=event.source,
                device=event.reading.device,
                service=event.reading.service,
                event_time=event.reading.event_time,
                props=event.reading.props,
                received_at=event.received_at,
            )
            for event in events
        ],
        ignore_conflicts=True,
    )
    log.warning("events_quarantined", count=len(events))


def _bury(dead: Sequence[tuple[_Row, str]]) -> None:
    DeadLetter.objects.bulk_create(
        DeadLetter(source=row.source, received_at=row.received_at, body=row.body, reason=reason)
        for row, reason in dead
    )
    log.warning("messages_dead", count=len(dead), reason=dead[0][1])


def _numbers(values: Iterable[int]) -> str:
    """A PostgreSQL array, in one text."""
    return "{" + ",".join(map(str, values)) + "}"
