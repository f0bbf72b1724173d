"""Gives the electronic receipt of a bill's payment, and tells anybody whether one is genuine.

The receipt is its content: canonical JSON that names amount, biller, heads and date, and nobody.
The city signs it as a detached JWS (RFC 7515 appendix F); the PDF only shows it. Each member
stands in docs/receipt-format.md.
"""

import json
import secrets
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings

from identity import keys
from identity.models import SigningKey
from payments.models import Bill, BillPayment, BillReceipt, BillShare
from vpass.common.callers import Caller, required
from vpass.common.clock import city_date
from vpass.common.encodings import b64url_decode, b64url_encode
from vpass.common.errors import DomainError, NotFound
from vpass.common.limits import Limit, spend
from vpass.common.signing import BadToken, decode_jws, encode_jws, jws_header, public_from_point

TYPE = "vpass-bill-receipt+jwt"
VERSION = 1
CHECK_PATH = "/api/public/v1/receipts/"
CODE_CHARS = 16
# Without 0, 1, I and O, which a reader would mistype: 80 bits.
_ALPHABET = "23456789ABCDEFGHJKLMNPQRSTUVWXYZ"
# Codes cannot be guessed; the limit keeps the database from those who try.
CHECKS = Limit(name="receipt.check", maximum=60, per=timedelta(minutes=1))


class ReceiptNotGenuine(DomainError):
    """The city has not signed this receipt."""

    code = "receipt.not_genuine"
    status = 422
    title_zh = "该票据并非本市签发或已被改动"


@dataclass(frozen=True)
class Receipt:
    """A receipt whole: `content` is the signed text, `signature` the detached JWS over it."""

    code: str
    content: str
    signature: str
    refunded_fen: int


@dataclass(frozen=True)
class Checked:
    """What anybody may learn of a genuine receipt; `refunded_fen` has gone back since."""

    code: str
    amount_fen: int
    refunded_fen: int
    biller_zh: str
    biller_en: str
    paid_on: str


def issue(
    payment: BillPayment, bill: Bill, shares: Sequence[BillShare], *, at: datetime
) -> BillReceipt:
    """Write the receipt of a payment that has just come in, within the caller's transaction."""
    code = "".join(secrets.choice(_ALPHABET) for _ in range(CODE_CHARS))
    content = _content(payment, bill, shares, code=code, at=at)
    signer = keys.current_signer(at=at)
    token = encode_jws(content, signer.private, typ=TYPE, kid=signer.key_id.hex())
    header, body, signature = token.split(".")
    return BillReceipt.objects.create(
        payment=payment,
        code=code,
        content=b64url_decode(body).decode(),
        signature=f"{header}..{signature}",
        at=at,
    )


def receipt_of(*, caller: Caller, payment_id: uuid.UUID) -> Receipt:
    """The receipt of one of the caller's own payments. Raises NotFound, also until the payment has
    come in."""
    found = (
        BillReceipt.objects.select_related("payment")
        .filter(payment_id=payment_id, payment__payer_id=required(caller.resident_id))
        .first()
    )
    if found is None:
        raise NotFound
    return Receipt(found.code, found.content, found.signature, found.payment.refunded_fen)


def check_code(*, code: str, asker: str, at: datetime) -> Checked:
    """What the receipt with a verification code says.

    `asker` is where the question comes from. Raises NotFound, and limits.LimitReached after 60
    questions a minute.
    """
    spend(CHECKS, asker, at=at)
    found = BillReceipt.objects.select_related("payment").filter(code=code).first()
    if found is None:
        raise NotFound
    return _checked(found)


def check_content(*, content: str, signature: str, asker: str, at: datetime) -> Checked:
    """What a receipt says whose content and signature are at hand, as in its PDF.

    The signature decides, whatever the code; keys long retired count. Raises ReceiptNotGenuine, and
    limits.LimitReached after 60 questions a minute.
    """
    spend(CHECKS, asker, at=at)
    claims = read_content(content=content, signature=signature, at=at)
    found = (
        BillReceipt.objects.select_related("payment")
        .filter(code=claims.get("receipt_code"))
        .first()
    )
    if found is None or found.content != content:
        raise ReceiptNotGenuine
    return _checked(found)


def read_content(*, content: str, signature: str, at: datetime) -> dict[str, Any]:
    """The members of a content that a key of the city has signed. Raises ReceiptNotGenuine."""
    header, dots, mark = signature.partition("..")
    token = f"{header}.{b64url_encode(content.encode())}.{mark}"
    try:
        if not dots:
            raise BadToken("malformed")
        key = SigningKey.objects.get(id=bytes.fromhex(str(jws_header(token).get("kid"))))
        return decode_jws(token, public_from_point(bytes(key.point)), typ=TYPE, at=at)
    except (BadToken, ValueError, SigningKey.DoesNotExist) as error:
        raise ReceiptNotGenuine from error


def check_url(code: str) -> str:
    """Where anybody may check a receipt: the text of its QR picture."""
    return settings.PUBLIC_URL + CHECK_PATH + code


def _content(
    payment: BillPayment, bill: Bill, shares: Sequence[BillShare], *, code: str, at: datetime
) -> dict[str, Any]:
    """The members in alphabetical order, which with encode_jws makes the text canonical."""
    organisation = bill.biller.merchant.organisation
    lines = [
        {
            "amount_fen": share.amount_fen,
            "en": share.line.head.name_en,
            "head": share.line.head.code,
            "period_from": share.line.period_from.isoformat(),
            "zh": share.line.head.name_zh,
        }
        for share in shares
    ]
    return {
        "amount_fen": payment.amount_fen,
        "biller": {
            "en": organisation.name_en,
            "id": str(bill.biller_id),
            "zh": organisation.name_zh,
        },
        "check": check_url(code),
        "iat": int(at.timestamp()),
        "iss": settings.CITY,
        "lines": lines,
        "notice_code": bill.notice_code,
        "paid_on": city_date(at).isoformat(),
        "payment": str(payment.order_id),
        "receipt_code": code,
        "v": VERSION,
    }


def _checked(found: BillReceipt) -> Checked:
    content = json.loads(found.content)
    return Checked(
        code=found.code,
        amount_fen=content["amount_fen"],
        refunded_fen=found.payment.refunded_fen,
        biller_zh=content["biller"]["zh"],
        biller_en=content["biller"]["en"],
        paid_on=content["paid_on"],
    )
