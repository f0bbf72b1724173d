"""Reads identity's rows for the hot paths, each answer in one statement."""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass

from django.db import connection
from django.db.models import Subquery
from django.db.models.expressions import Combinable

from identity.models import Entitlement, Grant
from vpass.common.callers import Caller, required


@dataclass(frozen=True)
class GrantFound:
    """A grant with device and resident; `attributes` is None for a caller not entitled."""

    grant: Grant
    attributes: list[str] | None


def next_handle() -> bytes:
    """Return 16 random bytes to name a grant by."""
    return secrets.token_bytes(16)


def next_status_index() -> int:
    """Return the next free place in the status lists; shard = index >> 20."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT nextval('identity_status_index')")
        return int(cursor.fetchone()[0])


def find_grant(
    handle: bytes, *, caller: Caller, purpose: str, also: Mapping[str, Combinable] | None = None
) -> GrantFound | None:
    """Return the grant of a handle as a scanner needs it, with what the scanner may see.

    `also` names expressions over the grant's row which another floor has to know of its holder.
    """
    entitled = Entitlement.objects.filter(
        organisation_id=required(caller.organisation_id), scene=caller.scene, purpose=purpose
    )
    grant = (
        Grant.objects.select_related("resident", "device")
        .annotate(attributes=Subquery(entitled.values("attributes")[:1]), **(also or {}))
        .filter(handle=handle)
        .first()
    )
    return None if grant is None else GrantFound(grant, grant.attributes)
