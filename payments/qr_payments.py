"""Payments that begin with something of the merchant's: a printed QR, a till's QR for one amount,
or a link in an app. The payer's phone posts its text, sees payee and amount, and confirms."""

import hmac
import re
import uuid
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Final

from django.conf import settings
from django.db import IntegrityError, transaction

from identity.qr_picture import draw_code
from payments import accounts, app_orders, merchant_qr
from payments.merchant_qr import MerchantCode, QrForeign, QrUnreadable
from payments.merchants import MerchantSuspended
from payments.models import Merchant, MerchantQr, Order
from payments.orders import OrderReferenceTaken
from payments.tendering import CONFIRM_WITHIN
from vpass.common.callers import Caller, required
from vpass.common.errors import Conflict, DomainError, NotAllowed, NotFound
from vpass.common.idempotency import IdempotencyKey, once
from vpass.common.ids import uuid7
from vpass.common.policy import StoreClosed
from vpass.common.sealed_fields import lookup_hash

LIFE = {MerchantQr.Kind.DYNAMIC: timedelta(minutes=2), MerchantQr.Kind.LINK: timedelta(minutes=15)}
LINK_PATH: Final = "/pay/"

_LINK = re.compile(r"([0-9A-F]{32})\.([0-9A-F]{16})", re.ASCII)
_WAY = {
    MerchantQr.Kind.STATIC: Order.Way.QR_STATIC,
    MerchantQr.Kind.DYNAMIC: Order.Way.QR_DYNAMIC,
    MerchantQr.Kind.LINK: Order.Way.QR_DYNAMIC,  # whoever likes draws it as a QR
}


class QrNotReadable(DomainError):
    """This is no merchant QR or payment link; `reason` says what is wrong with it."""

    code = "merchant_qr.unreadable"
    status = 422
    title_zh = "无法识别的商户收款码"


class QrOfOther(DomainError):
    """This QR belongs to another wallet or was not made by this city."""

    code = "merchant_qr.foreign"
    status = 422
    title_zh = "该收款码不属于本市，无法付款"


class QrOver(DomainError):
    """This QR's time is over, or its merchant has withdrawn it."""

    code = "merchant_qr.over"
    status = 410
    title_zh = "该收款码已失效"


class QrUsed(Conflict):
    """Somebody else pays, or has paid, by this QR."""

    code = "merchant_qr.used"
    title_zh = "该收款码已被他人使用"


class QrAmountWrong(DomainError):
    """A printed QR needs an amount; one for a payment has its own."""

    code = "merchant_qr.amount"
    status = 422
    title_zh = "付款金额与收款码不符"


@dataclass(frozen=True, kw_only=True)
class QrShown:
    """A code as its merchant shows it; `text` is a QR's text, or a link's address."""

    id: str
    form: str
    text: str
    title: str
    amount_fen: int | None
    merchant_reference: str | None
    expires_at: str | None


def make(
    *,
    caller: Caller,
    kind: str,
    title: str,
    amount_fen: int | None,
    merchant_reference: str | None,
    idempotency_key: IdempotencyKey,
    at: datetime,
) -> QrShown:
    """Make one of MerchantQr.Kind for the caller's merchant.

    A dynamic code or link is for `amount_fen` under `merchant_reference`, once, for LIFE; a static
    one has neither and lasts until it is withdrawn. Raises OrderReferenceTaken, MerchantSuspended,
    QrAmountWrong, QrNotReadable for a reference that has no place in a QR, NotAllowed for a caller
    that is no merchant, and what `once` raises.
    """
    is_static = kind == MerchantQr.Kind.STATIC
    if (amount_fen is None) != is_static or (merchant_reference is None) != is_static:
        raise QrAmountWrong
    with once(idempotency_key, at=at) as claim:
        if claim.answer is None:
            merchant = _merchant_of(caller)
            if merchant.state != "active":
                raise MerchantSuspended
            made = MerchantQr(
                id=uuid7(at),
                merchant=merchant,
                till_id=caller.id,
                kind=kind,
                title=title,
                amount_fen=amount_fen,
                merchant_reference=merchant_reference,
                created_at=at,
                expires_at=None if is_static else at + LIFE[MerchantQr.Kind(kind)],
            )
            shown = _show(made)
            taken = Order.objects.filter(merchant=merchant, merchant_reference=merchant_reference)
            if merchant_reference is not None and taken.exists():
                raise OrderReferenceTaken
            try:
                with transaction.atomic():
                    made.save(force_insert=True)
            except IntegrityError as error:
                raise OrderReferenceTaken from error
            claim.answer = asdict(shown)
        return QrShown(**claim.answer)


def withdraw(
    *, caller: Caller, qr_id: uuid.UUID, idempotency_key: IdempotencyKey, at: datetime
) -> QrShown:
    """End a code of the caller's merchant: nobody begins a payment with it any more.

    Raises NotFound, and what `once` raises.
    """
    with once(idempotency_key, at=at) as claim:
        if claim.answer is None:
            found = qr_of(caller=caller, qr_id=qr_id)
            MerchantQr.objects.filter(id=found.id, ended_at__isnull=True).update(ended_at=at)
            claim.answer = asdict(_show(found))
        return QrShown(**claim.answer)


def qr_of(*, caller: Caller, qr_id: uuid.UUID) -> MerchantQr:
    """A code of the caller's merchant. Raises NotFound."""
    found = (
        MerchantQr.objects.select_related("merchant__organisation")
        .filter(id=qr_id, merchant__organisation_id=required(caller.organisation_id))
        .first()
    )
    if found is None:
        raise NotFound
    return found


def is_over(qr: MerchantQr, *, at: datetime) -> bool:
    """Whether nobody can begin a payment with a code any more."""
    return qr.ended_at is not None or (qr.expires_at is not None and qr.expires_at <= at)


