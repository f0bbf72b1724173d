"""Registers the payments floor with Django."""

from django.apps import AppConfig

from vpass.common import contributions, outbox
from vpass.common.figures import QUESTION


class PaymentsConfig(AppConfig):
    """Cloud Pay: ledger, orders, settlement, banks, loans."""

    name = "payments"

    def ready(self) -> None:
        from cards import obligations
        from identity import deletion, own_data
        from payments import (
            accounts,
            bill_payments,
            bill_reminders,
            captures,
            charges,
            debits,
            fares,
            figures,
            payouts,
            personal,
            refunds,
            risk,
        )
        from payments.settlement import payouts as settlement
        from payments.settlement import windows

        contributions.register(QUESTION, "payments", figures.figures)
        contributions.register(obligations.QUESTION, "payments", debits.open_on_card)
        contributions.register(own_data.EXPORT, "payments", personal.export)
        contributions.register(deletion.OBLIGATIONS, "payments", personal.open_obligations)
        contributions.register(deletion.FORGET, "payments", personal.forget)
        outbox.subscribe(
            payouts.PAYOUT_PREPARED, "payments.bank", payouts.send_prepared, calls_out=True
        )
        outbox.subscribe(
            debits.DEBIT_PREPARED, "payments.bank", debits.send_prepared, calls_out=True
        )
        outbox.subscribe(payouts.PAYOUT_CHANGED, "payments.settlement", settlement.follow_payout)
        outbox.subscribe(risk.RISK_FROZEN, "payments.risk", risk.freeze_on)
        outbox.subscribe(captures.BILL_CAPTURED, "payments.bills", bill_payments.take_payment)
        outbox.subscribe(refunds.ORDER_REFUNDED, "payments.bills", bill_payments.give_back)
        outbox.subscribe(
            bill_reminders.BILL_REMINDED,
            "payments.bills",
            bill_reminders.send_reminder,
            calls_out=True,
        )
        outbox.subscribe(fares.TAP_RECORDED, "payments.fares", fares.charge_fare)
        # Many transactions each: outside of the one that marks the delivery.
        for name, collect in (
            (accounts.WALLET_CREDITED, charges.collect_on_credit),
            (refunds.ORDER_REFUNDED, charges.collect_on_refund),
            (payouts.PAYOUT_CHANGED, charges.collect_on_payout),
        ):
            outbox.subscribe(name, "payments.charges", collect, calls_out=True)
        outbox.subscribe(
            windows.WINDOW_CLOSED, "payments.settlement", settlement.settle_on, calls_out=True
        )
        outbox.subscribe(
            settlement.APPROVED, "payments.settlement", settlement.settle_on, calls_out=True
        )
