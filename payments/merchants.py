"""Takes merchants on, and stops and lifts them: a suspended one neither earns nor gives back."""

import uuid
from datetime import datetime

from django.db import transaction

from identity.history import change_state
from identity.models import Organisation
from payments import ledger, states
from payments.models import Bank, Merchant
from vpass.common.errors import DomainError, NotFound


class MerchantSuspended(DomainError):
    """This merchant is suspended."""

    code = "merchant.suspended"
    status = 403
    title_zh = "该商户已暂停收款"


def open_merchant(*, organisation: Organisation, bank: Bank, payout_account: str) -> Merchant:
    """Return the merchant that an organisation becomes, with its account in the ledger.

    `payout_account` is the bank's token of the account to which settlements go.
    """
    with transaction.atomic():
        merchant = Merchant.objects.create(
            organisation=organisation, bank=bank, payout_account=payout_account
        )
        merchant_account(merchant)
    return merchant


def merchant_account(merchant: Merchant) -> int:
    """The ledger account of what is owed to a merchant; it never falls below zero."""
    return ledger.open_account(kind="merchant", owner=str(merchant.organisation_id), floor_fen=0)


def suspend_merchant(*, merchant_id: uuid.UUID, actor: str, at: datetime) -> None:
    """Stop a merchant at once: once this returns, no payment to it is captured any more.

    Payments in progress end before. Raises NotFound, states.IllegalTransition.
    """
    _change(merchant_id, "suspended", actor=actor, at=at)


def lift_merchant(*, merchant_id: uuid.UUID, actor: str, at: datetime) -> None:
    """Let a suspended merchant go on. Raises NotFound, states.IllegalTransition."""
    _change(merchant_id, "active", actor=actor, at=at)


def _change(merchant_id: uuid.UUID, to_state: str, *, actor: str, at: datetime) -> None:
    with transaction.atomic():
        # Conflicts with the share lock under which a payment posts (queries.lock_parties).
        merchant = Merchant.objects.select_for_update(no_key=True).filter(id=merchant_id).first()
        if merchant is None:
            raise NotFound
        change_state(merchant, to_state, table=states.MERCHANT, actor=actor, at=at)
