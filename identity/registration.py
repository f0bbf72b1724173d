"""Registers organisations, desks and machines, says what they may do, and suspends them at once.

What gives rights is done here for `proposals`, which has seen two people agree. Suspending takes
one person, and lifting two.
"""

import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from django.db import IntegrityError, transaction
from django.db.models import QuerySet

from identity import organisations, staff, states, subtree
from identity.history import change_state
from identity.models import Desk, Entitlement, Organisation, Staff, Terminal
from vpass.common import audit
from vpass.common.callers import Caller, required
from vpass.common.errors import Conflict, DomainError, NotAllowed, NotFound

Registered = Literal["organisation", "desk", "terminal", "store", "staff", "relying_party"]

# What works here works for the whole city, so that only the root's own administrators open it; who
# may see what by it is set apart from that, as everywhere.
CITY_SCENES = frozenset({"register", "issuer", "operations"})

# The roles that administer together: one proposes, another approves.
KEEPERS = ("administrator", "approver")
# What may be registered below what; counties join one by one.
_OFFICES = {"hall", "department", "merchant", "bank", "issuer"}
BELOW: dict[str, set[str]] = {
    "city": {"county", *_OFFICES},
    "county": _OFFICES,
    "hall": {"department"},
}


class KindNotBelow(DomainError):
    """An organisation of this kind cannot stand below that one."""

    code = "organisation.kind_not_below"
    status = 422
    title_zh = "该类单位不能设在此单位之下"


class NameTaken(Conflict):
    """There is one of this name there already."""

    code = "registration.name_taken"
    title_zh = "同一单位下已有此名称"


class BeyondBounds(DomainError):
    """This is more than the organisation above allows.

    The members `scenes` and `attributes` name what goes beyond.
    """

    code = "registration.beyond_bounds"
    status = 422
    title_zh = "超出上级单位允许的范围"


class SceneOfCity(NotAllowed):
    """Only the city itself opens desks and machines of this scene."""

    code = "registration.scene_of_city"
    title_zh = "该场景的窗口和设备仅由市级登记"


class RightOfCity(NotAllowed):
    """Only the city itself keeps a look from the resident's log, or a part of it."""

    code = "entitlement.of_city"
    title_zh = "仅市级可授予延迟告知或隐去信息的权限"


class RootStays(Conflict):
    """The organisation above all others is not suspended: nobody could lift that again."""

    code = "organisation.root"
    title_zh = "最上级单位不能暂停"


class Oneself(Conflict):
    """Nobody suspends themselves; sign out, or ask a colleague."""

    code = "staff.oneself"
    title_zh = "不能暂停自己的账号"


class LastOfRoot(Conflict):
    """At the root an administrator, an approver, and two different people have to be left."""

    code = "staff.last_of_root"
    title_zh = "最上级单位须保留在岗的管理员、批准人各一名，且不得为同一人"


@dataclass(frozen=True, kw_only=True)
class Made:
    """What an approved proposal has made or changed, and the code that is shown this once."""

    id: uuid.UUID
    code: str | None = None


def register_organisation(
    parent: Organisation, detail: Mapping[str, Any], *, caller: Caller, at: datetime
) -> Made:
    """Open an organisation below another. Raises KindNotBelow, BeyondBounds, NameTaken."""
    if detail["kind"] not in BELOW.get(parent.kind, ()):
        raise KindNotBelow
    _refuse_beyond(parent.id, scenes=detail["scenes"], attributes=detail["attributes"])
    made = Organisation(parent=parent, **detail)
    _insert(made)
    _audit("organisation.registered", made, caller=caller, at=at, under=str(parent.id))
    return Made(id=made.id)


def rename_organisation(
    organisation: Organisation, detail: Mapping[str, Any], *, caller: Caller, at: datetime
) -> Made:
    """Change the names that residents read. Raises NameTaken."""
    organisation.name_zh, organisation.name_en = detail["name_zh"], detail["name_en"]
    try:
        with transaction.atomic():
            organisation.save(update_fields=["name_zh", "name_en"])
    except IntegrityError as error:
        raise NameTaken from error
    _audit("organisation.renamed", organisation, caller=caller, at=at)
    return Made(id=organisation.id)


