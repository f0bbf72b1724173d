"""Registers the services floor with Django."""

from django.apps import AppConfig

from vpass.common import contributions


class ServicesConfig(AppConfig):
    """The city's counters and the IoT city."""

    name = "services"

    def ready(self) -> None:
        from identity import deletion, own_data
        from services import personal

        contributions.register(own_data.EXPORT, "services", personal.export)
        contributions.register(deletion.OBLIGATIONS, "services", personal.open_obligations)
