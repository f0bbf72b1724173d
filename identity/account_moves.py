"""Moves the account that a person has already to the phone that they bring to a counter.

Who has a new number, and who was registered as a child by a parent, begins on the new phone with an
empty account of level 1 and can have no identity there: the person is known already. With the
register's word and the clerk's look at person and document, the account they have takes over the
phone and its number; the old number is free again, and the empty account closes.
"""

from datetime import datetime

from identity import delegation, deletion, lost_phones
from identity.models import Deletion, Device, Resident, Takeover
from identity.real_names import hold_person
from vpass.common import audit
from vpass.common.transactions import require_transaction


def move_here(
    beginner: Resident, *, phone: Device, census_hash: bytes, actor: str, at: datetime
) -> Resident | None:
    """Give a person's own account the phone and number of a locked one of level 1, which closes.

    The account's other phones end; a child's delegations end too, and it is a dependent no longer.
    None, and nothing has changed, when the person has no active account, or the beginner's is not
    empty: something is open in it, it waits to be deleted or comes from the older Cloud Pay.
    """
    require_transaction("the move of an account")
    hold_person(census_hash)
    own = (
        Resident.objects.select_for_update(no_key=True)
        .filter(census_hash=census_hash, state="active")
        .first()
    )
    # Exclusive: whoever writes a row about the beginner waits, and finds the account closed.
    beginner = Resident.objects.select_for_update().get(id=beginner.id)
    if own is None or not _is_empty(beginner):
        return None
    number, number_hash = beginner.phone, beginner.phone_hash
    phone.resident = own
    phone.save(update_fields=["resident"])
    deletion.close_empty(beginner, actor=actor, at=at)
    if own.is_dependent:
        delegation.end_all_of(resident_id=own.id, actor=actor, at=at)
    own.phone, own.phone_hash, own.is_dependent = number, number_hash, False
    own.save(update_fields=["phone", "phone_hash", "is_dependent"])
    lost_phones.end_others(device=phone, actor=actor, at=at)
    audit.record(
        actor=actor,
        action="account.moved",
        subject=f"resident:{own.id}",
        detail={"closed": str(beginner.id)},
        at=at,
    )
    return own


def _is_empty(beginner: Resident) -> bool:
    return not (
        beginner.level > 1
        or Takeover.objects.filter(resident=beginner).exists()
        or Deletion.objects.filter(resident=beginner, state="waiting").exists()
        or deletion.open_obligations(resident_id=beginner.id)
    )
