"""Writes each use of a code where its holder can read it, together with the single use itself."""

import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import connection
from django.db.models import OuterRef, QuerySet, Subquery

from identity.models import AccessLine, Entitlement, Grant
from vpass.common import outbox
from vpass.common.callers import Caller
from vpass.common.errors import NotFound
from vpass.common.ids import uuid7

# One round trip: the single use, the holder's line, and the event. The loser of a race for the same
# code gets its line too, refused as already used, and no event.
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
                                     reason, at)
    SELECT %(line_id)s, %(resident)s, %(organisation)s, %(desk)s, %(terminal)s, %(staff)s,
           %(scene)s, %(purpose)s, %(case_number)s,
           CASE WHEN reason IS NULL THEN %(fields)s::text[] ELSE '{}' END,
           CASE WHEN reason IS NULL THEN 'accepted' ELSE 'refused' END, reason, %(at)s
    FROM verdict RETURNING 1
), told AS (
    SELECT outbox_publish_v1(%(event_id)s, %(event)s, %(payload)s, %(consumers)s, %(at)s)
    FROM verdict WHERE reason IS NULL
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
    """A genuine code in a scanner's hands; `reason` is why it is refused, if it is."""

    jti: bytes
    grant: Grant
    caller: Caller
    purpose: str
    case_number: str | None
    fields: Sequence[str]
    reason: str | None


def write_use(
    use: Use, *, event: str, at: datetime, deed: Deed | None = None
) -> tuple[bool, str | None]:
    """Use the code up, write the holder's line and tell the event's consumers, in one statement.

    Returns whether the use is accepted, and else the reason code: `code.already_used` for every
    caller but the first, whatever else there is to refuse. Raises DeedUndone, after which the
    transaction has to be rolled back.
    """
    caller, line_id = use.caller, uuid7(at)
    consumers = outbox.consumers_of(event)
    values: dict[str, Any] = {
        "jti": use.jti,
        "handle": bytes(use.grant.handle),
        "scanner": caller.scope,
        "at": at,
        "reason": use.reason,
        "line_id": str(line_id),
        "resident": str(use.grant.resident_id),
        "organisation": _text(caller.organisation_id),
        "desk": _text(caller.desk_id),
        "terminal": str(caller.id) if caller.staff_id is None else None,
        "staff": _text(caller.staff_id),
        "scene": caller.scene,
        "purpose": use.purpose,
        "case_number": use.case_number,
        "fields": list(use.fields),
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
        cursor.execute(statement, values)
        reason, _, _, *done = cursor.fetchone()
    if reason is None and done == [0]:
        raise DeedUndone
    if reason is None and consumers:
        outbox.ring_on_commit()
    return reason is None, reason


def lines_of(*, resident_id: uuid.UUID) -> QuerySet[AccessLine]:
    """Return a resident's own lines, each with the words of its purpose, to be ordered by `-id`."""
    words = Entitlement.objects.filter(
        organisation=OuterRef("organisation"), scene=OuterRef("scene"), purpose=OuterRef("purpose")
    )
    return (
        AccessLine.objects.filter(resident_id=resident_id)
        .select_related("organisation", "desk", "terminal")
        .annotate(
            purpose_zh=Subquery(words.values("purpose_zh")[:1]),
            purpose_en=Subquery(words.values("purpose_en")[:1]),
        )
    )


def line_of(*, resident_id: uuid.UUID, line_id: uuid.UUID) -> AccessLine:
    """Return one of a resident's own lines; another's and a missing one raise NotFound alike."""
    line = lines_of(resident_id=resident_id).filter(id=line_id).first()
    if line is None:
        raise NotFound
    return line


def _text(value: uuid.UUID | None) -> str | None:
    return None if value is None else str(value)
