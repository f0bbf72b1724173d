"""Reads identity's rows for the hot paths, each answer in one statement."""

import secrets
import uuid
from dataclasses import dataclass
from typing import Any

from django.db import connection
from django.db.models import OuterRef, QuerySet, Subquery, Value
from django.db.models.functions import JSONObject

from identity.models import Entitlement, Grant
from vpass.common.callers import Caller, required


@dataclass(frozen=True)
class Rule:
    """What an entitlement says; see the model for each member."""

    attributes: list[str]
    may_ask: list[str]
    needs_case: bool
    knows_holder: bool
    shields_others: bool
    deferred_days: int


@dataclass(frozen=True)
class GrantFound:
    """A grant with device, resident and delegation; `rule` is None for a caller not entitled."""

    grant: Grant
    rule: Rule | None


_RULE = JSONObject(**{name: name for name in Rule.__dataclass_fields__})


def next_handle() -> bytes:
    """Return 16 random bytes to name a grant by."""
    return secrets.token_bytes(16)


def next_status_index() -> int:
    """Return the next free place in the status lists; shard = index >> 20."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT nextval('identity_status_index')")
        return int(cursor.fetchone()[0])


def find_grant(handle: bytes, *, caller: Caller, purpose: str) -> GrantFound | None:
    """Return the grant of a handle as a scanner needs it, with what the scanner may see."""
    entitled = _entitled(required(caller.organisation_id), scene=caller.scene, purpose=purpose)
    grant = (
        Grant.objects.select_related("resident", "device", "delegation__delegate")
        .select_related("delegation__enterprise")
        .annotate(rule=Subquery(entitled.values(rule=_RULE)[:1]))
        .filter(handle=handle)
        .first()
    )
    return None if grant is None else GrantFound(grant, _rule(grant.rule))


def find_rule(organisation_id: uuid.UUID, *, scene: str | None, purpose: str) -> Rule | None:
    """Return what an organisation may see in a scene for a purpose; None for nothing at all."""
    entitled = _entitled(organisation_id, scene=scene, purpose=purpose)
    return _rule(entitled.values_list(_RULE, flat=True).first())


def purpose_words(scene: str | None = None) -> dict[str, Subquery]:
    """Return the annotations `purpose_zh` and `purpose_en` for rows that name a purpose.

    The rows have `organisation`, `purpose` and, unless `scene` says it, `scene`.
    """
    words = Entitlement.objects.filter(
        organisation=OuterRef("organisation"),
        scene=OuterRef("scene") if scene is None else Value(scene),
        purpose=OuterRef("purpose"),
    )
    return {name: Subquery(words.values(name)[:1]) for name in ("purpose_zh", "purpose_en")}


def _entitled(
    organisation_id: uuid.UUID, *, scene: str | None, purpose: str
) -> QuerySet[Entitlement]:
    return Entitlement.objects.filter(
        organisation_id=organisation_id, scene=scene, purpose=purpose
    ).order_by()


def _rule(found: dict[str, Any] | None) -> Rule | None:
    return None if found is None else Rule(**found)
