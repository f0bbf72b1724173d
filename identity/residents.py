"""Shows residents their own account, with nothing that a glance over the shoulder steals."""

from dataclasses import dataclass
from datetime import datetime

from identity.models import Device
from vpass.common.callers import Caller, required
from vpass.common.errors import DomainError


class AccountSuspended(DomainError):
    """This account is suspended."""

    code = "account.suspended"
    status = 403
    title_zh = "账户已暂停使用"


class DeviceNotActive(DomainError):
    """This phone is frozen or replaced."""

    code = "device.not_active"
    status = 403
    title_zh = "该手机已被冻结或更换"


@dataclass(frozen=True)
class Account:
    """An account as its holder sees it."""

    level: int
    state: str
    masked_name: str | None
    masked_phone: str
    device_grade: str
    device_bound_at: datetime


def my_account(*, caller: Caller) -> Account:
    """Return the caller's account and the phone it calls with."""
    device = Device.objects.select_related("resident").get(id=required(caller.device_id))
    resident = device.resident
    return Account(
        level=resident.level,
        state=resident.state,
        masked_name=None if resident.real_name is None else mask_name(resident.real_name),
        masked_phone=f"{resident.phone[:3]}****{resident.phone[-4:]}",
        device_grade=device.grade,
        device_bound_at=device.bound_at,
    )


def mask_name(name: str) -> str:
    """Return a name with all but its last character hidden: 张小明 becomes **明."""
    return "*" * (len(name) - 1) + name[-1]
