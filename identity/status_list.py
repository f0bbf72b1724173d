"""Publishes which grants are withdrawn or blocked, as signed lists for scanners without network.

A grant's status index names its list and its place in it: list = index >> 20. A list holds grants
that all expire on one day (UTC), so it is dropped whole when that day is over. Places are drawn by
chance, so that neighbours in a list have nothing to do with one another.
"""

import secrets
import uuid
from collections.abc import Iterable
from datetime import date, datetime, timedelta
from hashlib import sha256
from typing import Final

from django.conf import settings
from django.db import connection, transaction

from identity import keys, queries, status_format
from identity.code_claims import SCENES
from identity.models import Grant, StatusEntry, StatusShard
from vpass.common import clock, outbox
from vpass.common.errors import DomainError, NotFound
from vpass.common.outbox import Event

# A day has room for sixteen lists, so that the city can have more of them without renumbering; the
# 4096 numbers come round after 256 days. Four hold four million grants.
LISTS_A_DAY: Final = 4
_ROOM_A_DAY: Final = 16
_NUMBERS: Final = 4096

LIVES = timedelta(hours=24)
TTL = timedelta(seconds=300)
SIGN_EVERY = timedelta(seconds=240)  # so that what a scanner fetches is never older than `TTL`
DAYS_PUBLISHED: Final = 3  # today's, tomorrow's for grants of today, and the next day's to come

LISTS_PATH = "/.well-known/vpass-status/"
STATUS_CHANGED = "identity.status_changed"

_BY_SCENES: Final = {
    0: status_format.VALID,
    SCENES["pay"]: status_format.NO_PAY,
    SCENES["bus"]: status_format.NO_BUS,
    SCENES["door"]: status_format.NO_DOOR,
    SCENES["pay"] | SCENES["bus"]: status_format.NO_PAY_NO_BUS,
}


class ListsFull(DomainError):
    """The day's status lists have no room for another grant; try again."""

    code = "grant.lists_full"
    status = 503
    title_zh = "当日状态列表已满，请稍后再试"


def numbers_of(day: date) -> list[int]:
    """Return the numbers of the lists for grants that expire on a day (UTC)."""
    first = day.toordinal() * _ROOM_A_DAY
    return [(first + place) % _NUMBERS for place in range(LISTS_A_DAY)]


def draw_index(*, expires_at: datetime) -> int:
    """Return a place by chance for a grant that expires then; another grant may have it already."""
    number = secrets.choice(numbers_of(expires_at.date()))
    return number << 20 | secrets.randbelow(status_format.ENTRIES)


def address_of(number: int) -> str:
    """Return the address at which a list is published."""
    return f"{settings.PUBLIC_URL}{LISTS_PATH}{number}"


def status_of(grant: Grant) -> int:
    """Return the value of a grant's place; the list may block more than we do, never less.

    Two blocked scenes for which there is no value of their own leave the ID only; so does a grant
    under a delegation, of whose terms the list can say nothing. Its phone is another person's, who
    must not be blocked either.
    """
    resident, owner = grant.resident, grant.device.resident
    is_over = grant.ended_at is not None or grant.device.state != "active"
    if is_over or resident.state == "closed":
        return status_format.REVOKED
    if resident.state == "suspended" or owner.state != "active":
        return status_format.SUSPENDED
    if grant.delegation_id is not None:
        return status_format.ID_ONLY
    return _BY_SCENES.get(resident.suspended_scenes, status_format.ID_ONLY)


def refresh(*, resident_id: uuid.UUID, at: datetime) -> None:
    """Bring the places of a person's living grants up to date, in the caller's transaction.

    With those on the person's phones that speak for another. The caller has locked the resident's
    row, under which grants are issued too: so no grant can slip past. The lists that change are
    signed anew after the commit.
    """
    refresh_locked(queries.lock_live_grants(resident_id=resident_id, at=at), at=at)