def order_of(qr: MerchantQr) -> Order | None:
    """The payment that was begun with a code for one payment, if there is one."""
    if qr.merchant_reference is None:
        return None
    return Order.objects.filter(
        merchant_id=qr.merchant_id, merchant_reference=qr.merchant_reference
    ).first()


def picture(qr: MerchantQr) -> bytes:
    """The code as a PNG, for print and the till's page. Raises NotFound for a link."""
    if qr.kind == MerchantQr.Kind.LINK:
        raise NotFound
    return draw_code(_show(qr).text)


def begin(
    *,
    caller: Caller,
    text: str,
    amount_fen: int | None,
    idempotency_key: IdempotencyKey,
    at: datetime,
) -> uuid.UUID:
    """Begin a payment by what the caller's phone has scanned or followed; it waits CONFIRM_WITHIN
    for the phone's word. Returns the payment's id; the same payer again gets the same payment.

    `amount_fen` is the payer's own for a printed code, and None otherwise. Raises QrNotReadable,
    QrOfOther, QrOver, QrUsed, QrAmountWrong, MerchantSuspended, StoreClosed where its till stands,
    AccountSuspended, accounts.PayingSuspended, and what `once` raises.
    """
    with once(idempotency_key, at=at) as claim:
        if claim.answer is None:
            qr = _read(text, at=at)
            payer_id = required(caller.resident_id)
            accounts.refuse_suspended(payer_id)
            order_id = _open(qr, caller=caller, payer_id=payer_id, amount_fen=amount_fen, at=at)
            claim.answer = {"id": str(order_id)}
        return uuid.UUID(claim.answer["id"])


def _open(
    qr: MerchantQr, *, caller: Caller, payer_id: uuid.UUID, amount_fen: int | None, at: datetime
) -> uuid.UUID:
    if qr.merchant.state != "active":
        raise MerchantSuspended
    if qr.till.store is not None and qr.till.store.state != "active":
        raise StoreClosed
    is_static = qr.kind == MerchantQr.Kind.STATIC
    if (amount_fen is None) == is_static:
        raise QrAmountWrong
    try:
        order = app_orders.open_order(
            merchant_id=qr.merchant_id,
            payer_id=payer_id,
            amount_fen=qr.amount_fen or amount_fen or 0,
            title=qr.title,
            merchant_reference=qr.merchant_reference or f"qr:{uuid7(at)}",
            actor=caller.scope,
            way=_WAY[MerchantQr.Kind(qr.kind)],
            till_id=qr.till_id,
            store_id=qr.till.store_id,
            open_for=CONFIRM_WITHIN,
            at=at,
        )
    except OrderReferenceTaken as error:
        known = order_of(qr)
        if known is None or known.payer_id != payer_id:
            raise QrUsed from error
        return known.id
    return order.id


def _read(text: str, *, at: datetime) -> MerchantQr:
    """The row behind a text that is ours and still good."""
    prefix = settings.PUBLIC_URL + LINK_PATH
    code: MerchantCode | None = None
    if text.startswith(prefix):
        link = _LINK.fullmatch(text[len(prefix) :])
        if link is None:
            raise QrNotReadable(reason="form")
        reference, tag = link[1], link[2]
    else:
        try:
            code = merchant_qr.decode(text)
        except QrUnreadable as error:
            raise QrNotReadable(reason=error.reason) from error
        except QrForeign as error:
            raise QrOfOther from error
        reference, tag = code.reference, code.tag
    qr = (
        MerchantQr.objects.select_related("merchant__organisation", "till__store")
        .filter(id=uuid.UUID(reference))
        .first()
    )
    if qr is None or not hmac.compare_digest(tag, _tag(qr)):
        raise QrOfOther
    if code is None:
        is_same = qr.kind == MerchantQr.Kind.LINK
    else:
        is_same = qr.kind != MerchantQr.Kind.LINK and (
            (code.amount_fen, code.bill) == (qr.amount_fen, qr.merchant_reference)
        )
    if not is_same:
        raise QrOfOther
    if is_over(qr, at=at):
        raise QrOver
    return qr


def _merchant_of(caller: Caller) -> Merchant:
    found = (
        Merchant.objects.select_related("organisation")
        .filter(organisation_id=required(caller.organisation_id))
        .first()
    )
    if found is None:
        raise NotAllowed
    return found


def _show(qr: MerchantQr) -> QrShown:
    return QrShown(
        id=str(qr.id),
        form=qr.kind,
        text=_text(qr),
        title=qr.title,
        amount_fen=qr.amount_fen,
        merchant_reference=qr.merchant_reference,
        expires_at=None if qr.expires_at is None else qr.expires_at.isoformat(),
    )


def _text(qr: MerchantQr) -> str:
    """Raises QrNotReadable for a reference that has no place in a QR."""
    reference = qr.id.hex.upper()
    if qr.kind == MerchantQr.Kind.LINK:
        return f"{settings.PUBLIC_URL}{LINK_PATH}{reference}.{_tag(qr)}"
    code = MerchantCode(
        reference=reference,
        tag=_tag(qr),
        payee=merchant_qr.payee_name(qr.merchant.organisation.name_en),
        amount_fen=qr.amount_fen,
        bill=qr.merchant_reference,
    )
    try:
        return merchant_qr.encode(code)
    except ValueError as error:
        raise QrNotReadable(reason="reference") from error


def _tag(qr: MerchantQr) -> str:
    said = f"{qr.kind}|{qr.id.hex}|{qr.amount_fen}|{qr.merchant_reference}"
    return lookup_hash("merchant-qr", said)[:8].hex().upper()
