"""Registers the services floor with Django."""

from django.apps import AppConfig


class ServicesConfig(AppConfig):
    """The city's counters and the IoT city."""

    name = "services"
