"""Freezes lost phones, gives found ones back, and ends those that a new phone replaces."""

import uuid
from datetime import datetime

from django.db import transaction

from identity import devices, states, status_list
from identity.history import change_state
from identity.models import Deletion, Device, Grant, Resident
from vpass.common import outbox
from vpass.common.errors import Conflict, NotFound

DEVICE_FROZEN = "identity.device_frozen"


class OwnDevice(Conflict):
    """A phone cannot freeze itself; sign it out, or freeze it from another one."""

    code = "device.own"
    title_zh = "不能冻结当前使用的手机"


def devices_of(*, resident_id: uuid.UUID) -> list[Device]:
    """Return a person's phones, the newest first, ended ones too."""
    return list(Device.objects.filter(resident_id=resident_id).order_by("-bound_at", "id"))


@transaction.atomic
def freeze_device(
    *,
    resident_id: uuid.UUID,
    device_id: uuid.UUID,
    actor: str,
    at: datetime,
    by_device: uuid.UUID | None = None,
) -> Device:
    """Freeze one of a person's phones: its codes and tokens are refused from now on.

    Its grants end for good, so a phone that is given back asks for a new one. A frozen phone
    stays as it is. Raises NotFound for another's, OwnDevice for the phone which asks, and
    IllegalTransition for one that has ended.
    """
    _lock(resident_id)
    device = _find(resident_id, device_id)
    if device.id == by_device:
        raise OwnDevice
    if device.state != "frozen":
        _take_out(device, "frozen", actor=actor, at=at)
        outbox.publish(
            DEVICE_FROZEN, {"device": str(device.id), "resident": str(resident_id)}, at=at
        )
        status_list.refresh(resident_id=resident_id, at=at)
    return device


@transaction.atomic
def thaw_device(
    *, resident_id: uuid.UUID, device_id: uuid.UUID, actor: str, at: datetime
) -> Device:
    """Give a frozen phone back; it signs in with its key and asks for a new grant.

    An active phone stays as it is. Raises NotFound, IllegalTransition for one that has ended.
    """
    _lock(resident_id)
    device = _find(resident_id, device_id)
    if device.state != "active":
        change_state(device, "active", table=states.DEVICE, actor=actor, at=at)
    return device


@transaction.atomic
def freeze_all(*, resident_id: uuid.UUID, actor: str, at: datetime) -> int:
    """Freeze every active phone of a person, as the hotline does; return how many."""
    with transaction.atomic():
        _lock(resident_id)
        active = Device.objects.filter(resident_id=resident_id, state="active").order_by("id")
        for device in active:
            freeze_device(resident_id=resident_id, device_id=device.id, actor=actor, at=at)
        return len(active)


def end_others(*, device: Device, actor: str, at: datetime) -> None:
    """End every other phone of the person whose new phone `device` is, with grants and tokens.

    Call it inside the transaction which bound the new phone, the resident's row locked.
    """
    others = Device.objects.filter(resident_id=device.resident_id).exclude(state="ended")
    for other in others.exclude(id=device.id).order_by("id"):
        _take_out(other, "ended", actor=actor, at=at)
    status_list.refresh(resident_id=device.resident_id, at=at)


def end_all(*, resident_id: uuid.UUID, actor: str, at: datetime) -> None:
    """End every phone of a person, with grants and tokens, the resident's row locked."""
    for device in Device.objects.filter(resident_id=resident_id).exclude(state="ended"):
        _take_out(device, "ended", actor=actor, at=at)
    Grant.objects.filter(resident_id=resident_id, ended_at=None, expires_at__gt=at).update(
        ended_at=at
    )
    status_list.refresh(resident_id=resident_id, at=at)


def _take_out(device: Device, state: str, *, actor: str, at: datetime) -> None:
    """Freeze or end a phone: what it holds or has asked for goes with it."""
    change_state(device, state, table=states.DEVICE, actor=actor, at=at)
    devices.end_tokens(device, at=at)
    Grant.objects.filter(device=device, ended_at=None, expires_at__gt=at).update(ended_at=at)
    # Whoever held the phone may have asked: a thief is not to delete the account afterwards.
    for wish in Deletion.objects.select_for_update().filter(device=device, state="waiting"):
        wish.ended_at = at
        change_state(
            wish, "cancelled", table=states.DELETION, actor=actor, at=at, also=("ended_at",)
        )


def _lock(resident_id: uuid.UUID) -> None:
    """The person's row, under which grants are issued too."""
    Resident.objects.select_for_update(no_key=True).get(id=resident_id)


def _find(resident_id: uuid.UUID, device_id: uuid.UUID) -> Device:
    device = (
        Device.objects.select_for_update(no_key=True)
        .filter(id=device_id, resident_id=resident_id)
        .first()
    )
    if device is None:
        raise NotFound
    return device
