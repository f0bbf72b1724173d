"""Keeps the real names of accounts: the form of name and number, and one account for a person."""

import re
from datetime import datetime, timedelta

from django.db import IntegrityError, connection, transaction
from stdnum.cn import ric
from stdnum.exceptions import InvalidComponent

from identity.models import RegisterChange, Resident
from vpass.common import outbox
from vpass.common.errors import DomainError
from vpass.common.sealed_fields import lookup_hash

LEVEL_REACHED = "identity.level_reached"
# {"resident": id, "kind": what changed}: for the floors above, never what it was or is.
PERSON_CHANGED = "identity.person_changed"
# By how much the clocks of our own machines may differ.
CLOCKS_APART = timedelta(seconds=5)

# Han characters and Latin letters; between the first and the last also a dot or a space.
_LETTERS = "㐀-鿿\U00020000-\U0003ffffA-Za-z"
_NAME = re.compile(f"[{_LETTERS}][{_LETTERS}· ]{{0,48}}[{_LETTERS}]")


class IdentityFormInvalid(DomainError):
    """The name or the ID number is not well formed."""

    code = "identity.form_invalid"
    status = 422
    title_zh = "姓名或身份证号码格式不正确"


class IdentityNotMatched(DomainError):
    """The population register does not know this name with this ID number."""

    code = "identity.not_matched"
    status = 422
    title_zh = "姓名与身份证号码不匹配"


class IdentityTaken(DomainError):
    """This person already has an active account; a counter can move it to this phone."""

    code = "identity.taken"
    status = 409
    title_zh = "该身份已有有效账户，可到窗口核验后转至本机"


class IdentityProven(DomainError):
    """This account's identity is already proven."""

    code = "identity.already_proven"
    status = 409
    title_zh = "该账户已完成实名认证"


class IdentityChanging(DomainError):
    """The register is changing this person's entry at this moment; try again."""

    code = "identity.changing"
    status = 409
    title_zh = "该身份的登记信息正在变更，请重试"


def judge_form(*, real_name: str, id_number: str) -> None:
    """Return for a name and an ID number (capital X) of the right form, or raise the refusal.

    Raises IdentityFormInvalid.
    """
    if not _is_id_number(id_number) or not _NAME.fullmatch(real_name):
        raise IdentityFormInvalid


def give_identity(
    resident: Resident, *, real_name: str, id_number: str, census_id: str, level: int, at: datetime
) -> None:
    """Give a locked, active account the identity that the register has confirmed.

    `at` is a moment before the register was asked: what it has told of this person since then came
    to nobody, and its answer may be older than that. Raises IdentityTaken when another active
    account has the identity, IdentityChanging.
    """
    census_hash = lookup_hash("census", census_id)
    hold_person(census_hash)
    missed = RegisterChange.objects.filter(
        census_hash=census_hash, state="unknown", received_at__gt=at - CLOCKS_APART
    )
    if missed.exists():
        raise IdentityChanging
    resident.real_name, resident.id_number = real_name, id_number
    resident.id_number_hash = lookup_hash("id_number", id_number)
    resident.census_hash = census_hash
    try:
        with transaction.atomic():
            resident.save(update_fields=["real_name", "id_number", "id_number_hash", "census_hash"])
            reach_level(resident, level, at=at)
    except IntegrityError as error:
        raise IdentityTaken from error


def hold_person(census_hash: bytes) -> None:
    """Let nobody else give this person an account, or hear the register of them, until the commit.

    An event that finds no account, and an account that is made meanwhile, would miss each other.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_advisory_xact_lock(%s)", [int.from_bytes(census_hash[:8], signed=True)]
        )


def reach_level(resident: Resident, level: int, *, at: datetime) -> None:
    """Raise a locked account to a level and tell the floors above."""
    resident.level = level
    resident.save(update_fields=["level"])
    outbox.publish(LEVEL_REACHED, {"resident_id": str(resident.id), "level": level}, at=at)


def _is_id_number(text: str) -> bool:
    """Whether form, birth date and check digit are right (GB 11643-1999)."""
    if not re.fullmatch(r"[1-9][0-9]{16}[0-9X]", text):
        return False
    try:
        ric.get_birth_date(text)
    except InvalidComponent:
        return False
    return bool(ric.calc_check_digit(text) == text[-1])
