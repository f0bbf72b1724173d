"""Reads identity's rows for the hot paths, each answer in one statement."""

import secrets
import uuid
from collections.abc import Mapping
from dataclasses import dataclass

from django.db import connection
from django.db.models import Subquery
from django.db.models.expressions import Combinable

from identity.models import Entitlement, Grant
from vpass.common.callers import Caller, required
from vpass.common.limits import Limit


@dataclass(frozen=True)
class GrantFound:
    """A grant with device and resident; `attributes` is None for a caller not entitled."""

    grant: Grant
    attributes: list[str] | None


@dataclass(frozen=True)
class Holder:
    """Whose phone it is, and the phone's public point; the person's row is locked."""

    resident_id: uuid.UUID
    state: str
    suspended_scenes: int
    point: bytes


_LOCK_HOLDER = """
SELECT resident.id, resident.state, resident.suspended_scenes, device.point
FROM identity_device device JOIN identity_resident resident ON resident.id = device.resident_id
WHERE device.id = %s FOR NO KEY UPDATE OF resident
"""


def lock_holder(device_id: uuid.UUID) -> Holder:
    """Lock the row of the person whose phone this is: whoever freezes or suspends waits for it."""
    with connection.cursor() as cursor:
        cursor.execute(_LOCK_HOLDER, [str(device_id)])
        resident_id, state, suspended_scenes, point = cursor.fetchone()
    return Holder(resident_id, state, suspended_scenes, bytes(point))


def next_handle() -> bytes:
    """Return 16 random bytes to name a grant by."""
    return secrets.token_bytes(16)


def insert_grant(grant: Grant, *, limit: Limit) -> bool:
    """Insert a grant of an active device whose place in the status lists is still free.

    False when the place is taken, when the device is frozen or ended meanwhile, or when it had as
    many grants of this kind (with a place or without) as the limit allows: counted under the
    person's lock, so exact.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO identity_grant (handle, resident_id, device_id, key_id, status_index,"
            " issued_at, expires_at) SELECT %(handle)s, %(resident)s, %(device)s, %(key)s,"
            " %(index)s, %(issued_at)s, %(expires_at)s"
            " WHERE EXISTS (SELECT FROM identity_device WHERE id = %(device)s AND state = 'active')"
            " AND %(maximum)s > (SELECT count(*) FROM identity_grant WHERE device_id = %(device)s"
            "  AND issued_at > %(since)s AND (status_index IS NULL) = %(is_placeless)s)"
            " ON CONFLICT (status_index) DO NOTHING",
            {
                "handle": bytes(grant.handle),
                "resident": str(grant.resident_id),
                "device": str(grant.device_id),
                "key": bytes(grant.key_id),
                "index": grant.status_index,
                "issued_at": grant.issued_at,
                "expires_at": grant.expires_at,
                "maximum": limit.maximum,
                "since": grant.issued_at - limit.per,
                "is_placeless": grant.status_index is None,
            },
        )
        return bool(cursor.rowcount == 1)


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
