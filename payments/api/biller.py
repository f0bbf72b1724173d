"""What a biller's server may ask: send bills by the batch, read, amend and cancel them."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from payments import bill_batches, bill_payments, billers, bills, merchants
from payments.api import bill_examples as examples
from payments.api.bill_shapes import BillPaymentShown, BillShown, show_bill, show_payment
from payments.bill_batches import AskedBill, Malformed
from payments.billers import AskedLine
from payments.models import Bill
from vpass.common.api import (
    Audience,
    Endpoint,
    PageQuery,
    StrictSerializer,
    describes,
    page_serializer,
)
from vpass.common.api.serializers import field_errors
from vpass.common.errors import NotFound
from vpass.common.states import IllegalTransition

_REFERENCE = r"^[0-9A-Za-z._-]{1,64}\Z"
_HEAD = r"^[a-z][a-z0-9_]{0,31}\Z"
_PAYERS = {
    Bill.PayerKind.HOLDER: r"^[0-9A-Za-z_-]{43}\Z",
    Bill.PayerKind.ID_NUMBER: r"^[0-9]{17}[0-9X]\Z",
    Bill.PayerKind.CUSTOMER: r"^[0-9A-Za-z._-]{1,32}\Z",
}
_DAY: dict[str, Any] = {"format": "%Y-%m-%d", "input_formats": ["%Y-%m-%d"]}


class BillPayerAsked(StrictSerializer):
    kind = serializers.ChoiceField(
        choices=Bill.PayerKind.choices,
        help_text="holder (the pseudonym by which you know a resident), id_number, or customer "
        "(your own number for them).",
    )
    value = serializers.CharField(max_length=43)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """The value has the form of its kind."""
        serializers.RegexField(_PAYERS[attrs["kind"]]).run_validators(attrs["value"])
        return attrs


class BillLineAsked(StrictSerializer):
    head = serializers.RegexField(_HEAD, max_length=32)
    amount_fen = serializers.IntegerField(min_value=1, max_value=billers.MAX_LINE_FEN)
    period_from = serializers.DateField(
        required=False, help_text="Where it is of another period than the bill.", **_DAY
    )


class BillAsked(StrictSerializer):
    reference = serializers.RegexField(
        _REFERENCE, max_length=64, help_text="The biller's own number, once for ever."
    )
    payer = BillPayerAsked()
    title = serializers.CharField(max_length=100, help_text="The payer reads it; name nobody.")
    period_from = serializers.DateField(**_DAY)
    period_to = serializers.DateField(help_text="The first day after the period.", **_DAY)
    due_date = serializers.DateField(**_DAY)
    lines = serializers.ListField(child=BillLineAsked(), min_length=1, max_length=billers.MAX_LINES)


class BillBatchRequest(StrictSerializer):
    bills = serializers.ListField(
        child=serializers.JSONField(),
        min_length=1,
        max_length=bill_batches.MAX_BATCH,
        help_text="Each a BillAsked; one that is none is refused by itself, in the report.",
    )


class BillLineError(StrictSerializer):
    field = serializers.CharField()
    code = serializers.CharField()


class BillLineReport(StrictSerializer):
    line = serializers.IntegerField(help_text="From 1, as sent.")
    reference = serializers.CharField(allow_null=True)
    outcome = serializers.CharField(help_text="accepted, known (it came before) or refused.")
    code = serializers.CharField(
        allow_null=True,
        help_text="Of a refused one: request.invalid (with errors), bill.reference_taken, "
        "bill.reference_twice, bill.period_wrong, bill.lines_refused.",
    )
    errors = BillLineError(many=True)  # type: ignore[assignment]
    bill_id = serializers.UUIDField(allow_null=True)
    notice_code = serializers.CharField(allow_null=True)


class BillBatchReport(StrictSerializer):
    accepted = serializers.IntegerField()
    known = serializers.IntegerField()
    refused = serializers.IntegerField()
    lines = BillLineReport(many=True)


class IssuedBillShown(BillShown):
    reference = serializers.CharField()


class IssuedBillDetail(IssuedBillShown):
    payments = BillPaymentShown(many=True, help_text="To be refunded by /payments/<id>/refunds.")


class IssuedBillQuery(PageQuery):
    reference = serializers.RegexField(_REFERENCE, max_length=64, required=False)


class BillAmendmentRequest(StrictSerializer):
    version = serializers.IntegerField(
        min_value=1, max_value=30_000, help_text="The one that is amended."
    )
    title = serializers.CharField(max_length=100)
    due_date = serializers.DateField(**_DAY)
    lines = serializers.ListField(child=BillLineAsked(), min_length=1, max_length=billers.MAX_LINES)


class BillAmended(StrictSerializer):
    version = serializers.IntegerField()


class BillCancellationRequest(StrictSerializer):
    """Nothing: the address says it all."""


class BillCancelled(StrictSerializer):
    state = serializers.CharField()


class BillBatches(Endpoint):
    """Many bills at once."""

    audience = Audience.MERCHANT

    @describes(
        request=BillBatchRequest,
        answers={201: BillBatchReport},
        idempotent=True,
        problems=[billers.NoBiller, merchants.MerchantSuspended],
        examples=examples.BATCH,
    )
    def post(self, request: Request) -> Response:
        """Take up to 500 bills; each is accepted whole or refused with its own code."""
        asked = [_asked(each) for each in self.read(BillBatchRequest)["bills"]]
        report = bill_batches.upload_bills(
            caller=self.caller, asked=asked, idempotency_key=self.idempotency(), at=self.at
        )
        counts = {
            outcome: sum(line.outcome == outcome for line in report)
            for outcome in ("accepted", "known", "refused")
        }
        return Response({**counts, "lines": [vars(line) for line in report]}, status=201)


class IssuedBills(Endpoint):
    """The bills that the biller has issued."""

    audience = Audience.MERCHANT

    @describes(
        answers={200: page_serializer(IssuedBillShown)},
        query=IssuedBillQuery,
        examples=examples.ISSUED_BILLS,
    )
    def get(self, request: Request) -> Response:
        """List them, the newest first, or the one with a reference."""
        rows = bills.bills_of_biller(caller=self.caller)
        reference = self.read_query(IssuedBillQuery).get("reference")
        if reference is not None:
            rows = rows.filter(reference=reference)
        return self.page(rows, render=self._shown, order=("-id",), query=IssuedBillQuery)

    def _shown(self, bill: Bill) -> dict[str, Any]:
        return {**show_bill(bill, at=self.at), "reference": bill.reference}


class IssuedBill(Endpoint):
    """One bill of the biller's."""

    audience = Audience.MERCHANT

    @describes(answers={200: IssuedBillDetail}, problems=[NotFound], examples=examples.ISSUED_BILL)
    def get(self, request: Request, bill_id: UUID) -> Response:
        """Show it with its payments."""
        bill = bills.one_of(bills.bills_of_biller(caller=self.caller).filter(id=bill_id))
        shown = {**show_bill(bill, at=self.at), "reference": bill.reference}
        payments = [show_payment(each) for each in bill_payments.payments_of(bill=bill)]
        return Response({**shown, "payments": payments})


