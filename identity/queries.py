"""Reads identity's rows for the hot paths, each answer in one statement."""

import secrets
import uuid
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import connection
from django.db.models import JSONField, OuterRef, Subquery, Value
from django.db.models.expressions import RawSQL
from django.db.models.functions import JSONObject

from identity.models import Delegation, Enterprise, Entitlement, Grant, Resident
from vpass.common.callers import Caller, required
from vpass.common.sealed_fields import unseal


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

# As text, since a redemption must not wait for a query to be put together: what an entitlement
# says, and the delegation of a grant with who acts. Both are one row or NULL.
_RULE_SQL = f"""(
    SELECT to_jsonb(e) FROM (
        SELECT {", ".join(Rule.__dataclass_fields__)} FROM identity_entitlement
        WHERE organisation_id = %s AND scene = %s AND purpose = %s
    ) AS e
)"""  # noqa: S608  the names of our own columns
_DELEGATION_SQL = """(
    SELECT to_jsonb(d) FROM (
        SELECT x.id, x.kind, x.state, x.scenes, x.purposes, x.expires_at, x.principal_id,
            x.delegate_id, r.state AS delegate_state, encode(r.real_name, 'hex') AS delegate_name,
            x.enterprise_id, n.name AS enterprise_name, n.credit_code
        FROM identity_delegation AS x
        LEFT JOIN identity_resident AS r ON r.id = x.delegate_id
        LEFT JOIN identity_enterprise AS n ON n.id = x.enterprise_id
        WHERE x.id = identity_grant.delegation_id
    ) AS d
)"""


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
    asked = [required(caller.organisation_id), caller.scene, purpose]
    grant = (
        Grant.objects.select_related("resident", "device")
        .annotate(
            rule=RawSQL(_RULE_SQL, asked, output_field=JSONField()),  # noqa: S611  values apart
            acting=RawSQL(_DELEGATION_SQL, [], output_field=JSONField()),  # noqa: S611  no values
        )
        .filter(handle=handle)
        .first()
    )
    if grant is None:
        return None
    if grant.acting is not None:
        grant.delegation = _delegation(**grant.acting)
    return GrantFound(grant, None if grant.rule is None else Rule(**grant.rule))


def find_rule(organisation_id: uuid.UUID, *, scene: str | None, purpose: str) -> Rule | None:
    """Return what an organisation may see in a scene for a purpose; None for nothing at all."""
    entitled = Entitlement.objects.filter(
        organisation_id=organisation_id, scene=scene, purpose=purpose
    )
    found = entitled.values_list(_RULE, flat=True).first()
    return None if found is None else Rule(**found)


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


def _delegation(
    *,
    expires_at: str,
    delegate_state: Any,
    delegate_name: str | None,
    enterprise_name: Any,
    credit_code: Any,
    **columns: Any,
) -> Delegation:
    """The delegation of a grant with what a scan needs of both sides, as read in `find_grant`."""
    found = Delegation(expires_at=datetime.fromisoformat(expires_at), **columns)
    if found.delegate_id is not None:
        place: Any = {"table": "identity_resident", "row": found.delegate_id, "column": "real_name"}
        name = None if delegate_name is None else unseal(bytes.fromhex(delegate_name), **place)
        found.delegate = Resident(id=found.delegate_id, state=delegate_state, real_name=name)
    if found.enterprise_id is not None:
        found.enterprise = Enterprise(
            id=found.enterprise_id, name=enterprise_name, credit_code=credit_code
        )
    return found
