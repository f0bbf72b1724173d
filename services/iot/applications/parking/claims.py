"""A resident says "this is my car", and reads what it costs. Nobody else learns who parks."""

import uuid
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta

from django.db.models import F, Q, QuerySet

from services.iot.applications.parking.sessions import CLAIM_WITHIN, change, charge, lock_bay
from services.iot.applications.parking.stays import fee_fen
from services.iot.models import ParkingBay, ParkingClaim, ParkingSession
from vpass.common.callers import Caller, required
from vpass.common.errors import Conflict, NotFound
from vpass.common.idempotency import IdempotencyKey, once

# Who does not say when they parked means a car that is there, or has left no longer than this ago.
JUST_LEFT = timedelta(minutes=15)

_CLAIMABLE = ("open", "ended", "unclaimed")


class NothingToClaim(Conflict):
    """Nobody parked in this bay then whose stay can still be claimed."""

    code = "parking.nothing_to_claim"
    title_zh = "该泊位没有可认领的停车记录"


class ParkingClaimed(Conflict):
    """Somebody else has claimed this stay."""

    code = "parking.claimed"
    title_zh = "该次停车已被他人认领"


@dataclass(frozen=True, kw_only=True)
class Shown:
    """A stay as its claimant sees it; times are RFC 3339 in UTC, the fee in fen.

    `is_settled`: the fee stands for good; before, it is what it would be at this moment.
    """

    id: str
    state: str
    bay_code: str
    location: dict[str, str]
    operator: dict[str, str]
    started_at: str
    ended_at: str | None
    fee_fen: int
    is_settled: bool


def claim_bay(
    *,
    caller: Caller,
    bay_code: str,
    parked_at: datetime | None = None,
    idempotency_key: IdempotencyKey,
    at: datetime,
) -> Shown:
    """Make the car in a bay the caller's, or the one that stood there at `parked_at`.

    Up to JUST_LEFT after it left, and with `parked_at` up to CLAIM_WITHIN. One that is settled
    already is charged at once. Claiming one's own again changes nothing. Raises NotFound,
    NothingToClaim, ParkingClaimed, and what charges.charge and `once` raise.
    """
    with once(idempotency_key, at=at) as claim:
        if claim.answer is None:
            parked_at = parked_at and min(parked_at, at)
            bay = lock_bay(Q(code=bay_code))
            session = _find(bay, parked_at=parked_at, at=at)
            _claim(session, bay, resident_id=required(caller.resident_id), wanted=parked_at, at=at)
            shown = session_in(sessions_of(caller=caller), session.id)
            claim.answer = asdict(show(shown, at=at))
        return Shown(**claim.answer)


def sessions_of(*, caller: Caller) -> QuerySet[ParkingSession]:
    """The caller's own stays with their bays, to be ordered by `-id`."""
    return ParkingSession.objects.select_related("bay__operator", "bay__tariff").filter(
        claim__resident_id=required(caller.resident_id)
    )


def session_in(sessions: QuerySet[ParkingSession], session_id: uuid.UUID) -> ParkingSession:
    """One of these stays; another's and a missing one raise NotFound alike."""
    found = sessions.filter(id=session_id).first()
    if found is None:
        raise NotFound
    return found


def show(session: ParkingSession, *, at: datetime) -> Shown:
    """What its claimant sees of a stay at a moment."""
    bay, ended_at = session.bay, session.ended_at
    length = max(ended_at or at, session.started_at) - session.started_at
    is_settled = session.fee_fen is not None
    return Shown(
        id=str(session.id),
        state=session.state,
        bay_code=bay.code,
        location={"zh": bay.location_zh, "en": bay.location_en},
        operator={"zh": bay.operator.name_zh, "en": bay.operator.name_en},
        started_at=session.started_at.isoformat(),
        ended_at=None if ended_at is None else ended_at.isoformat(),
        fee_fen=fee_fen(length, bay.tariff) if session.fee_fen is None else session.fee_fen,
        is_settled=is_settled,
    )


def _find(bay: ParkingBay, *, parked_at: datetime | None, at: datetime) -> ParkingSession:
    sessions = (
        ParkingSession.objects.select_for_update(of=("self",), no_key=True)
        .select_related("claim")
        .filter(bay=bay)
    )
    if parked_at is None:
        sessions = sessions.filter(Q(ended_at__isnull=True) | Q(ended_at__gte=at - JUST_LEFT))
    else:
        is_there = Q(ended_at__isnull=True) | Q(ended_at__gt=parked_at)
        sessions = sessions.filter(is_there, started_at__lte=parked_at)
    found = sessions.order_by(F("started_at").desc()).first()
    if found is None or (found.ended_at is not None and found.ended_at < at - CLAIM_WITHIN):
        raise NothingToClaim
    return found


def _claim(
    session: ParkingSession,
    bay: ParkingBay,
    *,
    resident_id: uuid.UUID,
    wanted: datetime | None,
    at: datetime,
) -> None:
    if session.claim is not None:
        if session.claim.resident_id != resident_id:
            raise ParkingClaimed
        return
    if session.state not in _CLAIMABLE:
        raise NothingToClaim
    moment = wanted or (session.started_at if session.ended_at else max(at, session.started_at))
    session.claim = ParkingClaim.objects.create(
        bay=bay, resident_id=resident_id, moment=moment, claimed_at=at
    )
    if session.state == "unclaimed":
        to_state = charge(session, bay, resident_id=resident_id, at=at)
        change(session, to_state, at=at, fields=["claim", "charge_id"])
    else:
        session.save(update_fields=["claim"])
