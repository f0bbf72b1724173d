"""Brings a bay's sessions in line with its events, and settles the ones that are over."""

import uuid
from collections.abc import Sequence
from datetime import datetime, timedelta

from django.conf import settings
from django.db import DatabaseError, connection, transaction
from django.db.models import Q

from identity.models import StateChange
from payments import charges
from services.iot import intake, partitions, states
from services.iot.applications.parking.stays import (
    OCCUPIED_SQL,
    SERVICE,
    Stay,
    claims_by_stay,
    fee_fen,
    stays_in,
)
from services.iot.models import ParkingBay, ParkingClaim, ParkingSession
from vpass.common import clock, outbox
from vpass.common.errors import DomainError, NotFound
from vpass.common.ids import uuid7
from vpass.common.observability import log

REFERENCE = "parking:"
CHARGE_FOLLOWED = {charges.CHARGE_PAID: "paid", charges.CHARGE_CANCELLED: "waived"}
CLAIM_WITHIN = timedelta(days=7)
ACTOR = "iot.parking"

_LOOSE = ("open", "ended")

_SAID = f"""
SELECT event_time, is_occupied FROM (
    SELECT event_time, is_occupied,
        lag(is_occupied) OVER (ORDER BY event_time, is_occupied) AS before
    FROM (
        SELECT event_time, {OCCUPIED_SQL} AS is_occupied FROM iot_event
        WHERE device_id = %(device)s AND service = %(service)s AND event_time >= %(since)s
    ) read WHERE is_occupied IS NOT NULL
) said WHERE before IS DISTINCT FROM is_occupied
"""  # noqa: S608  a constant


def follow_bay(event: outbox.Event) -> None:
    """Hear that a bay's sensor has spoken."""
    at = clock.now()
    follow(uuid.UUID(event.payload["bay"]), settled_before=settled_before(at), at=at)


def follow_charge(event: outbox.Event) -> None:
    """Hear that a stay that was left unpaid has been paid, or is asked for no more."""
    reference = event.payload["reference"]
    if not reference.startswith(REFERENCE):
        return
    with transaction.atomic():
        session = (
            ParkingSession.objects.select_for_update(no_key=True)
            .filter(id=uuid.UUID(reference.removeprefix(REFERENCE)), state="due")
            .first()
        )
        if session is not None:
            change(session, CHARGE_FOLLOWED[event.name], at=event.published_at)


def settled_before(at: datetime) -> datetime:
    """Before which moment a stay has to have ended to be settled: long enough ago for late
    readings to have come, while none that old waits unread."""
    waiting = intake.oldest_waiting()
    known_up_to = at if waiting is None else min(at, waiting)
    return known_up_to - timedelta(seconds=settings.PARKING_SETTLE_AFTER_S)


def follow(bay_id: uuid.UUID, *, settled_before: datetime, at: datetime) -> None:
    """Derive a bay's sessions from its events anew, and settle those that ended before a moment.

    Safe to run any number of times, and at once.
    """
    since = at - partitions.PAST
    with transaction.atomic():
        bay = lock_bay(Q(id=bay_id))
        rows = list(
            ParkingSession.objects.select_related("claim")
            .filter(bay=bay)
            .filter(Q(state__in=_LOOSE) | Q(ended_at__gte=since))
            .order_by("started_at")
        )
        loose = [row for row in rows if row.state in _LOOSE]
        fixed = [row for row in rows if row.state not in _LOOSE]
        # What such a session began with may be older than the events that are kept.
        begun = [(row.started_at, True) for row in loose if row.started_at < since]
        stays = stays_in(begun + _said_by(bay, since=since))
        for row in fixed:
            if row.started_at >= since:
                _state_late_change(row, stays, bay, at=at)
        owned = zip(stays, claims_by_stay(stays, _claims_of(bay)), strict=True)
        fresh = [pair for pair in owned if not any(_stay(row).overlaps(pair[0]) for row in fixed)]
        for row in _fit(bay, fresh, loose, at=at):
            if row.ended_at is not None and row.ended_at < settled_before:
                _settle(row, bay, at=at)


def settle_due(*, at: datetime, limit: int = 500) -> int:
    """Settle what ended long enough ago, and let go what nobody claimed in time.

    Returns how many bays and sessions that were. Safe to run twice.
    """
    before = settled_before(at)
    due = ParkingSession.objects.filter(state="ended", ended_at__lt=before)
    bays = list(due.values_list("bay_id", flat=True).distinct()[:limit])
    for bay_id in bays:
        try:
            follow(bay_id, settled_before=before, at=at)
        except DomainError as error:  # one bay's trouble is not the others'
            log.error("parking_not_settled", code=error.code)
        except DatabaseError as error:
            log.error("parking_not_settled", exc_info=error)
    with transaction.atomic():
        unclaimed = list(
            ParkingSession.objects.select_for_update(skip_locked=True, no_key=True)
            .filter(state="unclaimed", ended_at__lt=at - CLAIM_WITHIN)
            .order_by("ended_at", "id")[:limit]
        )
        for row in unclaimed:
            change(row, "lapsed", at=at)
    return len(bays) + len(unclaimed)


def lock_bay(which: Q) -> ParkingBay:
    """A bay with its tariff, whose sessions nobody else changes before we commit, but for noting
    that one was paid. Raises NotFound."""
    bay = (
        ParkingBay.objects.select_for_update(of=("self",), no_key=True)
        .select_related("tariff")
        .filter(which)
        .first()
    )
    if bay is None:
        raise NotFound
    return bay


