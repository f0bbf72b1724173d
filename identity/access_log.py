"""Writes each use of a code where its holder can read it, together with the single use itself."""

import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import connection, transaction
from django.db.models import OuterRef, Q, QuerySet, Subquery

from identity import receipts
from identity.models import AccessLine, Delegation, Entitlement
from identity.queries import GrantFound, Rule, purpose_words
from vpass.common import limits, outbox, prepared
from vpass.common.callers import Caller, required
from vpass.common.errors import NotFound
from vpass.common.ids import uuid7
from vpass.common.transactions import require_transaction

EXPORT_TYPE = "vpass-export+jwt"
EXPORT_PATH = "/api/resident/v1/access-log/exports"
EXPORTED_AT_ONCE = 2_000
EXPORTS_PER_DAY = limits.Limit("export.day", maximum=50, per=timedelta(days=1))

# One round trip: the single use, the holder's line, and the event. The loser of a race for the same
# code gets its line too, refused as already used, and no event. Who acts for another has a line of
# their own.
_WRITE_USE = """
WITH used AS (
    INSERT INTO identity_redemption (jti, grant_id, scanner, at)
    VALUES (%(jti)s, %(handle)s, %(scanner)s, %(at)s)
    ON CONFLICT (jti) DO NOTHING RETURNING 1
), verdict AS (
    SELECT CASE WHEN NOT EXISTS (SELECT FROM used) THEN 'code.already_used'
                ELSE %(reason)s::text END AS reason
), line AS (
    INSERT INTO identity_accessline (id, resident_id, organisation_id, desk_id, terminal_id,
                                     staff_id, scene, purpose, case_number, fields, outcome,
                                     reason, at, asked, visible_from, is_shielded, delegation_id)
    SELECT whose.line_id, whose.resident_id, %(organisation)s, %(desk)s, %(terminal)s, %(staff)s,
           %(scene)s, %(purpose)s, %(case_number)s,
           CASE WHEN reason IS NULL THEN %(fields)s::text[] ELSE '{}' END,
           CASE WHEN reason IS NULL THEN 'accepted' ELSE 'refused' END, reason, %(at)s,
           %(asked)s::text[], %(visible_from)s::timestamptz, %(is_shielded)s, %(delegation)s::uuid
    FROM verdict, (VALUES (%(line_id)s::uuid, %(resident)s::uuid),
                          (%(second_id)s::uuid, %(delegate)s::uuid)) AS whose (line_id, resident_id)
    WHERE whose.resident_id IS NOT NULL RETURNING 1
), told AS (
    SELECT outbox_publish_v1(%(event_id)s, %(event)s, %(payload)s, %(consumers)s, %(at)s)
    FROM verdict WHERE reason IS NULL AND cardinality(%(consumers)s::text[]) > 0
)"""
_VERDICT = """
SELECT reason, (SELECT count(*) FROM line), (SELECT count(*) FROM told) FROM verdict
"""
_VERDICT_AND_DEED = """
SELECT reason, (SELECT count(*) FROM line), (SELECT count(*) FROM told),
    (SELECT count(*) FROM deed) FROM verdict
"""


class DeedUndone(Exception):
    """The use was accepted, but what was to be done with it found things changed meanwhile."""


@dataclass(frozen=True, kw_only=True)
class Deed:
    """What another floor writes together with an accepted use, in the same statement.

    `sql` holds further WITH queries, with a comma before each. They read the query `verdict`, whose
    one row has a `reason` when the use is refused; the last is called `deed` and gives a row when
    it is done. `values` are its parameters, by names with the prefix "deed_".
    """

    sql: str
    values: Mapping[str, Any]


@dataclass(frozen=True)
class Use:
    """A genuine code in a scanner's hands; `reason` is why it is refused, if it is.

    `asked` are the fields asked for beyond the right; `rule` is the right, if there is one.
    """

    jti: bytes
    grant: GrantFound
    caller: Caller
    purpose: str
    case_number: str | None
    fields: Sequence[str]
    reason: str | None
    asked: Sequence[str] = ()
    rule: Rule | None = None


@dataclass(frozen=True)
class Written:
    """Where a use stands in the holder's log, and the reason code if it was refused."""

    line_id: uuid.UUID
    reason: str | None


def write_use(use: Use, *, event: str, at: datetime, deed: Deed | None = None) -> Written:
    """Use the code up, write the holder's line and tell the event's consumers, in one statement.

    The reason is `code.already_used` for every caller but the first, whatever else there is to
    refuse. Raises DeedUndone, after which the transaction has to be rolled back.
    """
    caller, line_id, delegation = use.caller, uuid7(at), use.grant.delegation
    consumers = outbox.consumers_of(event)
    values: dict[str, Any] = {
        "jti": use.jti,
        "handle": use.grant.handle,
        "scanner": caller.scope,
        "at": at,
        "reason": use.reason,
        "line_id": str(line_id),
        "resident": str(use.grant.resident.id),
        "organisation": _text(caller.organisation_id),
        "desk": _text(caller.desk_id),
        "terminal": str(caller.id) if caller.staff_id is None else None,
        "staff": _text(caller.staff_id),
        "scene": caller.scene,
        "purpose": use.purpose,
        "case_number": use.case_number,
        "fields": list(use.fields),
        "asked": list(use.asked),
        "visible_from": visible_from(use.rule, at=at),
        "is_shielded": use.rule is not None and use.rule.shields_others,
        "delegation": None if delegation is None else str(delegation.id),
        "delegate": _second_reader(delegation),
        "second_id": str(uuid7(at)),
        "event_id": str(uuid.uuid4()),
        "event": event,
        "payload": json.dumps({"access_line_id": str(line_id)}),
        "consumers": consumers,
    }
    statement = _WRITE_USE + _VERDICT
    if deed is not None:
        statement = _WRITE_USE + deed.sql + _VERDICT_AND_DEED
        values |= deed.values
    with connection.cursor() as cursor:
        prepared.execute(cursor, "write_use", statement, values)
        reason, _, _, *done = cursor.fetchone()
    if reason is None and done == [0]:
        raise DeedUndone
    if reason is None and consumers:
        outbox.ring_on_commit()
    return Written(line_id, reason)


