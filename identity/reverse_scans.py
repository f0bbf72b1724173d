"""Has a phone sign what a counter shows: the scan the other way round, for high assurance.

A code that a phone shows can be relayed while it is fresh. Here the counter shows a nonce, and the
phone signs it together with who asks, at which desk, why, and for which fields: the signature is
worth nothing anywhere else. The QR code holds `{PUBLIC_URL}/phone/#counter=VPN1.{nonce}`.
"""

import hashlib
import secrets
import uuid
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import connection, transaction

from identity import disclosure, receipts, states
from identity.access_log import write_line
from identity.history import change_state
from identity.models import ReverseScan, StateChange
from identity.queries import Rule, find_rule, purpose_words
from identity.refusals import NotEntitled, OverAsking
from identity.residents import AccountSuspended
from identity.suspensions import is_suspended
from vpass.common import audit, limits
from vpass.common.callers import Caller, required
from vpass.common.errors import Conflict, NotFound
from vpass.common.idempotency import IdempotencyKey, once

TYPE = "vpass-presence+jwt"
PATH = "/api/resident/v1/reverse-scans/{scan_id}/answer"
PREFIX = "VPN1."
ANSWER_WITHIN = timedelta(seconds=60)
COLLECT_WITHIN = timedelta(seconds=60)
LOOKS = limits.Limit("reverse_scan.looks", maximum=30, per=timedelta(hours=1))

# One atomic step: of all phones that answer one nonce, one finds it still shown.
_ANSWER = """
UPDATE identity_reversescan
SET state = 'answered', device_id = %(device)s, word = %(word)s, expires_at = %(collect_by)s
WHERE id = %(id)s AND state = 'shown' AND expires_at > %(at)s
RETURNING id
"""


class ReverseScanOver(Conflict):
    """This nonce is answered, used or out of date; the counter has to show a new one."""

    code = "reverse_scan.over"
    title_zh = "窗口二维码已使用或已过期，请窗口重新出示"


class ReverseScanWaiting(Conflict):
    """No phone has answered yet."""

    code = "reverse_scan.waiting"
    title_zh = "正在等待市民用手机扫描"


@dataclass(frozen=True, kw_only=True)
class Shown:
    """What a counter shows: `qr` is the text of the QR code, `expires_at` RFC 3339."""

    id: str
    qr: str
    expires_at: str


@dataclass(frozen=True, kw_only=True)
class Collected:
    """What the counter sees, as of a scan; `device` is the grade of the key that signed."""

    scan: str
    holder: str | None
    level: int
    fields: dict[str, disclosure.Value]
    redeemed_at: str
    assurance: str
    device: str


def show(
    *,
    caller: Caller,
    purpose: str,
    case_number: str,
    fields: Sequence[str] | None,
    idempotency_key: IdempotencyKey,
    at: datetime,
) -> Shown:
    """Make a nonce for the clerk's desk, for a purpose; without `fields`, for all it may see.

    Raises NotEntitled, OverAsking (written to the audit).
    """
    with once(idempotency_key, at=at) as claim:
        if claim.answer is None:
            claim.answer = _show(caller, purpose, case_number, fields, at=at)
    match claim.answer.get("refused"):
        case OverAsking.code:
            raise OverAsking
        case NotEntitled.code:
            raise NotEntitled
    return Shown(**claim.answer)


def look(*, caller: Caller, nonce: str, at: datetime) -> ReverseScan:
    """Return what a counter asks, by the text after `#counter=`, with the purpose's words.

    Raises NotFound, ReverseScanOver, limits.LimitReached.
    """
    limits.spend(LOOKS, caller.scope, at=at)
    scan = (
        ReverseScan.objects.filter(nonce_hash=_hash(nonce))
        .select_related("organisation", "desk")
        .annotate(**purpose_words())
        .first()
    )
    if scan is None:
        raise NotFound
    if state_of(scan, at=at) != "shown":
        raise ReverseScanOver
    return scan