def charge(row: ParkingSession, bay: ParkingBay, *, resident_id: uuid.UUID, at: datetime) -> str:
    """Charge a settled fee, once, and return the state that leads to.

    Raises what charges.charge raises.
    """
    if row.fee_fen is None:
        raise ValueError("a stay is settled before it is charged")
    charged = charges.charge(
        payer_id=resident_id,
        organisation_id=bay.operator_id,
        amount_fen=row.fee_fen,
        title=f"停车 Parking {bay.code}",
        reference=f"{REFERENCE}{row.id}",
        at=at,
    )
    row.charge_id = uuid.UUID(charged.id)
    return charged.state


def change(row: ParkingSession, to_state: str, *, at: datetime, fields: Sequence[str] = ()) -> None:
    """Move a locked session on, save these fields with it, and write that down.

    Raises states.IllegalTransition.
    """
    from_state, row.state = row.state, to_state
    _note(row, from_state, at=at)
    row.save(update_fields=["state", *fields])


def _said_by(bay: ParkingBay, *, since: datetime) -> list[tuple[datetime, bool]]:
    """What the sensor said, without what only repeats the word before."""
    with connection.cursor() as cursor:
        cursor.execute(_SAID, {"device": bay.device_id, "service": SERVICE, "since": since})
        return cursor.fetchall()


def _claims_of(bay: ParkingBay) -> list[ParkingClaim]:
    """The claims of what is not settled yet."""
    is_loose = Q(parkingsession__isnull=True) | Q(parkingsession__state__in=_LOOSE)
    return list(ParkingClaim.objects.filter(is_loose, bay=bay))


def _state_late_change(
    row: ParkingSession, stays: Sequence[Stay], bay: ParkingBay, *, at: datetime
) -> None:
    """Write beside a settled fee by how much readings that came too late would change it."""
    parts = [stay for stay in stays if stay.overlaps(_stay(row))]
    would_be = sum(fee_fen((each.ended_at or at) - each.started_at, bay.tariff) for each in parts)
    late_change_fen = would_be - (row.fee_fen or 0) if parts else 0
    if late_change_fen != row.late_change_fen:
        row.late_change_fen = late_change_fen
        row.save(update_fields=["late_change_fen"])
        log.warning("parking_changed_late", state=row.state)


def _fit(
    bay: ParkingBay,
    owned: Sequence[tuple[Stay, ParkingClaim | None]],
    loose: Sequence[ParkingSession],
    *,
    at: datetime,
) -> list[ParkingSession]:
    """Bring unsettled rows in line with the stays: a row goes with its claim, or else with the
    first stay that it overlaps. A stay without one gets a row that was left over, or a new one."""
    standing = {claim.id for _, claim in owned if claim is not None}
    by_claim = {row.claim_id: row for row in loose if row.claim_id in standing}
    unused = [row for row in loose if row.claim_id not in standing]
    known: list[tuple[ParkingSession, Stay, ParkingClaim | None]] = []
    new: list[tuple[Stay, ParkingClaim | None]] = []
    for stay, claim in owned:
        row = by_claim.get(claim.id) if claim is not None else None
        if row is None:
            row = next((each for each in unused if _stay(each).overlaps(stay)), None)
            unused = [each for each in unused if each is not row]
        if row is None:
            new.append((stay, claim))
        else:
            known.append((row, stay, claim))
    pairs = min(len(unused), len(new))
    known += [(row, *pair) for row, pair in zip(unused[:pairs], new[:pairs], strict=True)]
    # What is over comes first, so that no two are open at once.
    for row, stay, claim in sorted(known, key=lambda each: each[1].ended_at is None):
        _move(row, stay, claim, at=at)
    return [row for row, *_ in known] + [_open(bay, *pair, at=at) for pair in new[pairs:]]


def _move(row: ParkingSession, stay: Stay, claim: ParkingClaim | None, *, at: datetime) -> None:
    before = (_stay(row), row.claim)
    row.started_at, row.ended_at = stay
    row.claim = claim
    fields = ["started_at", "ended_at", "claim"]
    if row.state == "open" and row.ended_at is not None:
        change(row, "ended", at=at, fields=fields)
    elif row.state == "ended" and row.ended_at is None:
        change(row, "open", at=at, fields=fields)
    elif before != (stay, claim):
        row.save(update_fields=fields)


def _open(
    bay: ParkingBay, stay: Stay, claim: ParkingClaim | None, *, at: datetime
) -> ParkingSession:
    row = ParkingSession(id=uuid7(at), bay=bay, claim=claim, **stay._asdict())
    if row.ended_at is not None:
        row.state = "ended"
        _note(row, states.PARKING_SESSION.initial, at=at)
    row.save(force_insert=True)
    return row


def _settle(row: ParkingSession, bay: ParkingBay, *, at: datetime) -> None:
    if row.ended_at is None:
        raise ValueError("a stay is over before it is settled")
    row.fee_fen = fee_fen(row.ended_at - row.started_at, bay.tariff)
    to_state = "unclaimed"
    if row.fee_fen == 0:
        to_state = "no_fee"
    elif row.claim is not None:
        to_state = charge(row, bay, resident_id=row.claim.resident_id, at=at)
    change(row, to_state, at=at, fields=["fee_fen", "charge_id"])


def _note(row: ParkingSession, from_state: str, *, at: datetime) -> None:
    table = states.PARKING_SESSION
    StateChange.objects.create(
        object_kind=table.name,
        object_id=str(row.id),
        from_state=from_state,
        to_state=row.state,
        event=table.event(from_state, row.state),
        actor=ACTOR,
        at=at,
    )


def _stay(row: ParkingSession) -> Stay:
    return Stay(row.started_at, row.ended_at)