def allow(
    organisation: Organisation, detail: Mapping[str, Any], *, caller: Caller, at: datetime
) -> Made:
    """Set what an organisation and all below may be registered for; null is what the one above may.

    What goes beyond the new bounds ends: rights in other scenes, and other attributes of the rights
    that stay. Raises BeyondBounds.
    """
    scenes, attributes = detail["scenes"], detail["attributes"]
    _refuse_beyond(organisation.parent_id, scenes=scenes, attributes=attributes)
    organisation.scenes, organisation.attributes = scenes, attributes
    organisation.save(update_fields=["scenes", "attributes"])
    bounds = subtree.bounds_of(organisation.id)
    rights = Entitlement.objects.filter(
        organisation_id__in=subtree.ids_below(organisation.id), ended_at=None
    )
    for right in rights.order_by("id"):
        if right.scene not in bounds.scenes:
            right.ended_at = at
        right.attributes = [each for each in right.attributes if each in bounds.attributes]
        right.may_ask = [each for each in right.may_ask if each in bounds.attributes]
        right.save(update_fields=["ended_at", "attributes", "may_ask"])
    _audit("organisation.allowed", organisation, caller=caller, at=at)
    return Made(id=organisation.id)


def register_desk(
    organisation: Organisation, detail: Mapping[str, Any], *, caller: Caller, at: datetime
) -> Made:
    """Open a desk, and give the code by which one browser becomes it.

    Raises SceneOfCity, BeyondBounds, NameTaken.
    """
    _refuse_city_wide(detail["scene"], caller=caller)
    _refuse_beyond(organisation.id, scenes=[detail["scene"]])
    made = Desk(organisation=organisation, **detail)
    _insert(made)
    _audit("desk.registered", made, caller=caller, at=at, under=str(organisation.id))
    return enrol_desk_anew(made, {}, caller=caller, at=at)


def enrol_desk_anew(
    desk: Desk, _detail: Mapping[str, Any], *, caller: Caller, at: datetime
) -> Made:
    """Give the code by which another browser becomes this desk."""
    code = organisations.issue_desk_code(desk=desk, actor=caller.scope, at=at)
    return Made(id=desk.id, code=code)


def register_terminal(
    organisation: Organisation, detail: Mapping[str, Any], *, caller: Caller, at: datetime
) -> Made:
    """Register a terminal or system, and give the code by which it enrols its key.

    A merchant's may name the `store` it stands in. Raises SceneOfCity, BeyondBounds, NotFound.
    """
    _refuse_city_wide(detail["scene"], caller=caller)
    _refuse_beyond(organisation.id, scenes=[detail["scene"]])
    store = subtree.find_store(organisation.id, detail.get("store"))
    made = Terminal(organisation=organisation, **{**detail, "store": store})
    _insert(made)
    _audit("terminal.registered", made, caller=caller, at=at, under=str(organisation.id))
    return enrol_terminal_anew(made, {}, caller=caller, at=at)


def enrol_terminal_anew(
    terminal: Terminal, _detail: Mapping[str, Any], *, caller: Caller, at: datetime
) -> Made:
    """Give the code by which a machine enrols another key; then the keys it had end."""
    code = organisations.issue_terminal_code(terminal=terminal, actor=caller.scope, at=at)
    return Made(id=terminal.id, code=code)


def set_entitlement(
    organisation: Organisation, detail: Mapping[str, Any], *, caller: Caller, at: datetime
) -> Made:
    """Say what an organisation may see in a scene for a purpose; replaces what it might before.

    Raises BeyondBounds, RightOfCity.
    """
    is_kept_from_log = detail["shields_others"] or detail["deferred_days"] > 0
    if is_kept_from_log and not subtree.is_root(required(caller.organisation_id)):
        raise RightOfCity
    asked = [*detail["attributes"], *detail["may_ask"]]
    _refuse_beyond(organisation.id, scenes=[detail["scene"]], attributes=asked)
    named = {name: detail[name] for name in ("scene", "purpose")}
    right, _ = Entitlement.objects.update_or_create(
        organisation=organisation, **named, defaults={**detail, "ended_at": None}
    )
    _audit("entitlement.set", organisation, caller=caller, at=at, entitlement=right.pk, **named)
    return Made(id=organisation.id)


def end_entitlement(
    organisation: Organisation, detail: Mapping[str, Any], *, caller: Caller, at: datetime
) -> Made:
    """End a right from the next scan on. Raises NotFound."""
    named = {name: detail[name] for name in ("scene", "purpose")}
    rights = Entitlement.objects.filter(organisation=organisation, ended_at=None, **named)
    if not rights.update(ended_at=at):
        raise NotFound
    _audit("entitlement.ended", organisation, caller=caller, at=at, **named)
    return Made(id=organisation.id)


def entitlements_of(caller: Caller) -> QuerySet[Entitlement]:
    """Return the rights in force of the caller's organisation and all below it."""
    below = subtree.organisations_of(caller).values("id")
    return Entitlement.objects.filter(organisation_id__in=below, ended_at=None)