def answer(
    *,
    caller: Caller,
    scan_id: uuid.UUID,
    word: str,
    idempotency_key: IdempotencyKey,
    at: datetime,
) -> dict[str, Any]:
    """Answer a counter with the phone's signature over what it showed; the first answer counts.

    `word`: a JWS by the device key, typ `vpass-presence+jwt`, `aud` the URL of the answer, `iat` at
    most 60 s old, `jti`, `nonce` (the text read from the QR code), `organisation`, `desk` (ids as
    text), `purpose`, `fields` (sorted names) and `case_number`. Raises NotFound, ReverseScanOver,
    receipts.WordInvalid, AccountSuspended.
    """
    with once(idempotency_key, at=at) as claim:
        if claim.answer is None:
            scan = ReverseScan.objects.filter(id=scan_id).first()
            if scan is None:
                raise NotFound
            shown = _signed(scan)
            claims = receipts.read_word(
                word,
                caller=caller,
                typ=TYPE,
                path=PATH.format(scan_id=scan.id),
                required_claims=["nonce", *shown],
                at=at,
            )
            is_same = all(claims[name] == value for name, value in shown.items())
            if not is_same or _hash(str(claims["nonce"])) != bytes(scan.nonce_hash):
                raise receipts.WordInvalid
            if is_suspended(resident_id=required(caller.resident_id), scene=scan.scene):
                raise AccountSuspended
            if not _take(scan, caller=caller, word=word, at=at):
                raise ReverseScanOver
            claim.answer = {"id": str(scan.id), "state": "answered"}
        return claim.answer


def collect(
    *, caller: Caller, scan_id: uuid.UUID, idempotency_key: IdempotencyKey, at: datetime
) -> Collected:
    """Give the counter what the phone signed for: once, to the clerk and desk that showed it.

    The resident's log gets its line in the same transaction. Raises NotFound, ReverseScanWaiting,
    ReverseScanOver, NotEntitled, AccountSuspended.
    """
    with once(idempotency_key, at=at) as claim:
        if claim.answer is None:
            scan = (
                ReverseScan.objects.select_for_update(of=("self",))
                .select_related("device__resident")
                .filter(
                    id=scan_id,
                    staff_id=required(caller.staff_id),
                    desk_id=required(caller.desk_id),
                )
                .first()
            )
            if scan is None:
                raise NotFound
            match state_of(scan, at=at):
                case "shown":
                    raise ReverseScanWaiting
                case "answered":
                    claim.answer = asdict(_collect(scan, caller=caller, at=at))
                case _:
                    raise ReverseScanOver
        return Collected(**claim.answer)


def shown_by(*, caller: Caller, scan_id: uuid.UUID, at: datetime) -> str:
    """Return the state of the clerk's reverse scan. Raises NotFound."""
    scan = ReverseScan.objects.filter(
        id=scan_id, staff_id=required(caller.staff_id), desk_id=required(caller.desk_id)
    ).first()
    if scan is None:
        raise NotFound
    return state_of(scan, at=at)


def forget(*, resident_id: uuid.UUID, at: datetime) -> None:
    """End a person's answers that no counter has collected, and forget what the phones signed."""
    mine = ReverseScan.objects.select_for_update(of=("self",)).filter(
        device__resident_id=resident_id
    )
    for scan in mine.order_by("id"):
        if scan.state == "answered":
            change_state(scan, "lapsed", table=states.REVERSE_SCAN, actor="deletion", at=at)
        scan.word = ""
        scan.save(update_fields=["word"])


def expire_old(*, at: datetime) -> int:
    """End the nonces nobody answered and the answers nobody collected; return how many."""
    with transaction.atomic():
        ending = list(
            ReverseScan.objects.select_for_update(skip_locked=True)
            .filter(state__in=["shown", "answered"], expires_at__lte=at)
            .order_by("id")[:1000]
        )
        for scan in ending:
            to_state = "expired" if scan.state == "shown" else "lapsed"
            change_state(scan, to_state, table=states.REVERSE_SCAN, actor="expiry", at=at)
    return len(ending)


def state_of(scan: ReverseScan, *, at: datetime) -> str:
    """Return the state as it is at a moment, also when the clearing has not come by yet."""
    if at < scan.expires_at:
        return scan.state
    return {"shown": "expired", "answered": "lapsed"}.get(scan.state, scan.state)


