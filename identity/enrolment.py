"""Takes a person from a phone number to a proven identity, level by level."""

import hmac
import re
import secrets
import uuid
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import TypeVar

from django.db import IntegrityError, transaction
from django.db.models import Q

from identity import devices, lost_phones, states, takeovers
from identity.attestation import Attested, judge_chain
from identity.history import change_state
from identity.models import Enrolment, Resident, Suspension
from identity.real_names import IdentityChanging as IdentityChanging
from identity.real_names import IdentityFormInvalid as IdentityFormInvalid
from identity.real_names import IdentityNotMatched as IdentityNotMatched
from identity.real_names import IdentityProven as IdentityProven
from identity.real_names import IdentityTaken as IdentityTaken
from identity.real_names import give_identity, judge_form
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
KEPT_FOR = timedelta(days=30)
PURGE_ROWS = 1_000

_Done = TypeVar("_Done")
_PHONE = re.compile(r"1[3-9][0-9]{9}")


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
            phone_hash=lookup_hash("phone", phone),
            one_time_code=f"{secrets.randbelow(10**6):06d}",
            created_at=at,
            expires_at=at + ENROLMENT_LIFE,
        )
        outbox.publish(ONE_TIME_CODE_DUE, {"enrolment_id": str(enrolment.id)}, at=at)
    return enrolment


def confirm_phone(
    *,
    enrolment_id: uuid.UUID,
    thumbprint: str,
    one_time_code: str,
    at: datetime,
    attestation: Sequence[str] | None = None,
) -> devices.TokenIssued:
    """Make a level 1 account when the one-time code comes back, and bind the phone's key.

    The account of somebody who comes from the older Cloud Pay is there already. `attestation` is
    the chain of certificates by which the phone's maker vouches for the key (base64 DER, the leaf
    first); without it the key is of grade "software". Raises NotFound for an enrolment that this
    key didn't begin, EnrolmentOver, CodeWrong (each wrong try counts; the fifth ends the
    enrolment), PhoneTaken, AccountSuspended, devices.DeviceTaken, attestation.AttestationRefused.
    """
    return _try_once(
        lambda enrolment, attested: _open_account(enrolment, attested, at=at),
        enrolment_id=enrolment_id,
        thumbprint=thumbprint,
        one_time_code=one_time_code,
        attestation=attestation,
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
    attestation: Sequence[str] | None = None,
) -> devices.TokenIssued:
    """Move the account of a phone number to the new phone that holds this key (I-2).

    The person proves again who they are: the number by the one-time code and, from level 2 on, name
    and ID number. A proof of level 2 gives level 2: nobody has seen the face of who holds the new
    phone, so level 3 is lost until a face check with it, or a visit to a counter. The old phones
    end at once, with their grants and tokens. Raises NotFound, EnrolmentOver, CodeWrong,
    AccountMissing, IdentityNotMatched, AccountSuspended when the register says that the person has
    died (these count as tries), devices.DeviceTaken, and for `attestation` as `confirm_phone`.
    """

    def work(enrolment: Enrolment, attested: Attested | None) -> devices.TokenIssued:
        return _move(enrolment, attested, real_name=real_name, id_number=id_number, at=at)

    return _try_once(
        work,
        enrolment_id=enrolment_id,
        thumbprint=thumbprint,
        one_time_code=one_time_code,
        attestation=attestation,
        at=at,
    )


