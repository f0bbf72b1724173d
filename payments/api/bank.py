"""What a partner bank tells us, as docs/bank-protocol.md lays down; our answers are signed."""

import re
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from payments import debits, funding, payouts
from payments.api import bank_examples as examples
from payments.banks import BankStanding
from payments.banks.http import known_reason
from payments.funding import MAX_AMOUNT_FEN, Credit
from vpass.common.api import Audience, Endpoint, StrictSerializer, describes
from vpass.common.errors import BadRequest, NotAllowed, NotFound
from vpass.common.idempotency import IdempotencyKey

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\Z")
_MOMENT = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z\Z")
_TOKEN = re.compile(r"[A-Za-z0-9_-]{16,64}\Z")
_REFERENCE = re.compile(r"[0-9A-Z]{1,35}\Z")
_REASON = re.compile(r"[a-z_]{1,40}\Z")
_MEMBERS = {
    "booked": {"status", "bank_reference", "booked_at"},
    "rejected": {"status", "reason"},
}


class Exact(serializers.RegexField):
    """A text of one form, taken as it is: no space is trimmed away."""

    def __init__(self, form: re.Pattern[str], **options: Any) -> None:
        super().__init__(form, trim_whitespace=False, **options)


class Moment(Exact):
    """A second in UTC, written one way only: YYYY-MM-DDTHH:MM:SSZ."""

    def __init__(self, **options: Any) -> None:
        super().__init__(_MOMENT, **options)

    def to_internal_value(self, data: Any) -> Any:
        """The text of an existing moment."""
        text = super().to_internal_value(data)
        try:
            _moment(text)
        except ValueError:
            self.fail("invalid")
        return text


class CreditNoticeRequest(StrictSerializer):
    notice_id = Exact(_UUID, help_text="The bank's own, given once for ever.")
    top_up_number = Exact(re.compile(r"[0-9]{12}\Z"))
    amount_fen = serializers.IntegerField(min_value=1, max_value=MAX_AMOUNT_FEN)
    currency = serializers.ChoiceField(choices=["CNY"])
    payer_account_token = Exact(_TOKEN)
    payer_last4 = Exact(re.compile(r"[0-9]{4}\Z"))
    booked_at = Moment(help_text="When the bank booked it.")


class CreditNoticeAnswer(StrictSerializer):
    notice_id = serializers.UUIDField()
    status = serializers.CharField(help_text="credited or returned.")
    reason = serializers.CharField(
        required=False, help_text="With returned: number_unknown, wallet_closed or refused."
    )


class PayoutNoticeRequest(StrictSerializer):
    payout_id = Exact(_UUID)
    status = serializers.ChoiceField(choices=["booked", "rejected"])
    bank_reference = Exact(_REFERENCE, required=False, help_text="With booked.")
    booked_at = Moment(required=False, help_text="With booked.")
    reason = Exact(_REASON, required=False, help_text="With rejected.")


class PayoutNoticeAnswer(StrictSerializer):
    payout_id = serializers.UUIDField()
    status = serializers.CharField(help_text="As in the notice.")


class DebitNoticeRequest(StrictSerializer):
    debit_id = Exact(_UUID)
    status = serializers.ChoiceField(choices=["booked", "rejected"])
    bank_reference = Exact(_REFERENCE, required=False, help_text="With booked.")
    booked_at = Moment(required=False, help_text="With booked.")
    reason = Exact(_REASON, required=False, help_text="With rejected.")


class DebitNoticeAnswer(StrictSerializer):
    debit_id = serializers.UUIDField()
    status = serializers.CharField(help_text="As in the notice.")


class CreditNotices(Endpoint):
    """A bank has received money for a resident."""

    audience = Audience.BANK
    max_bytes = 4096

    @describes(
        request=CreditNoticeRequest,
        answers={200: CreditNoticeAnswer},
        idempotent=True,
        problems=[NotAllowed],
        examples=examples.CREDIT_NOTICE,
    )
    def post(self, request: Request) -> Response:
        """Credit the wallet of a top-up number; the Idempotency-Key is the notice_id."""
        told = self.read(CreditNoticeRequest)
        outcome = funding.take_credit_notice(
            caller=self.caller,
            credit=Credit(
                notice_id=UUID(told["notice_id"]),
                top_up_number=told["top_up_number"],
                amount_fen=told["amount_fen"],
                payer_account_token=told["payer_account_token"],
                payer_last4=told["payer_last4"],
                booked_at=_moment(told["booked_at"]),
            ),
            idempotency_key=_key_named(self.idempotency(), told["notice_id"]),
            at=self.at,
        )
        answer = {"notice_id": told["notice_id"], "status": outcome.status}
        return Response(answer | ({"reason": outcome.reason} if outcome.reason else {}))


class PayoutNotices(Endpoint):
    """A bank has booked or rejected a payout which it had accepted."""

    audience = Audience.BANK
    max_bytes = 4096

    @describes(
        request=PayoutNoticeRequest,
        answers={200: PayoutNoticeAnswer},
        idempotent=True,
        problems=[NotFound, payouts.PayoutContradicted],
        examples=examples.PAYOUT_NOTICE,
    )
    def post(self, request: Request) -> Response:
        """Take the outcome of one of the bank's payouts; the Idempotency-Key is the payout_id."""
        told = self.read(PayoutNoticeRequest)
        payouts.take_notice(
            caller=self.caller,
            payout_id=UUID(told["payout_id"]),
            standing=_standing(told, named="payout_id"),
            idempotency_key=_key_named(self.idempotency(), told["payout_id"]),
            at=self.at,
        )
        return Response({"payout_id": told["payout_id"], "status": told["status"]})


class DebitNotices(Endpoint):
    """A bank has booked or rejected a debit which it had accepted."""

    audience = Audience.BANK
    max_bytes = 4096

    @describes(
        request=DebitNoticeRequest,
        answers={200: DebitNoticeAnswer},
        idempotent=True,
        problems=[NotFound, debits.DebitContradicted],
        examples=examples.DEBIT_NOTICE,
    )
    def post(self, request: Request) -> Response:
        """Take the outcome of one of the bank's debits; the Idempotency-Key is the debit_id."""
        told = self.read(DebitNoticeRequest)
        debits.take_notice(
            caller=self.caller,
            debit_id=UUID(told["debit_id"]),
            standing=_standing(told, named="debit_id"),
            idempotency_key=_key_named(self.idempotency(), told["debit_id"]),
            at=self.at,
        )
        return Response({"debit_id": told["debit_id"], "status": told["status"]})


def _standing(told: dict[str, Any], *, named: str) -> BankStanding:
    wrong = told.keys() ^ _MEMBERS[told["status"]] ^ {named}
    if wrong:
        raise BadRequest(errors=[{"field": name, "code": "shape"} for name in sorted(wrong)])
    is_booked = told["status"] == "booked"
    return BankStanding(
        status=told["status"],
        reason=None if is_booked else known_reason(told["reason"]),
        bank_reference=told.get("bank_reference"),
        booked_at=_moment(told["booked_at"]) if is_booked else None,
    )


def _key_named(key: IdempotencyKey, identifier: str) -> IdempotencyKey:
    if key.key != identifier:
        raise BadRequest(errors=[{"field": "Idempotency-Key", "code": "not_the_identifier"}])
    return key


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text.removesuffix("Z")).replace(tzinfo=UTC)