@transaction.atomic
def suspend(
    *, caller: Caller, kind: Registered, row_id: uuid.UUID, reason: str, at: datetime
) -> Any:
    """Switch something off that lies in the caller's subtree, from the next request on.

    An organisation takes all below with it, a store what stands in it, a member of staff is signed
    out everywhere, and the codes end by which its desks and machines could enrol a key. `reason` is
    a short word. Already suspended, nothing else changes. Raises NotFound, RootStays, Oneself,
    LastOfRoot.
    """
    subtree.lock_tree()
    row = find(caller, kind, row_id)
    _end_codes(row, kind=kind, at=at)
    row = type(row).objects.select_for_update(no_key=True, of=("self",)).get(pk=row.pk)
    if isinstance(row, Organisation) and row.parent_id is None:
        raise RootStays
    if row.pk == caller.staff_id:
        raise Oneself
    if row.state == "active":
        if kind == "staff":
            refuse_last_of_root(row, losing=row.roles)
        change_state(row, "suspended", table=states.REGISTRATION, actor=caller.scope, at=at)
        if kind == "staff":
            staff.end_sessions(row.pk, at=at)
        _audit(f"{kind}.suspended", row, caller=caller, at=at, reason=reason)
    return row


def lift(row: Any, _detail: Mapping[str, Any], *, caller: Caller, at: datetime) -> Made:
    """Switch something on again. Raises states.IllegalTransition when it is not suspended."""
    row = type(row).objects.select_for_update(no_key=True, of=("self",)).get(pk=row.pk)
    change_state(row, "active", table=states.REGISTRATION, actor=caller.scope, at=at)
    _audit(f"{_word(row)}.lifted", row, caller=caller, at=at)
    return Made(id=row.pk)


def refuse_last_of_root(person: Staff, *, losing: Iterable[str]) -> None:
    """Refuse that somebody's roles end without which nobody could administer the root any more.

    The caller has locked the tree. Raises LastOfRoot.
    """
    if not {*losing} & {*person.roles} & {*KEEPERS} or not subtree.is_root(person.organisation_id):
        return
    keepers = []
    for each in Staff.objects.filter(
        organisation_id=person.organisation_id, state="active", user__is_active=True
    ):
        kept = {*each.roles} & {*KEEPERS} - ({*losing} if each.id == person.id else set())
        keepers += [kept] if kept else []
    if len(keepers) < 2 or set().union(*keepers) != {*KEEPERS}:
        raise LastOfRoot


def find(caller: Caller, kind: Registered, row_id: uuid.UUID) -> Any:
    """Return what the caller may administer; another subtree's raises NotFound."""
    rows: dict[str, QuerySet[Any]] = {
        "organisation": subtree.organisations_of(caller),
        "desk": subtree.desks_of(caller),
        "terminal": subtree.terminals_of(caller),
        "store": subtree.stores_of(caller),
        "staff": subtree.staff_of(caller),
        "relying_party": subtree.relying_parties_of(caller),
    }
    return subtree.find(rows[kind], row_id)


def _refuse_city_wide(scene: str, *, caller: Caller) -> None:
    if scene in CITY_SCENES and not subtree.is_root(required(caller.organisation_id)):
        raise SceneOfCity


def _end_codes(row: Any, *, kind: Registered, at: datetime) -> None:
    if kind in ("staff", "relying_party", "store"):
        return
    where: dict[str, Any] = {"id": row.pk}
    if kind == "organisation":
        where = {"organisation_id__in": subtree.ids_below(row.pk)}
    if kind != "terminal":
        organisations.end_desk_codes(Desk.objects.filter(**where), at=at)
    if kind != "desk":
        organisations.end_terminal_codes(Terminal.objects.filter(**where), at=at)


def _refuse_beyond(
    organisation_id: uuid.UUID | None,
    *,
    scenes: list[str] | None = None,
    attributes: list[str] | None = None,
) -> None:
    bounds = subtree.bounds_of(organisation_id)
    other_scenes = sorted(set(scenes or ()) - bounds.scenes)
    other_attributes = sorted(set(attributes or ()) - bounds.attributes)
    if other_scenes or other_attributes:
        raise BeyondBounds(scenes=other_scenes, attributes=other_attributes)


def _insert(row: Organisation | Desk | Terminal) -> None:
    try:
        with transaction.atomic():
            row.save(force_insert=True)
    except IntegrityError as error:
        raise NameTaken from error


def _audit(action: str, row: Any, *, caller: Caller, at: datetime, **detail: Any) -> None:
    subject = f"{_word(row)}:{row.pk}"
    audit.record(actor=caller.scope, action=action, subject=subject, detail=detail, at=at)


def _word(row: Any) -> str:
    return str(row._meta.verbose_name).replace(" ", "_")
