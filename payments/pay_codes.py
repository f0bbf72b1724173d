"""Issues and takes 18-digit pay codes, for tills that read bars only; takes either form of code.

A pay code is 18 ASCII digits: the issuer's PREFIX (clear of WeChat's 10 to 15 and Alipay's 25 to
30), 15 random digits, and a check digit (Luhn, ISO/IEC 7812-1 annex B). Nothing in it comes back
in the next one. It is kept as a keyed hash, is good for LIFE and once, and for the phone it was
issued to: it dies with that.
"""

import re
import secrets
import uuid
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Final

from django.db import connection

from identity import access_log, codes
from payments import accounts
from payments.models import PURPOSE as PURPOSE
from payments.models import Order, PayCode
from vpass.common import limits
from vpass.common.callers import Caller, required
from vpass.common.errors import DomainError
from vpass.common.idempotency import IdempotencyKey, find_answer, once
from vpass.common.sealed_fields import lookup_hash

PREFIX: Final = "86"
LIFE = timedelta(seconds=60)
PER_MINUTE = limits.Limit("pay_code.minute", maximum=6, per=timedelta(minutes=1))
# A till that guesses: after so many in vain it waits for the rest of the window.
TRIES = 20
TRIES_PER = timedelta(minutes=10)
KEPT_FOR = timedelta(days=1)

_DIGITS = re.compile(r"[0-9]{18}", re.ASCII)
_PURGE_ROWS = 10_000

# One statement: the single use with the phone and its holder, what the till's organisation may do,
# and, when the code is not good, the count of the till's tries.
_USE = """
WITH barred AS (
    SELECT ends_at FROM payments_paycodefailure
    WHERE till_id = %(till)s AND ends_at > %(at)s AND failed >= %(tries)s
), used AS (
    UPDATE payments_paycode SET used_at = %(at)s
    WHERE code_hash = %(hash)s AND used_at IS NULL AND expires_at > %(at)s
        AND NOT EXISTS (SELECT FROM barred)
    RETURNING device_id
), failed AS (
    INSERT INTO payments_paycodefailure AS f (till_id, failed, ends_at)
    SELECT %(till)s, 1, %(ends_at)s
    WHERE NOT EXISTS (SELECT FROM used) AND NOT EXISTS (SELECT FROM barred)
    ON CONFLICT (till_id) DO UPDATE SET
        failed = CASE WHEN f.ends_at > %(at)s THEN f.failed + 1 ELSE 1 END,
        ends_at = CASE WHEN f.ends_at > %(at)s THEN f.ends_at ELSE EXCLUDED.ends_at END
    RETURNING 1
)
SELECT (SELECT ends_at FROM barred), (SELECT count(*) FROM failed), d.resident_id, d.state,
    d.grade, d.bound_at,
    EXISTS (SELECT FROM identity_entitlement WHERE organisation_id = %(organisation)s
        AND scene = %(scene)s AND purpose = %(purpose)s AND ended_at IS NULL)
FROM (SELECT 1) one LEFT JOIN used ON true LEFT JOIN identity_device d ON d.id = used.device_id
"""


class PayCodeMalformed(DomainError):
    """These 18 digits are no pay code of this city: the beginning or the check digit is wrong."""

    code = "pay_code.malformed"
    status = 422
    title_zh = "付款码格式不正确"


class PayCodeNotValid(DomainError):
    """This pay code is not known, was used before, or its minute is over."""

    code = "pay_code.not_valid"
    status = 422
    title_zh = "付款码无效、已使用或已过期"


class PayCodeTries(DomainError):
    """This till has tried too many pay codes in vain; it has to wait."""

    code = "pay_code.too_many_tries"
    status = 429
    title_zh = "该收银终端连续扫入无效付款码过多，请稍后再试"


# Refusals that are kept as an answer; a till that waits is one that may ask again.
REFUSALS: dict[str, type[DomainError]] = {
    each.code: each for each in (PayCodeMalformed, PayCodeNotValid)
}


@dataclass(frozen=True, kw_only=True)
class Issued:
    """A pay code as the phone draws it; times are RFC 3339 in UTC."""

    code: str
    expires_at: str
    server_time: str


@dataclass(frozen=True, kw_only=True)
class Shown:
    """A code of either form that is used up now: who pays with which phone, or what refuses it."""

    way: str
    payer_id: uuid.UUID | None = None
    device: str | None = None
    bound_at: datetime | None = None
    reason: str | None = None


