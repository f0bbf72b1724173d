"""Takes a person from a phone number to a proven identity, level by level."""

import hmac
import re
import secrets
import uuid
from collections.abc import Callable
from datetime import datetime, timedelta

from django.db import IntegrityError, transaction
from stdnum.cn import ric
from stdnum.exceptions import InvalidComponent

from identity import devices, lost_phones, states
from identity.history import change_state
from identity.models import Enrolment, Resident
from identity.register import PopulationRegister
from identity.residents import AccountSuspended
from vpass.common import clock, idempotency, limits, outbox, sms
from vpass.common.callers import Caller, required
from vpass.common.errors import DomainError, NotFound
from vpass.common.idempotency import IdempotencyKey
from vpass.common.sealed_fields import lookup_hash
from vpass.common.signing import P256Public, public_point

ENROLMENT_LIFE = timedelta(minutes=5)
TRIES = 5

CODES_PER_MINUTE = limits.Limit("one_time_code.minute", maximum=1, per=timedelta(minutes=1))
CODES_PER_DAY = limits.Limit("one_time_code.day", maximum=10, per=timedelta(days=1))
PROOFS_PER_DAY = limits.Limit("identity_proof.day", maximum=5, per=timedelta(days=1))

ONE_TIME_CODE_DUE = "identity.one_time_code_due"

_PHONE = re.compile(r"1[3-9][0-9]{9}")
# Han characters and Latin letters; between the first and the last also a dot or a space.
_LETTERS = "㐀-鿿\U00020000-\U0003ffffA-Za-z"
_NAME = re.compile(f"[{_LETTERS}][{_LETTERS}· ]{{0,48}}[{_LETTERS}]")


class PhoneInvalid(DomainError):
    """The phone number is not a Chinese mobile number of 11 digits."""

    code = "enrolment.phone_invalid"
    status = 422
    title_zh = "请输入 11 位手机号码"


class CodeWrong(DomainError):
    """The one-time code is wrong."""

    code = "enrolment.code_wrong"
    status = 422
    title_zh = "验证码不正确"


class EnrolmentOver(DomainError):
    """This enrolment has ended; ask for a new one-time code."""

    code = "enrolment.over"
    status = 410
    title_zh = "本次注册已失效，请重新获取验证码"


class PhoneTaken(DomainError):
    """This phone number already belongs to an account."""

    code = "enrolment.phone_taken"
    status = 409
    title_zh = "该手机号码已注册"


class AccountMissing(DomainError):
    """No account has this phone number."""

    code = "enrolment.account_missing"
    status = 404
    title_zh = "该手机号码尚无账户"


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
    """This person already has an active account."""

    code = "identity.taken"
    status = 409
    title_zh = "该身份已有有效账户"


class IdentityProven(DomainError):
    """This account's identity is already proven."""

    code = "identity.already_proven"
    status = 409
    title_zh = "该账户已完成实名认证"


def start_enrolment(*, public: P256Public, thumbprint: str, phone: str, at: datetime) -> Enrolment:
    """Begin with a phone number and the key that proved the request; a code goes out by SMS.

    The answer is the same whether or not the number has an account. Raises PhoneInvalid and
    limits.LimitReached (one code a minute, ten a day for each number).
    """
    if not _PHONE.fullmatch(phone):
        raise PhoneInvalid
    limits.spend(CODES_PER_MINUTE, phone, at=at)
    limits.spend(CODES_PER_DAY, phone, at=at)
    with transaction.atomic():
        enrolment = Enrolment.objects.create(
            thumbprint=thumbprint,
            point=public_point(public),
            phone=phone,
            one_time_code=f"{secrets.randbelow(10**6):06d}",
            created_at=at,
            expires_at=at + ENROLMENT_LIFE,
        )
        outbox.publish(ONE_TIME_CODE_DUE, {"enrolment_id": str(enrolment.id)}, at=at)
    return enrolment


def confirm_phone(
    *, enrolment_id: uuid.UUID, thumbprint: str, one_time_code: str, at: datetime
) -> devices.TokenIssued:
    """Make a level 1 account when the one-time code comes back, and bind the phone's key.

    Raises NotFound for an enrolment that this key didn't begin, EnrolmentOver, CodeWrong (each
    wrong try counts; the fifth ends the enrolment), PhoneTaken, devices.DeviceTaken.
    """
    return _try_once(
        lambda enrolment: _open_account(enrolment, at=at),
        enrolment_id=enrolment_id,
        thumbprint=thumbprint,
        one_time_code=one_time_code,
        at=at,
    )


def move_account(
    *,
    enrolment_id: uuid.UUID,
    thumbprint: str,
    one_time_code: str,
    real_name: str,
    id_number: str,
    at: datetime,
) -> devices.TokenIssued:
    """Move the account of a phone number to the new phone that holds this key (I-2).

    The person proves again who they are: the number by the one-time code and, from level 2 on, name
    and ID number. A proof of level 2 gives level 2. The old phones end at once, with their grants
    and tokens. Raises NotFound, EnrolmentOver, CodeWrong, AccountMissing, IdentityNotMatched (both
    count as tries), devices.DeviceTaken.
    """
    return _try_once(
        lambda enrolment: _move(enrolment, real_name=real_name, id_number=id_number, at=at),
        enrolment_id=enrolment_id,
        thumbprint=thumbprint,
        one_time_code=one_time_code,
        at=at,
    )


