"""Registers the common ground with Django."""

from django.apps import AppConfig


class CommonConfig(AppConfig):
    """What every floor stands on: time, money, errors, idempotency, outbox, limits, audit."""

    name = "vpass.common"
    label = "common"
    default_auto_field = "django.db.models.BigAutoField"
