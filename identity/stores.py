"""Registers merchants' stores, and says which of them a till or door stands in.

As in `registration`, `proposals` has seen two people agree, but for the closing, which one does.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import QuerySet

from identity import subtree
from identity.models import Organisation, Store, Terminal
from identity.registration import KindNotBelow, Made, NameTaken
from vpass.common import audit
from vpass.common.callers import Caller, required

SAID = ("name_zh", "name_en", "address", "longitude", "latitude")


def register_store(
    organisation: Organisation, detail: Mapping[str, Any], *, caller: Caller, at: datetime
) -> Made:
    """Open a merchant's store. Raises KindNotBelow for another organisation, NameTaken."""
    if organisation.kind != Organisation.Kind.MERCHANT:
        raise KindNotBelow
    store = Store(organisation=organisation, code=detail["code"])
    _say(store, detail)
    _save(store, force_insert=True)
    _audit("store.registered", store, caller=caller, at=at, under=str(organisation.id))
    return Made(id=store.id)


def rename_store(store: Store, detail: Mapping[str, Any], *, caller: Caller, at: datetime) -> Made:
    """Change the names and the place that residents read; the code stays. Raises NameTaken."""
    _say(store, detail)
    _save(store, update_fields=SAID)
    _audit("store.renamed", store, caller=caller, at=at)
    return Made(id=store.id)


def place_terminal(
    terminal: Terminal, detail: Mapping[str, Any], *, caller: Caller, at: datetime
) -> Made:
    """Have a till or door stand in a store of its organisation, or in none, from its next request
    on. Raises NotFound for another's store."""
    terminal.store = subtree.find_store(terminal.organisation_id, detail["store"])
    terminal.save(update_fields=["store"])
    audit.record(
        actor=caller.scope,
        action="terminal.placed",
        subject=f"terminal:{terminal.id}",
        detail={"store": detail["store"]},
        at=at,
    )
    return Made(id=terminal.id)


def stores_of_caller(caller: Caller) -> QuerySet[Store]:
    """Return the stores of the organisation whose machine calls, to be ordered by code."""
    return Store.objects.filter(organisation_id=required(caller.organisation_id))


def _say(store: Store, detail: Mapping[str, Any]) -> None:
    for name in SAID:
        setattr(store, name, detail[name])


def _save(store: Store, **how: Any) -> None:
    try:
        with transaction.atomic():
            store.save(**how)
    except IntegrityError as error:
        raise NameTaken from error


def _audit(action: str, store: Store, *, caller: Caller, at: datetime, **detail: Any) -> None:
    audit.record(
        actor=caller.scope, action=action, subject=f"store:{store.id}", detail=detail, at=at
    )
