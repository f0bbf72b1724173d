"""Takes the users of the older Cloud Pay over: people known by phone and account there alone.

Each gets an account of level 1 that waits for its phone. Identity knows nothing of money: the
floors above open what belongs to the account under its id, and find the old account by reference.
"""

import re
import uuid
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime

from django.db import IntegrityError, transaction

from identity.models import Device, Resident, Takeover
from identity.residents import AccountSuspended
from vpass.common import audit, outbox
from vpass.common.sealed_fields import lookup_hash

# {"resident": id}: published once for each reference.
TAKEN_OVER = "identity.taken_over"

_PHONE = re.compile(r"1[3-9][0-9]{9}", re.ASCII)
_REFERENCE = re.compile(r"[A-Za-z0-9_-]{1,64}", re.ASCII)


@dataclass
class Imported:
    """What came of an import: how many of each, and each refused row's number with the reason."""

    opened: int = 0
    joined: int = 0  # the number had an account here already
    repeated: int = 0
    refused: list[tuple[int, str]] = field(default_factory=list)


def import_users(rows: Iterable[tuple[str, str]], *, actor: str, at: datetime) -> Imported:
    """Take over the rows, each a phone number and the account's reference in the older system.

    Each row stands or falls alone, and is safe to repeat. Refused are "phone_invalid",
    "reference_invalid", "reference_of_another" (the reference was another number's) and
    "phone_of_another" (the number was taken over with another reference).
    """
    found = Imported()
    for number, (phone, reference) in enumerate(rows, 1):
        if not _PHONE.fullmatch(phone):
            found.refused.append((number, "phone_invalid"))
        elif not _REFERENCE.fullmatch(reference):
            found.refused.append((number, "reference_invalid"))
        else:
            _import(found, number, phone=phone, reference=reference, at=at)
    audit.record(
        actor=actor,
        action="takeover.import",
        subject="takeovers",
        detail={
            "opened": found.opened,
            "joined": found.joined,
            "repeated": found.repeated,
            "refused": len(found.refused),
        },
        at=at,
    )
    return found


def claim(*, phone: str, at: datetime) -> Resident | None:
    """Return the waiting account of a proven number, for the phone that comes first; else None.

    Call it inside the enrolment's transaction. Raises AccountSuspended.
    """
    waiting = (
        Takeover.objects.filter(
            resident__phone_hash=lookup_hash("phone", phone), claimed_at__isnull=True
        )
        .exclude(resident__state="closed")
        .first()
    )
    if waiting is None:
        return None
    resident = Resident.objects.select_for_update(no_key=True).get(id=waiting.resident_id)
    if resident.state != "active":
        raise AccountSuspended
    # It was moved to a phone meanwhile: from now on a new one has to prove more than the number.
    if Device.objects.filter(resident=resident).exists():
        return None
    is_first = Takeover.objects.filter(id=waiting.id, claimed_at=None).update(claimed_at=at) == 1
    return resident if is_first else None


def opening_reference(*, resident_id: uuid.UUID) -> str | None:
    """Return the account that a resident had in the older system; None for everybody else."""
    found = Takeover.objects.filter(resident_id=resident_id).first()
    return None if found is None else str(found.reference) or None


def find_reference(reference: str) -> Takeover | None:
    """Return who had an account of the older system, if they were taken over."""
    known = Takeover.objects.select_related("resident")
    return known.filter(reference_hash=lookup_hash("takeover", reference)).first()


def forget(*, resident_id: uuid.UUID) -> None:
    """Forget which account it was; its keyed hash stays, so that nobody takes it over again."""
    for known in Takeover.objects.filter(resident_id=resident_id):
        known.reference = ""
        known.save(update_fields=["reference"])


def _import(found: Imported, number: int, *, phone: str, reference: str, at: datetime) -> None:
    phone_hash = lookup_hash("phone", phone)
    reference_hash = lookup_hash("takeover", reference)
    try:
        with transaction.atomic():
            resident, is_new = Resident.objects.exclude(state="closed").get_or_create(
                phone_hash=phone_hash, defaults={"phone": phone, "created_at": at}
            )
            Takeover.objects.create(
                resident=resident,
                reference=reference,
                reference_hash=reference_hash,
                imported_at=at,
                claimed_at=None if is_new else at,
            )
            outbox.publish(TAKEN_OVER, {"resident": str(resident.id)}, at=at)
    except IntegrityError:
        _judge_repeat(found, number, phone_hash=phone_hash, reference_hash=reference_hash)
        return
    found.opened += is_new
    found.joined += not is_new


def _judge_repeat(
    found: Imported, number: int, *, phone_hash: bytes, reference_hash: bytes
) -> None:
    earlier = Takeover.objects.select_related("resident").filter(reference_hash=reference_hash)
    known = earlier.first()
    if known is None:
        found.refused.append((number, "phone_of_another"))
    elif bytes(known.resident.phone_hash or b"") == phone_hash:
        found.repeated += 1
    else:
        found.refused.append((number, "reference_of_another"))