class BillAmendments(Endpoint):
    """A bill asks for something else."""

    audience = Audience.MERCHANT

    @describes(
        request=BillAmendmentRequest,
        answers={200: BillAmended},
        idempotent=True,
        problems=[
            NotFound,
            billers.BillVersionStale,
            billers.BillPaidAlready,
            billers.BillUnderWay,
            billers.BillLinesRefused,
            IllegalTransition,
        ],
        examples=examples.AMENDMENT,
    )
    def post(self, request: Request, bill_id: UUID) -> Response:
        """Put a new version in its place; what is paid stays."""
        asked = self.read(BillAmendmentRequest)
        lines = [AskedLine(**line) for line in asked.pop("lines")]
        version = billers.amend_bill(
            caller=self.caller,
            bill_id=bill_id,
            lines=lines,
            idempotency_key=self.idempotency(),
            at=self.at,
            **asked,
        )
        return Response({"version": version})


class BillCancellations(Endpoint):
    """A bill is asked for no more."""

    audience = Audience.MERCHANT

    @describes(
        request=BillCancellationRequest,
        answers={200: BillCancelled},
        idempotent=True,
        problems=[NotFound, billers.BillPaidAlready, billers.BillUnderWay, IllegalTransition],
        examples=examples.CANCELLATION,
    )
    def post(self, request: Request, bill_id: UUID) -> Response:
        """Cancel it, while nothing is paid of it."""
        self.read(BillCancellationRequest)
        billers.cancel_bill(
            caller=self.caller,
            bill_id=bill_id,
            idempotency_key=self.idempotency(),
            at=self.at,
        )
        return Response({"state": "cancelled"})


def _asked(sent: Any) -> AskedBill | Malformed:
    """A line of a batch as it was sent, read by itself."""
    serializer = BillAsked(data=sent)
    if not serializer.is_valid():
        errors = tuple(field_errors(serializer.errors))
        return Malformed(reference=_reference_in(sent), errors=errors)
    asked = dict(serializer.validated_data)
    payer = asked.pop("payer")
    lines = tuple(AskedLine(**line) for line in asked.pop("lines"))
    return AskedBill(payer_kind=payer["kind"], payer=payer["value"], lines=lines, **asked)


def _reference_in(sent: Any) -> str | None:
    """The reference of a line that is otherwise malformed, for its report."""
    reference = sent.get("reference") if isinstance(sent, Mapping) else None
    field = serializers.RegexField(_REFERENCE, max_length=64)
    if not isinstance(reference, str):
        return None
    try:
        field.run_validators(reference)
    except serializers.ValidationError:
        return None
    return reference
