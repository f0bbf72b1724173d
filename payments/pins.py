"""Keeps a resident's payment PIN: six digits, ten tries, then locked until it is set anew.

It is kept as Argon2 over a keyed hash, so that rows alone, of which a million guesses would do,
tell nothing. Every try is counted before it is judged, and stays counted.
"""

import hmac
import re
import uuid
from datetime import datetime, timedelta
from typing import Final

from django.contrib.auth.hashers import check_password, make_password
from django.db import connection, transaction

from identity import receipts
from identity.models import Resident
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
RESETS = limits.Limit("payment_pin.reset", maximum=5, per=timedelta(days=1))

_PIN = re.compile(r"[0-9]{6}", re.ASCII)
_RUNS: Final = "01234567890987654321"

# One statement takes a try, and one more than there are comes back empty.
_TAKE_TRY = """
UPDATE payments_paymentpin SET tries = tries + 1
WHERE resident_id = %(resident)s AND tries < %(most)s RETURNING pin_hash, tries
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
    """The payment PIN is locked after too many tries; set it anew with your name and ID number."""

    code = "payment_pin.locked"
    status = 403
    title_zh = "支付密码错误次数过多，已锁定，请通过身份核验重置"


class PinTooSimple(DomainError):
    """This PIN is too simple: six equal digits or a run of them, or the end of the ID number."""

    code = "payment_pin.too_simple"
    status = 422
    title_zh = "支付密码过于简单"


class PinProofNeeded(DomainError):
    """To replace a PIN, give the present one, or the name and ID number of this account."""

    code = "payment_pin.proof_needed"
    status = 403
    title_zh = "更换支付密码须提供原密码，或核验本人姓名与身份证号"


def set_pin(
    *,
    caller: Caller,
    pin: str,
    word: str,
    present_pin: str | None = None,
    real_name: str | None = None,
    id_number: str | None = None,
    at: datetime,
) -> None:
    """Set the caller's payment PIN, with the phone's signature for it.

    `word` is a JWS by the device key, typ `vpass-pin+jwt`, `aud` the URL of the route, `iat` at
    most 60 s old, `jti` good once. A PIN that stands is replaced with `present_pin`, or, forgotten
    or locked, with the holder's name and ID number as the register has matched them. Raises
    receipts.WordInvalid, AccountSuspended, accounts.PayingSuspended, PinTooSimple, PinProofNeeded,
    PinWrong, PinLocked, limits.LimitReached.
    """
    resident_id = required(caller.resident_id)
    claims = receipts.read_word(word, caller=caller, typ=TYPE, path=PATH, required_claims=(), at=at)
    spent = limits.spend_once(
        f"pin:{caller.key_id}", str(claims["jti"]), expires_at=at + timedelta(minutes=5)
    )
    if not spent:
        raise receipts.WordInvalid("replayed")
    resident = Resident.objects.get(id=resident_id)
    _refuse_simple(pin, resident)
    if PaymentPin.objects.filter(resident_id=resident_id).exists():
        if present_pin is not None:
            prove(resident_id=resident_id, pin=present_pin)
        else:
            _step_up(resident, real_name=real_name, id_number=id_number, caller=caller, at=at)
    pin_hash = make_password(_peppered(resident_id, pin), hasher="argon2")
    with transaction.atomic():
        accounts.refuse_suspended(resident_id)
        PaymentPin.objects.update_or_create(
            resident_id=resident_id, defaults={"pin_hash": pin_hash, "tries": 0, "set_at": at}
        )
        audit.record(
            actor=caller.scope,
            action="payment_pin.set",
            subject=f"resident:{resident_id}",
            detail={},
            at=at,
        )


def prove(*, resident_id: uuid.UUID, pin: str) -> None:
    """Return when this is the resident's PIN; the try counts whatever the caller's work becomes.

    Outside of any transaction. Raises PinNotSet, PinWrong (with `tries_left`), PinLocked.
    """
    require_autocommit("a try of a PIN")
    with connection.cursor() as cursor:
        cursor.execute(_TAKE_TRY, {"resident": resident_id, "most": MAX_TRIES})
        taken = cursor.fetchone()
    if taken is None:
        if PaymentPin.objects.filter(resident_id=resident_id).exists():
            raise PinLocked
        raise PinNotSet
    pin_hash, tries = taken
    if not check_password(_peppered(resident_id, pin), pin_hash):
        if tries == MAX_TRIES:
            raise PinLocked
        raise PinWrong(tries_left=MAX_TRIES - tries)
    # Only if nobody has set another one meanwhile.
    PaymentPin.objects.filter(resident_id=resident_id, pin_hash=pin_hash).update(tries=0)


def standing(*, resident_id: uuid.UUID) -> dict[str, bool]:
    """Whether a PIN is set, and whether it is locked."""
    tries = PaymentPin.objects.filter(resident_id=resident_id).values_list("tries", flat=True)
    found = tries.first()
    return {"is_set": found is not None, "is_locked": found == MAX_TRIES}


def _step_up(
    resident: Resident,
    *,
    real_name: str | None,
    id_number: str | None,
    caller: Caller,
    at: datetime,
) -> None:
    if real_name is None or id_number is None:
        raise PinProofNeeded
    limits.spend(RESETS, caller.scope, at=at)
    known = f"{resident.real_name}\0{resident.id_number}".encode()
    if not hmac.compare_digest(known, f"{real_name}\0{id_number}".encode()):
        raise PinProofNeeded


def _refuse_simple(pin: str, resident: Resident) -> None:
    is_end = (resident.id_number or "").upper().endswith(pin)
    if not _PIN.fullmatch(pin) or len(set(pin)) == 1 or pin in _RUNS or is_end:
        raise PinTooSimple


def _peppered(resident_id: uuid.UUID, pin: str) -> str:
    return lookup_hash("payment-pin", f"{resident_id}|{pin}").hex()
