"""Keeps a resident's payment PIN: six digits, ten tries, then locked until it is set anew.

It is kept as Argon2 over a keyed hash, so that rows alone, of which a million guesses would do,
tell nothing. Every try is counted before it is judged, and stays counted. One that was set less
than NEW_FOR ago opens no more than the phone's signature does: whoever has got hold of the phone
gains nothing by setting one.
"""

import hmac
import re
import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from django.contrib.auth.hashers import check_password, make_password
from django.db import connection, transaction

from identity import enrolment, receipts
from identity.models import Device, Resident
from payments import accounts
from payments.models import PaymentPin
from vpass.common import audit, limits
from vpass.common.callers import Caller, required
from vpass.common.errors import Conflict, DomainError
from vpass.common.sealed_fields import lookup_hash
from vpass.common.transactions import require_autocommit

TYPE: Final = "vpass-pin+jwt"
PATH: Final = "/api/resident/v1/payment-pin"
MAX_TRIES: Final = 10
NEW_FOR = timedelta(hours=24)
RESETS = limits.Limit("payment_pin.reset", maximum=5, per=timedelta(days=1))
SETS = limits.Limit("payment_pin.set", maximum=10, per=timedelta(days=1))

_PIN = re.compile(r"[0-9]{6}", re.ASCII)
_RUNS: Final = "01234567890987654321"

# One statement takes a try, and one more than there are comes back empty.
_TAKE_TRY = """
UPDATE payments_paymentpin SET tries = tries + 1
WHERE resident_id = %(resident)s AND tries < %(most)s RETURNING pin_hash, tries, set_at
"""

# The first one stays; who comes second has to prove it.
_INSERT = """
INSERT INTO payments_paymentpin (resident_id, pin_hash, tries, set_at)
VALUES (%s, %s, 0, %s) ON CONFLICT DO NOTHING
"""


class PinNotSet(Conflict):
    """There is no payment PIN yet."""

    code = "payment_pin.not_set"
    title_zh = "尚未设置支付密码"


class PinWrong(DomainError):
    """This is not the payment PIN."""

    code = "payment_pin.wrong"
    status = 403
    title_zh = "支付密码错误"


class PinLocked(DomainError):
    """The payment PIN is locked after too many tries; set it anew with a code by SMS, your name and
    your ID number."""

    code = "payment_pin.locked"
    status = 403
    title_zh = "支付密码错误次数过多，已锁定，请通过身份核验重置"


class PinTooSimple(DomainError):
    """This PIN is too simple: six equal digits or a run of them, or the end of the ID number."""

    code = "payment_pin.too_simple"
    status = 422
    title_zh = "支付密码过于简单"


class PinProofNeeded(DomainError):
    """To replace a PIN, give the present one, or a fresh code by SMS to the number of this account
    with its name and ID number."""

    code = "payment_pin.proof_needed"
    status = 403
    title_zh = "更换支付密码须提供原密码，或核验短信验证码、本人姓名与身份证号"


@dataclass(frozen=True, kw_only=True)
class Reset:
    """What a PIN is replaced with that nobody knows: the code of an enrolment that was begun by
    this phone with the account's number, and who holds the account."""

    enrolment_id: uuid.UUID
    one_time_code: str
    real_name: str
    id_number: str


@dataclass(frozen=True)
class _Try:
    """A try that is taken: which PIN stands, and how many tries there were."""

    pin_hash: str
    tries: int
    set_at: datetime


def set_pin(
    *,
    caller: Caller,
    pin: str,
    word: str,
    present_pin: str | None = None,
    reset: Reset | None = None,
    at: datetime,
) -> None:
    """Set the caller's payment PIN, with the phone's signature for it.

    `word` is a JWS by the device key, typ `vpass-pin+jwt`, `aud` the URL of the route, `iat` at
    most 60 s old, `jti` good once. A PIN that stands is replaced with `present_pin`, or, forgotten
    or locked, with a `reset`; a request for the one that stands is done already, and gives its try
    back. Raises receipts.WordInvalid, AccountSuspended, accounts.PayingSuspended, PinTooSimple,
    PinProofNeeded, PinWrong, PinLocked, limits.LimitReached, and with a reset what
    enrolment.prove_number raises.
    """
    resident_id = required(caller.resident_id)
    claims = receipts.read_word(word, caller=caller, typ=TYPE, path=PATH, required_claims=(), at=at)
    spent = limits.spend_once(
        f"pin:{caller.key_id}", str(claims["jti"]), expires_at=at + timedelta(minutes=5)
    )
    if not spent:
        raise receipts.WordInvalid("replayed")
    if not _PIN.fullmatch(pin) or len(set(pin)) == 1 or pin in _RUNS:
        raise PinTooSimple
    resident = Resident.objects.get(id=resident_id)
    proven = PaymentPin.objects.filter(resident_id=resident_id).first()
    if proven is not None:
        taken = _take_try(resident_id)
        if taken is not None and _is_pin(resident_id, pin, taken.pin_hash):
            _give_tries_back(resident_id, taken.pin_hash)
            return
        if present_pin is not None:
            _judge(resident_id, present_pin, taken)
        else:
            _step_up(resident, reset, caller=caller, at=at)
    limits.spend(SETS, caller.scope, at=at)
    if (resident.id_number or "").upper().endswith(pin):
        raise PinTooSimple  # told to nobody who has not proven the PIN that stands
    with transaction.atomic():
        accounts.refuse_suspended(resident_id)
        _write(resident_id, pin, instead_of=proven, at=at)
        audit.record(
            actor=caller.scope,
            action="payment_pin.set",
            subject=f"resident:{resident_id}",
            detail={},
            at=at,
        )


