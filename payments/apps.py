"""Registers the payments floor with Django."""

from django.apps import AppConfig


class PaymentsConfig(AppConfig):
    """Cloud Pay: ledger, orders, settlement, banks, loans."""

    name = "payments"