def issue(*, caller: Caller, idempotency_key: IdempotencyKey, at: datetime) -> Issued:
    """Make a pay code for the caller's phone.

    Raises AccountSuspended, accounts.PayingSuspended, limits.LimitReached (six a minute).
    """
    if find_answer(idempotency_key) is None:
        limits.spend(PER_MINUTE, caller.scope, at=at)
    with once(idempotency_key, at=at) as claim:
        if claim.answer is None:
            accounts.refuse_suspended(required(caller.resident_id))
            digits = f"{PREFIX}{secrets.randbelow(10**15):015d}"
            code = digits + check_digit(digits)
            expires_at = at + LIFE
            PayCode.objects.create(
                code_hash=_hash(code),
                device_id=required(caller.device_id),
                issued_at=at,
                expires_at=expires_at,
            )
            issued = Issued(
                code=code, expires_at=expires_at.isoformat(), server_time=at.isoformat()
            )
            claim.answer = asdict(issued)
        return Issued(**claim.answer)


def use_shown(text: str, *, caller: Caller, reference: str, at: datetime) -> Shown:
    """Use the code up that a payer shows, whichever form it has, in the caller's transaction.

    Eighteen digits are a pay code, everything else is the one code. A pay code that is not good
    counts against the till. Raises codes.ScanRefused or PayCodeMalformed for what no row has to be
    asked about, and PayCodeTries, which a later try may not meet; other refusals come back as
    `reason`.
    """
    if is_digits(text):
        return _use_digits(text, caller=caller, reference=reference, at=at)
    use = codes.use_code(
        caller=caller,
        shown=codes.read_genuine(text, at=at),
        purpose=PURPOSE,
        case_number=reference,
        at=at,
    )
    if use.resident is None:
        return Shown(way=Order.Way.CODE, reason=use.reason)
    phone = use.phone
    return Shown(
        way=Order.Way.CODE,
        payer_id=use.resident.id,
        device=None if phone is None else phone.grade,
        bound_at=None if phone is None else phone.bound_at,
    )


def is_digits(text: str) -> bool:
    """Whether what a till has read is a pay code, and not the one code."""
    return _DIGITS.fullmatch(text) is not None


def purge(*, at: datetime) -> None:
    """Forget codes long past, a bounded number at a time."""
    with connection.cursor() as cursor:
        cursor.execute(
            "DELETE FROM payments_paycode WHERE code_hash = ANY (ARRAY("
            " SELECT code_hash FROM payments_paycode WHERE expires_at < %s"
            " ORDER BY expires_at LIMIT %s FOR UPDATE SKIP LOCKED))",
            [at - KEPT_FOR, _PURGE_ROWS],
        )


def check_digit(digits: str) -> str:
    """The Luhn digit that follows these."""
    doubled = (2 * int(digit) for digit in digits[::-2])
    total = sum(sum(divmod(value, 10)) for value in doubled) + sum(map(int, digits[-2::-2]))
    return str(-total % 10)


def _use_digits(text: str, *, caller: Caller, reference: str, at: datetime) -> Shown:
    if not text.startswith(PREFIX) or check_digit(text[:-1]) != text[-1]:
        raise PayCodeMalformed
    values = {
        "till": caller.id,
        "hash": _hash(text),
        "tries": TRIES,
        "at": at,
        "ends_at": at + TRIES_PER,
        "organisation": caller.organisation_id,
        "scene": caller.scene,
        "purpose": PURPOSE,
    }
    with connection.cursor() as cursor:
        cursor.execute(_USE, values)
        barred_until, failed, payer_id, state, device, bound_at, may_take = cursor.fetchone()
    way = Order.Way.DIGITS
    if barred_until is not None:
        wait = max(1, int((barred_until - at).total_seconds()))
        raise PayCodeTries(retry_after=wait)
    if failed or state != "active":
        return Shown(way=way, reason=PayCodeNotValid.code)
    reason = None if may_take else codes.NotEntitled.code
    access_log.write_line(
        resident_id=payer_id,
        caller=caller,
        purpose=PURPOSE,
        case_number=reference,
        reason=reason,
        at=at,
    )
    if reason is not None:
        return Shown(way=way, reason=reason)
    return Shown(way=way, payer_id=payer_id, device=device, bound_at=bound_at)


def _hash(code: str) -> bytes:
    return lookup_hash("pay-code", code)