def _show(
    caller: Caller,
    purpose: str,
    case_number: str,
    fields: Sequence[str] | None,
    *,
    at: datetime,
) -> dict[str, Any]:
    organisation_id = required(caller.organisation_id)
    rule = find_rule(organisation_id, scene=caller.scene, purpose=purpose)
    if rule is None:
        return {"refused": NotEntitled.code}
    wanted = sorted(set(rule.attributes if fields is None else fields))
    if beyond := [name for name in wanted if name not in rule.attributes]:
        audit.record(
            actor=caller.scope,
            action="reverse_scan.over_asked",
            subject=f"organisation:{organisation_id}",
            detail={"fields": beyond, "purpose": purpose},
            at=at,
        )
        return {"refused": OverAsking.code}
    nonce = PREFIX + secrets.token_urlsafe(32)
    scan = ReverseScan.objects.create(
        nonce_hash=_hash(nonce),
        organisation_id=organisation_id,
        desk_id=required(caller.desk_id),
        staff_id=required(caller.staff_id),
        scene=caller.scene or "",
        purpose=purpose,
        fields=wanted,
        case_number=case_number,
        shown_at=at,
        expires_at=at + ANSWER_WITHIN,
    )
    shown = Shown(
        id=str(scan.id),
        qr=f"{settings.PUBLIC_URL}/phone/#counter={nonce}",
        expires_at=scan.expires_at.isoformat(),
    )
    return asdict(shown)


def _take(scan: ReverseScan, *, caller: Caller, word: str, at: datetime) -> bool:
    """Bind the answer to the nonce in one statement; False for everybody but the first in time."""
    values: dict[str, Any] = {
        "id": str(scan.id),
        "device": str(required(caller.device_id)),
        "word": word,
        "collect_by": at + COLLECT_WITHIN,
        "at": at,
    }
    with connection.cursor() as cursor:
        cursor.execute(_ANSWER, values)
        if cursor.fetchone() is None:
            return False
    StateChange.objects.create(
        object_kind=states.REVERSE_SCAN.name,
        object_id=str(scan.id),
        from_state="shown",
        to_state="answered",
        event=states.REVERSE_SCAN.event("shown", "answered"),
        actor=caller.scope,
        at=at,
    )
    return True


def _collect(scan: ReverseScan, *, caller: Caller, at: datetime) -> Collected:
    rule: Rule | None = find_rule(scan.organisation_id, scene=scan.scene, purpose=scan.purpose)
    if rule is None or not set(scan.fields) <= set(rule.attributes):
        raise NotEntitled
    if scan.device is None:
        raise TypeError("an answered scan has the phone that signed")
    resident = scan.device.resident
    if is_suspended(resident_id=resident.id, scene=scan.scene) or scan.device.state != "active":
        raise AccountSuspended
    scan.line = write_line(
        resident_id=resident.id,
        caller=caller,
        purpose=scan.purpose,
        fields=scan.fields,
        case_number=scan.case_number,
        rule=rule,
        at=at,
    )
    from_state, scan.state = scan.state, "collected"
    scan.save(update_fields=["line", "state"])
    StateChange.objects.create(
        object_kind=states.REVERSE_SCAN.name,
        object_id=str(scan.id),
        from_state=from_state,
        to_state=scan.state,
        event=states.REVERSE_SCAN.event(from_state, scan.state),
        actor=caller.scope,
        at=at,
    )
    holder = None
    if rule.knows_holder:
        holder = disclosure.pseudonym(resident_id=resident.id, organisation_id=scan.organisation_id)
    return Collected(
        scan=str(scan.line.id),
        holder=holder,
        level=resident.level,
        fields=disclosure.disclose(resident=resident, attributes=scan.fields, at=at),
        redeemed_at=at.isoformat(),
        assurance="high",
        device=scan.device.grade,
    )


def _signed(scan: ReverseScan) -> dict[str, Any]:
    """What the phone shows of a reverse scan, as its word has to name it."""
    return {
        "organisation": str(scan.organisation_id),
        "desk": str(scan.desk_id),
        "purpose": scan.purpose,
        "fields": scan.fields,
        "case_number": scan.case_number,
    }


def _hash(nonce: str) -> bytes:
    return hashlib.sha256(nonce.encode()).digest()