def prove_number(
    *,
    enrolment_id: uuid.UUID,
    thumbprint: str,
    one_time_code: str,
    phone: str,
    at: datetime,
) -> None:
    """Return when the one-time code has come back that an enrolment with this key had sent to
    `phone`; it is used up then, without an account or a phone bound.

    Raises NotFound for another key's enrolment, EnrolmentOver, and CodeWrong, also for an enrolment
    with another number (these count as tries).
    """

    def work(enrolment: Enrolment, _attested: Attested | None) -> None:
        if not hmac.compare_digest(enrolment.phone.encode(), phone.encode()):
            raise CodeWrong(tries_left=TRIES - enrolment.tries)

    _try_once(
        work,
        enrolment_id=enrolment_id,
        thumbprint=thumbprint,
        one_time_code=one_time_code,
        attestation=None,
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
    tries a day), IdentityNotMatched, IdentityTaken, IdentityProven, IdentityChanging, and the
    register's own errors.
    """
    if (answer := idempotency.find_answer(idempotency_key)) is not None:
        return int(answer["level"])
    id_number = id_number.upper()
    judge_form(real_name=real_name, id_number=id_number)
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


def purge(*, at: datetime) -> None:
    """End enrolments that have lapsed, and forget those of long ago; so many at a time."""
    with transaction.atomic():
        lapsed = Enrolment.objects.select_for_update(skip_locked=True).filter(
            state="phone_given", expires_at__lte=at
        )
        for enrolment in lapsed.order_by("expires_at")[:PURGE_ROWS]:
            change_state(enrolment, "expired", table=states.ENROLMENT, actor="expiry", at=at)
    past = Enrolment.objects.filter(expires_at__lt=at - KEPT_FOR).exclude(state="phone_given")
    Enrolment.objects.filter(id__in=past.values("id")[:PURGE_ROWS])._raw_delete(
        Enrolment.objects.db
    )


def forget(*, thumbprints: Sequence[str], phone_hash: bytes | memoryview | None) -> None:
    """Forget the enrolments of a person's phones, and all of the number, whoever began them.

    Within `purge`'s time those of other keys seal the number too.
    """
    mine = Q(thumbprint__in=thumbprints) | Q(phone_hash=phone_hash)
    Enrolment.objects.filter(mine).delete()


def send_one_time_code(event: outbox.Event) -> None:
    """Hand an enrolment's one-time code to the SMS gateway: an outbox consumer that calls out.

    A code that has lapsed, was used meanwhile, or whose number was forgotten isn't sent any more.
    """
    at = clock.now()
    enrolment = Enrolment.objects.filter(id=event.payload["enrolment_id"]).first()
    if enrolment is None or enrolment.state != "phone_given" or at >= enrolment.expires_at:
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
    work: Callable[[Enrolment, Attested | None], _Done],
    *,
    enrolment_id: uuid.UUID,
    thumbprint: str,
    one_time_code: str,
    attestation: Sequence[str] | None,
    at: datetime,
) -> _Done:
    """Do the work which ends an enrolment, if the one-time code is right; each try counts.

    A bad attestation is refused before: it says nothing of the code.
    """
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
        attested = judge_chain(attestation, point=bytes(enrolment.point), at=at)
        enrolment.tries += 1
        enrolment.save(update_fields=["tries"])
        try:
            # A savepoint: a refusal undoes the work, but never gives the try back.
            with transaction.atomic():
                if not hmac.compare_digest(
                    enrolment.one_time_code.encode(), one_time_code.encode()
                ):
                    raise CodeWrong(tries_left=TRIES - enrolment.tries)
                done = work(enrolment, attested)
                change_state(enrolment, "phone_proven", table=states.ENROLMENT, actor=actor, at=at)
                return done
        except DomainError as error:
            refusal = error
        if enrolment.tries >= TRIES:
            change_state(enrolment, "failed", table=states.ENROLMENT, actor=actor, at=at)
    raise refusal


def _open_account(
    enrolment: Enrolment, attested: Attested | None, *, at: datetime
) -> devices.TokenIssued:
    phone = enrolment.phone
    resident = takeovers.claim(phone=phone, at=at)
    if resident is None:
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
        attested=attested,
        at=at,
    )
    return devices.issue_token(device=device, at=at)


def _move(
    enrolment: Enrolment,
    attested: Attested | None,
    *,
    real_name: str,
    id_number: str,
    at: datetime,
) -> devices.TokenIssued:
    resident = (
        Resident.objects.select_for_update(no_key=True)
        .filter(phone_hash=lookup_hash("phone", enrolment.phone))
        .exclude(state="closed")
        .first()
    )
    if resident is None:
        raise AccountMissing
    # What the register has suspended is a dead person's: whoever knows name and number is another.
    if Suspension.objects.filter(resident=resident, source="register", state="in_force").exists():
        raise AccountSuspended
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
        attested=attested,
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
    give_identity(
        resident, real_name=real_name, id_number=id_number, census_id=census_id, level=2, at=at
    )
    return resident.level