def refresh_locked(handles: list[bytes], *, at: datetime) -> None:
    """Bring the places of these grants up to date; see `refresh`. The caller has locked them.

    A grant under a delegation hangs on two persons: who comes second sees what the first wrote.
    """
    found = Grant.objects.select_related("resident", "device__resident").filter(
        handle__in=handles, expires_at__gt=at, status_index__isnull=False
    )
    wanted = {int(grant.status_index or 0): status_of(grant) for grant in found}
    known = dict(StatusEntry.objects.filter(index__in=wanted).values_list("index", "value"))
    changed = {
        index: value
        for index, value in wanted.items()
        if known.get(index, status_format.VALID) != value
    }
    if not changed:
        return
    StatusEntry.objects.bulk_create(
        [StatusEntry(index=index, value=value) for index, value in changed.items() if value],
        update_conflicts=True,
        unique_fields=["index"],
        update_fields=["value"],
    )
    StatusEntry.objects.filter(
        index__in=[index for index, value in changed.items() if not value]
    ).delete()
    lists = sorted({index >> 20 for index in changed})
    outbox.publish(STATUS_CHANGED, {"lists": lists}, at=at)


def sign_changed(event: Event) -> None:
    """Sign the lists anew in which something changed: an outbox consumer, safe to run twice."""
    at = clock.now()
    days = {number: day for day in _published_days(at) for number in numbers_of(day)}
    for number in event.payload["lists"]:
        if number in days:
            _sign(number, days[number], at=at)


def sign_due(*, at: datetime) -> int:
    """Sign the lists that are missing or too old, and drop those of past days.

    Returns how many were signed. What a lost event left is found too, since each list is read
    again when its time is up.
    """
    due = 0
    fresh = set(
        StatusShard.objects.filter(issued_at__gt=at - SIGN_EVERY).values_list("number", flat=True)
    )
    for day in _published_days(at):
        for number in numbers_of(day):
            if number not in fresh:
                with transaction.atomic():
                    _sign(number, day, at=at)
                due += 1
    _drop_past(at.date())
    return due


def find_list(*, number: int, at: datetime) -> StatusShard:
    """Return a published list; one that is past, or not yet to come, raises NotFound."""
    shard = StatusShard.objects.filter(number=number, expires_on__gte=at.date()).first()
    if shard is None:
        raise NotFound
    return shard


def published_lists(*, at: datetime) -> list[tuple[int, bytes]]:
    """Return the number and the digest of the signed bytes of each published list."""
    shards = StatusShard.objects.filter(expires_on__gte=at.date()).order_by("expires_on", "number")
    return [
        (number, sha256(bytes(token)).digest())
        for number, token in shards.values_list("number", "token")
    ]


def _published_days(at: datetime) -> list[date]:
    return [at.date() + timedelta(days=ahead) for ahead in range(DAYS_PUBLISHED)]


def _sign(number: int, day: date, *, at: datetime) -> None:
    """Read a list's places and sign it; packing is saved when nothing has changed."""
    with connection.cursor() as cursor:
        # Held until the commit, so that what is read after it is what the last one left.
        cursor.execute(
            "SELECT pg_advisory_xact_lock(hashtext('identity.status_list'), %s)", [number]
        )
    first = number << 20
    entries = list(
        StatusEntry.objects.filter(index__gte=first, index__lt=first + status_format.ENTRIES)
        .order_by("index")
        .values_list("index", "value")
    )
    digest = _digest(entries)
    shard = StatusShard.objects.filter(number=number, expires_on=day).first()
    if shard is not None and bytes(shard.digest) == digest:
        lst = bytes(shard.lst)
    else:
        lst = status_format.pack((index - first, value) for index, value in entries)
    signer = keys.current_signer(at=at)
    issued_at = int(at.timestamp())
    token = status_format.encode_list(
        lst,
        subject=address_of(number),
        issued_at=issued_at,
        expires_at=issued_at + int(LIVES.total_seconds()),
        ttl_s=int(TTL.total_seconds()),
        kid=signer.key_id,
        private=signer.private,
    )
    StatusShard.objects.update_or_create(
        number=number,
        defaults={
            "expires_on": day,
            "digest": digest,
            "lst": lst,
            "token": token,
            "issued_at": at,
        },
    )


def _digest(entries: Iterable[tuple[int, int]]) -> bytes:
    return sha256(b"".join(index.to_bytes(5) + bytes([value]) for index, value in entries)).digest()


@transaction.atomic
def _drop_past(today: date) -> None:
    for number in StatusShard.objects.filter(expires_on__lt=today).values_list("number", flat=True):
        first = number << 20
        StatusEntry.objects.filter(
            index__gte=first, index__lt=first + status_format.ENTRIES
        ).delete()
        StatusShard.objects.filter(number=number, expires_on__lt=today).delete()
