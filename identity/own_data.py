"""Gives residents all that is kept about them, section by section, machine-readable.

Each floor contributes its sections (EXPORT); the access log has an export of its own.
"""

import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import Model, Q, QuerySet

from identity import receipts
from identity.access_log import write_line
from identity.models import (
    CaseShare,
    Consent,
    Correction,
    Delegation,
    Deletion,
    Device,
    Dispute,
    Enrolment,
    InPersonCheck,
    LevelCheck,
    Login,
    RegisterChange,
    Resident,
    ReverseScan,
    Suspension,
    Takeover,
)
from vpass.common import contributions, limits
from vpass.common.callers import Caller, required
from vpass.common.errors import DomainError

# Asked with `resident_id`; an answer is a dict of Sections by name.
EXPORT = "identity.export"

TYPE = "vpass-export+jwt"
PATH = "/api/resident/v1/exports"
ROWS_AT_ONCE = 1_000
PARTS_PER_DAY = limits.Limit("own_data.day", maximum=300, per=timedelta(days=1))


class SectionUnknown(DomainError):
    """There is no such section; the member `sections` names those there are."""

    code = "export.section_unknown"
    status = 422
    title_zh = "没有该数据类别"


class PlaceUnknown(DomainError):
    """This is not the `next` of a part of this section."""

    code = "export.before_unknown"
    status = 422
    title_zh = "续取位置无效"


@dataclass(frozen=True)
class Section:
    """Rows about one resident, and how one of them is written as JSON."""

    rows: QuerySet[Any]
    render: Callable[[Any], Mapping[str, Any]]


@dataclass(frozen=True)
class Part:
    """Rows of a section, newest first, and where to go on; `next` is None at the end."""

    section: str
    rows: list[dict[str, Any]]
    next: str | None


def fields_of(*names: str) -> Callable[[Model], dict[str, Any]]:
    """Return how rows are written whose fields can be told as they are."""
    return lambda row: {name: getattr(row, name) for name in names}


def sections_of(*, resident_id: uuid.UUID) -> dict[str, Section]:
    """Return every section by name, in order."""
    found = _own(resident_id) | _proofs(resident_id) | _logins(resident_id)
    for _, more in contributions.ask(EXPORT, resident_id=resident_id):
        found |= more
    return dict(sorted(found.items()))


def export_part(
    *, caller: Caller, word: str, section: str, before: str | None, at: datetime
) -> Part:
    """Return up to ROWS_AT_ONCE rows of a section; `before` is the `next` of the part before.

    `word` is a JWS made for this by the device key, typ `vpass-export+jwt`, `aud` the URL of the
    exports, `section`, good once. It gets a line in the access log. Raises receipts.WordInvalid,
    limits.LimitReached, SectionUnknown, PlaceUnknown.
    """
    claims = receipts.read_word(
        word, caller=caller, typ=TYPE, path=PATH, required_claims=["section"], at=at
    )
    is_first = limits.spend_once(
        f"own_data:{caller.key_id}", str(claims["jti"]), expires_at=at + timedelta(minutes=5)
    )
    if claims["section"] != section or not is_first:
        raise receipts.WordInvalid("for another section, or used")
    limits.spend(PARTS_PER_DAY, caller.scope, at=at)
    resident_id = required(caller.resident_id)
    known = sections_of(resident_id=resident_id)
    if section not in known:
        raise SectionUnknown(sections=list(known))
    with transaction.atomic():
        part = _cut(section, known[section], before=before)
        write_line(
            resident_id=resident_id, caller=caller, purpose="export", fields=[section], at=at
        )
    return part


