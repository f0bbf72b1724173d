"""Lets a merchant's server ask a resident for payments in the app: by a name that only it knows."""

import uuid
from dataclasses import asdict
from datetime import datetime, timedelta

from django.db.models import QuerySet

from identity import disclosure
from payments import accounts, app_orders
from payments.merchants import MerchantSuspended
from payments.models import Merchant, PayerHandle
from payments.orders import Shown, show
from vpass.common import limits
from vpass.common.callers import Caller, required
from vpass.common.errors import DomainError, NotAllowed, NotFound
from vpass.common.idempotency import IdempotencyKey, find_answer, once
from vpass.common.sealed_fields import lookup_hash

ASKS = limits.Limit("payer_handle.ask", maximum=30, per=timedelta(hours=1))


class PayerUnknown(DomainError):
    """Nobody has given this merchant leave under this name, or has taken it back."""

    code = "payer_handle.unknown"
    status = 422
    title_zh = "付款人标识无效或授权已撤回"


def give(
    *, caller: Caller, merchant_id: uuid.UUID, idempotency_key: IdempotencyKey, at: datetime
) -> dict[str, str]:
    """Give a merchant leave to ask the caller for payments; returns {"merchant_id", "handle"}.

    The handle is the pairwise pseudonym by which this organisation knows the caller: nobody else
    can do anything with it. Raises NotFound for no active merchant, AccountSuspended,
    accounts.PayingSuspended, and what `once` raises.
    """
    with once(idempotency_key, at=at) as claim:
        if claim.answer is None:
            resident_id = required(caller.resident_id)
            accounts.refuse_suspended(resident_id)
            merchant = merchant_asking(merchant_id=merchant_id)
            handle = disclosure.pseudonym(
                resident_id=resident_id, organisation_id=merchant.organisation_id
            )
            PayerHandle.objects.update_or_create(
                merchant=merchant,
                resident_id=resident_id,
                defaults={"ended_at": None},
                create_defaults={"handle_hash": _hash(handle), "created_at": at},
            )
            claim.answer = {"merchant_id": str(merchant.id), "handle": handle}
        return dict(claim.answer)


def merchant_asking(*, merchant_id: uuid.UUID) -> Merchant:
    """The merchant whom a leave would be for, with its names. Raises NotFound for no active one."""
    merchants = Merchant.objects.select_related("organisation")
    found = merchants.filter(id=merchant_id, state="active").first()
    if found is None:
        raise NotFound
    return found


def take_back(*, caller: Caller, merchant_id: uuid.UUID, at: datetime) -> None:
    """Let a merchant ask no more. Raises NotFound for one that has no leave."""
    ended = handles_of(caller=caller).filter(merchant_id=merchant_id).update(ended_at=at)
    if not ended:
        raise NotFound


def handles_of(*, caller: Caller) -> QuerySet[PayerHandle]:
    """The leaves the caller has given and not taken back; order them by `-created_at`."""
    return PayerHandle.objects.select_related("merchant__organisation").filter(
        resident_id=required(caller.resident_id), ended_at__isnull=True
    )


def ask(
    *,
    caller: Caller,
    payer: str,
    amount_fen: int,
    title: str,
    merchant_reference: str,
    idempotency_key: IdempotencyKey,
    at: datetime,
) -> Shown:
    """Open a payment for the payer with this handle, as the merchant's server; it waits
    app_orders.OPEN_FOR for the payer's word.

    Raises PayerUnknown, MerchantSuspended, orders.OrderReferenceTaken, limits.LimitReached (ASKS
    for one payer), NotAllowed for a caller that is no merchant, and what `once` raises.
    """
    if find_answer(idempotency_key) is None:
        limits.spend(ASKS, f"{required(caller.organisation_id)}|{payer}", at=at)
    with once(idempotency_key, at=at) as claim:
        if claim.answer is None:
            merchant = Merchant.objects.filter(
                organisation_id=required(caller.organisation_id)
            ).first()
            if merchant is None:
                raise NotAllowed
            if merchant.state != "active":
                raise MerchantSuspended
            found = PayerHandle.objects.filter(
                handle_hash=_hash(payer), merchant=merchant, ended_at__isnull=True
            ).first()
            if found is None:
                raise PayerUnknown
            order = app_orders.open_order(
                merchant_id=merchant.id,
                payer_id=found.resident_id,
                amount_fen=amount_fen,
                title=title,
                merchant_reference=merchant_reference,
                actor=caller.scope,
                at=at,
            )
            claim.answer = asdict(show(order))
        return Shown(**claim.answer)


def _hash(handle: str) -> bytes:
    return lookup_hash("payer-handle", handle)
