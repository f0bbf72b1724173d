"""What a resident's app may ask about bills: find and pay them, have receipts, see all it owes."""

import base64
from datetime import datetime
from typing import Any
from uuid import UUID

from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from identity import residents
from payments import (
    accounts,
    bill_payments,
    bill_receipts,
    bills,
    merchants,
    orders,
    owed,
    receipt_pdf,
)
from payments.api import bill_examples as examples
from payments.api.bill_shapes import BillDetail, BillShown, show_bill, show_payment
from payments.models import Bill
from payments.owed import Owed
from vpass.common.api import Audience, Endpoint, StrictSerializer, describes, page_serializer
from vpass.common.callers import Caller
from vpass.common.errors import NotFound
from vpass.common.limits import LimitReached

VERIFIED = 2


class NoticeCodeRequest(StrictSerializer):
    notice_code = serializers.CharField(max_length=32, help_text="Spaces do not count.")


class BillPaymentRequest(NoticeCodeRequest):
    amount_fen = serializers.IntegerField(min_value=1, max_value=orders.MAX_PAYMENT_FEN)


class BillPaymentOpened(StrictSerializer):
    payment_id = serializers.UUIDField()
    payee_id = serializers.UUIDField()
    amount_fen = serializers.IntegerField()
    confirm_by = serializers.DateTimeField(
        help_text="To be confirmed by then, as any payment: /payments/<id>/confirmation."
    )


class BillReceiptShown(StrictSerializer):
    receipt_code = serializers.CharField(help_text="By which anybody may check it.")
    content = serializers.CharField(help_text="The signed text; docs/receipt-format.md.")
    signature = serializers.CharField(help_text="A detached JWS over the content.")
    refunded_fen = serializers.IntegerField(help_text="What has gone back since.")
    pdf = serializers.CharField(help_text="The same as a PDF of one page, in base64.")


class OwedPayee(StrictSerializer):
    id = serializers.UUIDField(allow_null=True)
    zh = serializers.CharField()
    en = serializers.CharField()


class OwedShown(StrictSerializer):
    kind = serializers.CharField(help_text="bill, charge, or a word of the floor that knows of it.")
    id = serializers.CharField()
    payee = OwedPayee()
    title = serializers.CharField()
    amount_fen = serializers.IntegerField()
    due_date = serializers.DateField()
    is_overdue = serializers.BooleanField()
    notice_code = serializers.CharField(allow_null=True, help_text="Of a bill: it is paid by that.")


class EverythingOwed(StrictSerializer):
    items = OwedShown(many=True, help_text="The earliest due first.")
    total_fen = serializers.IntegerField(help_text="Of the items.")
    is_whole = serializers.BooleanField(help_text="Whether these are all.")


class Bills(Endpoint):
    """The resident's bills."""

    audience = Audience.RESIDENT
    level = VERIFIED

    @describes(answers={200: page_serializer(BillShown)}, paged=True, examples=examples.BILLS)
    def get(self, request: Request) -> Response:
        """List them, the newest first: by ID number, by pseudonym, and those followed."""
        return self.page(
            bills.bills_of(caller=self.caller),
            render=lambda bill: show_bill(bill, at=self.at),
            order=("-id",),
        )


class OneBill(Endpoint):
    """One bill of the resident, or one the resident has paid of."""

    audience = Audience.RESIDENT
    level = VERIFIED

    @describes(answers={200: BillDetail}, problems=[NotFound], examples=examples.BILL)
    def get(self, request: Request, bill_id: UUID) -> Response:
        """Show it with its lines and the resident's payments."""
        bill = bills.bill_of(caller=self.caller, bill_id=bill_id)
        return Response(_detail(bill, caller=self.caller, at=self.at))


class BillLookUps(Endpoint):
    """Any bill, by its notice code."""

    audience = Audience.RESIDENT
    level = VERIFIED

    @describes(
        request=NoticeCodeRequest,
        answers={200: BillDetail},
        problems=[bills.NoticeCodeInvalid, NotFound, LimitReached],
        examples=examples.LOOK_UP,
    )
    def post(self, request: Request) -> Response:
        """Show the bill of a notice code, so that anybody may pay it."""
        code = self.read(NoticeCodeRequest)["notice_code"]
        bill = bills.look_up(caller=self.caller, code=code, at=self.at)
        return Response(_detail(bill, caller=self.caller, at=self.at))