def _cut(name: str, section: Section, *, before: str | None) -> Part:
    rows = section.rows.order_by("-pk")
    if before is not None:
        try:
            place = section.rows.model._meta.pk.to_python(before)
        except (ValidationError, ValueError, OverflowError) as error:
            raise PlaceUnknown from error
        if isinstance(place, int) and abs(place) >= 2**63:
            raise PlaceUnknown
        rows = rows.filter(pk__lt=place)
    found = list(rows[: ROWS_AT_ONCE + 1])
    shown = found[:ROWS_AT_ONCE]
    key = section.rows.model._meta.pk
    following = key.value_to_string(shown[-1]) if len(found) > ROWS_AT_ONCE else None
    return Part(name, [dict(section.render(row)) for row in shown], following)


def _own(resident_id: uuid.UUID) -> dict[str, Section]:
    mine = {"resident_id": resident_id}
    return {
        "account": Section(
            Resident.objects.filter(id=resident_id),
            fields_of("id", "level", "state", "real_name", "id_number", "phone", "created_at"),
        ),
        "devices": Section(
            Device.objects.filter(**mine), fields_of("id", "grade", "state", "bound_at")
        ),
        "suspensions": Section(
            Suspension.objects.filter(**mine),
            fields_of("id", "source", "scope", "reason", "state", "set_at"),
        ),
        "consents": Section(
            Consent.objects.filter(**mine),
            fields_of("id", "organisation_id", "purpose", "fields", "state", "asked_at", "receipt"),
        ),
        "case_shares": Section(
            CaseShare.objects.filter(**mine),
            fields_of(
                "id", "organisation_id", "purpose", "matter", "fields", "state", "created_at",
                "case_number", "decision", "decision_note", "receipt",
            ),
        ),
        "delegations": Section(
            Delegation.objects.filter(
                Q(principal_id=resident_id) | Q(delegate_id=resident_id)
            ),
            fields_of("id", "kind", "scenes", "purposes", "state", "created_at", "expires_at"),
        ),
        "disputes": Section(
            Dispute.objects.filter(**mine),
            fields_of("line_id", "state", "note", "opened_at", "answer", "answered_at"),
        ),
        "corrections": Section(
            Correction.objects.filter(**mine),
            fields_of("id", "field", "note", "state", "asked_at", "answer", "ended_at"),
        ),
        "deletions": Section(
            Deletion.objects.filter(**mine),
            fields_of("id", "state", "asked_at", "due_at", "ended_at", "obligations"),
        ),
    }  # fmt: skip


def _proofs(resident_id: uuid.UUID) -> dict[str, Section]:
    """How the identity was proven, and what the register has told since. No photo is kept."""
    mine = {"resident_id": resident_id}
    phones = Device.objects.filter(**mine).values("thumbprint")
    return {
        "enrolments": Section(
            Enrolment.objects.filter(thumbprint__in=phones),
            fields_of("id", "phone", "state", "created_at"),
        ),
        "level_checks": Section(
            LevelCheck.objects.filter(**mine), fields_of("id", "kind", "state", "created_at")
        ),
        "in_person_checks": Section(
            InPersonCheck.objects.filter(**mine),
            fields_of(
                "line_id", "organisation_id", "desk_id", "document_kind", "case_number", "at"
            ),
        ),
        "register_changes": Section(
            RegisterChange.objects.filter(**mine),
            fields_of("id", "kind", "state", "received_at"),
        ),
        "takeovers": Section(
            Takeover.objects.filter(**mine), fields_of("reference", "imported_at", "claimed_at")
        ),
    }


def _logins(resident_id: uuid.UUID) -> dict[str, Section]:
    """Where the person logged in with V Pass, and what counters asked the phone to sign."""
    return {
        "logins": Section(
            Login.objects.filter(resident_id=resident_id),
            fields_of(
                "id", "organisation_id", "purpose", "fields", "level", "state", "begun_at",
                "decided_at", "ends_at", "receipt",
            ),
        ),
        "reverse_scans": Section(
            ReverseScan.objects.filter(device__resident_id=resident_id),
            fields_of(
                "id", "organisation_id", "desk_id", "purpose", "fields", "case_number", "state",
                "shown_at", "word",
            ),
        ),
    }  # fmt: skip
