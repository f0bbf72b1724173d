"""Begins and ends the ways to level 3: each good once, for a short time, with few tries."""

import hmac
import uuid
from datetime import datetime, timedelta

from django.db import transaction

from identity import states
from identity.history import change_state
from identity.models import Device, LevelCheck, Resident
from identity.residents import AccountSuspended, DeviceNotActive
from vpass.common.callers import Caller, required
from vpass.common.errors import DomainError
from vpass.common.sealed_fields import lookup_hash
from vpass.common.transactions import require_transaction

CHECK_LIFE = timedelta(minutes=10)
TRIES = 5
KEPT_FOR = timedelta(days=30)
PURGE_ROWS = 1_000


class LevelReached(DomainError):
    """This account has the highest level already."""

    code = "level.reached"
    status = 409
    title_zh = "该账户已达到最高认证级别"


class LevelCheckOver(DomainError):
    """This check was used, has failed or has lapsed; begin a new one."""

    code = "level.check_over"
    status = 410
    title_zh = "本次核验已使用、失败或过期，请重新发起"


def begin(*, caller: Caller, kind: str, secret: str, at: datetime) -> LevelCheck:
    """Begin a check for the caller's phone, in the caller's transaction; an earlier one ends.

    Only a keyed hash of `secret` is kept. Raises
    LevelReached, AccountSuspended, DeviceNotActive.
    """
    require_transaction("a level check")
    resident = lock_resident(required(caller.resident_id))
    if resident.level >= 3:
        raise LevelReached
    if not Device.objects.filter(id=required(caller.device_id), state="active").exists():
        raise DeviceNotActive
    for earlier in LevelCheck.objects.filter(resident=resident, kind=kind, state="asked"):
        change_state(earlier, "expired", table=states.LEVEL_CHECK, actor=caller.scope, at=at)
    check = LevelCheck(
        resident=resident,
        device_id=required(caller.device_id),
        kind=kind,
        created_at=at,
        expires_at=at + CHECK_LIFE,
    )
    check.secret_hash = _hash(kind, secret)
    check.save(force_insert=True)
    return check


def lock_resident(resident_id: uuid.UUID) -> Resident:
    """Lock the row of an active account. Raises AccountSuspended."""
    resident = Resident.objects.select_for_update(no_key=True).get(id=resident_id)
    if resident.state != "active":
        raise AccountSuspended
    return resident


def is_open(check: LevelCheck, *, at: datetime) -> bool:
    """Whether a locked check waits for its end."""
    return check.state == "asked" and at < check.expires_at


def knows(check: LevelCheck, secret: str) -> bool:
    """Whether this is the check's secret."""
    return hmac.compare_digest(bytes(check.secret_hash), _hash(check.kind, secret))


def count_try(check: LevelCheck) -> int:
    """Count a try of a locked check and return how many are left."""
    check.tries += 1
    check.save(update_fields=["tries"])
    return TRIES - check.tries


def end(check: LevelCheck, state: str, *, actor: str, at: datetime) -> None:
    """End a locked, open check: "passed" or "failed"."""
    change_state(check, state, table=states.LEVEL_CHECK, actor=actor, at=at)


def purge(*, at: datetime) -> None:
    """End checks that have lapsed, and forget those of long ago; so many at a time."""
    with transaction.atomic():
        lapsed = LevelCheck.objects.select_for_update(skip_locked=True).filter(
            state="asked", expires_at__lte=at
        )
        for check in lapsed.order_by("expires_at")[:PURGE_ROWS]:
            change_state(check, "expired", table=states.LEVEL_CHECK, actor="expiry", at=at)
    past = LevelCheck.objects.filter(expires_at__lt=at - KEPT_FOR).exclude(state="asked")
    LevelCheck.objects.filter(id__in=past.values("id")[:PURGE_ROWS])._raw_delete(
        LevelCheck.objects.db
    )


def forget(*, resident_id: uuid.UUID) -> None:
    """Forget the ways to level 3 that a person has begun."""
    LevelCheck.objects.filter(resident_id=resident_id).delete()


def _hash(kind: str, secret: str) -> bytes:
    return lookup_hash(f"level-check:{kind}", secret)
