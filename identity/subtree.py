"""Knows which organisations lie below a member of staff's own, and what each may be used for."""

import uuid
from dataclasses import dataclass
from typing import Any, TypeVar

from django.db import connection
from django.db.models import Model, QuerySet
from django.db.models.expressions import RawSQL

from identity.models import (
    ATTRIBUTES,
    SCENES,
    Desk,
    Organisation,
    RelyingParty,
    Staff,
    Store,
    Terminal,
)
from vpass.common.callers import Caller, required
from vpass.common.errors import NotAllowed, NotFound

_BELOW = """
WITH RECURSIVE below AS (
    SELECT id FROM identity_organisation WHERE id = %s
    UNION ALL
    SELECT o.id FROM identity_organisation o JOIN below ON o.parent_id = below.id
) SELECT id FROM below
"""
_ABOVE = """
WITH RECURSIVE above AS (
    SELECT id, parent_id, scenes, attributes FROM identity_organisation WHERE id = %s
    UNION ALL
    SELECT o.id, o.parent_id, o.scenes, o.attributes
    FROM identity_organisation o JOIN above ON o.id = above.parent_id
) SELECT scenes, attributes FROM above
"""

Row = TypeVar("Row", bound=Model)


class OwnOrganisation(NotAllowed):
    """Only the organisation above decides this about one's own."""

    code = "organisation.own"
    title_zh = "此事项须由上级单位决定"


@dataclass(frozen=True)
class Bounds:
    """The scenes and attributes that an organisation and all above it may be registered for."""

    scenes: frozenset[str]
    attributes: frozenset[str]


def organisations_of(caller: Caller) -> QuerySet[Organisation]:
    """Return the caller's own organisation and all below it."""
    return Organisation.objects.filter(id__in=_below(caller))


def desks_of(caller: Caller) -> QuerySet[Desk]:
    """Return the desks of these organisations."""
    return Desk.objects.filter(organisation_id__in=_below(caller))


def terminals_of(caller: Caller) -> QuerySet[Terminal]:
    """Return their terminals and systems."""
    return Terminal.objects.filter(organisation_id__in=_below(caller))


def stores_of(caller: Caller) -> QuerySet[Store]:
    """Return their stores."""
    return Store.objects.filter(organisation_id__in=_below(caller))


def staff_of(caller: Caller) -> QuerySet[Staff]:
    """Return who works there."""
    return Staff.objects.filter(organisation_id__in=_below(caller)).select_related("user")


def relying_parties_of(caller: Caller) -> QuerySet[RelyingParty]:
    """Return their web services where residents log in."""
    return RelyingParty.objects.filter(organisation_id__in=_below(caller))


def find(rows: QuerySet[Row], row_id: uuid.UUID) -> Row:
    """Return one of `rows`; one outside the subtree and a missing one raise NotFound alike."""
    row = rows.filter(pk=row_id).first()
    if row is None:
        raise NotFound
    return row


def find_store(organisation_id: uuid.UUID, store_id: str | None) -> Store | None:
    """Return an organisation's store, or None for None. Raises NotFound, also for another's."""
    stores = Store.objects.filter(organisation_id=organisation_id)
    return None if store_id is None else find(stores, uuid.UUID(store_id))


def find_below(caller: Caller, organisation_id: uuid.UUID) -> Organisation:
    """Return an organisation about which the caller's may decide from above.

    Raises NotFound, and OwnOrganisation for the caller's own, unless none is above it.
    """
    found = find(organisations_of(caller), organisation_id)
    if found.id == caller.organisation_id and found.parent_id is not None:
        raise OwnOrganisation
    return found


def is_root(organisation_id: uuid.UUID) -> bool:
    """Whether no organisation is above this one."""
    return Organisation.objects.filter(id=organisation_id, parent=None).exists()


def bounds_of(organisation_id: uuid.UUID | None) -> Bounds:
    """Return what an organisation may be registered for, given all above it."""
    scenes, attributes = frozenset(SCENES), frozenset(ATTRIBUTES)
    with connection.cursor() as cursor:
        cursor.execute(_ABOVE, [_text(organisation_id)])
        for own_scenes, own_attributes in cursor.fetchall():
            scenes = scenes if own_scenes is None else scenes & frozenset(own_scenes)
            attributes = (
                attributes if own_attributes is None else attributes & frozenset(own_attributes)
            )
    return Bounds(scenes, attributes)


def ids_below(organisation_id: uuid.UUID) -> list[uuid.UUID]:
    """Return the ids of an organisation and of all below it."""
    with connection.cursor() as cursor:
        cursor.execute(_BELOW, [str(organisation_id)])
        return [found for (found,) in cursor.fetchall()]


def lock_tree() -> None:
    """Let changes of rights come one after another, until the caller's transaction ends.

    So a right is never given by a bound that is narrowed at the same moment.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtext('identity.registration'))")


def _below(caller: Caller) -> Any:
    return RawSQL(_BELOW, [str(required(caller.organisation_id))])  # noqa: S611  values apart


def _text(organisation_id: uuid.UUID | None) -> str | None:
    return None if organisation_id is None else str(organisation_id)
