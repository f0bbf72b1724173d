"""Reads identity's rows for the hot paths, each answer in one statement."""

import secrets
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import connection
from django.db.models import OuterRef, Subquery, Value
from django.db.models.functions import JSONObject

from identity.models import Delegation, Enterprise, Entitlement, Grant, Resident
from vpass.common import prepared
from vpass.common.callers import Caller, required
from vpass.common.limits import Limit
from vpass.common.sealed_fields import as_read, unseal
from vpass.common.signing import Algorithm


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
class Phone:
    """The phone a grant was made for."""

    state: str
    grade: str
    bound_at: datetime


@dataclass(frozen=True)
class Look:
    """What another floor has to know of a grant's holder, in the statement that finds the grant.

    `sql` is an expression over the row of identity_grant that gives JSON; `values` are its
    parameters, by names with the prefix "look_".
    """

    sql: str
    values: Mapping[str, Any]


@dataclass(frozen=True)
class GrantFound:
    """A grant as a scanner needs it: of the holder, only what may be shown was read.

    `rule` is None for a caller not entitled; `looked` is what a `Look` has found.
    """

    handle: bytes
    ended_at: datetime | None
    resident: Resident
    phone: Phone
    delegation: Delegation | None
    rule: Rule | None
    looked: Any


_RULE = JSONObject(**{name: name for name in Rule.__dataclass_fields__})

# As text, since a redemption must not wait for a query to be put together. What an entitlement
# says, and the delegation of a grant with who acts, are both one row or NULL.
_FIND_GRANT = f"""
SELECT identity_grant.ended_at, resident.id, resident.level, resident.state, resident.phone,
    resident.real_name, resident.id_number, resident.suspended_scenes,
    device.state, device.grade, device.bound_at, (
        SELECT row_to_json(d) FROM (
            SELECT x.id, x.kind, x.state, x.scenes, x.purposes, x.expires_at, x.principal_id,
                x.delegate_id, r.state AS delegate_state,
                encode(r.real_name, 'hex') AS delegate_name,
                x.enterprise_id, n.name AS enterprise_name, n.credit_code
            FROM identity_delegation AS x
            LEFT JOIN identity_resident AS r ON r.id = x.delegate_id
            LEFT JOIN identity_enterprise AS n ON n.id = x.enterprise_id
            WHERE x.id = identity_grant.delegation_id
        ) AS d
    ), (
        SELECT row_to_json(e) FROM (
            SELECT {", ".join(Rule.__dataclass_fields__)} FROM identity_entitlement
            WHERE organisation_id = %(organisation)s AND scene = %(scene)s
                AND purpose = %(purpose)s AND ended_at IS NULL
        ) AS e
    ), _LOOK
FROM identity_grant
JOIN identity_resident resident ON resident.id = identity_grant.resident_id
JOIN identity_device device ON device.id = identity_grant.device_id
WHERE identity_grant.handle = %(handle)s
"""  # noqa: S608  the names of our own columns
_RESIDENT = (
    "id", "level", "state", "phone", "real_name", "id_number", "suspended_scenes",
)  # fmt: skip


@dataclass(frozen=True)
class MachineFound:
    """A machine's key with what says whose it is; `is_closed` when the store it stands in is."""

    algorithm: Algorithm
    public_key: bytes
    terminal_id: uuid.UUID
    scene: str
    organisation_id: uuid.UUID
    organisation_kind: str
    store_id: uuid.UUID | None
    is_closed: bool


# As text too: it is read for every signed request, and putting it together took six times as long
# as having it answered.
_MACHINE = """
SELECT key.algorithm, key.public_key, terminal.id, terminal.scene, organisation.id,
    organisation.kind, store.id, COALESCE(store.state, 'active') <> 'active'
FROM identity_machinekey key
JOIN identity_terminal terminal ON terminal.id = key.terminal_id
JOIN identity_organisation organisation ON organisation.id = terminal.organisation_id
LEFT JOIN identity_store store ON store.id = terminal.store_id
WHERE key.id = %s AND key.state = 'active' AND (key.retires_at IS NULL OR key.retires_at > %s)
    AND terminal.state = 'active' AND organisation_is_open_v1(organisation.id)
"""


def find_machine(key_id: str, *, at: datetime) -> MachineFound | None:
    """Return the machine of a good key; None when its terminal, or its organisation or one above
    that, is suspended."""
    with connection.cursor() as cursor:
        cursor.execute(_MACHINE, [key_id, at])
        row = cursor.fetchone()
    if row is None:
        return None
    algorithm, public_key, *rest = row
    return MachineFound(algorithm, bytes(public_key), *rest)


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


_LOCK_LIVE_GRANTS = """
SELECT handle FROM identity_grant
WHERE (resident_id = %(resident)s OR device_id = ANY (
        ARRAY(SELECT id FROM identity_device WHERE resident_id = %(resident)s)))
    AND expires_at > %(at)s AND status_index IS NOT NULL
ORDER BY handle FOR NO KEY UPDATE
"""


def lock_live_grants(*, resident_id: uuid.UUID, at: datetime) -> list[bytes]:
    """Lock the living grants with a place: a person's, and those on the person's phones."""
    with connection.cursor() as cursor:
        cursor.execute(_LOCK_LIVE_GRANTS, {"resident": str(resident_id), "at": at})
        return [bytes(handle) for (handle,) in cursor.fetchall()]


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
            "INSERT INTO identity_grant (handle, resident_id, delegation_id, device_id, key_id,"
            " status_index, issued_at, expires_at) SELECT %(handle)s, %(resident)s, %(delegation)s,"
            " %(device)s, %(key)s, %(index)s, %(issued_at)s, %(expires_at)s"
            " WHERE EXISTS (SELECT FROM identity_device WHERE id = %(device)s AND state = 'active')"
            " AND %(maximum)s > (SELECT count(*) FROM identity_grant WHERE device_id = %(device)s"
            "  AND issued_at > %(since)s AND (status_index IS NULL) = %(is_placeless)s)"
            " ON CONFLICT (status_index) DO NOTHING",
            {
                "handle": bytes(grant.handle),
                "resident": str(grant.resident_id),
                "delegation": None if grant.delegation_id is None else str(grant.delegation_id),
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
    handle: bytes, *, caller: Caller, purpose: str, look: Look | None = None
) -> GrantFound | None:
    """Return the grant of a handle as a scanner needs it, with what the scanner may see."""
    values = {
        "handle": handle,
        "organisation": required(caller.organisation_id),
        "scene": caller.scene,
        "purpose": purpose,
        **({} if look is None else look.values),
    }
    text = _FIND_GRANT.replace("_LOOK", "NULL" if look is None else look.sql)
    with connection.cursor() as cursor:
        prepared.execute(cursor, "find_grant", text, values)
        row = cursor.fetchone()
    if row is None:
        return None
    ended_at, id_, level, state, phone, name, number, suspended, *device, acting, rule, looked = row
    sealed = (as_read(each) for each in (phone, name, number))
    resident = Resident.from_db(None, _RESIDENT, (id_, level, state, *sealed, suspended))
    return GrantFound(
        handle=handle,
        ended_at=ended_at,
        resident=resident,
        phone=Phone(*device),
        delegation=None if acting is None else _delegation(**acting),
        rule=None if rule is None else Rule(**rule),
        looked=looked,
    )


def find_rule(organisation_id: uuid.UUID, *, scene: str | None, purpose: str) -> Rule | None:
    """Return what an organisation may see in a scene for a purpose; None for nothing at all."""
    entitled = Entitlement.objects.filter(
        organisation_id=organisation_id, scene=scene, purpose=purpose, ended_at=None
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
