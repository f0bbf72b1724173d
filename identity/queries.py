"""Reads identity's rows for the hot paths, each answer in one statement."""

import secrets
from dataclasses import dataclass

from django.db import connection
from django.db.models import Subquery

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


def insert_grant(grant: Grant) -> bool:
    """Insert a grant of an active device whose place in the status lists is still free.

    False when the place is taken, or the device is frozen or ended meanwhile.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO identity_grant (handle, resident_id, device_id, key_id, status_index,"
            " issued_at, expires_at) SELECT %s, %s, %s, %s, %s, %s, %s"
            " WHERE EXISTS (SELECT FROM identity_device WHERE id = %s AND state = 'active')"
            " ON CONFLICT (status_index) DO NOTHING",
            [
                bytes(grant.handle),
                str(grant.resident_id),
                str(grant.device_id),
                bytes(grant.key_id),
                grant.status_index,
                grant.issued_at,
                grant.expires_at,
                str(grant.device_id),
            ],
        )
        return bool(cursor.rowcount == 1)


def find_grant(handle: bytes, *, caller: Caller, purpose: str) -> GrantFound | None:
    """Return the grant of a handle as a scanner needs it, with what the scanner may see."""
    entitled = Entitlement.objects.filter(
        organisation_id=required(caller.organisation_id), scene=caller.scene, purpose=purpose
    )
    grant = (
        Grant.objects.select_related("resident", "device")
        .annotate(attributes=Subquery(entitled.values("attributes")[:1]))
        .filter(handle=handle)
        .first()
    )
    return None if grant is None else GrantFound(grant, grant.attributes)
