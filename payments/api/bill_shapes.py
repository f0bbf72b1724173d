"""How bills look to those who pay them and to those who issue them."""

from datetime import datetime
from typing import Any

from rest_framework import serializers

from payments import bills
from payments.models import Bill, BillPayment
from vpass.common.api import StrictSerializer


class BillPayee(StrictSerializer):
    id = serializers.UUIDField(help_text="Signed as `payee` when a payment is confirmed.")
    zh = serializers.CharField()
    en = serializers.CharField()
    kind = serializers.CharField(help_text="utility, tuition, hospital, fee or fine.")


class BillLineShown(StrictSerializer):
    head = serializers.CharField()
    zh = serializers.CharField()
    en = serializers.CharField()
    period_from = serializers.DateField()
    amount_fen = serializers.IntegerField()
    paid_fen = serializers.IntegerField()


class BillShown(StrictSerializer):
    id = serializers.UUIDField()
    notice_code = serializers.CharField(help_text="20 digits; docs/notice-code.md.")
    biller = BillPayee()
    title = serializers.CharField()
    period_from = serializers.DateField()
    period_to = serializers.DateField(help_text="The first day after the period.")
    due_date = serializers.DateField()
    version = serializers.IntegerField()
    state = serializers.CharField(help_text="unpaid, part_paid, paid or cancelled.")
    amount_fen = serializers.IntegerField(help_text="All that is asked for, surcharge included.")
    surcharge_fen = serializers.IntegerField(help_text="Up to today in the city.")
    paid_fen = serializers.IntegerField()
    under_way_fen = serializers.IntegerField(help_text="In payments that have not ended yet.")
    open_fen = serializers.IntegerField(help_text="What can be paid now.")
    is_overdue = serializers.BooleanField()
    lines = BillLineShown(many=True, help_text="In the order in which they are paid.")


class BillPaymentShown(StrictSerializer):
    id = serializers.UUIDField()
    state = serializers.CharField(help_text="As of any payment; captured: there is a receipt soon.")
    amount_fen = serializers.IntegerField()
    refunded_fen = serializers.IntegerField()
    paid_at = serializers.DateTimeField(
        allow_null=True, help_text="When it came to the bill; from then on there is a receipt."
    )


class BillDetail(BillShown):
    payments = BillPaymentShown(many=True, help_text="The caller's own, the newest first.")


def show_bill(bill: Bill, *, at: datetime) -> dict[str, Any]:
    """A bill as payers and billers see it; `at` is the moment to which the surcharge counts."""
    organisation = bill.biller.merchant.organisation
    lines = [
        {
            "head": line.head.code,
            "zh": line.head.name_zh,
            "en": line.head.name_en,
            "period_from": line.period_from,
            "amount_fen": line.amount_fen,
            "paid_fen": line.paid_fen,
        }
        for line in bills.in_order(list(bill.lines.all()))
        if line.amount_fen and not line.head.is_surcharge
    ]
    return {
        "id": bill.id,
        "notice_code": bill.notice_code,
        "biller": {
            "id": bill.biller_id,
            "zh": organisation.name_zh,
            "en": organisation.name_en,
            "kind": bill.biller.kind,
        },
        "title": bill.title,
        "period_from": bill.period_from,
        "period_to": bill.period_to,
        "due_date": bill.due_date,
        "version": bill.version,
        "state": bill.state,
        "lines": lines,
        **vars(bills.standing(bill, at=at)),
    }


def show_payment(payment: BillPayment) -> dict[str, Any]:
    """A payment of a bill, with how its order stands."""
    return {
        "id": payment.order_id,
        "state": payment.order.state,
        "amount_fen": payment.amount_fen,
        "refunded_fen": payment.refunded_fen,
        "paid_at": payment.paid_at,
    }