def prove_identity(
    *,
    caller: Caller,
    register: PopulationRegister,
    real_name: str,
    id_number: str,
    idempotency_key: IdempotencyKey,
    at: datetime,
) -> int:
    """Raise a resident to level 2 when the register says that name and ID number belong together.

    Returns the level reached. The register is asked outside any transaction; a retry with the same
    key is answered without asking again. Raises IdentityFormInvalid, limits.LimitReached (five
    tries a day), IdentityNotMatched, IdentityTaken, IdentityProven, and the register's own errors.
    """
    if (answer := idempotency.find_answer(idempotency_key)) is not None:
        return int(answer["level"])
    id_number = id_number.upper()
    if not _is_id_number(id_number) or not _NAME.fullmatch(real_name):
        raise IdentityFormInvalid
    limits.spend(PROOFS_PER_DAY, caller.scope, at=at)
    found = register.match(real_name=real_name, id_number=id_number, at=at)
    if found is None:
        raise IdentityNotMatched
    with idempotency.once(idempotency_key, at=at) as claim:
        if claim.answer is None:
            claim.answer = {
                "level": _take_identity(caller, real_name, id_number, found.census_id, at=at)
            }
        return int(claim.answer["level"])


def send_one_time_code(event: outbox.Event) -> None:
    """Hand an enrolment's one-time code to the SMS gateway: an outbox consumer that calls out.

    A code that has lapsed, or was used meanwhile, isn't sent any more.
    """
    at = clock.now()
    enrolment = Enrolment.objects.get(id=event.payload["enrolment_id"])
    if enrolment.state != "phone_given" or at >= enrolment.expires_at:
        return
    minutes = int(ENROLMENT_LIFE.total_seconds() // 60)
    sms.send_text(
        message_id=event.id,
        to=enrolment.phone,
        text=f"【V Pass】验证码 {enrolment.one_time_code}，{minutes} 分钟内有效，请勿告诉他人。"
        f"Your code: {enrolment.one_time_code}",
        at=at,
    )


def _try_once(
    work: Callable[[Enrolment], devices.TokenIssued],
    *,
    enrolment_id: uuid.UUID,
    thumbprint: str,
    one_time_code: str,
    at: datetime,
) -> devices.TokenIssued:
    """Do the work which ends an enrolment, if the one-time code is right; each try counts."""
    actor = f"device:{thumbprint}"
    with transaction.atomic():
        enrolment = (
            Enrolment.objects.select_for_update()
            .filter(id=enrolment_id, thumbprint=thumbprint)
            .first()
        )
        if enrolment is None:
            raise NotFound
        if enrolment.state != "phone_given" or at >= enrolment.expires_at:
            raise EnrolmentOver
        enrolment.tries += 1
        enrolment.save(update_fields=["tries"])
        try:
            # A savepoint: a refusal undoes the work, but never gives the try back.
            with transaction.atomic():
                if not hmac.compare_digest(
                    enrolment.one_time_code.encode(), one_time_code.encode()
                ):
                    raise CodeWrong(tries_left=TRIES - enrolment.tries)
                issued = work(enrolment)
                change_state(enrolment, "phone_proven", table=states.ENROLMENT, actor=actor, at=at)
                return issued
        except DomainError as error:
            refusal = error
        if enrolment.tries >= TRIES:
            change_state(enrolment, "failed", table=states.ENROLMENT, actor=actor, at=at)
    raise refusal


def _open_account(enrolment: Enrolment, *, at: datetime) -> devices.TokenIssued:
    phone = enrolment.phone
    try:
        with transaction.atomic():
            resident = Resident.objects.create(
                phone=phone, phone_hash=lookup_hash("phone", phone), created_at=at
            )
    except IntegrityError as error:
        raise PhoneTaken from error
    device = devices.bind_device(
        resident=resident,
        point=bytes(enrolment.point),
        thumbprint=enrolment.thumbprint,
        at=at,
    )
    return devices.issue_token(device=device, at=at)


def _move(
    enrolment: Enrolment, *, real_name: str, id_number: str, at: datetime
) -> devices.TokenIssued:
    resident = (
        Resident.objects.select_for_update(no_key=True)
        .filter(phone_hash=lookup_hash("phone", enrolment.phone))
        .exclude(state="closed")
        .first()
    )
    if resident is None:
        raise AccountMissing
    if resident.level >= 2:
        given = f"{real_name}\0{id_number.upper()}"
        known = f"{resident.real_name}\0{resident.id_number}"
        if not hmac.compare_digest(given.encode(), known.encode()):
            raise IdentityNotMatched
        resident.level = 2
        resident.save(update_fields=["level"])
    device = devices.bind_device(
        resident=resident,
        point=bytes(enrolment.point),
        thumbprint=enrolment.thumbprint,
        at=at,
    )
    lost_phones.end_others(device=device, actor=f"device:{device.thumbprint}", at=at)
    return devices.issue_token(device=device, at=at)


def _take_identity(
    caller: Caller, real_name: str, id_number: str, census_id: str, *, at: datetime
) -> int:
    resident = Resident.objects.select_for_update().get(id=required(caller.resident_id))
    if resident.state != "active":
        raise AccountSuspended
    if resident.level >= 2:
        raise IdentityProven
    resident.real_name, resident.id_number = real_name, id_number
    resident.census_hash = lookup_hash("census", census_id)
    resident.level = 2
    try:
        with transaction.atomic():
            resident.save(update_fields=["real_name", "id_number", "census_hash", "level"])
    except IntegrityError as error:
        raise IdentityTaken from error
    outbox.publish("identity.level_reached", {"resident_id": str(resident.id), "level": 2}, at=at)
    return resident.level


def _is_id_number(text: str) -> bool:
    """Whether form, birth date and check digit are right (GB 11643-1999)."""
    if not re.fullmatch(r"[1-9][0-9]{16}[0-9X]", text):
        return False
    try:
        ric.get_birth_date(text)
    except InvalidComponent:
        return False
    return bool(ric.calc_check_digit(text) == text[-1])
