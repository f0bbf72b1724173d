"""Registers the payments floor with Django."""

from django.apps import AppConfig

from vpass.common import contributions, outbox
from vpass.common.figures import QUESTION


class PaymentsConfig(AppConfig):
    """Cloud Pay: ledger, orders, settlement, banks, loans."""

    name = "payments"

    def ready(self) -> None:
        from payments import figures, payouts
        from payments.settlement import payouts as settlement
        from payments.settlement import windows

        contributions.register(QUESTION, "payments", figures.figures)
        outbox.subscribe(
            payouts.PAYOUT_PREPARED, "payments.bank", payouts.send_prepared, calls_out=True
        )
        outbox.subscribe(payouts.PAYOUT_CHANGED, "payments.settlement", settlement.follow_payout)
        # Many transactions each: outside of the one that marks the delivery.
        outbox.subscribe(
            windows.WINDOW_CLOSED, "payments.settlement", settlement.settle_on, calls_out=True
        )
        outbox.subscribe(
            settlement.APPROVED, "payments.settlement", settlement.settle_on, calls_out=True
        )
