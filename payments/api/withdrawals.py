"""What a resident's app may ask about money going to a bank account: withdraw, and where it is."""

from typing import Any
from uuid import UUID

from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from identity import residents
from payments import accounts, funding, ledger
from payments.api import bank_examples as examples
from payments.models import FundingSource, Payout
from vpass.common.api import Audience, Endpoint, StrictSerializer, describes, page_serializer
from vpass.common.callers import required
from vpass.common.errors import NotFound


class WithdrawalRequest(StrictSerializer):
    amount_fen = serializers.IntegerField(min_value=1, max_value=funding.MAX_AMOUNT_FEN)
    source_id = serializers.UUIDField(
        allow_null=True,
        default=None,
        help_text="A bank account that money has come from; the newest one when left out.",
    )


class WithdrawalStarted(StrictSerializer):
    id = serializers.UUIDField()
    amount_fen = serializers.IntegerField()
    state = serializers.CharField()
    created_at = serializers.DateTimeField()


class BankNamed(StrictSerializer):
    zh = serializers.CharField()
    en = serializers.CharField()


class WithdrawalStep(StrictSerializer):
    state = serializers.CharField()
    at = serializers.DateTimeField()


class WithdrawalShown(StrictSerializer):
    id = serializers.UUIDField()
    amount_fen = serializers.IntegerField()
    state = serializers.CharField(
        help_text="prepared, accepted, unknown (the bank is being asked), booked, rejected or "
        "never_arrived. The money is held until booked, and free again after the last two."
    )
    reason = serializers.CharField(allow_null=True, help_text="Why the bank has rejected it.")
    bank = BankNamed()
    account_last4 = serializers.CharField()
    reference = serializers.CharField(help_text="What stands on the bank account's statement.")
    bank_reference = serializers.CharField(allow_null=True)
    created_at = serializers.DateTimeField()
    history = WithdrawalStep(many=True)


class FundingSourceShown(StrictSerializer):
    id = serializers.UUIDField()
    bank = BankNamed()
    account_last4 = serializers.CharField()


class Withdrawals(Endpoint):
    """The resident's withdrawals."""

    audience = Audience.RESIDENT
    level = 2

    @describes(
        request=WithdrawalRequest,
        answers={201: WithdrawalStarted},
        idempotent=True,
        problems=[
            residents.AccountSuspended,
            accounts.PayingSuspended,
            funding.SourceUnknown,
            ledger.InsufficientFunds,
        ],
        examples=examples.WITHDRAW,
    )
    def post(self, request: Request) -> Response:
        """Send money of the wallet to the resident's own bank account."""
        begun = funding.withdraw(
            caller=self.caller,
            idempotency_key=self.idempotency(),
            at=self.at,
            **self.read(WithdrawalRequest),
        )
        return Response(vars(begun), status=201)

    @describes(
        answers={200: page_serializer(WithdrawalShown)}, paged=True, examples=examples.WITHDRAWALS
    )
    def get(self, request: Request) -> Response:
        """List withdrawals, newest first."""
        rows = funding.withdrawals_of(resident_id=required(self.caller.resident_id))
        return self.page(rows, render=_withdrawal, order=("-id",))


class Withdrawal(Endpoint):
    """One withdrawal: where is my money?"""

    audience = Audience.RESIDENT
    level = 2

    @describes(answers={200: WithdrawalShown}, problems=[NotFound], examples=examples.WITHDRAWAL)
    def get(self, request: Request, withdrawal_id: UUID) -> Response:
        """Show how it stands, with every step until the bank's word."""
        found = funding.withdrawal(
            resident_id=required(self.caller.resident_id), withdrawal_id=withdrawal_id
        )
        return Response(_withdrawal(found))


class FundingSources(Endpoint):
    """The bank accounts that the resident has put money in from."""

    audience = Audience.RESIDENT
    level = 2

    @describes(
        answers={200: page_serializer(FundingSourceShown)}, paged=True, examples=examples.SOURCES
    )
    def get(self, request: Request) -> Response:
        """List them, newest first."""
        rows = funding.sources_of(resident_id=required(self.caller.resident_id))
        return self.page(rows, render=_source, order=("-created_at", "-id"))


def _withdrawal(payout: Payout) -> dict[str, Any]:
    return {
        "id": payout.id,
        "amount_fen": payout.amount_fen,
        "state": payout.state,
        "reason": payout.reason,
        "bank": _bank(payout),
        "account_last4": payout.account_last4,
        "reference": payout.reference,
        "bank_reference": payout.bank_reference,
        "created_at": payout.created_at,
        "history": [{"state": step.to_state, "at": step.at} for step in payout.changes.all()],
    }


def _source(source: FundingSource) -> dict[str, Any]:
    return {"id": source.id, "bank": _bank(source), "account_last4": source.last4}


def _bank(row: Payout | FundingSource) -> dict[str, str]:
    organisation = row.bank.organisation
    return {"zh": organisation.name_zh, "en": organisation.name_en}