def prove(*, resident_id: uuid.UUID, pin: str) -> datetime:
    """Return since when this is the resident's PIN; the try counts whatever the caller's work
    becomes.

    Outside of any transaction. Raises PinNotSet, PinWrong (with `tries_left`), PinLocked.
    """
    taken = _take_try(resident_id)
    if taken is None and not PaymentPin.objects.filter(resident_id=resident_id).exists():
        raise PinNotSet
    return _judge(resident_id, pin, taken).set_at


def standing(*, resident_id: uuid.UUID) -> dict[str, bool]:
    """Whether a PIN is set, and whether it is locked."""
    tries = PaymentPin.objects.filter(resident_id=resident_id).values_list("tries", flat=True)
    found = tries.first()
    return {"is_set": found is not None, "is_locked": found == MAX_TRIES}


def _take_try(resident_id: uuid.UUID) -> _Try | None:
    """None when there is none left, or no PIN."""
    require_autocommit("a try of a PIN")
    with connection.cursor() as cursor:
        cursor.execute(_TAKE_TRY, {"resident": resident_id, "most": MAX_TRIES})
        taken = cursor.fetchone()
    return None if taken is None else _Try(*taken)


def _judge(resident_id: uuid.UUID, pin: str, taken: _Try | None) -> _Try:
    if taken is None:
        raise PinLocked
    if not _is_pin(resident_id, pin, taken.pin_hash):
        if taken.tries == MAX_TRIES:
            raise PinLocked
        raise PinWrong(tries_left=MAX_TRIES - taken.tries)
    _give_tries_back(resident_id, taken.pin_hash)
    return taken


def _give_tries_back(resident_id: uuid.UUID, pin_hash: str) -> None:
    """Only if nobody has set another one meanwhile."""
    PaymentPin.objects.filter(resident_id=resident_id, pin_hash=pin_hash).update(tries=0)


def _step_up(resident: Resident, reset: Reset | None, *, caller: Caller, at: datetime) -> None:
    """The phone alone is not enough: it could read name and ID number out of an export."""
    if reset is None:
        raise PinProofNeeded
    limits.spend(RESETS, caller.scope, at=at)
    known = f"{resident.real_name}\0{resident.id_number}".encode()
    given = f"{reset.real_name}\0{reset.id_number.upper()}".encode()
    if not hmac.compare_digest(known, given):
        raise PinProofNeeded
    enrolment.prove_number(
        enrolment_id=reset.enrolment_id,
        thumbprint=Device.objects.get(id=required(caller.device_id)).thumbprint,
        one_time_code=reset.one_time_code,
        phone=resident.phone,
        at=at,
    )


def _write(
    resident_id: uuid.UUID, pin: str, *, instead_of: PaymentPin | None, at: datetime
) -> None:
    """Raises PinProofNeeded when another one stands by now than was proven."""
    pin_hash = make_password(_peppered(resident_id, pin), hasher="argon2")
    if instead_of is None:
        with connection.cursor() as cursor:
            cursor.execute(_INSERT, [resident_id, pin_hash, at])
            is_written = cursor.rowcount == 1
    else:
        standing = PaymentPin.objects.filter(resident_id=resident_id, pin_hash=instead_of.pin_hash)
        is_written = standing.update(pin_hash=pin_hash, tries=0, set_at=at) == 1
    if not is_written:
        raise PinProofNeeded


def _is_pin(resident_id: uuid.UUID, pin: str, pin_hash: str) -> bool:
    return check_password(_peppered(resident_id, pin), pin_hash)


def _peppered(resident_id: uuid.UUID, pin: str) -> str:
    return lookup_hash("payment-pin", f"{resident_id}|{pin}").hex()
