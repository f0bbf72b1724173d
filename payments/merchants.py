"""Takes merchants on, and stops and lifts them: a suspended one neither earns nor gives back.

A firm is taken on when two accountants stand behind it (payments.proposals).
"""

import uuid
from datetime import datetime

from django.db import transaction
from django.db.models import QuerySet
from stdnum.cn import uscc

from identity import registration, subtree
from identity.history import change_state
from identity.models import Organisation
from payments import ledger, states
from payments.models import PURPOSE, SCENE, Bank, Merchant, MerchantApplication
from vpass.common import audit
from vpass.common.callers import Caller
from vpass.common.errors import Conflict, DomainError, NotFound


class CreditCodeInvalid(DomainError):
    """This is not a unified social credit code: a character or the check character is wrong."""

    code = "merchant.credit_code_invalid"
    status = 422
    title_zh = "统一社会信用代码无效"


class BankUnknown(DomainError):
    """No partner bank has this code."""

    code = "merchant.bank_unknown"
    status = 422
    title_zh = "没有该代码的合作银行"


class MerchantKnown(Conflict):
    """A merchant with this credit code has been taken on already."""

    code = "merchant.known"
    title_zh = "该统一社会信用代码的商户已入驻"


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


def application(
    *,
    credit_code: str,
    name_zh: str,
    name_en: str,
    bank_code: str,
    payout_account: str,
    refund_alone_fen: int | None,
) -> MerchantApplication:
    """A firm that asks to be taken on, checked and not yet written.

    Raises CreditCodeInvalid, MerchantKnown, BankUnknown.
    """
    if not uscc.is_valid(credit_code) or uscc.compact(credit_code) != credit_code:
        raise CreditCodeInvalid
    refuse_known(credit_code)
    bank = Bank.objects.filter(code=bank_code).first()
    if bank is None:
        raise BankUnknown
    return MerchantApplication(
        name_zh=name_zh,
        name_en=name_en,
        bank=bank,
        payout_account=payout_account,
        refund_alone_fen=refund_alone_fen,
    )


def refuse_known(credit_code: str) -> None:
    """Raises MerchantKnown when a merchant has this credit code."""
    if Merchant.objects.filter(credit_code=credit_code).exists():
        raise MerchantKnown


def take_on(
    asked: MerchantApplication, *, credit_code: str, caller: Caller, at: datetime
) -> Merchant:
    """Make a firm a merchant below the city, whose tills may take payments, in the caller's
    transaction; administrators register its tills.

    Raises MerchantKnown, registration.NameTaken.
    """
    subtree.lock_tree()
    refuse_known(credit_code)
    city = Organisation.objects.filter(kind="city", parent=None).order_by("id").first()
    if city is None:
        raise NotFound
    detail = {
        "kind": Organisation.Kind.MERCHANT,
        "name_zh": asked.name_zh,
        "name_en": asked.name_en,
        "scenes": [SCENE],
        "attributes": [],
    }
    made = registration.register_organisation(city, detail, caller=caller, at=at)
    organisation = Organisation.objects.get(id=made.id)
    right = {
        "scene": SCENE,
        "purpose": PURPOSE,
        "purpose_zh": "付款",
        "purpose_en": "Payment",
        "attributes": [],
        "may_ask": [],
        "shields_others": False,
        "deferred_days": 0,
    }
    registration.set_entitlement(organisation, right, caller=caller, at=at)
    merchant = open_merchant(
        organisation=organisation, bank=asked.bank, payout_account=asked.payout_account
    )
    merchant.credit_code, merchant.refund_alone_fen = credit_code, asked.refund_alone_fen
    merchant.save(update_fields=["credit_code", "refund_alone_fen"])
    return merchant


def merchants() -> QuerySet[Merchant]:
    """All merchants with their organisations, to be ordered by id."""
    return Merchant.objects.select_related("organisation", "bank")


def merchant_account(merchant: Merchant) -> int:
    """The ledger account of what is owed to a merchant; it never falls below zero."""
    return ledger.open_account(kind="merchant", owner=str(merchant.organisation_id), floor_fen=0)


def suspend(*, caller: Caller, merchant_id: uuid.UUID, reason: str, at: datetime) -> Merchant:
    """Stop a merchant at once, as one accountant may: it is paid in no way any more, gives nothing
    back, and is paid nothing out until two have agreed to reinstate it.

    `reason` is a short word. Suspended already, nothing else changes. Raises NotFound.
    """
    with transaction.atomic():
        merchant = _lock(merchant_id)
        if merchant.state == "active":
            suspend_merchant(merchant_id=merchant_id, actor=caller.scope, at=at)
            merchant.state = "suspended"
            audit.record(
                actor=caller.scope,
                action="merchant.suspended",
                subject=f"merchant:{merchant_id}",
                detail={"reason": reason},
                at=at,
            )
    return merchant


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
        merchant = _lock(merchant_id)
        change_state(merchant, to_state, table=states.MERCHANT, actor=actor, at=at)


def _lock(merchant_id: uuid.UUID) -> Merchant:
    # Conflicts with the share lock under which a payment posts (queries.lock_parties).
    merchant = Merchant.objects.select_for_update(no_key=True).filter(id=merchant_id).first()
    if merchant is None:
        raise NotFound
    return merchant