def write_line(
    *,
    resident_id: uuid.UUID,
    caller: Caller,
    purpose: str,
    at: datetime,
    fields: Sequence[str] = (),
    asked: Sequence[str] = (),
    case_number: str | None = None,
    reason: str | None = None,
    rule: Rule | None = None,
    scene: str | None = None,
) -> AccessLine:
    """Write a line about a look that needed no code, in the caller's transaction.

    With a `reason` it is a refused one, and no field was shown. A resident's own act is written
    with the scene "own" and no organisation.
    """
    require_transaction("a line of the access log")
    is_own = caller.resident_id is not None
    is_machine = not is_own and caller.staff_id is None and caller.kind != "relying_party"
    return AccessLine.objects.create(
        id=uuid7(at),
        resident_id=resident_id,
        organisation_id=caller.organisation_id,
        desk_id=caller.desk_id,
        terminal_id=caller.id if is_machine else None,
        staff_id=caller.staff_id,
        scene="own" if is_own else scene or caller.scene or "",
        purpose=purpose,
        case_number=case_number,
        fields=[] if reason else list(fields),
        asked=list(asked),
        outcome=AccessLine.Outcome.REFUSED if reason else AccessLine.Outcome.ACCEPTED,
        reason=reason,
        at=at,
        visible_from=visible_from(rule, at=at),
        is_shielded=rule is not None and rule.shields_others,
    )


def visible_from(rule: Rule | None, *, at: datetime) -> datetime | None:
    """Return when the resident may read a line written at `at`; None means at once."""
    if rule is None or not rule.deferred_days:
        return None
    return at + timedelta(days=rule.deferred_days)


def lines_of(*, resident_id: uuid.UUID, at: datetime) -> QuerySet[AccessLine]:
    """Return a resident's own lines as they may be read at `at`, to be ordered by `-id`.

    Each has the words of its purpose, and its dispute if there is one. A line which law defers
    appears at its date.
    """
    return readable(AccessLine.objects.filter(resident_id=resident_id), at=at)


def readable(lines: QuerySet[AccessLine], *, at: datetime) -> QuerySet[AccessLine]:
    """Return those lines that law does not defer at `at`, with all that is shown of them."""
    law = Entitlement.objects.filter(
        organisation=OuterRef("organisation"), scene=OuterRef("scene"), purpose=OuterRef("purpose")
    )
    return (
        lines.filter(Q(visible_from__isnull=True) | Q(visible_from__lte=at))
        .select_related("organisation", "desk", "terminal", "dispute")
        .select_related("delegation__principal", "delegation__delegate", "delegation__enterprise")
        .annotate(**purpose_words(), legal_basis=Subquery(law.values("legal_basis")[:1]))
    )


def line_of(*, resident_id: uuid.UUID, line_id: uuid.UUID, at: datetime) -> AccessLine:
    """Return one of a resident's own lines; another's and a missing one raise NotFound alike."""
    line = lines_of(resident_id=resident_id, at=at).filter(id=line_id).first()
    if line is None:
        raise NotFound
    return line


def export_lines(
    *, caller: Caller, word: str, before: uuid.UUID | None, at: datetime
) -> tuple[list[AccessLine], uuid.UUID | None]:
    """Return a resident's lines, newest first, at most `EXPORTED_AT_ONCE`, and where to go on.

    `word` steps the session up: a JWS made for this by the device key, typ `vpass-export+jwt`,
    `aud` the URL of the export, good once. `before` is the last line of the part before. The export
    gets a line of its own. Raises receipts.WordInvalid, limits.LimitReached.
    """
    claims = receipts.read_word(
        word, caller=caller, typ=EXPORT_TYPE, path=EXPORT_PATH, required_claims=(), at=at
    )
    is_first = limits.spend_once(
        f"export:{caller.key_id}", str(claims["jti"]), expires_at=at + timedelta(minutes=5)
    )
    if not is_first:
        raise receipts.WordInvalid("replayed")
    limits.spend(EXPORTS_PER_DAY, caller.scope, at=at)
    resident_id = required(caller.resident_id)
    lines = lines_of(resident_id=resident_id, at=at)
    if before is not None:
        lines = lines.filter(id__lt=before)
    found = list(lines.order_by("-id")[: EXPORTED_AT_ONCE + 1])
    has_more = len(found) > EXPORTED_AT_ONCE
    with transaction.atomic():
        write_line(resident_id=resident_id, caller=caller, purpose="export", at=at)
    found = found[:EXPORTED_AT_ONCE]
    return found, found[-1].id if has_more else None


def _second_reader(delegation: Delegation | None) -> str | None:
    """Who acted, when that is not the holder: for an enterprise the holder is the one who acts."""
    if delegation is None or delegation.principal_id is None:
        return None
    return _text(delegation.delegate_id)


def _text(value: uuid.UUID | None) -> str | None:
    return None if value is None else str(value)