class BillFollows(Endpoint):
    """A customer number counts as the resident's own."""

    audience = Audience.RESIDENT
    level = VERIFIED

    @describes(
        request=NoticeCodeRequest,
        answers={200: BillDetail},
        problems=[bills.NoticeCodeInvalid, NotFound, LimitReached],
        examples=examples.LOOK_UP,
    )
    def post(self, request: Request) -> Response:
        """List the bills of a customer number from now on, by the notice code of one of them."""
        code = self.read(NoticeCodeRequest)["notice_code"]
        bill = bills.follow(caller=self.caller, code=code, at=self.at)
        return Response(_detail(bill, caller=self.caller, at=self.at))


class OneBillFollow(Endpoint):
    """The customer number that a bill is for."""

    audience = Audience.RESIDENT
    level = VERIFIED

    @describes(answers={204: None}, problems=[NotFound])
    def delete(self, request: Request, bill_id: UUID) -> Response:
        """List its bills no more."""
        bills.unfollow(caller=self.caller, bill_id=bill_id)
        return Response(status=204)


class BillPayments(Endpoint):
    """A bill is paid, all of it or a part."""

    audience = Audience.RESIDENT
    level = VERIFIED

    @describes(
        request=BillPaymentRequest,
        answers={201: BillPaymentOpened},
        idempotent=True,
        problems=[
            bills.NoticeCodeInvalid,
            NotFound,
            LimitReached,
            bill_payments.BillNotOwed,
            bill_payments.BillTooMuch,
            merchants.MerchantSuspended,
            residents.AccountSuspended,
            accounts.PayingSuspended,
        ],
        examples=examples.PAYMENT,
    )
    def post(self, request: Request) -> Response:
        """Open a payment, which then waits for the resident's signed confirmation."""
        asked = self.read(BillPaymentRequest)
        opened = bill_payments.pay_bill(
            caller=self.caller,
            code=asked["notice_code"],
            amount_fen=asked["amount_fen"],
            idempotency_key=self.idempotency(),
            at=self.at,
        )
        return Response(vars(opened), status=201)


class BillReceipts(Endpoint):
    """The receipt of a bill's payment."""

    audience = Audience.RESIDENT
    level = VERIFIED

    @describes(answers={200: BillReceiptShown}, problems=[NotFound], examples=examples.RECEIPT)
    def get(self, request: Request, payment_id: UUID) -> Response:
        """Give the signed content and the PDF that shows it."""
        receipt = bill_receipts.receipt_of(caller=self.caller, payment_id=payment_id)
        pdf = receipt_pdf.draw(content=receipt.content, signature=receipt.signature)
        return Response(
            {
                "receipt_code": receipt.code,
                "content": receipt.content,
                "signature": receipt.signature,
                "refunded_fen": receipt.refunded_fen,
                "pdf": base64.b64encode(pdf).decode(),
            }
        )


class AllOwed(Endpoint):
    """Everything the resident owes."""

    audience = Audience.RESIDENT
    level = VERIFIED

    @describes(answers={200: EverythingOwed}, examples=examples.OWED)
    def get(self, request: Request) -> Response:
        """List bills, charges and all else, the earliest due first."""
        found = owed.everything_owed(caller=self.caller, at=self.at)
        return Response(
            {
                "items": [_owed(item) for item in found.items],
                "total_fen": found.total_fen,
                "is_whole": found.is_whole,
            }
        )


def _detail(bill: Bill, *, caller: Caller, at: datetime) -> dict[str, Any]:
    """A bill with the caller's payments of it."""
    own = bill_payments.payments_of(bill=bill, caller=caller)
    return {**show_bill(bill, at=at), "payments": [show_payment(each) for each in own]}


def _owed(item: Owed) -> dict[str, Any]:
    return {
        "kind": item.kind,
        "id": item.id,
        "payee": {"id": item.payee_id, "zh": item.payee_zh, "en": item.payee_en},
        "title": item.title,
        "amount_fen": item.amount_fen,
        "due_date": item.due_date,
        "is_overdue": item.is_overdue,
        "notice_code": item.notice_code,
    }
